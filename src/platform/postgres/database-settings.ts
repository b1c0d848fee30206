import {
  DATABASE_SETTINGS,
  LOAD_SETTINGS,
  readSettings,
  SELECT_SETTINGS,
  settingProblem,
  settingStatements,
  type SettingValue,
} from '../../addons/postgres-settings';
import { asJson } from '../../addons/postgres-commands';
import type { Actor } from '../../domain/account';
import type { AddOn } from '../../domain/addon';
import { invalidParams, notSupported } from '../../domain/errors';
import type { AddOnId } from '../../domain/ids';
import type { Turns } from '../../lib/turns';
import { record, type PlatformContext } from '../context';
import type { DatabaseServer } from './database-server';
import { assertNotEssential } from './databases';

export interface PresentableSetting {
  name: string;
  value: SettingValue;
  /** Of one that takes a few values only: what each of them means. */
  values?: Readonly<Record<string, string>>;
}

/** Those that cannot be other than they are. */
const FIXED: Readonly<Record<string, SettingValue>> = { data_connector_details_logs: false };

/** What a server logs and tracks (Dev Center "Heroku Postgres Settings"). The server itself keeps it. */
export class DatabaseSettings {
  readonly #context: PlatformContext;
  readonly #server: DatabaseServer;
  readonly #turns: Turns<AddOnId>;

  constructor(context: PlatformContext, options: { server: DatabaseServer; turns: Turns<AddOnId> }) {
    this.#context = context;
    this.#server = options.server;
    this.#turns = options.turns;
  }

  async get(addon: AddOn): Promise<PresentableSetting[]> {
    assertNotEssential(addon);
    const printed = await this.#server.run(addon, [LOAD_SETTINGS, asJson(SELECT_SETTINGS)]);
    const values = readSettings(JSON.parse(printed) as { name: string; value: string }[]);
    return [...Object.entries(values), ...Object.entries(FIXED)].map(([name, value]) =>
      describe(name, value),
    );
  }

  /** Answers all of them, as they are then. */
  async change(
    actor: Actor,
    addon: AddOn,
    changes: Readonly<Record<string, unknown>>,
  ): Promise<PresentableSetting[]> {
    assertNotEssential(addon);
    for (const [name, value] of Object.entries(FIXED)) {
      if (Object.hasOwn(changes, name) && changes[name] !== value) {
        throw notSupported(`dynodock does not support ${name}: nothing replicates out of its databases.`);
      }
    }
    const problem = Object.entries(changes)
      .filter(([name]) => !Object.hasOwn(FIXED, name))
      .map(([name, value]) => settingProblem(name, value))
      .find((each) => each !== undefined);
    if (problem !== undefined) throw invalidParams(problem);
    const checked = changes as Readonly<Record<string, SettingValue>>;
    return this.#turns.take(addon.id, async () => {
      const own = Object.fromEntries(Object.entries(checked).filter(([name]) => !Object.hasOwn(FIXED, name)));
      await this.#server.run(addon, settingStatements(own));
      this.#context.store.transaction(() =>
        record(this.#context, addon.appId, actor, 'postgres.settings', {
          addon: addon.name,
          changes: checked,
        }),
      );
      const seen = await this.get(addon);
      return seen.map((setting) => ({ ...setting, value: checked[setting.name] ?? setting.value }));
    });
  }
}

function describe(name: string, value: SettingValue): PresentableSetting {
  const values = DATABASE_SETTINGS[name]?.values;
  return { name, value, ...(values === undefined ? {} : { values }) };
}
