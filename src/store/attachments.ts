import type { AddOnAttachment } from '../domain/attachment';
import type { AddOnId, AppId, AttachmentId } from '../domain/ids';
import { date, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class AttachmentStore {
  readonly #insert: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #byName: Statement;
  readonly #ofApp: Statement;
  readonly #ofAddOn: Statement;
  readonly #all: Statement;

  constructor(database: Database) {
    this.#insert =
      database.prepare(`INSERT INTO addon_attachments (id, addon_id, app_id, name, namespace, created_at, updated_at)
      VALUES (@id, @addonId, @appId, @name, @namespace, @createdAt, @updatedAt)`);
    this.#delete = database.prepare('DELETE FROM addon_attachments WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM addon_attachments WHERE id = @id');
    this.#byName = database.prepare('SELECT * FROM addon_attachments WHERE app_id = @appId AND name = @name');
    // Attachments are shown in the order in which they were made; rowid breaks ties within a millisecond.
    this.#ofApp = database.prepare(
      'SELECT * FROM addon_attachments WHERE app_id = @appId ORDER BY created_at, rowid',
    );
    this.#ofAddOn = database.prepare(
      'SELECT * FROM addon_attachments WHERE addon_id = @addonId ORDER BY created_at, rowid',
    );
    this.#all = database.prepare('SELECT * FROM addon_attachments ORDER BY created_at, rowid');
  }

  /** Throws a unique violation if the app has one of that name. */
  insert(attachment: AddOnAttachment): void {
    this.#insert.run({
      ...attachment,
      createdAt: attachment.createdAt.getTime(),
      updatedAt: attachment.updatedAt.getTime(),
    });
  }

  /** With the config vars that it owns. */
  delete(id: AttachmentId): void {
    this.#delete.run({ id });
  }

  get(id: AttachmentId): AddOnAttachment | undefined {
    return map(this.#byId.get({ id }));
  }

  findByName(appId: AppId, name: string): AddOnAttachment | undefined {
    return map(this.#byName.get({ appId, name }));
  }

  /** Oldest first, like the others. */
  of(appId: AppId): AddOnAttachment[] {
    return this.#ofApp.all({ appId }).map(toAttachment);
  }

  ofAddOn(addonId: AddOnId): AddOnAttachment[] {
    return this.#ofAddOn.all({ addonId }).map(toAttachment);
  }

  all(): AddOnAttachment[] {
    return this.#all.all().map(toAttachment);
  }
}

function map(row: Row | undefined): AddOnAttachment | undefined {
  return row === undefined ? undefined : toAttachment(row);
}

function toAttachment(row: Row): AddOnAttachment {
  return {
    id: text(row, 'id') as AttachmentId,
    addonId: text(row, 'addon_id') as AddOnId,
    appId: text(row, 'app_id') as AppId,
    name: text(row, 'name'),
    namespace: textOrNull(row, 'namespace'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
