import type { DatabaseCredential } from '../../platform/postgres/database-credentials';

/** `url` is that of the credential's own. */
export function presentDatabaseCredential(
  { name, user, password, connections }: DatabaseCredential,
  url: URL,
): Record<string, unknown> {
  return {
    name,
    state: 'active',
    database: url.pathname.slice(1),
    host: url.hostname,
    port: Number(url.port),
    // Heroku shows two while it rotates; here the old one ends at once.
    credentials: [{ user, password, state: 'active', connections }],
  };
}
