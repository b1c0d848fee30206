import type { AppId, SlugId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import type { SlugUpload } from '../domain/slug-upload';
import type { StackName } from '../domain/stack';
import { date, integerOrNull, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class SlugUploadStore {
  readonly #insert: Statement;
  readonly #setSize: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #ofApp: Statement;

  constructor(database: Database) {
    this.#insert =
      database.prepare(`INSERT INTO slug_uploads (id, app_id, stack, commit_sha, commit_description,
        process_types, buildpack_provided_description, checksum, size, created_at, updated_at)
      VALUES (@id, @appId, @stack, @commit, @commitDescription, @processTypes, @buildpackProvidedDescription,
        @checksum, @size, @createdAt, @updatedAt)`);
    this.#setSize = database.prepare(
      'UPDATE slug_uploads SET size = @size, updated_at = @updatedAt WHERE id = @id',
    );
    this.#delete = database.prepare('DELETE FROM slug_uploads WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM slug_uploads WHERE id = @id');
    this.#ofApp = database.prepare(
      'SELECT * FROM slug_uploads WHERE app_id = @appId ORDER BY created_at, id',
    );
  }

  insert(upload: SlugUpload): void {
    this.#insert.run({
      ...upload,
      processTypes: JSON.stringify(upload.processTypes),
      createdAt: upload.createdAt.getTime(),
      updatedAt: upload.updatedAt.getTime(),
    });
  }

  /** An archive of so many bytes has come. */
  setSize(id: SlugId, size: number, at: Date): void {
    this.#setSize.run({ id, size, updatedAt: at.getTime() });
  }

  delete(id: SlugId): void {
    this.#delete.run({ id });
  }

  get(id: SlugId): SlugUpload | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toUpload(row);
  }

  of(appId: AppId): SlugUpload[] {
    return this.#ofApp.all({ appId }).map(toUpload);
  }
}

function toUpload(row: Row): SlugUpload {
  return {
    id: text(row, 'id') as SlugId,
    appId: text(row, 'app_id') as AppId,
    stack: text(row, 'stack') as StackName,
    commit: textOrNull(row, 'commit_sha'),
    commitDescription: textOrNull(row, 'commit_description'),
    processTypes: json(row, 'process_types') as ProcessTypes,
    buildpackProvidedDescription: textOrNull(row, 'buildpack_provided_description'),
    checksum: textOrNull(row, 'checksum'),
    size: integerOrNull(row, 'size'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
