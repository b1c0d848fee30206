import type { Database, Statement } from './database';
import { text } from './columns';

/** Single values of the installation, e.g. its id. */
export class SettingsStore {
  readonly #get: Statement;
  readonly #set: Statement;

  constructor(database: Database) {
    this.#get = database.prepare('SELECT value FROM settings WHERE key = @key');
    this.#set = database.prepare(
      'INSERT INTO settings (key, value) VALUES (@key, @value) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
    );
  }

  get(key: string): string | undefined {
    const row = this.#get.get({ key });
    return row === undefined ? undefined : text(row, 'value');
  }

  set(key: string, value: string): void {
    this.#set.run({ key, value });
  }
}
