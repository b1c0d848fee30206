/**
 * Runs `work` for one key at a time. A call during a run means exactly one more run after it, however many calls
 * come (STYLE: level, not edge). At most `limit` keys run at once; the others queue in order.
 */
export class SingleFlight<K> {
  readonly #work: (key: K) => Promise<void>;
  readonly #limit: number;
  readonly #running = new Set<K>();
  readonly #again = new Set<K>();
  readonly #queue = new Set<K>();
  #idleWaiters: (() => void)[] = [];
  #stopped = false;

  /** `work` must not reject: it reports its own failures. */
  constructor(work: (key: K) => Promise<void>, limit: number) {
    this.#work = work;
    this.#limit = limit;
  }

  kick(key: K): void {
    if (this.#stopped) return;
    if (this.#running.has(key)) this.#again.add(key);
    else this.#queue.add(key);
    this.#next();
  }

  /** Resolves once nothing runs and nothing waits. */
  async idle(): Promise<void> {
    while (this.#running.size > 0 || this.#queue.size > 0) {
      await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
    }
  }

  /** Takes no more work and resolves once the runs under way have ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#queue.clear();
    this.#again.clear();
    await this.idle();
  }

  #next(): void {
    for (const key of this.#queue) {
      if (this.#running.size >= this.#limit) return;
      this.#queue.delete(key);
      this.#running.add(key);
      void this.#work(key).finally(() => {
        this.#running.delete(key);
        if (this.#again.delete(key) && !this.#stopped) this.#queue.add(key);
        this.#next();
        if (this.#running.size === 0 && this.#queue.size === 0) {
          const waiters = this.#idleWaiters;
          this.#idleWaiters = [];
          for (const wake of waiters) wake();
        }
      });
    }
  }
}
