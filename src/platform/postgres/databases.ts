import { databaseOf, isEssential, ownerOf, POSTGRES_EXTENSIONS } from '../../addons/postgres';
import { quoteIdentifier, quoteLiteral } from '../../addons/postgres-commands';
import type { Actor } from '../../domain/account';
import type { AddOn } from '../../domain/addon';
import { invalidParams, PlatformError } from '../../domain/errors';
import type { AddOnId } from '../../domain/ids';
import type { Turns } from '../../lib/turns';
import type { AddOns } from '../addons/addons';
import { infoTime, type DataAddOns, type InfoRow, type WaitStatus } from '../addons/data-addons';
import { record, type PlatformContext } from '../context';
import { StatementError, type DatabaseServer } from './database-server';

export interface DatabasesOptions {
  addons: AddOns;
  own: DataAddOns;
  server: DatabaseServer;
  turns: Turns<AddOnId>;
}

/** What a running server says of itself. */
export interface DatabaseFacts {
  version: string;
  bytes: number;
  tables: number;
  connections: number;
  waiting: number;
}

export const POSTGRES_SERVICE = 'heroku-postgresql';

/** A database that is being reset is not to be told from one that is slow, so that this is ample. */
const RESET_STATEMENT_MS = 60_000;

/** Add-ons of Heroku Postgres as the data API sees them (CLI contract, section 2.6). */
export class Databases {
  readonly #context: PlatformContext;
  readonly #options: DatabasesOptions;

  constructor(context: PlatformContext, options: DatabasesOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** By id or name. Throws not_found, also for add-ons of other services. */
  find(idOrName: string): AddOn {
    return this.#options.own.find(idOrName);
  }

  /** The same, and it has to be usable. Throws service_unavailable before it is provisioned. */
  findProvisioned(idOrName: string): AddOn {
    return this.#options.own.findProvisioned(idOrName);
  }

  /** The connection URL of one credential; of the default one without a name. */
  url(addon: AddOn, credential?: string): URL {
    return this.#options.own.url(addon, credential);
  }

  /** undefined while it does not answer. */
  async facts(addon: AddOn): Promise<DatabaseFacts | undefined> {
    const { server } = this.#options;
    if (!server.isServing(addon)) return undefined;
    try {
      const [facts] = await server.rows<DatabaseFacts>(addon, FACTS);
      return facts;
    } catch (error) {
      // It went away meanwhile: what is shown then is the add-on's state.
      if (error instanceof PlatformError && error.id === 'service_unavailable') return undefined;
      throw error;
    }
  }

  /** The rows of `heroku pg:info`, in Heroku's words and order. */
  infoRows(addon: AddOn, facts: DatabaseFacts | undefined): InfoRow[] {
    const offer = this.#options.addons.catalogue.of(addon);
    const limit = offer.plan.connections;
    const row = (name: string, ...values: string[]): InfoRow => ({ name, values });
    const live =
      facts === undefined
        ? []
        : [
            row('Data Size', formatBytes(facts.bytes)),
            row('Tables', String(facts.tables)),
            row('PG Version', facts.version),
            row('Connections', `${facts.connections}${limit === null ? '' : `/${limit}`}`),
          ];
    return [
      row('Plan', offer.plan.humanName),
      row('Status', facts === undefined ? `Unavailable (${this.#options.own.problem(addon)})` : 'Available'),
      ...live,
      row('Connection Pooling', 'Unavailable'),
      row('Credentials', String(Object.keys(addon.config.credentials).length)),
      row('Fork/Follow', isEssential(addon) ? 'Unsupported' : 'Available (forks only)'),
      row('Rollback', 'Unsupported'),
      row('Created', infoTime(addon.createdAt)),
      row('Region', 'local'),
      row('Continuous Protection', 'Off'),
      row('Maintenance', 'not required'),
    ];
  }

  waitStatus(addon: AddOn): WaitStatus {
    return this.#options.own.waitStatus(addon);
  }

  /**
   * Drops the database and makes it anew: all sessions end, all data is gone. Killed in between, the next start of the
   * server's set-up makes it.
   */
  async reset(actor: Actor, addon: AddOn, extensions: readonly string[]): Promise<void> {
    const { server, addons, turns } = this.#options;
    const unknown = extensions.filter((name) => !POSTGRES_EXTENSIONS.includes(name));
    if (unknown.length > 0) {
      throw invalidParams(
        `These extensions are not available: ${unknown.join(', ')}. Those that are: ${POSTGRES_EXTENSIONS.join(', ')}.`,
      );
    }
    await turns.take(addon.id, async () => {
      this.#context.store.transaction(() =>
        record(this.#context, addon.appId, actor, 'postgres.reset', { addon: addon.name }),
      );
      const database = quoteIdentifier(databaseOf(addon));
      await server.run(addon, [`DROP DATABASE IF EXISTS ${database} WITH (FORCE)`], {
        database: 'postgres',
        statementTimeoutMs: RESET_STATEMENT_MS,
      });
      await addons.setUp(addon);
      if (extensions.length === 0) return;
      try {
        // As their owner, who can drop them then.
        await server.run(addon, [
          `SET SESSION AUTHORIZATION ${quoteIdentifier(ownerOf(addon))}`,
          ...extensions.map((name) => `CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(name)} CASCADE`),
        ]);
      } catch (error) {
        if (!(error instanceof StatementError)) throw error;
        throw invalidParams(`The database was reset, but not all extensions were made: ${error.message}.`);
      }
    });
  }

  /** Ends the sessions of all credentials. */
  async resetConnections(actor: Actor, addon: AddOn): Promise<void> {
    await this.#options.server.run(addon, [endSessions(Object.values(addon.config.credentials))]);
    this.#context.store.transaction(() =>
      record(this.#context, addon.appId, actor, 'postgres.connection-reset', { addon: addon.name }),
    );
  }

  /** Counters start at zero again. Refused for essential plans, as on Heroku. */
  async resetStatistics(addon: AddOn): Promise<void> {
    assertNotEssential(addon);
    await this.#options.server.run(addon, ['SELECT pg_stat_reset()']);
  }
}

/** In Heroku's words. */
export function assertNotEssential(addon: AddOn): void {
  if (isEssential(addon))
    throw invalidParams("You can't perform this operation on Essential-tier databases.");
}

/** All but the one that asks. */
export function endSessions(credentials: readonly { user: string }[]): string {
  const users = credentials.map(({ user }) => quoteLiteral(user)).join(', ');
  return `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename IN (${users}) AND pid <> pg_backend_pid()`;
}

/** `current_setting('server_version')` is `15.18 (Debian 15.18-0+deb12u1)`. */
const FACTS = `SELECT split_part(current_setting('server_version'), ' ', 1) AS version,
  pg_database_size(current_database()) AS bytes,
  (SELECT count(*) FROM pg_stat_user_tables) AS tables,
  count(*) AS connections,
  count(*) FILTER (WHERE wait_event_type = 'Lock') AS waiting
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()`;

/** `7.9 MB` */
function formatBytes(bytes: number): string {
  const units = ['KB', 'MB', 'GB', 'TB'];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit] ?? ''}`;
}
