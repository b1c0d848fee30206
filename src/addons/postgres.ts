import { DEFAULT_CREDENTIAL } from '../domain/addon';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendLogLine,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

/** Debian's; other versions run on the official image. */
export const POSTGRES_VERSION = '15';
const OFFICIAL_VERSIONS = ['13', '14', '15', '16', '17'];

const PORT = 5432;
/** Below `/var/lib/postgresql/data`, which Debian's image of ours and the official one both give to their user. */
const VOLUME = '/var/lib/postgresql/data';
const DATA = `${VOLUME}/pgdata`;
const CONFIG_DIR = '/etc/dynodock';
const SETUP_FILE = `${CONFIG_DIR}/setup.sql`;

/**
 * Names and prices of Heroku's plans; memory is what a container may take here. `essential-*`, and the plans of before
 * them, are refused many commands by the CLI itself, so that `standard-0` is what one gets without asking.
 */
const PLANS: readonly AddOnPlan[] = [
  postgresPlan('essential-0', 'Essential 0', 500, 256, 20),
  postgresPlan('essential-1', 'Essential 1', 900, 256, 20),
  postgresPlan('essential-2', 'Essential 2', 2000, 384, 40),
  postgresPlan('standard-0', 'Standard 0', 5000, 512, 120),
  postgresPlan('standard-2', 'Standard 2', 20_000, 1024, 400),
  postgresPlan('standard-3', 'Standard 3', 40_000, 2048, 500),
  postgresPlan('premium-0', 'Premium 0', 20_000, 512, 120),
  postgresPlan('premium-2', 'Premium 2', 35_000, 1024, 400),
  { ...postgresPlan('dev', 'Dev', 0, 256, 20), retired: true },
  { ...postgresPlan('basic', 'Basic', 900, 256, 20), retired: true },
  { ...postgresPlan('hobby-dev', 'Hobby Dev', 0, 256, 20), retired: true },
  { ...postgresPlan('hobby-basic', 'Hobby Basic', 900, 256, 20), retired: true },
  { ...postgresPlan('mini', 'Mini', 500, 256, 20), retired: true },
];

function postgresPlan(
  name: string,
  humanName: string,
  priceCents: number,
  memoryMb: number,
  connections: number,
): AddOnPlan {
  const isProduction = /^(standard|premium)-/.test(name);
  return aPlan({
    name,
    humanName,
    description: `Heroku Postgres ${humanName}`,
    priceCents,
    memoryBytes: memoryMb * MIB,
    connections,
    backedUp: isProduction,
    traits: {
      // Small, so that many databases fit beside each other; the machine's page cache does the rest.
      sharedBuffersMb: Math.max(16, memoryMb / 16),
      // Dev Center "Heroku Postgres Metrics Logs": not on Essential plans.
      metricsLog: isProduction,
    },
  });
}

export const postgres: ContainerProvider = {
  kind: 'container',
  service: 'heroku-postgresql',
  humanName: 'Heroku Postgres',
  namePrefix: 'postgresql',
  attachmentName: 'DATABASE',
  colourPrefix: 'HEROKU_POSTGRESQL',
  firstHasColour: true,
  plans: PLANS,
  defaultPlan: 'standard-0',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {
    version: {
      help: `major version; ${POSTGRES_VERSION} needs no registry`,
      check: (value) => {
        if (!OFFICIAL_VERSIONS.includes(value)) throw new Error(`not one of ${OFFICIAL_VERSIONS.join(', ')}`);
      },
    },
    fork: {
      help: 'a database that it is to be a copy of',
      refersTo: { kind: 'add-on', inherits: ['version'] },
      checkPlan: (plan) => {
        // Dev Center "Heroku Postgres Database Fork": "only available on Standard-tier and higher".
        if (isEssential({ plan: plan.name })) throw new Error('not available on Essential-tier databases');
      },
    },
    follow: {
      help: 'a database that it is to follow',
      refused: 'followers of databases. --fork makes a copy that goes its own way',
    },
    rollback: {
      help: 'a database whose earlier state it is to have',
      refused: 'rollbacks of databases. heroku pg:backups:restore brings a backup back',
    },
    by: { help: 'to what time a rollback goes', refused: 'rollbacks of databases' },
    to: { help: 'to what time a rollback goes', refused: 'rollbacks of databases' },
  },
  newConfig: ({ secret }) => ({
    // As on Heroku: names that need no quoting anywhere.
    credentials: { [DEFAULT_CREDENTIAL]: { user: `u${secret(13)}`, password: `p${secret(64)}` } },
    values: { database: `d${secret(13)}` },
  }),
  configVars: ({ addon, credential, host, ports }) => ({
    URL: `postgres://${credential.user}:${credential.password}@${host}:${ports[0] ?? PORT}/${databaseOf(addon)}`,
  }),
  image: ({ version = POSTGRES_VERSION }) =>
    version === POSTGRES_VERSION
      ? { kind: 'recipe', name: 'postgres' }
      : { kind: 'registry', reference: `postgres:${version}-bookworm` },
  backend: backendOf,
  logLine: postgresLogLine,
  listensAsTold: true,
  commands: {
    metrics: ({ addon }) => ({
      argv: ['psql', '--no-psqlrc', '--tuples-only', '--no-align', '--command', METRICS, databaseOf(addon)],
      user: 'postgres',
    }),
  },
};

