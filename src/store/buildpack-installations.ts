import type { AppId } from '../domain/ids';
import { text } from './columns';
import type { Database, Statement } from './database';

/** The buildpacks of an app, in the order in which they run. */
export class BuildpackInstallationStore {
  readonly #database: Database;
  readonly #all: Statement;
  readonly #clear: Statement;
  readonly #insert: Statement;

  constructor(database: Database) {
    this.#database = database;
    this.#all = database.prepare(
      'SELECT url FROM buildpack_installations WHERE app_id = @appId ORDER BY ordinal',
    );
    this.#clear = database.prepare('DELETE FROM buildpack_installations WHERE app_id = @appId');
    this.#insert = database.prepare(
      'INSERT INTO buildpack_installations (app_id, ordinal, url) VALUES (@appId, @ordinal, @url)',
    );
  }

  get(appId: AppId): string[] {
    return this.#all.all({ appId }).map((row) => text(row, 'url'));
  }

  replace(appId: AppId, urls: readonly string[]): void {
    this.#database.transaction(() => {
      this.#clear.run({ appId });
      urls.forEach((url, ordinal) => this.#insert.run({ appId, ordinal, url }));
    });
  }
}
