import type { AppId } from '../domain/ids';
import { MAX_LINE_BYTES, type LogLine } from '../domain/log-line';
import type { Clock } from '../lib/clock';
import { Ring, type LogEntry } from './ring';

/** Which lines a reader wants; an absent field means all. */
export interface LogFilter {
  source?: 'app' | 'heroku';
  /** A dyno's name (`web.1`) or a process type (`web` = all of `web.N`). */
  dyno?: string;
}

export type LogListener = (entry: LogEntry) => void;

/** Heroku's history (Dev Center "Logging": the last 1,500 lines). */
export const HISTORY_LINES = 1500;

/**
 * Routes log lines of all sources to their readers: a ring of the newest lines per app, and listeners. Only in
 * memory: what a dyno printed is read from its container again after a restart of the daemon.
 */
export class Logplex {
  readonly #clock: Clock;
  readonly #apps = new Map<AppId, { ring: Ring; listeners: Set<LogListener> }>();
  #lastId: number;
  #lastMs = 0;
  #micros = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    // Ids continue above those of an earlier run, since a client may resume with one of them.
    this.#lastId = clock.now().getTime() * 1000;
  }

  /** A line of the platform about the app, by its API: `app[api]: …` */
  api(appId: AppId, text: string): void {
    this.append(appId, this.#stamped({ source: 'app', process: 'api', text }));
  }

  /** A line of the dyno manager: `heroku[web.1]: …` */
  heroku(appId: AppId, process: string, text: string): void {
    this.append(appId, this.#stamped({ source: 'heroku', process, text }));
  }

  /** A line that comes from beside its dynos, e.g. from an add-on: `app[heroku-postgres]: …` */
  app(appId: AppId, process: string, text: string): void {
    this.append(appId, this.#stamped({ source: 'app', process, text }));
  }

  /** Is there a log of it: has it any lines, or readers? */
  has(appId: AppId): boolean {
    return this.#apps.has(appId);
  }

  append(appId: AppId, line: LogLine): void {
    const app = this.#app(appId);
    for (const text of pieces(line.text)) {
      const entry = { id: ++this.#lastId, line: text === line.text ? line : { ...line, text } };
      app.ring.push(entry);
      for (const listener of app.listeners) listener(entry);
    }
  }

  /** The newest `lines` that match, oldest first; with `afterId` only those after it. */
  history(appId: AppId, filter: LogFilter, lines: number, afterId = 0): LogEntry[] {
    const entries = this.#apps.get(appId)?.ring.entries() ?? [];
    const matching = entries.filter((entry) => entry.id > afterId && matches(entry.line, filter));
    return lines <= 0 ? [] : matching.slice(-lines);
  }

  /** Calls `listener` for each new line that matches; the answer ends it. */
  subscribe(appId: AppId, filter: LogFilter, listener: LogListener): () => void {
    const { listeners } = this.#app(appId);
    const filtered: LogListener = (entry) => {
      if (matches(entry.line, filter)) listener(entry);
    };
    listeners.add(filtered);
    return () => void listeners.delete(filtered);
  }

  /** The app is gone. */
  forget(appId: AppId): void {
    this.#apps.delete(appId);
  }

  #app(appId: AppId): { ring: Ring; listeners: Set<LogListener> } {
    let app = this.#apps.get(appId);
    if (app === undefined) {
      app = { ring: new Ring(HISTORY_LINES), listeners: new Set() };
      this.#apps.set(appId, app);
    }
    return app;
  }

  /** Lines of one millisecond get growing microseconds, so that sorting by time keeps their order. */
  #stamped(line: Omit<LogLine, 'at' | 'micros'>): LogLine {
    const at = this.#clock.now();
    this.#micros = at.getTime() === this.#lastMs ? Math.min(this.#micros + 1, 999) : 0;
    this.#lastMs = at.getTime();
    return { ...line, at, micros: this.#micros };
  }
}

function matches(line: LogLine, filter: LogFilter): boolean {
  if (filter.source !== undefined && filter.source !== line.source) return false;
  if (filter.dyno === undefined) return true;
  return line.process === filter.dyno || line.process.startsWith(`${filter.dyno}.`);
}

/** Heroku splits a long line into chunks of 10,000 bytes, each a line of its own (Dev Center "Limits"). */
function pieces(text: string): string[] {
  if (text.length <= MAX_LINE_BYTES / 4) return [text];
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_LINE_BYTES) return [text];
  const parts: string[] = [];
  for (let start = 0; start < bytes.length;) {
    let end = Math.min(start + MAX_LINE_BYTES, bytes.length);
    // Do not cut a UTF-8 character in two: continuation bytes are 10xxxxxx.
    while (end < bytes.length && end > start && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    parts.push(bytes.toString('utf8', start, end));
    start = end;
  }
  return parts;
}