/**
 * The samples that a single server has (Dev Center "Heroku Postgres Metrics Logs"): the load is the machine's, memory
 * that of the container, where the kernel tells it.
 */
const METRICS = `
SELECT 'sample#current_transaction=' || pg_snapshot_xmax(pg_current_snapshot())::text
UNION ALL SELECT 'sample#db_size=' || pg_database_size(current_database()) || 'bytes'
UNION ALL SELECT 'sample#tables=' || count(*) FROM pg_stat_user_tables
UNION ALL SELECT 'sample#active-connections=' || count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
UNION ALL SELECT 'sample#waiting-connections=' || count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
UNION ALL SELECT 'sample#index-cache-hit-rate=' ||
  coalesce(round(sum(idx_blks_hit) / nullif(sum(idx_blks_hit + idx_blks_read), 0), 5), 0) FROM pg_statio_user_indexes
UNION ALL SELECT 'sample#table-cache-hit-rate=' ||
  coalesce(round(sum(heap_blks_hit) / nullif(sum(heap_blks_hit + heap_blks_read), 0), 5), 0) FROM pg_statio_user_tables
UNION ALL SELECT 'sample#load-avg-' || minutes || 'm=' || split_part(load, ' ', number)
  FROM (SELECT pg_read_file('/proc/loadavg', 0, 100, true) AS load) AS machine,
    (VALUES (1, 1), (2, 5), (3, 15)) AS averages (number, minutes) WHERE load IS NOT NULL
UNION ALL SELECT sample || '=' || bytes / 1024 || 'kB' FROM (
  SELECT substring(most FROM '^[0-9]{1,15}\\M')::bigint AS most, substring(used FROM '^[0-9]+')::bigint AS used FROM (
    SELECT coalesce(pg_read_file('/sys/fs/cgroup/memory.max', 0, 100, true),
        pg_read_file('/sys/fs/cgroup/memory/memory.limit_in_bytes', 0, 100, true)) AS most,
      coalesce(pg_read_file('/sys/fs/cgroup/memory.current', 0, 100, true),
        pg_read_file('/sys/fs/cgroup/memory/memory.usage_in_bytes', 0, 100, true)) AS used) AS files) AS cgroup,
  LATERAL (VALUES ('sample#memory-total', most), ('sample#memory-free', most - used),
    ('sample#memory-postgres', used)) AS memory (sample, bytes) WHERE bytes IS NOT NULL
`;

export function databaseOf({ config }: BackendInput['addon']): string {
  const { database } = config.values;
  if (database === undefined) throw new Error('a Postgres add-on without a database name');
  return database;
}

/** The role that owns the database and what is in it. It is a member of those of further credentials. */
export function ownerOf({ config }: BackendInput['addon']): string {
  const owner = config.credentials[DEFAULT_CREDENTIAL];
  if (owner === undefined) throw new Error('a Postgres add-on without a default credential');
  return owner.user;
}

/** Plans that have one credential and no settings of their own, whatever they were called over the years. */
export function isEssential({ plan }: Pick<BackendInput['addon'], 'plan'>): boolean {
  return /^(essential-|hobby-|dev$|basic$|mini$)/.test(plan);
}

/** What `config.values` calls the time at which a credential got another password, in ISO form. */
export function rotatedKey(credential: string): string {
  return `rotated.${credential}`;
}

