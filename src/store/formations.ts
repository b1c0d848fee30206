import type { DynoSizeName } from '../domain/dyno-size';
import type { Formation } from '../domain/formation';
import type { AppId, FormationId } from '../domain/ids';
import { date, integer, text } from './columns';
import type { Database, Row, Statement } from './database';

export class FormationStore {
  readonly #upsert: Statement;
  readonly #all: Statement;
  readonly #delete: Statement;

  constructor(database: Database) {
    this.#upsert =
      database.prepare(`INSERT INTO formations (id, app_id, type, quantity, size, created_at, updated_at)
      VALUES (@id, @appId, @type, @quantity, @size, @createdAt, @updatedAt)
      ON CONFLICT (app_id, type) DO UPDATE SET quantity = excluded.quantity, size = excluded.size,
        updated_at = excluded.updated_at`);
    this.#all = database.prepare('SELECT * FROM formations WHERE app_id = @appId ORDER BY type');
    this.#delete = database.prepare('DELETE FROM formations WHERE app_id = @appId AND type = @type');
  }

  save(formation: Formation): void {
    this.#upsert.run({
      ...formation,
      createdAt: formation.createdAt.getTime(),
      updatedAt: formation.updatedAt.getTime(),
    });
  }

  of(appId: AppId): Formation[] {
    return this.#all.all({ appId }).map(toFormation);
  }

  delete(appId: AppId, type: string): void {
    this.#delete.run({ appId, type });
  }
}

function toFormation(row: Row): Formation {
  return {
    id: text(row, 'id') as FormationId,
    appId: text(row, 'app_id') as AppId,
    type: text(row, 'type'),
    quantity: integer(row, 'quantity'),
    size: text(row, 'size') as DynoSizeName,
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
