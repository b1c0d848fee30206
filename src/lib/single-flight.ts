import { deferred, type Deferred } from './deferred';

/**
 * Runs `work` for one key at a time. A call during a run means exactly one more run after it, however many calls
 * come (level, not edge). At most `limit` keys run at once; the others queue in order.
 */
export class SingleFlight<K> {
  readonly #work: (key: K) => Promise<void>;
  readonly #limit: number;
  readonly #running = new Set<K>();
  /** Runs that are owed, in the order in which they were asked for, with what tells of their end. */
  readonly #owed = new Map<K, Deferred<void>>();
  #idleWaiters: (() => void)[] = [];
  #stopped = false;

  /** `work` must not reject: it reports its own failures. */
  constructor(work: (key: K) => Promise<void>, limit: number) {
    this.#work = work;
    this.#limit = limit;
  }

  /** Resolves after a whole run that began after this call (at once when stopped). */
  kick(key: K): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    let owed = this.#owed.get(key);
    if (owed === undefined) {
      owed = deferred();
      this.#owed.set(key, owed);
    }
    this.#next();
    return owed.promise;
  }

  /** Resolves once nothing runs and nothing waits. */
  async idle(): Promise<void> {
    while (this.#running.size > 0 || this.#owed.size > 0) {
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    }
  }

  /** Takes no more work and resolves once the runs under way have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const owed of this.#owed.values()) owed.resolve();
    this.#owed.clear();
    await this.idle();
  }

  #next(): void {
    for (const [key, owed] of this.#owed) {
      if (this.#running.size >= this.#limit) return;
      if (this.#running.has(key)) continue;
      this.#owed.delete(key);
      this.#running.add(key);
      void this.#work(key).finally(() => {
        this.#running.delete(key);
        owed.resolve();
        this.#next();
        if (this.#running.size === 0 && this.#owed.size === 0) {
          const waiters = this.#idleWaiters;
          this.#idleWaiters = [];
          for (const wake of waiters) wake();
        }
      });
    }
  }
}
