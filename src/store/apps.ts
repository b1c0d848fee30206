import type { App } from '../domain/app';
import type { AccountId, AppId } from '../domain/ids';
import type { StackName } from '../domain/stack';
import { date, dateOrNull, flag, integer, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class AppStore {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #delete: Statement;
  readonly #byId: Statement;
  readonly #byName: Statement;
  readonly #all: Statement;

  constructor(database: Database) {
    this.#insert = database.prepare(`INSERT INTO apps (id, name, owner_id, stack, build_stack, maintenance,
        buildpack_provided_description, slug_size, repo_size, created_at, updated_at, released_at)
      VALUES (@id, @name, @ownerId, @stack, @buildStack, @maintenance, @description, @slugSize, @repoSize,
        @createdAt, @updatedAt, @releasedAt)`);
    this.#update = database.prepare(`UPDATE apps SET name = @name, stack = @stack, build_stack = @buildStack,
        maintenance = @maintenance, buildpack_provided_description = @description, slug_size = @slugSize,
        repo_size = @repoSize, updated_at = @updatedAt, released_at = @releasedAt WHERE id = @id`);
    this.#delete = database.prepare('DELETE FROM apps WHERE id = @id');
    this.#byId = database.prepare('SELECT * FROM apps WHERE id = @id');
    this.#byName = database.prepare('SELECT * FROM apps WHERE name = @name');
    this.#all = database.prepare('SELECT * FROM apps ORDER BY name');
  }

  /** Throws a unique violation if the name is taken. */
  insert(app: App): void {
    this.#insert.run(toRow(app));
  }

  update(app: App): void {
    this.#update.run(toRow(app));
  }

  /** With everything that belongs to it, but for its events. */
  delete(id: AppId): void {
    this.#delete.run({ id });
  }

  get(id: AppId): App | undefined {
    return map(this.#byId.get({ id }));
  }

  findByName(name: string): App | undefined {
    return map(this.#byName.get({ name }));
  }

  all(): App[] {
    return this.#all.all().map(toApp);
  }
}

function map(row: Row | undefined): App | undefined {
  return row === undefined ? undefined : toApp(row);
}

function toRow(app: App): Row {
  return {
    id: app.id,
    name: app.name,
    ownerId: app.ownerId,
    stack: app.stack,
    buildStack: app.buildStack,
    maintenance: app.maintenance ? 1 : 0,
    description: app.buildpackProvidedDescription,
    slugSize: app.slugSize,
    repoSize: app.repoSize,
    createdAt: app.createdAt.getTime(),
    updatedAt: app.updatedAt.getTime(),
    releasedAt: app.releasedAt?.getTime() ?? null,
  };
}

function toApp(row: Row): App {
  return {
    id: text(row, 'id') as AppId,
    name: text(row, 'name'),
    ownerId: text(row, 'owner_id') as AccountId,
    stack: text(row, 'stack') as StackName,
    buildStack: text(row, 'build_stack') as StackName,
    maintenance: flag(row, 'maintenance'),
    buildpackProvidedDescription: textOrNull(row, 'buildpack_provided_description'),
    slugSize: integer(row, 'slug_size'),
    repoSize: integer(row, 'repo_size'),
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
    releasedAt: dateOrNull(row, 'released_at'),
  };
}
