import type { Build, BuildStatus } from '../domain/build';
import type { AccountId, AppId, BuildId, ReleaseId, SlugId } from '../domain/ids';
import type { StackName } from '../domain/stack';
import { date, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class BuildStore {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #byId: Statement;
  readonly #ofApp: Statement;
  readonly #pending: Statement;

  constructor(database: Database) {
    this.#insert =
      database.prepare(`INSERT INTO builds (id, app_id, status, stack, version, version_description, buildpacks,
        buildpack_revisions, user_id, user_email, slug_id, release_id, failure, source_url, source_checksum,
        created_at, updated_at)
      VALUES (@id, @appId, @status, @stack, @version, @versionDescription, @buildpacks, @buildpackRevisions,
        @userId, @userEmail, @slugId, @releaseId, @failure, @sourceUrl, @sourceChecksum, @createdAt, @updatedAt)`);
    this.#update = database.prepare(`UPDATE builds SET status = @status, buildpacks = @buildpacks,
        buildpack_revisions = @buildpackRevisions, slug_id = @slugId,
        release_id = @releaseId, failure = @failure, updated_at = @updatedAt WHERE id = @id`);
    this.#byId = database.prepare('SELECT * FROM builds WHERE id = @id');
    this.#ofApp = database.prepare('SELECT * FROM builds WHERE app_id = @appId ORDER BY created_at, id');
    this.#pending = database.prepare("SELECT * FROM builds WHERE status = 'pending'");
  }

  insert(build: Build): void {
    this.#insert.run(toRow(build));
  }

  update(build: Build): void {
    this.#update.run(toRow(build));
  }

  get(id: BuildId): Build | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toBuild(row);
  }

  /** Oldest first. */
  of(appId: AppId): Build[] {
    return this.#ofApp.all({ appId }).map(toBuild);
  }

  pending(): Build[] {
    return this.#pending.all().map(toBuild);
  }
}

function toRow(build: Build): Row {
  return {
    id: build.id,
    appId: build.appId,
    status: build.status,
    stack: build.stack,
    version: build.version,
    versionDescription: build.versionDescription,
    buildpacks: JSON.stringify(build.buildpacks),
    buildpackRevisions: JSON.stringify(build.buildpackRevisions),
    userId: build.user.id,
    userEmail: build.user.email,
    slugId: build.slugId,
    releaseId: build.releaseId,
    failure: build.failure,
    sourceUrl: build.sourceBlob?.url ?? null,
    sourceChecksum: build.sourceBlob?.checksum ?? null,
    createdAt: build.createdAt.getTime(),
    updatedAt: build.updatedAt.getTime(),
  };
}

function toBuild(row: Row): Build {
  const url = textOrNull(row, 'source_url');
  return {
    id: text(row, 'id') as BuildId,
    appId: text(row, 'app_id') as AppId,
    status: text(row, 'status') as BuildStatus,
    stack: text(row, 'stack') as StackName,
    version: textOrNull(row, 'version'),
    versionDescription: textOrNull(row, 'version_description'),
    sourceBlob: url === null ? null : { url, checksum: textOrNull(row, 'source_checksum') },
    buildpacks: json(row, 'buildpacks') as string[],
    buildpackRevisions: json(row, 'buildpack_revisions') as string[],
    user: { id: text(row, 'user_id') as AccountId, email: text(row, 'user_email') },
    slugId: textOrNull(row, 'slug_id') as SlugId | null,
    releaseId: textOrNull(row, 'release_id') as ReleaseId | null,
    failure: textOrNull(row, 'failure'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
