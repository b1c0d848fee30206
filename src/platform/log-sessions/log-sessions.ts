import { randomBytes } from 'node:crypto';
import type { App } from '../../domain/app';
import { invalidParams } from '../../domain/errors';
import type { AppId } from '../../domain/ids';
import { formatLogLine } from '../../domain/log-line';
import { HISTORY_LINES, type LogFilter } from '../../logplex/logplex';
import type { PlatformContext } from '../context';

export interface NewLogSession {
  lines?: number | null;
  tail?: boolean | null;
  source?: string | null;
  /** A dyno's name or a process type. */
  dyno?: string | null;
}

export interface LogSessionLine {
  id: number;
  text: string;
}

/** One reader's view of an app's log. */
export interface LogSession {
  id: string;
  appId: AppId;
  /** Whoever has it may read; it is part of the URL, which the client opens without a token. */
  secret: string;
  tail: boolean;
  createdAt: Date;
  /** The lines so far, oldest first; with `afterId` (resuming) only those after it. */
  history(afterId?: number): LogSessionLine[];
  /** Lines from now on; the answer ends it. */
  subscribe(listener: (line: LogSessionLine) => void): () => void;
}

/** Heroku's default of `heroku logs`. */
const DEFAULT_LINES = 100;
/** A session that nobody opens in this time is dropped; an open one goes on. */
const UNOPENED_MS = 5 * 60 * 1000;
/** Long enough for a tail to reconnect after a laptop slept over night. */
const OPENED_MS = 24 * 60 * 60 * 1000;

export class LogSessions {
  readonly #context: PlatformContext;
  readonly #sessions = new Map<string, { session: LogSession; expiresAt: number }>();

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  create(app: App, input: NewLogSession): LogSession {
    const { clock, logplex, newId } = this.#context;
    this.#expire();
    const lines = Math.min(input.lines ?? DEFAULT_LINES, HISTORY_LINES);
    const filter: LogFilter = {};
    if (input.source != null) {
      if (input.source !== 'app' && input.source !== 'heroku') {
        throw invalidParams(`Log source ${input.source} is not one of: app, heroku.`);
      }
      filter.source = input.source;
    }
    if (input.dyno != null) filter.dyno = input.dyno;
    const session: LogSession = {
      id: newId(),
      appId: app.id,
      secret: randomBytes(24).toString('hex'),
      tail: input.tail ?? false,
      createdAt: clock.now(),
      history: (afterId) =>
        logplex
          .history(app.id, filter, afterId === undefined ? lines : HISTORY_LINES, afterId)
          .map((entry) => ({ id: entry.id, text: formatLogLine(entry.line) })),
      subscribe: (listener) =>
        logplex.subscribe(app.id, filter, (entry) =>
          listener({ id: entry.id, text: formatLogLine(entry.line) }),
        ),
    };
    this.#sessions.set(session.secret, { session, expiresAt: clock.now().getTime() + UNOPENED_MS });
    return session;
  }

  /** undefined for a secret that is wrong or too old, or whose app is gone. */
  open(secret: string): LogSession | undefined {
    this.#expire();
    const entry = this.#sessions.get(secret);
    if (entry === undefined || this.#context.store.apps.get(entry.session.appId) === undefined) {
      return undefined;
    }
    entry.expiresAt = this.#context.clock.now().getTime() + OPENED_MS;
    return entry.session;
  }

  #expire(): void {
    const now = this.#context.clock.now().getTime();
    for (const [secret, { expiresAt }] of this.#sessions) {
      if (expiresAt <= now) this.#sessions.delete(secret);
    }
  }
}