function backendOf({ addon, plan, listen }: BackendInput): BackendSpec {
  const port = listen?.ports[0] ?? PORT;
  return {
    command: ['/bin/bash', `${CONFIG_DIR}/start.sh`],
    // The server's socket, for what is run inside.
    env: { PGDATA: DATA, PGHOST: '/tmp', PGPORT: String(port) },
    user: 'postgres',
    ports: [PORT],
    volumeTarget: VOLUME,
    memoryBytes: plan.memoryBytes,
    certificateDir: `${CONFIG_DIR}/tls`,
    files: [
      { path: `${CONFIG_DIR}/start.sh`, content: START },
      { path: `${CONFIG_DIR}/postgresql.conf`, content: serverSettings(plan, listen?.address ?? '*', port) },
      { path: `${CONFIG_DIR}/pg_hba.conf`, content: CLIENT_AUTHENTICATION },
      // The server looks for one.
      { path: `${CONFIG_DIR}/pg_ident.conf`, content: '' },
    ],
    // A fast shutdown: clients are cut off, what was committed is safe (PostgreSQL, "Shutting Down the Server").
    stopSignal: 'SIGINT',
    stopTimeoutMs: 30_000,
    // A server that is still recovering refuses.
    health: { argv: ['pg_isready', '--quiet', '--host=/tmp', `--port=${port}`] },
    setup: [
      {
        argv: [
          'psql', '--no-psqlrc', '--quiet', '--set=ON_ERROR_STOP=1', '--host=/tmp', '--dbname=postgres',
          `--file=${SETUP_FILE}`,
        ], // prettier-ignore
        user: 'postgres',
        files: [{ path: SETUP_FILE, content: setupSql(addon, plan) }],
      },
    ],
  };
}

/**
 * The key has to belong to the server's user. A volume of a version whose image brings no cluster gets one here.
 */
const START = `set -eu
for bin in /usr/lib/postgresql/*/bin; do PATH="$bin:$PATH"; done
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # One that was interrupted left half a cluster: nothing in it was ever used.
  rm -rf "$PGDATA"
  initdb --pgdata="$PGDATA" --username=postgres --auth-local=peer --auth-host=scram-sha-256 \\
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums > /dev/null
fi
install -m 600 ${CONFIG_DIR}/tls/server.crt ${CONFIG_DIR}/tls/server.key /tmp
# Of a server that was killed in another container: process ids mean nothing here.
rm -f "$PGDATA/postmaster.pid"
exec postgres -D "$PGDATA" -c config_file=${CONFIG_DIR}/postgresql.conf
`;

/**
 * fsync and synchronous_commit stay on: what was committed survives a kill and a power cut. Whatever differs in here
 * restarts the server: nothing that may change while it runs, such as the add-on's name.
 */
function serverSettings(plan: AddOnPlan, address: string, port: number): string {
  const sharedBuffersMb = Number(plan.traits['sharedBuffersMb'] ?? 16);
  const memoryMb = plan.memoryBytes / MIB;
  return `# Written by dynodock; ALTER SYSTEM comes after it.
data_directory = '${DATA}'
hba_file = '${CONFIG_DIR}/pg_hba.conf'
listen_addresses = '${address}'
port = ${port}
unix_socket_directories = '/tmp'
ssl = on
ssl_cert_file = '/tmp/server.crt'
ssl_key_file = '/tmp/server.key'
password_encryption = scram-sha-256
# Three more for whoever has to look after it.
max_connections = ${(plan.connections ?? 100) + 3}
superuser_reserved_connections = 3
shared_buffers = ${sharedBuffersMb}MB
work_mem = 4MB
maintenance_work_mem = ${Math.round(Math.max(16, memoryMb / 16))}MB
effective_cache_size = ${Math.round((memoryMb * 3) / 4)}MB
max_wal_size = 256MB
min_wal_size = 32MB
wal_level = replica
max_worker_processes = 8
max_parallel_workers_per_gather = 2
autovacuum_max_workers = 2
# mmap needs no room in /dev/shm, which is small in a container.
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 1000
log_timezone = 'UTC'
timezone = 'UTC'
datestyle = 'iso, mdy'
lc_messages = 'C.UTF-8'
lc_monetary = 'C.UTF-8'
lc_numeric = 'C.UTF-8'
lc_time = 'C.UTF-8'
default_text_search_config = 'pg_catalog.english'
log_line_prefix = '%p %l user=%u sql_error_code = %e '
# Heroku's defaults (Dev Center "Heroku Postgres Settings").
log_statement = ddl
log_min_duration_statement = 2000
log_min_error_statement = error
log_connections = on
log_lock_waits = on
track_functions = none
# What pg:extensions reads (Heroku's servers restrict extensions with extwlist, its Essential tier is RDS).
extwlist.extensions = '${POSTGRES_EXTENSIONS.join(',')}'
rds.allowed_extensions = '${POSTGRES_EXTENSIONS.join(',')}'
`;
}

