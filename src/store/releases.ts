import type { ConfigVars } from '../domain/config-vars';
import type { AccountId, AppId, ReleaseId, SlugId } from '../domain/ids';
import type { Release, ReleaseStatus } from '../domain/release';
import { date, flag, integer, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export type NewRelease = Omit<Release, 'version' | 'current'>;

/** `current`: the newest succeeded one. Computed, so that it can't be wrong. */
const SELECT = `SELECT releases.*, version = (SELECT max(version) FROM releases AS other
    WHERE other.app_id = releases.app_id AND other.status = 'succeeded') AS is_current FROM releases`;

export class ReleaseStore {
  readonly #insert: Statement;
  readonly #setStatus: Statement;
  readonly #setCode: Statement;
  readonly #pending: Statement;
  readonly #appsPending: Statement;
  readonly #byId: Statement;
  readonly #byVersion: Statement;
  readonly #ofApp: Statement;
  readonly #current: Statement;

  constructor(database: Database) {
    this.#insert =
      database.prepare(`INSERT INTO releases (id, app_id, version, description, status, slug_id, command, config_vars,
        addon_plan_names, attachment_vars, user_id, user_email, created_at, updated_at)
      VALUES (@id, @appId, (SELECT coalesce(max(version), 0) + 1 FROM releases WHERE app_id = @appId),
        @description, @status, @slugId, @command, @configVars, @addonPlanNames, @attachmentVars, @userId, @userEmail, @createdAt, @updatedAt)`);
    this.#setStatus = database.prepare(
      'UPDATE releases SET status = @status, updated_at = @updatedAt WHERE id = @id',
    );
    this.#setCode = database.prepare(
      'UPDATE releases SET slug_id = @slugId, command = @command WHERE id = @id',
    );
    this.#pending = database.prepare(
      `${SELECT} WHERE app_id = @appId AND status = 'pending' ORDER BY version`,
    );
    this.#appsPending = database.prepare("SELECT DISTINCT app_id FROM releases WHERE status = 'pending'");
    this.#byId = database.prepare(`${SELECT} WHERE id = @id`);
    this.#byVersion = database.prepare(`${SELECT} WHERE app_id = @appId AND version = @version`);
    this.#ofApp = database.prepare(`${SELECT} WHERE app_id = @appId ORDER BY version`);
    this.#current = database.prepare(
      `${SELECT} WHERE app_id = @appId AND status = 'succeeded' ORDER BY version DESC LIMIT 1`,
    );
  }

  /** Gives it the app's next version number. */
  insert(release: NewRelease): Release {
    this.#insert.run({
      id: release.id,
      appId: release.appId,
      description: release.description,
      status: release.status,
      slugId: release.slugId,
      command: release.command,
      configVars: JSON.stringify(release.configVars),
      addonPlanNames: JSON.stringify(release.addonPlanNames),
      attachmentVars: JSON.stringify(release.attachmentVars),
      userId: release.user.id,
      userEmail: release.user.email,
      createdAt: release.createdAt.getTime(),
      updatedAt: release.updatedAt.getTime(),
    });
    const inserted = this.get(release.id);
    if (inserted === undefined) throw new Error('the release that was just inserted is missing');
    return inserted;
  }

  setStatus(id: ReleaseId, status: ReleaseStatus, at: Date): void {
    this.#setStatus.run({ id, status, updatedAt: at.getTime() });
  }

  /** What a pending release consists of, known when its turn has come. */
  setCode(id: ReleaseId, slugId: SlugId | null, command: string | null): void {
    this.#setCode.run({ id, slugId, command });
  }

  /** Oldest first. */
  pending(appId: AppId): Release[] {
    return this.#pending.all({ appId }).map(toRelease);
  }

  appsWithPending(): AppId[] {
    return this.#appsPending.all().map((row) => text(row, 'app_id') as AppId);
  }

  get(id: ReleaseId): Release | undefined {
    return map(this.#byId.get({ id }));
  }

  findByVersion(appId: AppId, version: number): Release | undefined {
    return map(this.#byVersion.get({ appId, version }));
  }

  /** Oldest first. */
  of(appId: AppId): Release[] {
    return this.#ofApp.all({ appId }).map(toRelease);
  }

  current(appId: AppId): Release | undefined {
    return map(this.#current.get({ appId }));
  }
}

function map(row: Row | undefined): Release | undefined {
  return row === undefined ? undefined : toRelease(row);
}

function toRelease(row: Row): Release {
  return {
    id: text(row, 'id') as ReleaseId,
    appId: text(row, 'app_id') as AppId,
    version: integer(row, 'version'),
    description: text(row, 'description'),
    status: text(row, 'status') as ReleaseStatus,
    slugId: textOrNull(row, 'slug_id') as SlugId | null,
    command: textOrNull(row, 'command'),
    configVars: json(row, 'config_vars') as ConfigVars,
    addonPlanNames: json(row, 'addon_plan_names') as string[],
    attachmentVars: json(row, 'attachment_vars') as string[],
    user: { id: text(row, 'user_id') as AccountId, email: text(row, 'user_email') },
    // NULL when the app has no succeeded release at all.
    current: row.is_current !== null && flag(row, 'is_current'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
