import type { DynoId } from '../../domain/ids';

/** Of one script; what comes after it is not kept, the app's log has it. */
const MAX_LENGTH = 1024 * 1024;

/**
 * What postdeploy scripts have printed. Only in memory: a daemon that starts anew reads what a dyno has printed from
 * its beginning.
 */
export class PostdeployOutput {
  readonly #texts = new Map<DynoId, string>();

  append(id: DynoId, line: string): void {
    const text = this.#texts.get(id) ?? '';
    if (text.length < MAX_LENGTH) this.#texts.set(id, `${text}${line}\n`.slice(0, MAX_LENGTH));
  }

  /** All of it, which is then forgotten. */
  take(id: DynoId): string {
    const text = this.#texts.get(id) ?? '';
    this.#texts.delete(id);
    return text;
  }
}
