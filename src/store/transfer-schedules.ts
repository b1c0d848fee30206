import type { AddOnId, AppId, TransferScheduleId } from '../domain/ids';
import type { TransferSchedule } from '../domain/transfer-schedule';
import { date, flag, integer, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

/** When databases are backed up by themselves. */
export class TransferScheduleStore {
  readonly #save: Statement;
  readonly #setLastRun: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #ofAddOn: Statement;
  readonly #ofApp: Statement;

  constructor(database: Database) {
    this.#save = database.prepare(
      `INSERT INTO transfer_schedules (id, addon_id, name, automatic, hour, timezone, last_run_on, created_at)
        VALUES (@id, @addonId, @name, @automatic, @hour, @timezone, @lastRunOn, @createdAt)
        ON CONFLICT (addon_id, name, automatic)
        DO UPDATE SET hour = @hour, timezone = @timezone, last_run_on = @lastRunOn RETURNING *`,
    );
    this.#setLastRun = database.prepare('UPDATE transfer_schedules SET last_run_on = @day WHERE id = @id');
    this.#delete = database.prepare('DELETE FROM transfer_schedules WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM transfer_schedules WHERE id = @id');
    this.#ofAddOn = database.prepare(
      'SELECT * FROM transfer_schedules WHERE addon_id = @addonId ORDER BY created_at, name',
    );
    this.#ofApp = database.prepare(
      `SELECT transfer_schedules.* FROM transfer_schedules JOIN addons ON addons.id = addon_id
        WHERE app_id = @appId AND addons.state <> 'deprovisioned' AND automatic = 0
        ORDER BY transfer_schedules.created_at, transfer_schedules.name`,
    );
  }

  /** In place of one of that name, whose id it then keeps. */
  save(schedule: TransferSchedule): TransferSchedule {
    const row = this.#save.get({
      ...schedule,
      automatic: schedule.automatic ? 1 : 0,
      createdAt: schedule.createdAt.getTime(),
    });
    if (row === undefined) throw new Error('the schedule was not saved');
    return toSchedule(row);
  }

  setLastRun(id: TransferScheduleId, day: string | null): void {
    this.#setLastRun.run({ id, day });
  }

  delete(id: TransferScheduleId): void {
    this.#delete.run({ id });
  }

  get(id: TransferScheduleId): TransferSchedule | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toSchedule(row);
  }

  /** The automatic one among them. */
  ofAddOn(addonId: AddOnId): TransferSchedule[] {
    return this.#ofAddOn.all({ addonId }).map(toSchedule);
  }

  /** Those that somebody asked for, of all databases that the app owns. */
  ofApp(appId: AppId): TransferSchedule[] {
    return this.#ofApp.all({ appId }).map(toSchedule);
  }
}

function toSchedule(row: Row): TransferSchedule {
  return {
    id: text(row, 'id') as TransferScheduleId,
    addonId: text(row, 'addon_id') as AddOnId,
    name: text(row, 'name'),
    automatic: flag(row, 'automatic'),
    hour: integer(row, 'hour'),
    timezone: text(row, 'timezone'),
    lastRunOn: textOrNull(row, 'last_run_on'),
    createdAt: date(row, 'created_at'),
  };
}
