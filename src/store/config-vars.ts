import type { ConfigVars } from '../domain/config-vars';
import type { AppId } from '../domain/ids';
import { text } from './columns';
import type { Database, Statement } from './database';

/** The config vars that an app's next release takes. */
export class ConfigVarStore {
  readonly #database: Database;
  readonly #all: Statement;
  readonly #clear: Statement;
  readonly #insert: Statement;

  constructor(database: Database) {
    this.#database = database;
    this.#all = database.prepare('SELECT key, value FROM config_vars WHERE app_id = @appId ORDER BY key');
    this.#clear = database.prepare('DELETE FROM config_vars WHERE app_id = @appId');
    this.#insert = database.prepare(
      'INSERT INTO config_vars (app_id, key, value) VALUES (@appId, @key, @value)',
    );
  }

  get(appId: AppId): ConfigVars {
    return Object.fromEntries(this.#all.all({ appId }).map((row) => [text(row, 'key'), text(row, 'value')]));
  }

  replace(appId: AppId, vars: ConfigVars): void {
    this.#database.transaction(() => {
      this.#clear.run({ appId });
      for (const [key, value] of Object.entries(vars)) this.#insert.run({ appId, key, value });
    });
  }
}
