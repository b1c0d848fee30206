import type { Event } from '../domain/event';
import type { AppId } from '../domain/ids';
import { date, integer, json, text, textOrNull } from './columns';
import type { Database, Statement } from './database';

export type NewEvent = Omit<Event, 'id'>;

/** The audit trail. `append` is called inside the transaction of the change that it records. */
export class EventStore {
  readonly #insert: Statement;
  readonly #ofApp: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      'INSERT INTO events (app_id, kind, payload, actor, at) VALUES (@appId, @kind, @payload, @actor, @at)',
    );
    this.#ofApp = database.prepare(
      'SELECT * FROM (SELECT * FROM events WHERE app_id = @appId ORDER BY id DESC LIMIT @limit) ORDER BY id',
    );
  }

  append(event: NewEvent): void {
    this.#insert.run({ ...event, payload: JSON.stringify(event.payload), at: event.at.getTime() });
  }

  /** The newest `limit`, oldest first. */
  of(appId: AppId, limit = 1000): Event[] {
    return this.#ofApp.all({ appId, limit }).map((row) => ({
      id: integer(row, 'id'),
      appId: textOrNull(row, 'app_id') as AppId | null,
      kind: text(row, 'kind'),
      payload: json(row, 'payload') as Record<string, unknown>,
      actor: text(row, 'actor'),
      at: date(row, 'at'),
    }));
  }
}
