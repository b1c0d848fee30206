import type { Clock } from '../lib/clock';
import type { RouterLogLine, RouterMessage } from './protocol';

export interface LogShipperOptions {
  clock: Clock;
  /** false when nobody takes it now. */
  send: (message: Extract<RouterMessage, { type: 'log' }>) => boolean;
  flushMs: number;
  maxBatch: number;
  /** Lines kept while no daemon takes them; then the oldest go. */
  maxBuffered: number;
}

/** Brings the request lines to the daemon in small batches, and keeps a bounded number while it is away. */
export class LogShipper {
  readonly #options: LogShipperOptions;
  #lines: RouterLogLine[] = [];
  /** By app; there are no more keys than apps. */
  #dropped = new Map<string, { count: number; since: string }>();
  #cancel: (() => void) | null = null;

  constructor(options: LogShipperOptions) {
    this.#options = options;
  }

  push(line: RouterLogLine): void {
    this.#lines.push(line);
    this.#trim();
    if (this.#lines.length >= this.#options.maxBatch) this.flush();
    if (this.#lines.length > 0) this.#schedule();
  }

  /** Sends what there is, as far as the daemon takes it. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = null;
    const { maxBatch, send } = this.#options;
    if (this.#dropped.size > 0) {
      const at = this.#options.clock.now().toISOString();
      const lines = [...this.#dropped].map(([app_id, { count, since }]) => ({
        app_id,
        at,
        text: `at=warning desc="Router log lines dropped" count=${count} since=${since}`,
      }));
      if (!send({ type: 'log', lines })) return;
      this.#dropped.clear();
    }
    let sent = 0;
    while (sent < this.#lines.length) {
      const lines = this.#lines.slice(sent, sent + maxBatch);
      if (!send({ type: 'log', lines })) break;
      sent += lines.length;
    }
    if (sent > 0) this.#lines = this.#lines.slice(sent);
  }

  stop(): void {
    this.flush();
  }

  #schedule(): void {
    // While nobody takes them this tries again at the same pace: one failed look per interval, only with traffic.
    this.#cancel ??= this.#options.clock.after(this.#options.flushMs, () => {
      this.#cancel = null;
      this.flush();
    });
  }

  #trim(): void {
    // By a tenth at a time: dropping one of ten thousand for every new line would move them all each time.
    if (this.#lines.length <= this.#options.maxBuffered) return;
    const excess = Math.max(1, Math.ceil(this.#options.maxBuffered / 10));
    for (const line of this.#lines.slice(0, excess)) {
      const known = this.#dropped.get(line.app_id);
      if (known) known.count += 1;
      else this.#dropped.set(line.app_id, { count: 1, since: line.at });
    }
    this.#lines = this.#lines.slice(excess);
  }
}
