import { databaseOf } from '../../../addons/postgres';
import type { DatabaseEndpoint } from '../../../addons/postgres-transfers';
import { DEFAULT_CREDENTIAL, type AddOn } from '../../../domain/addon';
import { invalidParams } from '../../../domain/errors';

/** One side of a copy: a database of ours, or whatever a URL leads to. */
export type CopySide = { addon: AddOn } | { endpoint: DatabaseEndpoint };

/**
 * What a connection URL stands for, which holds a password and is forgotten after this. One with another credential than
 * the default one is taken for what it is: it may do what that may. Throws invalid_params.
 */
export function resolveDatabaseUrl(text: string, addons: readonly AddOn[]): CopySide {
  const endpoint = parseDatabaseUrl(text);
  const own = addons.find(
    (addon) =>
      databaseOf(addon) === endpoint.database &&
      addon.config.credentials[DEFAULT_CREDENTIAL]?.user === endpoint.user &&
      addon.config.credentials[DEFAULT_CREDENTIAL].password === endpoint.password,
  );
  return own === undefined ? { endpoint } : { addon: own };
}

function parseDatabaseUrl(text: string): DatabaseEndpoint {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['postgres:', 'postgresql:'].includes(url.protocol) || url.hostname === '') {
    throw invalidParams('A database must be given as a URL: postgres://user:password@host:port/database.');
  }
  const database = decode(url.pathname.slice(1));
  const user = decode(url.username);
  if (database === '' || user === '') {
    throw invalidParams('The URL of a database must name the database and a user.');
  }
  const sslMode = url.searchParams.get('sslmode');
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 5432 : Number(url.port),
    database,
    user,
    password: decode(url.password),
    ...(sslMode === null ? {} : { sslMode }),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) throw invalidParams('The URL of a database is not well formed.');
    throw error;
  }
}
