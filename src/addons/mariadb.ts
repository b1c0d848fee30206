import { DEFAULT_CREDENTIAL, defaultCredential } from '../domain/addon';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

const PORT = 3306;
const VOLUME = '/var/lib/mysql';
const CONFIG_DIR = '/etc/dynodock';
const CONFIG_FILE = `${CONFIG_DIR}/my.cnf`;
const SETUP_FILE = `${CONFIG_DIR}/setup.sql`;
const SOCKET = '/tmp/mariadb.sock';
/** Whoever runs as `mysql` inside is the superuser, through the socket. */
const CLIENT = ['--no-defaults', `--socket=${SOCKET}`, '--default-character-set=utf8mb4'];

/** JawsDB's names; memory is what a container may take here. */
const PLANS: readonly AddOnPlan[] = [
  mariaPlan('kitefin', 'Kitefin Shared', 0, 192, 10),
  mariaPlan('leopard', 'Leopard Shared', 1000, 256, 15),
  mariaPlan('blacktip', 'Blacktip', 2500, 512, 40),
  mariaPlan('whitetip', 'Whitetip', 5000, 1024, 75),
];

function mariaPlan(
  name: string,
  humanName: string,
  priceCents: number,
  memoryMb: number,
  connections: number,
): AddOnPlan {
  const isPaid = priceCents > 0;
  return aPlan({
    name,
    humanName,
    description: `JawsDB Maria ${humanName}`,
    priceCents,
    memoryBytes: memoryMb * MIB,
    connections,
    backedUp: isPaid,
    // Small, so that many fit beside each other; the machine's page cache does the rest.
    traits: { bufferPoolMb: Math.max(16, memoryMb / 8), metricsLog: isPaid },
  });
}

export const mariadb: ContainerProvider = {
  kind: 'container',
  service: 'jawsdb-maria',
  humanName: 'JawsDB Maria',
  namePrefix: 'jawsdb-maria',
  attachmentName: 'JAWSDB_MARIA',
  colourPrefix: 'JAWSDB_MARIA',
  firstHasColour: false,
  plans: PLANS,
  defaultPlan: 'kitefin',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {},
  newConfig: ({ secret }) => ({
    // Names that need no quoting anywhere; MariaDB's may have 64 characters.
    credentials: { [DEFAULT_CREDENTIAL]: { user: `u${secret(15)}`, password: `p${secret(39)}` } },
    values: { database: `d${secret(15)}` },
  }),
  configVars: ({ addon, credential, host, ports }) => ({
    URL: `mysql://${credential.user}:${credential.password}@${host}:${ports[0] ?? PORT}/${databaseOf(addon)}`,
  }),
  image: () => ({ kind: 'recipe', name: 'mariadb' }),
  backend: backendOf,
  commands: {
    backup: ({ addon }) => ({
      argv: [
        'mariadb-dump', ...CLIENT, '--single-transaction', '--quick', '--hex-blob', '--routines', '--triggers',
        '--events', '--no-tablespaces', databaseOf(addon),
      ], // prettier-ignore
      user: 'mysql',
    }),
    restore: ({ addon }) => ({
      argv: ['/bin/bash', '-c', RESTORE, 'restore', databaseOf(addon), defaultCredential(addon).user],
      user: 'mysql',
    }),
    metrics: ({ addon }) => ({
      argv: [
        'mariadb', ...CLIENT, '--skip-column-names', '--batch', `--execute=${metricsSql(databaseOf(addon))}`,
      ], // prettier-ignore
      user: 'mysql',
    }),
  },
};

/**
 * The dump is only read when it has arrived whole, since the database has to be dropped before. Views, triggers and the
 * like become the owner's: they may come from another add-on, whose user there is not.
 */
const RESTORE = `set -euo pipefail
dump="$(mktemp ${VOLUME}/restore.XXXXXX)"
trap 'rm -f "$dump"' EXIT
cat > "$dump"
if ! tail -n 1 "$dump" | grep -q '^-- Dump completed'; then
  echo 'The dump is not whole: nothing was changed.' >&2
  exit 1
fi
client() { mariadb ${CLIENT.join(' ')} "$@"; }
client --execute="DROP DATABASE IF EXISTS \\\`$1\\\`; CREATE DATABASE \\\`$1\\\`"
sed -E '/^(\\/\\*!500[0-9]{2} |CREATE )/ s/DEFINER=\`[^\`]*\`@\`[^\`]*\`/DEFINER=\`'"$2"'\`@\`%\`/' "$dump" | client "$1"
`;