/** Those of Debian's package that Heroku offers too, and that their owner may create by himself, besides the first. */
export const POSTGRES_EXTENSIONS: readonly string[] = [
  'pg_stat_statements', 'btree_gin', 'btree_gist', 'citext', 'cube', 'dict_int', 'fuzzystrmatch', 'hstore', 'intarray',
  'isn', 'lo', 'ltree', 'pg_trgm', 'pgcrypto', 'plpgsql', 'seg', 'tablefunc', 'tcn', 'tsm_system_rows',
  'tsm_system_time', 'unaccent', 'uuid-ossp',
]; // prettier-ignore

/** The superuser is only let in from inside the container. */
const CLIENT_AUTHENTICATION = `local all postgres peer
local all all scram-sha-256
host all postgres all reject
host replication all all reject
host all all all scram-sha-256
`;

const LOG_LINE = /^(\d+) (\d+) user=(\S*) (sql_error_code = .*)$/;

/**
 * As Heroku's log shows it: `app[postgres.1234]: [DATABASE] [5-1] sql_error_code = 00000 LOG:  …`, the numbers being the
 * process and the line of its session. What dynodock itself does in there is nobody's business. Lines that go on with a
 * statement of several have no prefix.
 */
export function postgresLogLine(line: string, attachment: string): BackendLogLine | null {
  const [, pid, number, user, text] = LOG_LINE.exec(line) ?? [];
  if (text === undefined)
    return line.trim() === '' ? null : { process: 'postgres', text: `[${attachment}] ${line}` };
  if (user === 'postgres' || /LOG: +connection received: host=\[local\]/.test(text)) return null;
  return { process: `postgres.${pid}`, text: `[${attachment}] [${number}-1] ${text}` };
}

/** Roles, passwords and the database, made or brought in line. Values are of a-z, 0-9 and names were checked. */
function setupSql(addon: BackendInput['addon'], plan: AddOnPlan): string {
  const owner = ownerOf(addon);
  const database = databaseOf(addon);
  const credentials = Object.entries(addon.config.credentials);
  const roles = credentials.map(
    ([, { user, password }]) => `SELECT 'CREATE ROLE ${identifier(user)}'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = ${literal(user)}) \\gexec
ALTER ROLE ${identifier(user)} LOGIN PASSWORD ${literal(password)} CONNECTION LIMIT ${plan.connections ?? -1};
`,
  );
  // Whom the daemon had no time to cut off after it had changed a password.
  const ends = credentials.flatMap(([name, { user }]) => {
    const rotatedAt = addon.config.values[rotatedKey(name)];
    return rotatedAt === undefined
      ? []
      : [
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE usename = ${literal(user)} AND backend_start < ${literal(rotatedAt)}::timestamptz;
`,
        ];
  });
  // Heroku's `pg:credentials:repair-default`: "grant the default credential admin option for all additional credentials".
  const memberships = credentials
    .filter(([name]) => name !== DEFAULT_CREDENTIAL)
    .map(([, { user }]) => `GRANT ${identifier(user)} TO ${identifier(owner)} WITH ADMIN OPTION;\n`);
  return `SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
${roles.join('')}${ends.join('')}${memberships.join('')}GRANT pg_monitor, pg_signal_backend TO ${identifier(owner)};
SELECT 'CREATE DATABASE ${identifier(database)} OWNER ${identifier(owner)}'
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = ${literal(database)}) \\gexec
REVOKE CONNECT, TEMPORARY ON DATABASE ${identifier(database)} FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
${Object.values(addon.config.credentials)
  .map(({ user }) => `GRANT CONNECT, TEMPORARY ON DATABASE ${identifier(database)} TO ${identifier(user)};\n`)
  .join('')}\\connect ${identifier(database)}
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
-- A dump would repeat the comment, which nobody but the extension's owner may set: pg:push would fail.
COMMENT ON EXTENSION pg_stat_statements IS NULL;
-- pg:outliers --reset
SELECT format('GRANT EXECUTE ON FUNCTION %s TO %I', oid::regprocedure, ${literal(owner)})
  FROM pg_proc WHERE proname = 'pg_stat_statements_reset' \\gexec
${isEssential(addon) ? essentialSql(owner) : ''}`;
}

/** The CLI resets statistics of essential plans through a function of Heroku's. */
function essentialSql(owner: string): string {
  return `CREATE SCHEMA IF NOT EXISTS _heroku;
CREATE OR REPLACE FUNCTION _heroku.pg_stat_statements_reset() RETURNS void LANGUAGE sql
  AS 'SELECT public.pg_stat_statements_reset()';
GRANT USAGE ON SCHEMA _heroku TO ${identifier(owner)};
`;
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
function literal(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}
