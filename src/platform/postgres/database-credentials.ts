import { isEssential, ownerOf, rotatedKey } from '../../addons/postgres';
import { quoteIdentifier, quoteLiteral } from '../../addons/postgres-commands';
import type { Actor } from '../../domain/account';
import { DEFAULT_CREDENTIAL, type AddOn } from '../../domain/addon';
import { invalidParams, notFound, PlatformError } from '../../domain/errors';
import type { AddOnId } from '../../domain/ids';
import type { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import type { DataAddOns } from '../addons/data-addons';
import { record, type PlatformContext } from '../context';
import { StatementError, type DatabaseServer } from './database-server';
import { assertNotEssential, endSessions } from './databases';

export interface DatabaseCredentialsOptions {
  addons: AddOns;
  own: DataAddOns;
  server: DatabaseServer;
  turns: Turns<AddOnId>;
  /** n random characters out of a-z and 0-9. */
  secret: (length: number) => string;
}

export interface DatabaseCredential {
  name: string;
  user: string;
  password: string;
  /** Sessions that it has just now; null while the server does not answer. */
  connections: number | null;
}

const PASSWORD_LENGTH = 64;
/** They are names of roles, and stand in URLs. */
const NAME = /^[a-z][a-z0-9_-]{0,49}$/;

/**
 * Users of a database (Dev Center "Heroku Postgres Credentials"): `default` owns it and what is in it, the others may
 * connect and get whatever `default` grants them. The store says which there are; the server's set-up follows it. Those
 * of one database are changed one after another.
 */
export class DatabaseCredentials {
  readonly #context: PlatformContext;
  readonly #options: DatabaseCredentialsOptions;

  constructor(context: PlatformContext, options: DatabaseCredentialsOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** `default` first. */
  async list(addon: AddOn): Promise<DatabaseCredential[]> {
    const sessions = await this.#sessions(addon);
    return Object.entries(addon.config.credentials)
      .map(([name, { user, password }]) => ({
        name,
        user,
        password,
        connections: sessions === undefined ? null : (sessions.get(user) ?? 0),
      }))
      .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
  }

  async find(addon: AddOn, name: string): Promise<DatabaseCredential> {
    const found = (await this.list(addon)).find((each) => each.name === name);
    if (found === undefined) throw notFound('credential');
    return found;
  }

  /** May connect, and nothing else until it is granted more. */
  async create(actor: Actor, addon: AddOn, name: string): Promise<DatabaseCredential> {
    if (isEssential(addon)) {
      throw invalidParams("You can't create a custom credential on Essential-tier databases.");
    }
    if (!NAME.test(name) || name.startsWith('pg_') || ['postgres', 'public', 'none'].includes(name)) {
      throw invalidParams(
        `Credential name ${JSON.stringify(name)} is invalid. It must start with a lower case letter, can only contain lower case letters, digits, dashes and underscores (50 at most), and must not be reserved by PostgreSQL.`,
      );
    }
    return this.#options.turns.take(addon.id, async () => {
      this.#options.own.assertServing(addon);
      const changed = this.#options.own.change(addon, (config) => {
        const users = Object.values(config.credentials).map(({ user }) => user);
        if (Object.hasOwn(config.credentials, name) || users.includes(name)) {
          throw invalidParams(`Credential ${name} exists already on ${addon.name}.`);
        }
        record(this.#context, addon.appId, actor, 'postgres.credential.create', {
          addon: addon.name,
          credential: name,
        });
        return {
          ...config,
          credentials: { ...config.credentials, [name]: { user: name, password: this.#newPassword() } },
        };
      });
      await this.#options.addons.setUp(changed);
      return this.find(changed, name);
    });
  }

  /** What it owned goes to `default`. Refused for `default`, and while an app has it attached. */
  async destroy(actor: Actor, addon: AddOn, name: string): Promise<DatabaseCredential> {
    if (name === DEFAULT_CREDENTIAL) throw invalidParams('Default credential cannot be destroyed.');
    assertNotEssential(addon);
    return this.#options.turns.take(addon.id, async () => {
      const { server, addons } = this.#options;
      this.#options.own.assertServing(addon);
      const current = this.#options.own.current(addon);
      const credential = await this.find(current, name);
      this.#assertDetached(addon, name);
      const role = quoteIdentifier(credential.user);
      const isThere = `EXISTS (SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(credential.user)})`;
      // The role goes first: what is killed in between still has its credential, and is destroyed by trying again.
      await server.run(current, [
        `DO $do$ BEGIN IF ${isThere} THEN
          ALTER ROLE ${role} NOLOGIN;
        END IF; END $do$`,
        endSessions([credential]),
        `DO $do$ BEGIN IF ${isThere} THEN
          REASSIGN OWNED BY ${role} TO ${quoteIdentifier(ownerOf(current))};
          DROP OWNED BY ${role};
          DROP ROLE ${role};
        END IF; END $do$`,
      ]);
      try {
        this.#options.own.change(addon, (config) => {
          this.#assertDetached(addon, name);
          record(this.#context, addon.appId, actor, 'postgres.credential.destroy', {
            addon: addon.name,
            credential: name,
          });
          return {
            credentials: without(config.credentials, name),
            values: without(config.values, rotatedKey(name)),
          };
        });
      } catch (error) {
        // Attached while its role was dropped: it is there again, without what it had been granted.
        if (error instanceof PlatformError) await addons.setUp(current);
        throw error;
      }
      return { ...credential, connections: 0 };
    });
  }

  /**
   * Other passwords: every app that has one attached gets its new config vars with a release, and the sessions that
   * know only the old one end. Killed in between, the server's set-up at the next start does what is left.
   */
  async rotate(actor: Actor, addon: AddOn, names?: readonly string[]): Promise<void> {
    await this.#options.turns.take(addon.id, async () => {
      const { server, addons } = this.#options;
      this.#options.own.assertServing(addon);
      const rotatedAt = this.#context.clock.now().toISOString();
      const wanted = names ?? Object.keys(this.#options.own.current(addon).config.credentials);
      const changed = this.#options.own.change(addon, (config) => {
        const credentials = { ...config.credentials };
        const values = { ...config.values };
        for (const name of wanted) {
          const credential = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
          if (credential === undefined) throw notFound('credential');
          credentials[name] = { ...credential, password: this.#newPassword() };
          values[rotatedKey(name)] = rotatedAt;
        }
        record(this.#context, addon.appId, actor, 'postgres.credential.rotate', {
          addon: addon.name,
          credentials: wanted,
        });
        return { credentials, values };
      });
      await addons.setUp(changed);
      // Also those that came between the release and the server's new password.
      const rotated = wanted.flatMap((name) => changed.config.credentials[name] ?? []);
      await server.run(changed, [endSessions(rotated)]);
    });
  }

  /** `default` gets all that the others own, and the say over them again. */
  async repairDefault(actor: Actor, addon: AddOn): Promise<void> {
    assertNotEssential(addon);
    await this.#options.turns.take(addon.id, async () => {
      this.#options.own.assertServing(addon);
      const current = this.#options.own.current(addon);
      const owner = quoteIdentifier(ownerOf(current));
      const others = Object.entries(current.config.credentials).filter(
        ([name]) => name !== DEFAULT_CREDENTIAL,
      );
      // Makes roles that somebody dropped, and their memberships.
      await this.#options.addons.setUp(current);
      if (others.length > 0) {
        await this.#options.server.run(
          current,
          others.map(([, { user }]) => `REASSIGN OWNED BY ${quoteIdentifier(user)} TO ${owner}`),
        );
      }
      this.#context.store.transaction(() =>
        record(this.#context, addon.appId, actor, 'postgres.credential.repair-default', {
          addon: addon.name,
        }),
      );
    });
  }

  /** How many each user has. */
  async #sessions(addon: AddOn): Promise<ReadonlyMap<string, number> | undefined> {
    const { server } = this.#options;
    if (!server.isServing(addon)) return undefined;
    try {
      const rows = await server.rows<{ usename: string; sessions: number }>(
        addon,
        `SELECT usename, count(*) AS sessions FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY usename`,
      );
      return new Map(rows.map(({ usename, sessions }) => [usename, sessions]));
    } catch (error) {
      // The credentials themselves are known without the server.
      if (error instanceof PlatformError || error instanceof StatementError) return undefined;
      throw error;
    }
  }

  #assertDetached(addon: AddOn, name: string): void {
    const { store } = this.#context;
    const apps = this.#options.addons.attachments
      .ofAddOn(addon)
      .filter(({ namespace }) => namespace === `credential:${name}`)
      .flatMap(({ appId }) => store.apps.get(appId)?.name ?? []);
    if (apps.length === 0) return;
    const list = [...new Set(apps)].sort().join(', ');
    throw invalidParams(
      `Credential ${name} must be detached from the app${list.includes(',') ? 's' : ''} ${list} before destroying.`,
    );
  }

  #newPassword(): string {
    return `p${this.#options.secret(PASSWORD_LENGTH)}`;
  }
}

function rank(name: string): number {
  return name === DEFAULT_CREDENTIAL ? 0 : 1;
}

function without<T>(record: Readonly<Record<string, T>>, key: string): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => name !== key));
}
