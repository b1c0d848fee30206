import type { Actor } from '../../domain/account';
import type { AddOn } from '../../domain/addon';
import type { Html } from './html';

/** One that the daemon draws. It works without scripts: links, and forms with the method POST. */
export interface DrawnPage {
  /** The content of the page at `visit.path`. Throws not_found for a path that there is not. */
  show(visit: Visit): Html | Promise<Html>;
  /**
   * A form that was sent to `visit.path`, and was ours (Origin and token have been checked). Answers the path to go on
   * to. A PlatformError is shown on the page that comes of `show` for the same path. Absent: the page has no forms.
   */
  submit?(visit: Visit, form: URLSearchParams): string | Promise<string>;
}

export interface Visit {
  addon: AddOn;
  /** For the audit trail. */
  actor: Actor;
  /** `/` is what `addons:open` shows. */
  path: string;
  query: URLSearchParams;
  /** A hidden field, for each form. */
  formToken: Html;
  /** What was sent before and refused, to be filled in again. */
  refused?: URLSearchParams;
}
