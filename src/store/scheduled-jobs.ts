import type { DynoSizeName } from '../domain/dyno-size';
import type { AddOnId, DynoId, ScheduledJobId } from '../domain/ids';
import type { JobRun, ScheduledJob } from '../domain/scheduled-job';
import { date, dateOrNull, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

const COLUMNS = [
  'id', 'addon_id', 'command', 'size', 'frequency', 'settled_until', 'last_run_at', 'last_dyno_id', 'last_dyno',
  'last_outcome', 'created_at', 'updated_at',
] as const; // prettier-ignore

/** Jobs of Heroku Scheduler, also of destroyed add-ons that can be had back. */
export class ScheduledJobStore {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #byDyno: Statement;
  readonly #ofAddOn: Statement;
  readonly #all: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      `INSERT INTO scheduled_jobs (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map((name) => `@${name}`).join(', ')})`,
    );
    const own = COLUMNS.filter((name) => name !== 'id');
    this.#update = database.prepare(
      `UPDATE scheduled_jobs SET ${own.map((name) => `${name} = @${name}`).join(', ')} WHERE id = @id`,
    );
    this.#delete = database.prepare('DELETE FROM scheduled_jobs WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM scheduled_jobs WHERE id = @id');
    this.#byDyno = database.prepare('SELECT * FROM scheduled_jobs WHERE last_dyno_id = @dynoId');
    this.#ofAddOn = database.prepare(
      'SELECT * FROM scheduled_jobs WHERE addon_id = @addonId ORDER BY created_at, id',
    );
    this.#all = database.prepare('SELECT * FROM scheduled_jobs ORDER BY created_at, id');
  }

  insert(job: ScheduledJob): void {
    this.#insert.run(toRow(job));
  }

  update(job: ScheduledJob): void {
    this.#update.run(toRow(job));
  }

  delete(id: ScheduledJobId): void {
    this.#delete.run({ id });
  }

  get(id: ScheduledJobId): ScheduledJob | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toJob(row);
  }

  /** The one whose last run is in this dyno. */
  findByDyno(dynoId: DynoId): ScheduledJob | undefined {
    const row = this.#byDyno.get({ dynoId });
    return row === undefined ? undefined : toJob(row);
  }

  of(addonId: AddOnId): ScheduledJob[] {
    return this.#ofAddOn.all({ addonId }).map(toJob);
  }

  all(): ScheduledJob[] {
    return this.#all.all().map(toJob);
  }
}

function toRow(job: ScheduledJob): Row {
  return {
    id: job.id,
    addon_id: job.addonId,
    command: job.command,
    size: job.size,
    frequency: job.frequency,
    settled_until: job.settledUntil.getTime(),
    last_run_at: job.lastRun?.at.getTime() ?? null,
    last_dyno_id: job.lastRun?.dyno?.id ?? null,
    last_dyno: job.lastRun?.dyno?.name ?? null,
    last_outcome: job.lastRun?.outcome ?? null,
    created_at: job.createdAt.getTime(),
    updated_at: job.updatedAt.getTime(),
  };
}

function toJob(row: Row): ScheduledJob {
  return {
    id: text(row, 'id') as ScheduledJobId,
    addonId: text(row, 'addon_id') as AddOnId,
    command: text(row, 'command'),
    size: textOrNull(row, 'size') as DynoSizeName | null,
    frequency: text(row, 'frequency'),
    settledUntil: date(row, 'settled_until'),
    lastRun: toRun(row),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}

function toRun(row: Row): JobRun | null {
  const at = dateOrNull(row, 'last_run_at');
  if (at === null) return null;
  const [id, name] = [textOrNull(row, 'last_dyno_id'), textOrNull(row, 'last_dyno')];
  return {
    at,
    dyno: id === null || name === null ? null : { id: id as DynoId, name },
    outcome: textOrNull(row, 'last_outcome'),
  };
}
