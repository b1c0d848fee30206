import type { Clock } from '../lib/clock';
import type { WakeNews } from './gate';

type Wake = Extract<WakeNews, { type: 'wake' }>;
type Woken = Extract<WakeNews, { type: 'woken' }>;

/** A worker whose held requests have all gone never says that it was woken. */
const WOKEN_WAIT_MS = 250;

export interface WakeRelayOptions {
  clock: Clock;
  /** false when no daemon hears it. */
  send: (message: WakeNews) => boolean;
}

/**
 * Makes one of what several workers have to say of an app's wake: that it is to be woken, once (a worker that speaks
 * again means a new sleep, since its gate says each one once), and that its first byte is there, with how many waited in
 * all of them.
 */
export class WakeRelay {
  readonly #options: WakeRelayOptions;
  /** Workers that have told of the same sleep, by app. */
  readonly #told = new Map<string, Set<number>>();
  /** Workers that wait for the app to wake. */
  readonly #waiting = new Map<string, Set<number>>();
  readonly #woken = new Map<string, { message: Woken; cancel: () => void }>();

  constructor(options: WakeRelayOptions) {
    this.#options = options;
  }

  /** false when no daemon hears it. */
  relay(worker: number, message: WakeNews): boolean {
    return message.type === 'wake' ? this.#wake(worker, message) : this.#answered(worker, message);
  }

  /** A new table or a new daemon: a wake that is told from now on is news. */
  clear(): void {
    this.#told.clear();
  }

  stop(): void {
    for (const { cancel } of this.#woken.values()) cancel();
  }

  #wake(worker: number, message: Wake): boolean {
    const { app_id: appId } = message;
    this.#waiting.set(appId, (this.#waiting.get(appId) ?? new Set()).add(worker));
    const told = this.#told.get(appId);
    if (told !== undefined && !told.has(worker)) {
      told.add(worker);
      return true;
    }
    const heard = this.#options.send(message);
    if (heard) this.#told.set(appId, new Set([worker]));
    return heard;
  }

  #answered(worker: number, message: Woken): boolean {
    const { app_id: appId } = message;
    const waiting = this.#waiting.get(appId);
    // Late: it has been told without.
    if (waiting === undefined || !waiting.delete(worker)) return true;
    const first = this.#woken.get(appId);
    if (first === undefined) {
      const cancel = this.#options.clock.after(WOKEN_WAIT_MS, () => this.#tell(appId));
      this.#woken.set(appId, { message, cancel });
    } else first.message = { ...first.message, held: first.message.held + message.held };
    return waiting.size > 0 || this.#tell(appId);
  }

  #tell(appId: string): boolean {
    this.#waiting.delete(appId);
    const woken = this.#woken.get(appId);
    if (woken === undefined) return false;
    this.#woken.delete(appId);
    woken.cancel();
    return this.#options.send(woken.message);
  }
}
