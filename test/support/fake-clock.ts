import type { Clock } from '../../src/lib/clock';

interface Timer {
  at: number;
  callback: () => void;
}

/** A clock that stands still until a test turns it. */
export class FakeClock implements Clock {
  #now: number;
  readonly #timers = new Set<Timer>();

  constructor(start = new Date('2025-01-01T00:00:00.000Z')) {
    this.#now = start.getTime();
  }

  now(): Date {
    return new Date(this.#now);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that have been set and neither fired nor cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /**
   * Lets `ms` pass: fires what falls due in its order (at the same instant: as set), each at its own time, and lets
   * what follows from it happen before the next, including timers that it sets.
   */
  async advance(ms: number): Promise<void> {
    const target = this.#now + ms;
    await settled();
    for (let timer = this.#next(target); timer !== undefined; timer = this.#next(target)) {
      this.#timers.delete(timer);
      this.#now = timer.at;
      timer.callback();
      await settled();
    }
    this.#now = target;
  }

  #next(target: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= target && (next === undefined || timer.at < next.at)) next = timer;
    }
    return next;
  }
}

/** Resolves once promises and immediates that are ready have run, a few times over: no real time passes. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 10; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}
