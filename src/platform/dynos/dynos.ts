import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { dynoName, type Dyno } from '../../domain/dyno';
import { notFound } from '../../domain/errors';
import type { DynoSelection } from '../../dyno-manager/dyno-manager';
import { record, type PlatformContext } from '../context';

export class Dynos {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** Those that run or are to run; dynos on their way out are not listed. */
  list(app: App): Dyno[] {
    return this.#context.store.dynos.of(app.id).filter((dyno) => dyno.state !== 'down');
  }

  find(app: App, idOrName: string): Dyno {
    const dyno = this.list(app).find((entry) => entry.id === idOrName || dynoName(entry) === idOrName);
    if (dyno === undefined) throw notFound('dyno');
    return dyno;
  }

  /** Replaces dynos by fresh ones (Dev Center "Dyno Restarts"). */
  restart(actor: Actor, app: App, selection: DynoSelection): void {
    const chosen = 'name' in selection ? { name: dynoName(this.find(app, selection.name)) } : selection;
    record(this.#context, app.id, actor, 'dynos.restart', { ...chosen });
    this.#context.dynoManager.restart(app.id, chosen);
  }

  /**
   * For a dyno of the formation, stopping it is restarting it: the formation still wants it. A one-off dyno is
   * stopped either way.
   */
  stop(actor: Actor, app: App, selection: { name: string } | { type: string }): void {
    this.restart(actor, app, selection);
  }
}
