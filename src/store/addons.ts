import type { AddOn, AddOnBackend, AddOnConfig, AddOnOptions, AddOnState } from '../domain/addon';
import type { AddOnId, AppId } from '../domain/ids';
import { date, dateOrNull, flag, integer, integerOrNull, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

const COLUMNS = [
  'id', 'app_id', 'app_name', 'name', 'service', 'plan', 'state', 'config', 'options', 'provision_message', 'failure',
  'announced', 'attach_as', 'port', 'failures', 'next_start_at', 'ended_at', 'problem', 'created_at', 'updated_at', 'provisioned_at',
  'deprovisioned_at',
] as const; // prettier-ignore

/** What the dyno manager alone writes; everybody else's changes leave it as it is. */
const BACKEND_COLUMNS: readonly string[] = ['port', 'failures', 'next_start_at', 'ended_at', 'problem'];

export class AddOnStore {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #setBackend: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #byName: Statement;
  readonly #ofApp: Statement;
  readonly #live: Statement;
  readonly #all: Statement;
  readonly #deleted: Statement;
  readonly #failed: Statement;
  readonly #ports: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(
      `INSERT INTO addons (${COLUMNS.join(', ')}) VALUES (${COLUMNS.map((name) => `@${name}`).join(', ')})`,
    );
    const own = COLUMNS.filter((name) => name !== 'id' && !BACKEND_COLUMNS.includes(name));
    this.#update = database.prepare(
      `UPDATE addons SET ${own.map((name) => `${name} = @${name}`).join(', ')} WHERE id = @id`,
    );
    this.#setBackend = database.prepare(
      `UPDATE addons SET ${BACKEND_COLUMNS.map((name) => `${name} = @${name}`).join(', ')} WHERE id = @id`,
    );
    this.#delete = database.prepare('DELETE FROM addons WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM addons WHERE id = @id');
    this.#byName = database.prepare("SELECT * FROM addons WHERE name = @name AND state <> 'deprovisioned'");
    this.#ofApp = database.prepare(
      "SELECT * FROM addons WHERE app_id = @appId AND state <> 'deprovisioned' ORDER BY created_at, name",
    );
    this.#live = database.prepare(
      "SELECT * FROM addons WHERE state <> 'deprovisioned' ORDER BY created_at, name",
    );
    this.#all = database.prepare('SELECT * FROM addons ORDER BY created_at, name');
    this.#deleted = database.prepare(
      `SELECT * FROM addons WHERE state = 'deprovisioned' AND provisioned_at IS NOT NULL
        ORDER BY deprovisioned_at DESC, name`,
    );
    this.#failed = database.prepare(
      "SELECT * FROM addons WHERE name = @name AND state = 'deprovisioned' AND failure IS NOT NULL",
    );
    this.#ports = database.prepare('SELECT port FROM addons WHERE port IS NOT NULL');
  }

  /** Throws a unique violation if the name is taken. */
  insert(addon: AddOn): void {
    this.#insert.run(toRow(addon));
  }

  /** All but what `setBackend` writes. Throws a unique violation if the name is taken. */
  update(addon: AddOn): void {
    const own = Object.entries(toRow(addon)).filter(([name]) => !BACKEND_COLUMNS.includes(name));
    this.#update.run(Object.fromEntries(own));
  }

  setBackend(id: AddOnId, backend: AddOnBackend): void {
    this.#setBackend.run({ id, ...backendRow(backend) });
  }

  /** With its attachments, if there are any. */
  delete(id: AddOnId): void {
    this.#delete.run({ id });
  }

  /** In any state. */
  get(id: AddOnId): AddOn | undefined {
    return map(this.#byId.get({ id }));
  }

  /** One that is not deprovisioned. */
  findByName(name: string): AddOn | undefined {
    return map(this.#byName.get({ name }));
  }

  /** Those that the app owns, oldest first; no deprovisioned ones. */
  of(appId: AppId): AddOn[] {
    return this.#ofApp.all({ appId }).map(toAddOn);
  }

  /** No deprovisioned ones. */
  live(): AddOn[] {
    return this.#live.all().map(toAddOn);
  }

  /** In any state. */
  all(): AddOn[] {
    return this.#all.all().map(toAddOn);
  }

  /** Deprovisioned ones that had been usable; the last one first. */
  deleted(): AddOn[] {
    return this.#deleted.all().map(toAddOn);
  }

  /** One that could not be provisioned, as long as it is remembered. */
  findFailed(name: string): AddOn | undefined {
    return map(this.#failed.get({ name }));
  }

  ports(): Set<number> {
    return new Set(this.#ports.all().map((row) => integer(row, 'port')));
  }
}

function map(row: Row | undefined): AddOn | undefined {
  return row === undefined ? undefined : toAddOn(row);
}

function backendRow(backend: AddOnBackend): Row {
  return {
    port: backend.port,
    failures: backend.failures,
    next_start_at: backend.nextStartAt?.getTime() ?? null,
    ended_at: backend.endedAt?.getTime() ?? null,
    problem: backend.problem,
  };
}

function toRow(addon: AddOn): Row {
  return {
    id: addon.id,
    app_id: addon.appId,
    app_name: addon.appName,
    name: addon.name,
    service: addon.service,
    plan: addon.plan,
    state: addon.state,
    config: JSON.stringify(addon.config),
    options: JSON.stringify(addon.options),
    provision_message: addon.provisionMessage,
    failure: addon.failure,
    announced: addon.announced ? 1 : 0,
    attach_as: addon.attachAs,
    ...backendRow(addon.backend),
    created_at: addon.createdAt.getTime(),
    updated_at: addon.updatedAt.getTime(),
    provisioned_at: addon.provisionedAt?.getTime() ?? null,
    deprovisioned_at: addon.deprovisionedAt?.getTime() ?? null,
  };
}

function toAddOn(row: Row): AddOn {
  return {
    id: text(row, 'id') as AddOnId,
    appId: text(row, 'app_id') as AppId,
    appName: text(row, 'app_name'),
    name: text(row, 'name'),
    service: text(row, 'service'),
    plan: text(row, 'plan'),
    state: text(row, 'state') as AddOnState,
    config: json(row, 'config') as AddOnConfig,
    options: json(row, 'options') as AddOnOptions,
    provisionMessage: textOrNull(row, 'provision_message'),
    failure: textOrNull(row, 'failure'),
    announced: flag(row, 'announced'),
    attachAs: textOrNull(row, 'attach_as'),
    backend: {
      port: integerOrNull(row, 'port'),
      failures: integer(row, 'failures'),
      nextStartAt: dateOrNull(row, 'next_start_at'),
      endedAt: dateOrNull(row, 'ended_at'),
      problem: textOrNull(row, 'problem'),
    },
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
    provisionedAt: dateOrNull(row, 'provisioned_at'),
    deprovisionedAt: dateOrNull(row, 'deprovisioned_at'),
  };
}
