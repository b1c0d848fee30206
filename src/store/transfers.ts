import type { AddOnId, AppId, TransferId } from '../domain/ids';
import type { Transfer, TransferKind, TransferLog, TransferState } from '../domain/transfer';
import { date, dateOrNull, integer, integerOrNull, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

const COLUMNS = [
  'id', 'app_id', 'num', 'addon_id', 'kind', 'state', 'schedule', 'from_name', 'to_name', 'source_bytes',
  'processed_bytes', 'warnings', 'created_at', 'started_at', 'finished_at',
] as const; // prettier-ignore

/** Lines that are kept of one transfer's log. */
export const KEPT_LOG_LINES = 1000;

/** Backups, restores and copies of databases, with their logs. */
export class TransferStore {
  readonly #database: Database;
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #byNum: Statement;
  readonly #ofApp: Statement;
  readonly #ofAddOn: Statement;
  readonly #underWay: Statement;
  readonly #ids: Statement;
  readonly #nextNum: Statement;
  readonly #move: Statement;
  readonly #log: Statement;
  readonly #trimLog: Statement;
  readonly #logs: Statement;

  constructor(database: Database) {
    this.#database = database;
    this.#insert = database.prepare(
      `INSERT INTO transfers (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map((name) => `@${name}`).join(', ')})`,
    );
    const changing = ['state', 'source_bytes', 'processed_bytes', 'warnings', 'started_at', 'finished_at'];
    this.#update = database.prepare(
      `UPDATE transfers SET ${changing.map((name) => `${name} = @${name}`).join(', ')} WHERE id = @id`,
    );
    this.#delete = database.prepare('DELETE FROM transfers WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM transfers WHERE id = @id');
    this.#byNum = database.prepare('SELECT * FROM transfers WHERE app_id = @appId AND num = @num');
    this.#ofApp = database.prepare('SELECT * FROM transfers WHERE app_id = @appId ORDER BY num DESC');
    this.#ofAddOn = database.prepare('SELECT * FROM transfers WHERE addon_id = @addonId ORDER BY num DESC');
    this.#underWay = database.prepare(
      "SELECT * FROM transfers WHERE state IN ('pending', 'running') ORDER BY created_at, num",
    );
    this.#ids = database.prepare('SELECT id FROM transfers');
    this.#nextNum = database.prepare(
      `INSERT INTO transfer_numbers (app_id, last) VALUES (@appId, 1)
        ON CONFLICT (app_id) DO UPDATE SET last = last + 1 RETURNING last`,
    );
    this.#move = database.prepare('UPDATE transfers SET app_id = @appId, num = @num WHERE id = @id');
    this.#log = database.prepare(
      `INSERT INTO transfer_logs (transfer_id, position, at, message)
        SELECT @id, coalesce(max(position), 0) + 1, @at, @message FROM transfer_logs WHERE transfer_id = @id`,
    );
    this.#trimLog = database.prepare(
      `DELETE FROM transfer_logs WHERE transfer_id = @id AND position <= (
        SELECT max(position) FROM transfer_logs WHERE transfer_id = @id) - ${KEPT_LOG_LINES}`,
    );
    this.#logs = database.prepare(
      'SELECT at, message FROM transfer_logs WHERE transfer_id = @id ORDER BY position',
    );
  }

  /** Gives it the app's next number. */
  insert(transfer: Omit<Transfer, 'num'>): Transfer {
    return this.#database.transaction(() => {
      const numbered = { ...transfer, num: this.#next(transfer.appId) };
      this.#insert.run(toRow(numbered));
      return numbered;
    });
  }

  /** What changes while it runs. Nothing happens if it is gone. */
  update(transfer: Transfer): void {
    const { id, state, source_bytes, processed_bytes, warnings, started_at, finished_at } = toRow(transfer);
    this.#update.run({ id, state, source_bytes, processed_bytes, warnings, started_at, finished_at });
  }

  /** With its log. */
  delete(id: TransferId): void {
    this.#delete.run({ id });
  }

  get(id: TransferId): Transfer | undefined {
    return map(this.#byId.get({ id }));
  }

  findByNum(appId: AppId, num: number): Transfer | undefined {
    return map(this.#byNum.get({ appId, num }));
  }

  /** The newest first. */
  of(appId: AppId): Transfer[] {
    return this.#ofApp.all({ appId }).map(toTransfer);
  }

  /** The newest first. */
  ofAddOn(addonId: AddOnId): Transfer[] {
    return this.#ofAddOn.all({ addonId }).map(toTransfer);
  }

  /** Pending and running ones, the oldest first. */
  underWay(): Transfer[] {
    return this.#underWay.all().map(toTransfer);
  }

  ids(): Set<string> {
    return new Set(this.#ids.all().map((row) => text(row, 'id')));
  }

  /** Those of an add-on that another app has now, under numbers of that. */
  move(addonId: AddOnId, appId: AppId): void {
    for (const { id, appId: before } of this.ofAddOn(addonId).reverse()) {
      if (before !== appId) this.#move.run({ id, appId, num: this.#next(appId) });
    }
  }

  /** The transfer must exist. */
  log(id: TransferId, lines: readonly TransferLog[]): void {
    for (const { at, message } of lines) this.#log.run({ id, at: at.getTime(), message });
    this.#trimLog.run({ id });
  }

  logs(id: TransferId): TransferLog[] {
    return this.#logs.all({ id }).map((row) => ({ at: date(row, 'at'), message: text(row, 'message') }));
  }

  #next(appId: AppId): number {
    const row = this.#nextNum.get({ appId });
    if (row === undefined) throw new Error('no number was given');
    return integer(row, 'last');
  }
}

function map(row: Row | undefined): Transfer | undefined {
  return row === undefined ? undefined : toTransfer(row);
}

function toRow(transfer: Transfer): Row {
  return {
    id: transfer.id,
    app_id: transfer.appId,
    num: transfer.num,
    addon_id: transfer.addonId,
    kind: transfer.kind,
    state: transfer.state,
    schedule: transfer.schedule,
    from_name: transfer.fromName,
    to_name: transfer.toName,
    source_bytes: transfer.sourceBytes,
    processed_bytes: transfer.processedBytes,
    warnings: transfer.warnings,
    created_at: transfer.createdAt.getTime(),
    started_at: transfer.startedAt?.getTime() ?? null,
    finished_at: transfer.finishedAt?.getTime() ?? null,
  };
}

function toTransfer(row: Row): Transfer {
  return {
    id: text(row, 'id') as TransferId,
    appId: text(row, 'app_id') as AppId,
    num: integer(row, 'num'),
    addonId: text(row, 'addon_id') as AddOnId,
    kind: text(row, 'kind') as TransferKind,
    state: text(row, 'state') as TransferState,
    schedule: textOrNull(row, 'schedule'),
    fromName: text(row, 'from_name'),
    toName: text(row, 'to_name'),
    sourceBytes: integerOrNull(row, 'source_bytes'),
    processedBytes: integer(row, 'processed_bytes'),
    warnings: integer(row, 'warnings'),
    createdAt: date(row, 'created_at'),
    startedAt: dateOrNull(row, 'started_at'),
    finishedAt: dateOrNull(row, 'finished_at'),
  };
}
