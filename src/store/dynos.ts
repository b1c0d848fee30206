import type { Dyno, DynoState } from '../domain/dyno';
import type { DynoSizeName } from '../domain/dyno-size';
import type { AppId, DynoId, ReleaseId } from '../domain/ids';
import type { OneOff } from '../domain/one-off';
import { date, dateOrNull, flag, integer, integerOrNull, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

const SELECT = `SELECT dynos.*, attached, columns, rows, env, process_type, expires_at
  FROM dynos LEFT JOIN one_off_dynos ON dyno_id = id`;

export class DynoStore {
  readonly #upsert: Statement;
  readonly #insertOneOff: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #ofApp: Statement;
  readonly #all: Statement;
  readonly #ports: Statement;

  constructor(database: Database) {
    this.#upsert =
      database.prepare(`INSERT INTO dynos (id, app_id, release_id, release_version, type, number, size, command, state,
        superseded, port, sandbox, endpoint_host, endpoint_port, crash_count, next_start_at, created_at, updated_at, started_at)
      VALUES (@id, @appId, @releaseId, @releaseVersion, @type, @number, @size, @command, @state, @superseded, @port, @sandbox, @endpointHost, @endpointPort, @crashCount,
        @nextStartAt, @createdAt, @updatedAt, @startedAt)
      ON CONFLICT (id) DO UPDATE SET state = excluded.state, superseded = excluded.superseded, port = excluded.port, sandbox = excluded.sandbox, endpoint_host = excluded.endpoint_host,
        endpoint_port = excluded.endpoint_port, crash_count = excluded.crash_count,
        next_start_at = excluded.next_start_at, updated_at = excluded.updated_at, started_at = excluded.started_at`);
    // What a one-off dyno is does not change in its life.
    this.#insertOneOff =
      database.prepare(`INSERT INTO one_off_dynos (dyno_id, attached, columns, rows, env, process_type, expires_at)
      VALUES (@dynoId, @attached, @columns, @rows, @env, @processType, @expiresAt) ON CONFLICT (dyno_id) DO NOTHING`);
    this.#delete = database.prepare('DELETE FROM dynos WHERE id = @id');
    this.#byId = database.prepare(`${SELECT} WHERE id = @id`);
    this.#ofApp = database.prepare(`${SELECT} WHERE app_id = @appId ORDER BY type, number, created_at`);
    this.#all = database.prepare(`${SELECT} ORDER BY app_id, type, number, created_at`);
    this.#ports = database.prepare('SELECT port FROM dynos WHERE port IS NOT NULL');
  }

  /** In a transaction where the dyno is a one-off. */
  save(dyno: Dyno): void {
    this.#upsert.run({
      ...dyno,
      endpoint: undefined,
      oneOff: undefined,
      superseded: dyno.superseded ? 1 : 0,
      endpointHost: dyno.endpoint?.host ?? null,
      endpointPort: dyno.endpoint?.port ?? null,
      nextStartAt: dyno.nextStartAt?.getTime() ?? null,
      createdAt: dyno.createdAt.getTime(),
      updatedAt: dyno.updatedAt.getTime(),
      startedAt: dyno.startedAt?.getTime() ?? null,
    });
    if (dyno.oneOff === null) return;
    this.#insertOneOff.run({
      dynoId: dyno.id,
      attached: dyno.oneOff.attached ? 1 : 0,
      columns: dyno.oneOff.terminal?.columns ?? null,
      rows: dyno.oneOff.terminal?.rows ?? null,
      env: JSON.stringify(dyno.oneOff.env),
      processType: dyno.oneOff.processType ?? null,
      expiresAt: dyno.oneOff.expiresAt?.getTime() ?? null,
    });
  }

  delete(id: DynoId): void {
    this.#delete.run({ id });
  }

  get(id: DynoId): Dyno | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toDyno(row);
  }

  of(appId: AppId): Dyno[] {
    return this.#ofApp.all({ appId }).map(toDyno);
  }

  all(): Dyno[] {
    return this.#all.all().map(toDyno);
  }

  ports(): Set<number> {
    return new Set(this.#ports.all().map((row) => integer(row, 'port')));
  }
}

function toDyno(row: Row): Dyno {
  return {
    id: text(row, 'id') as DynoId,
    appId: text(row, 'app_id') as AppId,
    releaseId: text(row, 'release_id') as ReleaseId,
    releaseVersion: integer(row, 'release_version'),
    type: text(row, 'type'),
    number: integer(row, 'number'),
    size: text(row, 'size') as DynoSizeName,
    command: text(row, 'command'),
    state: text(row, 'state') as DynoState,
    superseded: flag(row, 'superseded'),
    port: integerOrNull(row, 'port'),
    sandbox: textOrNull(row, 'sandbox'),
    endpoint: toEndpoint(row),
    crashCount: integer(row, 'crash_count'),
    nextStartAt: dateOrNull(row, 'next_start_at'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
    startedAt: dateOrNull(row, 'started_at'),
    oneOff: row['attached'] === null ? null : toOneOff(row),
  };
}

function toOneOff(row: Row): OneOff {
  const columns = integerOrNull(row, 'columns');
  const rows = integerOrNull(row, 'rows');
  const processType = textOrNull(row, 'process_type');
  return {
    attached: flag(row, 'attached'),
    terminal: columns === null || rows === null ? null : { columns, rows },
    env: json(row, 'env') as Record<string, string>,
    ...(processType === null ? {} : { processType }),
    expiresAt: dateOrNull(row, 'expires_at'),
  };
}

function toEndpoint(row: Row): Dyno['endpoint'] {
  const host = textOrNull(row, 'endpoint_host');
  const port = integerOrNull(row, 'endpoint_port');
  return host === null || port === null ? null : { host, port };
}
