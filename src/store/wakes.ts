import type { AppId, WakeId } from '../domain/ids';
import type { Wake } from '../domain/wake';
import { date, dateOrNull, integerOrNull, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

/** The wake ledger. */
export class WakeStore {
  readonly #save: Statement;
  readonly #ofApp: Statement;
  readonly #trim: Statement;

  constructor(database: Database) {
    this.#save =
      database.prepare(`INSERT INTO wakes (id, app_id, cause, method, path, request_id, fwd, depth, asked_at, decided_at,
        running_at, up_at, first_byte_at, held)
      VALUES (@id, @appId, @cause, @method, @path, @requestId, @fwd, @depth, @askedAt, @decidedAt, @runningAt, @upAt,
        @firstByteAt, @held)
      ON CONFLICT (id) DO UPDATE SET running_at = excluded.running_at, up_at = excluded.up_at,
        first_byte_at = excluded.first_byte_at, held = excluded.held`);
    this.#ofApp = database.prepare(
      'SELECT * FROM wakes WHERE app_id = @appId ORDER BY asked_at DESC, rowid DESC LIMIT @limit',
    );
    this.#trim = database.prepare(`DELETE FROM wakes WHERE app_id = @appId AND id NOT IN
      (SELECT id FROM wakes WHERE app_id = @appId ORDER BY asked_at DESC, rowid DESC LIMIT @keep)`);
  }

  save(wake: Wake): void {
    const request = wake.cause.kind === 'request' ? wake.cause.request : null;
    this.#save.run({
      id: wake.id,
      appId: wake.appId,
      cause: wake.cause.kind,
      method: request?.method ?? null,
      path: request?.path ?? null,
      requestId: request?.requestId ?? null,
      fwd: request?.fwd ?? null,
      depth: wake.depth,
      askedAt: wake.askedAt.getTime(),
      decidedAt: wake.decidedAt.getTime(),
      runningAt: wake.runningAt?.getTime() ?? null,
      upAt: wake.upAt?.getTime() ?? null,
      firstByteAt: wake.firstByteAt?.getTime() ?? null,
      held: wake.held,
    });
  }

  /** The newest first. */
  of(appId: AppId, limit: number): Wake[] {
    return this.#ofApp.all({ appId, limit }).map(toWake);
  }

  /** Forgets all but the newest. */
  trim(appId: AppId, keep: number): void {
    this.#trim.run({ appId, keep });
  }
}

function toWake(row: Row): Wake {
  return {
    id: text(row, 'id') as WakeId,
    appId: text(row, 'app_id') as AppId,
    cause:
      text(row, 'cause') === 'command'
        ? { kind: 'command' }
        : {
            kind: 'request',
            request: {
              method: textOrNull(row, 'method') ?? '',
              path: textOrNull(row, 'path') ?? '',
              requestId: textOrNull(row, 'request_id') ?? '',
              fwd: textOrNull(row, 'fwd') ?? '',
            },
          },
    depth: text(row, 'depth') === 'frozen' ? 'frozen' : 'stopped',
    askedAt: date(row, 'asked_at'),
    decidedAt: date(row, 'decided_at'),
    runningAt: dateOrNull(row, 'running_at'),
    upAt: dateOrNull(row, 'up_at'),
    firstByteAt: dateOrNull(row, 'first_byte_at'),
    held: integerOrNull(row, 'held'),
  };
}