function metricsSql(database: string): string {
  const status = (sample: string, name: string): string =>
    `SELECT CONCAT('sample#${sample}=', VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS
      WHERE VARIABLE_NAME = '${name}'`;
  const tables = `FROM information_schema.TABLES WHERE table_schema = '${database}'`;
  return [
    status('active-connections', 'THREADS_CONNECTED'),
    status('queries', 'QUESTIONS'),
    status('slow-queries', 'SLOW_QUERIES'),
    `SELECT CONCAT('sample#db_size=', COALESCE(SUM(data_length + index_length), 0), 'bytes') ${tables}`,
    `SELECT CONCAT('sample#tables=', COUNT(*)) ${tables}`,
    `SELECT CONCAT('sample#buffer-pool-hit-rate=', ROUND(1 - (SELECT VARIABLE_VALUE FROM
      information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_READS') / GREATEST(VARIABLE_VALUE, 1), 5))
      FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_READ_REQUESTS'`,
  ].join(';');
}

function databaseOf({ config }: BackendInput['addon']): string {
  const { database } = config.values;
  if (database === undefined) throw new Error('a MariaDB add-on without a database name');
  return database;
}

function backendOf({ addon, plan }: BackendInput): BackendSpec {
  return {
    // A restore that was killed leaves its dump.
    command: ['/bin/sh', '-c', `rm -f ${VOLUME}/restore.*; exec mariadbd --defaults-file=${CONFIG_FILE}`],
    env: {},
    user: 'mysql',
    ports: [PORT],
    volumeTarget: VOLUME,
    memoryBytes: plan.memoryBytes,
    certificateDir: `${CONFIG_DIR}/tls`,
    files: [{ path: CONFIG_FILE, content: serverSettings(plan) }],
    stopTimeoutMs: 30_000,
    health: { argv: ['mariadb', ...CLIENT, '--execute=SELECT 1'] },
    setup: [
      {
        argv: ['mariadb', ...CLIENT, `--execute=source ${SETUP_FILE}`],
        files: [{ path: SETUP_FILE, content: setupSql(addon, plan) }],
      },
    ],
  };
}

/**
 * What was committed is on the disk before it is answered: a kill or a power cut loses none of it. No other log is
 * kept than InnoDB's own.
 */
function serverSettings(plan: AddOnPlan): string {
  const bufferPoolMb = Number(plan.traits['bufferPoolMb'] ?? 16);
  return `# Written by dynodock.
[mariadbd]
datadir = ${VOLUME}/data
socket = ${SOCKET}
pid-file = /tmp/mariadb.pid
port = ${PORT}
bind-address = *
skip-name-resolve
skip-log-bin
local-infile = OFF
ssl-cert = ${CONFIG_DIR}/tls/server.crt
ssl-key = ${CONFIG_DIR}/tls/server.key
tls-version = TLSv1.2,TLSv1.3
character-set-server = utf8mb4
collation-server = utf8mb4_general_ci
default-time-zone = +00:00
# Some more for whoever has to look after it.
max-connections = ${(plan.connections ?? 100) + 3}
max-allowed-packet = 64M
innodb-flush-log-at-trx-commit = 1
innodb-doublewrite = ON
innodb-buffer-pool-size = ${bufferPoolMb}M
innodb-log-file-size = 16M
innodb-log-buffer-size = 2M
innodb-purge-threads = 1
innodb-read-io-threads = 2
innodb-write-io-threads = 2
# The engine's seccomp profile refuses io_uring.
innodb-use-native-aio = OFF
key-buffer-size = 1M
aria-pagecache-buffer-size = 4M
tmp-table-size = 8M
max-heap-table-size = 8M
table-open-cache = 256
table-definition-cache = 400
thread-cache-size = 4
performance-schema = OFF
`;
}

/** User, password and database, made or brought in line. Values are of a-z and 0-9. */
function setupSql(addon: BackendInput['addon'], plan: AddOnPlan): string {
  const { user, password } = defaultCredential(addon);
  const database = databaseOf(addon);
  return `CREATE DATABASE IF NOT EXISTS \`${database}\`;
CREATE USER IF NOT EXISTS '${user}'@'%';
ALTER USER '${user}'@'%' IDENTIFIED BY '${password}' WITH MAX_USER_CONNECTIONS ${plan.connections ?? 0};
GRANT ALL PRIVILEGES ON \`${database}\`.* TO '${user}'@'%';
`;
}
