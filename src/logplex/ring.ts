import type { LogLine } from '../domain/log-line';

/** A line with its place in the stream; ids grow, over restarts of the daemon too. */
export interface LogEntry {
  id: number;
  line: LogLine;
}

/** The last `capacity` lines of an app (Heroku keeps 1,500: Dev Center "Logging"). */
export class Ring {
  readonly #entries: LogEntry[] = [];
  readonly #capacity: number;
  #start = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  push(entry: LogEntry): void {
    if (this.#entries.length < this.#capacity) {
      this.#entries.push(entry);
      return;
    }
    this.#entries[this.#start] = entry;
    this.#start = (this.#start + 1) % this.#capacity;
  }

  /** Oldest first. */
  entries(): LogEntry[] {
    return [...this.#entries.slice(this.#start), ...this.#entries.slice(0, this.#start)];
  }
}
