import type { AppId } from '../domain/ids';
import { integer, text } from './columns';
import type { Database, Statement } from './database';

/** Seconds that dynos of sleeping sizes ran, by month. */
export class DynoHourStore {
  readonly #add: Statement;
  readonly #ofMonth: Statement;

  constructor(database: Database) {
    this.#add =
      database.prepare(`INSERT INTO dyno_hours (month, app_id, seconds) VALUES (@month, @appId, @seconds)
      ON CONFLICT (month, app_id) DO UPDATE SET seconds = seconds + excluded.seconds`);
    this.#ofMonth = database.prepare('SELECT app_id, seconds FROM dyno_hours WHERE month = @month');
  }

  /** `month` like `2026-11`. */
  add(month: string, appId: AppId, seconds: number): void {
    this.#add.run({ month, appId, seconds });
  }

  /** Of all apps, those that are gone included. */
  of(month: string): Map<AppId, number> {
    return new Map(
      this.#ofMonth.all({ month }).map((row) => [text(row, 'app_id') as AppId, integer(row, 'seconds')]),
    );
  }
}
