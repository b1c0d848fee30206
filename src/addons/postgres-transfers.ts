import { defaultCredential, type AddOn } from '../domain/addon';
import { databaseOf } from './postgres';
import { quoteIdentifier, quoteLiteral } from './postgres-commands';
import type { BackendCommand } from './provider';

/** Where a client program connects to. */
export interface DatabaseEndpoint {
  host: string;
  /** Absent: of the server in whose container the client runs (its PGPORT). */
  port?: number;
  database: string;
  user: string;
  password: string;
  /** As in libpq's URLs. */
  sslMode?: string;
}

/**
 * A command that may first want lines on its standard input, see `head`. All processes of one transfer bear its name in
 * their environment, by which they are found again.
 */
export interface TransferCommand extends BackendCommand {
  /** What is to be written to its standard input before anything else. Secret. */
  head: string;
}

/** As the server shows it, and as the environment of its clients has it. */
export function applicationName(transferId: string): string {
  return `dynodock transfer ${transferId}`;
}

/**
 * Connects with a password that stands in no argument, environment or file of the engine's: it comes in over standard
 * input, up to an empty line, and lies in a file of the server's user while the program runs. `read` takes no byte more
 * than its line from a pipe.
 */
const WITH_SERVICE = `set -u
umask 077
PGSERVICEFILE=$(mktemp) || exit 1
export PGSERVICEFILE
trap 'rm -f "$PGSERVICEFILE"' EXIT
while IFS= read -r line && [ -n "$line" ]; do printf '%s\\n' "$line"; done > "$PGSERVICEFILE"
"$@"`;

const DUMP = ['pg_dump', '--format=custom', '--no-owner', '--no-acl', '--verbose'];
/** It comes with the server's set-up. */
const NOT_DUMPED = ['--exclude-schema=_heroku'];

export interface DumpOptions {
  transferId: string;
  /** For one that only passes through memory, packing it would be for nothing. */
  compressed: boolean;
}

/** A dump of the add-on's own database, by its superuser. */
export function dumpOwn(addon: AddOn, options: DumpOptions): TransferCommand {
  return {
    argv: [...DUMP, ...NOT_DUMPED, ...compression(options), `--dbname=${databaseOf(addon)}`],
    user: 'postgres',
    env: environment(options.transferId),
    head: '',
  };
}

/** A dump of a database elsewhere. Throws RangeError for an endpoint that can't be written down. */
export function dumpFrom(endpoint: DatabaseEndpoint, options: DumpOptions): TransferCommand {
  return withService(
    endpoint,
    [...DUMP, ...compression(options), '--dbname=service=transfer'],
    options.transferId,
  );
}

/** Reads a dump into an empty database of the add-on's server, as the owner of what comes into it. */
export function restoreInto(addon: AddOn, database: string, transferId: string): TransferCommand {
  const owner = defaultCredential(addon);
  return withService(
    { host: '/tmp', database, ...owner },
    ['pg_restore', '--no-owner', '--no-acl', '--verbose', '--dbname=service=transfer'],
    transferId,
  );
}

/** Reads a dump into a database elsewhere, in one transaction. Throws RangeError as `dumpFrom` does. */
export function restoreElsewhere(endpoint: DatabaseEndpoint, transferId: string): TransferCommand {
  return withService(
    endpoint,
    [
      'pg_restore',
      '--no-owner',
      '--no-acl',
      '--verbose',
      '--clean',
      '--if-exists',
      '--single-transaction',
      '--dbname=service=transfer',
    ],
    transferId,
  );
}

/** Ends the client programs of a transfer. */
export function endClients(transferId: string): BackendCommand {
  const script = `for entry in /proc/[0-9]*/environ; do
  if grep -qzxF "$1" "$entry" 2> /dev/null; then
    process="\${entry#/proc/}"
    kill -TERM "\${process%/environ}" 2> /dev/null
  fi
done
exit 0`;
  return {
    argv: ['/bin/sh', '-c', script, 'end', `PGAPPNAME=${applicationName(transferId)}`],
    user: 'postgres',
  };
}

/** Ends what the server does for a transfer, in case its client does not notice. */
export function endBackends(transferId: string): string {
  return `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = ${quoteLiteral(applicationName(transferId))} AND pid <> pg_backend_pid()`;
}

/** Into what a restore goes, and under which name what it replaced waits to be dropped. */
export function workingDatabases(addon: AddOn): { fresh: string; replaced: string } {
  return { fresh: `${databaseOf(addon)}_restoring`, replaced: `${databaseOf(addon)}_replaced` };
}

/** In the server's `postgres` database. Whose restore a database came from is written on it. */
export function freshDatabaseStatements(addon: AddOn, owner: string, transferId: string): string[] {
  const { fresh } = workingDatabases(addon);
  const name = quoteIdentifier(fresh);
  return [
    ...dropWorkingDatabases(addon),
    `CREATE DATABASE ${name} OWNER ${quoteIdentifier(owner)}`,
    `REVOKE CONNECT, TEMPORARY ON DATABASE ${name} FROM PUBLIC`,
    `COMMENT ON DATABASE ${name} IS ${quoteLiteral(applicationName(transferId))}`,
  ];
}

