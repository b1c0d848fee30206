import { OFFICIAL_VERSIONS, REDIS_VERSION, redisCommand } from '../../addons/redis';
import { redisSettingProblem, redisSettingsOf, type RedisSettings } from '../../domain/redis-settings';
import type { Actor } from '../../domain/account';
import { DEFAULT_CREDENTIAL, type AddOn } from '../../domain/addon';
import { invalidParams, notSupported, PlatformError } from '../../domain/errors';
import type { AddOnId } from '../../domain/ids';
import { EngineError } from '../../engine/engine';
import { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import { DataAddOns, infoTime, type InfoRow } from '../addons/data-addons';
import { record, type PlatformContext } from '../context';

const REDIS_SERVICE = 'heroku-redis';
const COMMAND_TIMEOUT_MS = 20_000;
const PASSWORD_LENGTH = 64;

/** What Heroku Key-Value Store offers beside the add-on itself (CLI contract, section 2.7). */
export class Redis {
  readonly own: DataAddOns;
  readonly #context: PlatformContext;
  readonly #addons: AddOns;
  readonly #secret: (length: number) => string;
  readonly #turns = new Turns<AddOnId>();

  /** `secret(n)` answers n random characters out of a-z and 0-9. */
  constructor(context: PlatformContext, options: { addons: AddOns; secret: (length: number) => string }) {
    this.own = new DataAddOns(context, { addons: options.addons, service: REDIS_SERVICE });
    this.#context = context;
    this.#addons = options.addons;
    this.#secret = options.secret;
  }

  /** Which way `redis:cli` has to go: the port of the URL speaks TLS, or (plans of old) `…_TLS_URL` is to be taken. */
  prefersNativeTls(addon: AddOn): boolean {
    return this.#tlsOnly(addon) || addon.plan.startsWith('hobby');
  }

  /** The rows of `heroku redis:info`, in Heroku's words and order. */
  async infoRows(addon: AddOn): Promise<InfoRow[]> {
    const facts = await this.#facts(addon);
    const { plan } = this.#addons.catalogue.of(addon);
    const settings = redisSettingsOf(addon);
    const row = (name: string, value: string): InfoRow => ({ name, values: [value] });
    const used = facts?.get('connected_clients');
    return [
      row('Plan', plan.humanName),
      row('Status', facts === undefined ? `unavailable (${this.own.problem(addon)})` : 'available'),
      row('Created', infoTime(addon.createdAt)),
      row('Version', facts?.get('redis_version') ?? versionOf(addon)),
      row('Timeout', String(settings.timeout)),
      row('Maxmemory', settings.maxmemory_policy),
      ...(settings.notify_keyspace_events === ''
        ? []
        : [row('Keyspace Notifications', settings.notify_keyspace_events)]),
      ...(used === undefined ? [] : [row('Connections', `${used}/${plan.connections ?? 'unlimited'}`)]),
      row('Maintenance', 'not required'),
      row('Persistence', 'AOF'),
      row('HA Status', 'Unavailable'),
      row('Requires TLS', this.#tlsOnly(addon) ? 'Yes' : 'No'),
    ];
  }

  /**
   * Another password: every app that has it attached gets its new config vars with a release, then the server is made
   * anew with it, which ends all sessions. Killed in between, the next start finds that it differs, and does so.
   */
  async rotate(actor: Actor, addon: AddOn): Promise<void> {
    await this.#turns.take(addon.id, async () => {
      this.own.assertServing(addon);
      const changed = this.#context.store.transaction(() => {
        record(this.#context, addon.appId, actor, 'redis.credential.rotate', { addon: addon.name });
        return this.own.change(addon, (config) => ({
          ...config,
          credentials: {
            ...config.credentials,
            [DEFAULT_CREDENTIAL]: { user: 'default', password: `p${this.#secret(PASSWORD_LENGTH)}` },
          },
        }));
      });
      await this.#addons.settle(changed);
      if (this.#addons.isServing(changed)) return;
      throw new PlatformError(
        'service_unavailable',
        `The credentials of ${addon.name} were reset, but it does not run again yet.`,
        'add_on',
      );
    });
  }

  /** In the running server at once, and by its set-up whenever it starts. Answers all of them. */
  async configure(
    actor: Actor,
    addon: AddOn,
    changes: Readonly<Record<string, unknown>>,
  ): Promise<RedisSettings> {
    for (const [name, value] of Object.entries(changes)) {
      const problem = redisSettingProblem(name, value);
      if (problem !== undefined) throw invalidParams(problem);
    }
    const values = Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, String(value)]));
    return this.#turns.take(addon.id, async () => {
      this.own.assertServing(addon);
      const changed = this.#context.store.transaction(() => {
        record(this.#context, addon.appId, actor, 'redis.settings', { addon: addon.name, changes });
        return this.own.change(addon, (config) => ({ ...config, values: { ...config.values, ...values } }));
      });
      await this.#addons.setUp(changed);
      return redisSettingsOf(changed);
    });
  }

  /** Counters of INFO start at zero again. */
  async resetStatistics(actor: Actor, addon: AddOn): Promise<void> {
    this.own.assertServing(addon);
    const printed = await this.#run(addon, 'config', 'resetstat');
    if (printed.trim() !== 'OK') throw unanswered(new Error(printed));
    this.#context.store.transaction(() =>
      record(this.#context, addon.appId, actor, 'redis.stats-reset', { addon: addon.name }),
    );
  }

  /** Refused in any case: one whose image can't be had would be lost to its apps. */
  upgrade(addon: AddOn, version: string): never {
    const current = versionOf(addon);
    const [major = ''] = version.split('.');
    if (!/^\d+(\.\d+)*$/.test(version) || !OFFICIAL_VERSIONS.includes(major)) {
      throw invalidParams(
        `Version ${JSON.stringify(version)} is not one of ${OFFICIAL_VERSIONS.join(', ')}.`,
      );
    }
    if (major === current) throw invalidParams(`${addon.name} runs version ${current} already.`);
    if (Number(major) < Number(current)) {
      throw invalidParams(`${addon.name} runs version ${current}, and can't be downgraded.`);
    }
    throw notSupported(
      `dynodock does not upgrade Redis in place. Make a new one: heroku addons:create ${REDIS_SERVICE} -- --version ${major}`,
    );
  }

  /** What INFO says; undefined while it does not answer. */
  async #facts(addon: AddOn): Promise<ReadonlyMap<string, string> | undefined> {
    if (!this.#addons.isServing(addon)) return undefined;
    try {
      const printed = await this.#run(addon, 'info');
      const facts = new Map(
        [...printed.matchAll(/^([a-z_]+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]),
      );
      return facts.has('redis_version') ? facts : undefined;
    } catch (error) {
      // It went away meanwhile: what is shown then is the add-on's state.
      if (error instanceof PlatformError && error.id === 'service_unavailable') return undefined;
      throw error;
    }
  }

  async #run(addon: AddOn, ...words: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.#addons
      .exec(addon, redisCommand(...words), { timeoutMs: COMMAND_TIMEOUT_MS })
      .catch((error: unknown) => {
        throw error instanceof EngineError ? unanswered(error) : error;
      });
    if (exitCode !== 0) throw unanswered(new Error(stderr));
    return stdout;
  }

  #tlsOnly(addon: AddOn): boolean {
    return this.#addons.catalogue.of(addon).plan.traits['tlsOnly'] === true;
  }
}

function versionOf({ options }: AddOn): string {
  return options['version'] ?? REDIS_VERSION;
}

function unanswered(cause: unknown): PlatformError {
  return new PlatformError('service_unavailable', 'The server does not answer just now.', 'add_on', {
    cause,
  });
}
