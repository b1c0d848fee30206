import type { AppId } from '../domain/ids';
import type { SleepDepth, SleepOverrides } from '../domain/sleep';
import { integerOrNull, textOrNull } from './columns';
import type { Database, Statement } from './database';

/** How apps sleep that do it in a way of their own. */
export class AppSleepStore {
  readonly #get: Statement;
  readonly #set: Statement;

  constructor(database: Database) {
    this.#get = database.prepare('SELECT * FROM app_sleep WHERE app_id = @appId');
    this.#set = database.prepare(`INSERT INTO app_sleep (app_id, idle_after_ms, depth, frozen_ms, updated_at)
      VALUES (@appId, @idleAfterMs, @depth, @frozenMs, @updatedAt)
      ON CONFLICT (app_id) DO UPDATE SET idle_after_ms = excluded.idle_after_ms, depth = excluded.depth,
        frozen_ms = excluded.frozen_ms, updated_at = excluded.updated_at`);
  }

  get(appId: AppId): SleepOverrides | undefined {
    const row = this.#get.get({ appId });
    if (row === undefined) return undefined;
    return {
      idleAfterMs: integerOrNull(row, 'idle_after_ms'),
      depth: textOrNull(row, 'depth') as SleepDepth | null,
      frozenMs: integerOrNull(row, 'frozen_ms'),
    };
  }

  set(appId: AppId, overrides: SleepOverrides, updatedAt: Date): void {
    this.#set.run({ appId, ...overrides, updatedAt: updatedAt.getTime() });
  }
}
