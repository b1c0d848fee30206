import type { ConfigVars } from '../domain/config-vars';
import type { AppId, AttachmentId } from '../domain/ids';
import { text } from './columns';
import type { Database, Statement } from './database';

/** The config vars that an app's next release takes: those that users set and those of its attachments. */
export class ConfigVarStore {
  readonly #database: Database;
  readonly #all: Statement;
  readonly #owned: Statement;
  readonly #ofAttachment: Statement;
  readonly #clear: Statement;
  readonly #clearOwned: Statement;
  readonly #insert: Statement;

  constructor(database: Database) {
    this.#database = database;
    this.#all = database.prepare('SELECT key, value FROM config_vars WHERE app_id = @appId ORDER BY key');
    this.#owned = database.prepare(
      'SELECT key, attachment_id FROM config_vars WHERE app_id = @appId AND attachment_id IS NOT NULL ORDER BY key',
    );
    this.#ofAttachment = database.prepare(
      'SELECT key, value FROM config_vars WHERE attachment_id = @attachmentId ORDER BY key',
    );
    this.#clear = database.prepare('DELETE FROM config_vars WHERE app_id = @appId AND attachment_id IS NULL');
    this.#clearOwned = database.prepare('DELETE FROM config_vars WHERE attachment_id = @attachmentId');
    this.#insert = database.prepare(
      'INSERT INTO config_vars (app_id, key, value, attachment_id) VALUES (@appId, @key, @value, @attachmentId)',
    );
  }

  /** All of them. */
  get(appId: AppId): ConfigVars {
    return Object.fromEntries(this.#all.all({ appId }).map((row) => [text(row, 'key'), text(row, 'value')]));
  }

  /** Which of them come from which attachment. */
  owners(appId: AppId): ReadonlyMap<string, AttachmentId> {
    return new Map(
      this.#owned.all({ appId }).map((row) => [text(row, 'key'), text(row, 'attachment_id') as AttachmentId]),
    );
  }

  ofAttachment(attachmentId: AttachmentId): ConfigVars {
    const rows = this.#ofAttachment.all({ attachmentId });
    return Object.fromEntries(rows.map((row) => [text(row, 'key'), text(row, 'value')]));
  }

  /** Replaces those that users set; what `vars` says of an attachment's is passed over. */
  replace(appId: AppId, vars: ConfigVars): void {
    this.#database.transaction(() => {
      const owned = this.owners(appId);
      this.#clear.run({ appId });
      for (const [key, value] of Object.entries(vars)) {
        if (!owned.has(key)) this.#insert.run({ appId, key, value, attachmentId: null });
      }
    });
  }

  /** Replaces those of one attachment. Throws if another attachment, or a user, has set one of that name. */
  replaceOwned(appId: AppId, attachmentId: AttachmentId, vars: ConfigVars): void {
    this.#database.transaction(() => {
      this.#clearOwned.run({ attachmentId });
      for (const [key, value] of Object.entries(vars)) this.#insert.run({ appId, key, value, attachmentId });
    });
  }
}
