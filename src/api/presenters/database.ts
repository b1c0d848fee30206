import { planName, type AddOn } from '../../domain/addon';
import type { InfoRow } from '../../platform/addons/data-addons';
import type { DatabaseFacts } from '../../platform/postgres/databases';

/** What `heroku pg:info` reads, and what programs have long read beside it. */
export function presentDatabase(
  addon: AddOn,
  { url, facts, info }: { url: URL; facts: DatabaseFacts | undefined; info: readonly InfoRow[] },
): Record<string, unknown> {
  return {
    addon_id: addon.id,
    created_at: addon.createdAt,
    database_name: url.pathname.slice(1),
    database_password: url.password,
    database_user: url.username,
    following: null,
    hostname: url.hostname,
    info: info.map(({ name, values }) => ({ name, values })),
    leader: null,
    name: addon.name,
    num_bytes: facts?.bytes ?? null,
    num_connections: facts?.connections ?? null,
    num_connections_waiting: facts?.waiting ?? null,
    num_tables: facts?.tables ?? null,
    plan: planName(addon),
    port: Number(url.port),
    postgres_version: facts?.version ?? null,
    resource_url: url.href,
    'standalone?': true,
    'waiting?': facts === undefined,
  };
}
