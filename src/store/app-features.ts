import type { AppId } from '../domain/ids';
import { date, flag, text } from './columns';
import type { Database, Statement } from './database';

export interface StoredAppFeature {
  name: string;
  enabled: boolean;
  updatedAt: Date;
}

/** Which features of an app were switched by hand; the others have their default. */
export class AppFeatureStore {
  readonly #all: Statement;
  readonly #set: Statement;

  constructor(database: Database) {
    this.#all = database.prepare('SELECT * FROM app_features WHERE app_id = @appId ORDER BY name');
    this.#set =
      database.prepare(`INSERT INTO app_features (app_id, name, enabled, updated_at) VALUES (@appId, @name, @enabled, @updatedAt)
      ON CONFLICT (app_id, name) DO UPDATE SET enabled = excluded.enabled, updated_at = excluded.updated_at`);
  }

  get(appId: AppId): StoredAppFeature[] {
    return this.#all.all({ appId }).map((row) => ({
      name: text(row, 'name'),
      enabled: flag(row, 'enabled'),
      updatedAt: date(row, 'updated_at'),
    }));
  }

  /** A feature's name; those that nobody has switched are off. */
  isEnabled(appId: AppId, name: string): boolean {
    return this.get(appId).some((feature) => feature.name === name && feature.enabled);
  }

  set(appId: AppId, feature: StoredAppFeature): void {
    this.#set.run({
      appId,
      name: feature.name,
      enabled: feature.enabled ? 1 : 0,
      updatedAt: feature.updatedAt.getTime(),
    });
  }
}