/** In the server's `postgres` database. */
export function dropWorkingDatabases(addon: AddOn): string[] {
  return Object.values(workingDatabases(addon)).map(
    (name) => `DROP DATABASE IF EXISTS ${quoteIdentifier(name)} WITH (FORCE)`,
  );
}

/** What a dump takes for granted and only a superuser can make. In the fresh database. */
export const FRESH_DATABASE_EXTENSIONS = [
  'CREATE EXTENSION IF NOT EXISTS pg_stat_statements',
  'COMMENT ON EXTENSION pg_stat_statements IS NULL',
];

/**
 * Puts the fresh database in the other one's place, in one transaction: there is one of that name at any time. In the
 * server's `postgres` database. Refused while a session that came in between uses it: to be tried again.
 */
export function swapStatements(addon: AddOn): string[] {
  const { fresh, replaced } = workingDatabases(addon);
  const database = databaseOf(addon);
  return [
    'BEGIN',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname IN (${quoteLiteral(database)}, ${quoteLiteral(fresh)})`,
    `ALTER DATABASE ${quoteIdentifier(database)} RENAME TO ${quoteIdentifier(replaced)}`,
    `ALTER DATABASE ${quoteIdentifier(fresh)} RENAME TO ${quoteIdentifier(database)}`,
    'COMMIT',
  ];
}

/** Does the add-on's database come from this transfer? Prints `t` or `f`. In the server's `postgres` database. */
export function isOfTransfer(addon: AddOn, transferId: string): string {
  return `SELECT coalesce(bool_or(shobj_description(oid, 'pg_database') = ${quoteLiteral(applicationName(transferId))}), false)
    FROM pg_database WHERE datname = ${quoteLiteral(databaseOf(addon))}`;
}

/**
 * Entries of a dump that hold no data and that others can do without: whose fail is a warning. Whatever needs one of them
 * fails by itself.
 */
const DISPENSABLE = new Set([
  'ACL', 'COMMENT', 'DATABASE', 'DEFAULT ACL', 'EVENT TRIGGER', 'EXTENSION', 'PROCEDURAL LANGUAGE', 'PUBLICATION', 'SCHEMA',
  'SECURITY LABEL', 'SUBSCRIPTION',
]); // prettier-ignore

/** `pg_restore: from TOC entry 3; 3079 16385 EXTENSION hstore (no owner)` */
const ENTRY = /^pg_restore: from TOC entry \d+; \d+ \d+ ([A-Z]+(?: [A-Z]+)*) /;
const ERROR = /^pg_restore: error: (.*)$/;

/** What became of a restore, told by what pg_restore printed. */
export class RestoreJudge {
  /** The first error that is more than a warning. */
  #failure: string | undefined;
  #warnings = 0;
  #entry: string | undefined;
  #wentThrough = false;

  read(line: string): void {
    const entry = ENTRY.exec(line)?.[1];
    if (entry !== undefined) this.#entry = entry;
    // Printed once it has come to the end of the dump.
    if (line.startsWith('pg_restore: warning: errors ignored on restore:')) this.#wentThrough = true;
    const error = ERROR.exec(line)?.[1];
    if (error === undefined) return;
    const isOfEntry = this.#entry !== undefined && error.startsWith('could not execute query');
    if (isOfEntry && isDispensable(this.#entry ?? '')) this.#warnings += 1;
    else this.#failure ??= error;
  }

  /** The number of warnings, or why it failed. */
  outcome(exitCode: number): number | string {
    if (this.#failure !== undefined) return this.#failure;
    if (exitCode === 0 || this.#wentThrough) return this.#warnings;
    return `pg_restore ended with status ${exitCode}`;
  }
}

/** The type is followed by a name, whose first words may be capitals as well. */
function isDispensable(entry: string): boolean {
  const words = entry.split(' ');
  return words.some((_word, index) => DISPENSABLE.has(words.slice(0, index + 1).join(' ')));
}

function compression({ compressed }: DumpOptions): string[] {
  return compressed ? [] : ['--compress=0'];
}

function environment(transferId: string): Readonly<Record<string, string>> {
  return { PGAPPNAME: applicationName(transferId), PGCONNECT_TIMEOUT: '15', LC_ALL: 'C' };
}

function withService(
  endpoint: DatabaseEndpoint,
  argv: readonly string[],
  transferId: string,
): TransferCommand {
  const { host, port, database, user, password, sslMode } = endpoint;
  const fields = { host, port: port?.toString(), dbname: database, user, password, sslmode: sslMode };
  const lines = Object.entries(fields).map(([name, value]) => {
    if (value === undefined) return '';
    // A line of the file; it has no way to quote. 1023 bytes are libpq's limit.
    if (/\p{Cc}/u.test(value) || value !== value.trim() || Buffer.byteLength(value) > 1000) {
      throw new RangeError(`The ${name} in the URL has characters that can't be used.`);
    }
    return `${name}=${value}\n`;
  });
  return {
    argv: ['/bin/bash', '-c', WITH_SERVICE, 'transfer', ...argv],
    user: 'postgres',
    env: environment(transferId),
    head: `[transfer]\n${lines.join('')}\n`,
  };
}
