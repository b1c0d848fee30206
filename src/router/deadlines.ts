import type { Clock } from '../lib/clock';

/** One thing that waits for a time; in at most one list. */
export class Deadline {
  readonly due: () => void;
  list: Deadlines | null = null;
  previous: Deadline | null = null;
  next: Deadline | null = null;
  atMs = 0;

  constructor(due: () => void) {
    this.due = due;
  }

  clear(): void {
    this.list?.remove(this);
  }
}

/**
 * Deadlines that all lie the same time ahead when they are set. Thus they fall due in the order in which they were set:
 * setting, moving on and clearing one costs a few pointers, and one timer serves them all.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #delayMs: number;
  #first: Deadline | null = null;
  #last: Deadline | null = null;
  #cancel: (() => void) | null = null;

  constructor(clock: Clock, delayMs: number) {
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  /** From now on anew, also for one that waits already, in this list or another. */
  set(deadline: Deadline): void {
    deadline.atMs = this.#clock.now().getTime() + this.#delayMs;
    if (deadline.list === this && this.#last === deadline) return;
    deadline.clear();
    deadline.list = this;
    deadline.previous = this.#last;
    if (this.#last === null) this.#first = deadline;
    else this.#last.next = deadline;
    this.#last = deadline;
    this.#cancel ??= this.#clock.after(this.#delayMs, this.#look);
  }

  remove(deadline: Deadline): void {
    if (deadline.list !== this) return;
    const { previous, next } = deadline;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    deadline.list = null;
    deadline.previous = null;
    deadline.next = null;
  }

  /** Forgets all of them. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    while (this.#first !== null) this.remove(this.#first);
  }

  /** The timer is not moved with every deadline: it looks what is first when it fires. */
  readonly #look = (): void => {
    const now = this.#clock.now().getTime();
    for (let first = this.#first; first !== null && first.atMs <= now; first = this.#first) {
      this.remove(first);
      first.due();
    }
    // Only now: what was set meanwhile is not the first one to wait for.
    this.#cancel =
      this.#first === null ? null : this.#clock.after(Math.max(1, this.#first.atMs - now), this.#look);
  };
}
