import { DEFAULT_CREDENTIAL } from '../domain/addon';
import { settingArguments } from '../domain/redis-settings';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendCommand,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

/** Debian's; other versions run on the official image. */
export const REDIS_VERSION = '7';
export const OFFICIAL_VERSIONS = ['6', '7', '8'];

const PORT = 6379;
const TLS_PORT = 6380;
const CONFIG_DIR = '/etc/dynodock';
const CONFIG_FILE = `${CONFIG_DIR}/redis.conf`;
const START_FILE = `${CONFIG_DIR}/start.sh`;
/** What is run beside the server has a user of its own, whose password is made anew with each start. */
const CLI = `export REDISCLI_AUTH="$(cat /tmp/inside.password)"
cli() { redis-cli -s /tmp/redis.sock --user inside "$@"; }
`;
const START = `set -eu
umask 077
head -c 32 /dev/urandom | sha256sum | cut -c 1-64 > /tmp/inside.password
echo "user inside on >$(cat /tmp/inside.password) ~* &* +@all" > /tmp/inside.conf
exec redis-server ${CONFIG_FILE}
`;

/**
 * What would make the server connect to somewhere, listen elsewhere, write other files, run code or end. Heroku has no
 * CONFIG either; reading settings does no harm, and clients here and there do.
 */
const NOT_FOR_CLIENTS =
  '-config +config|get -replicaof -slaveof -migrate -failover -cluster -module -debug -acl -shutdown';

/** Premium plans speak TLS alone, the others both (Dev Center "Heroku Key-Value Store", "Security and compliance"). */
const PLANS: readonly AddOnPlan[] = [
  redisPlan('mini', 'Mini', 300, 25, 20),
  redisPlan('premium-0', 'Premium 0', 1500, 50, 40),
  redisPlan('premium-1', 'Premium 1', 3000, 100, 80),
  redisPlan('premium-2', 'Premium 2', 6000, 250, 200),
  redisPlan('premium-3', 'Premium 3', 12_000, 500, 400),
  { ...redisPlan('hobby-dev', 'Hobby Dev', 0, 25, 20), retired: true },
];

function redisPlan(
  name: string,
  humanName: string,
  priceCents: number,
  maxMemoryMb: number,
  connections: number,
): AddOnPlan {
  return aPlan({
    name,
    humanName,
    description: `Heroku Data for Redis ${humanName}`,
    priceCents,
    // What it keeps, a copy of part of it while it rewrites its log, and the server itself.
    memoryBytes: (maxMemoryMb * 2 + 64) * MIB,
    connections,
    // Dev Center "Heroku Redis Metrics Logs": on premium plans.
    traits: { maxMemoryMb, tlsOnly: name.startsWith('premium-'), metricsLog: name.startsWith('premium-') },
  });
}

export const redis: ContainerProvider = {
  kind: 'container',
  service: 'heroku-redis',
  humanName: 'Heroku Key-Value Store',
  namePrefix: 'redis',
  attachmentName: 'REDIS',
  colourPrefix: 'HEROKU_REDIS',
  firstHasColour: false,
  plans: PLANS,
  defaultPlan: 'mini',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {
    version: {
      help: `major version; ${REDIS_VERSION} needs no registry`,
      check: (value) => {
        if (!OFFICIAL_VERSIONS.includes(value)) throw new Error(`not one of ${OFFICIAL_VERSIONS.join(', ')}`);
      },
    },
  },
  newConfig: ({ secret }) => ({
    credentials: { [DEFAULT_CREDENTIAL]: { user: 'default', password: `p${secret(64)}` } },
    values: {},
  }),
  configVars: ({ plan, credential, host, ports }) => {
    const [plain = PORT, tls = TLS_PORT] = ports;
    const secured = `rediss://:${credential.password}@${host}:${tls}`;
    return plan.traits['tlsOnly'] === true
      ? { URL: secured }
      : { URL: `redis://:${credential.password}@${host}:${plain}`, TLS_URL: secured };
  },
  image: ({ version = REDIS_VERSION }) =>
    version === REDIS_VERSION
      ? { kind: 'recipe', name: 'redis' }
      : { kind: 'registry', reference: `redis:${version}-bookworm` },
  backend: backendOf,
  listensAsTold: true,
  commands: {
    metrics: () => ({ argv: ['/bin/bash', '-c', METRICS], files: [] }),
  },
};

/** Heroku's names for what INFO says (Dev Center "Heroku Redis Metrics Logs"). */
const METRICS = `${CLI}cli info | tr -d '\\r' | awk -F: '
  $1 == "connected_clients" { print "sample#active-connections=" $2 }
  $1 == "used_memory" { print "sample#memory-redis=" $2 "bytes" }
  $1 == "keyspace_hits" { hits = $2 }
  $1 == "keyspace_misses" { misses = $2 }
  $1 == "evicted_keys" { print "sample#evicted-keys=" $2 }
  END { printf "sample#hit-rate=%.5f\\n", hits + misses > 0 ? hits / (hits + misses) : 0 }'
`;

/** One command, inside. Nothing secret may stand in it. redis-cli prints a server's refusal and ends with 0. */
export function redisCommand(...words: readonly string[]): BackendCommand {
  return { argv: ['/bin/sh', '-c', `${CLI}cli "$@"`, 'redis-cli', ...words] };
}

function backendOf({ addon, plan, listen }: BackendInput): BackendSpec {
  const password = addon.config.credentials[DEFAULT_CREDENTIAL]?.password;
  if (password === undefined) throw new Error('a Redis add-on without a password');
  return {
    command: ['/bin/sh', START_FILE],
    env: {},
    user: 'redis',
    ports: [PORT, TLS_PORT],
    volumeTarget: '/data',
    memoryBytes: plan.memoryBytes,
    certificateDir: `${CONFIG_DIR}/tls`,
    files: [
      { path: START_FILE, content: START },
      { path: CONFIG_FILE, content: serverSettings(plan, password, listen) },
    ],
    stopTimeoutMs: 30_000,
    // Whoever is inside may use the socket; a server that is still loading answers LOADING.
    health: { argv: ['/bin/sh', '-c', `${CLI}cli ping | grep -q PONG`] },
    setup: [
      {
        argv: ['/bin/sh', '-c', APPLY_SETTINGS, 'settings', ...settingArguments(addon)],
      },
    ],
  };
}

/** By set-up rather than by a file, whose change would restart the server. */
const APPLY_SETTINGS = `${CLI}while [ $# -gt 0 ]; do
  cli config set "$1" "$2" | grep -qx OK || exit 1
  shift 2
done
`;

/** Every write is on the disk before it is answered: a kill or a power cut loses none of it. */
function serverSettings(plan: AddOnPlan, password: string, listen: BackendInput['listen']): string {
  const [plain = PORT, tls = TLS_PORT] = listen?.ports ?? [];
  const maxMemoryMb = Number(plan.traits['maxMemoryMb'] ?? 25);
  return `# Written by dynodock.
bind ${listen?.address ?? '* -::*'}
protected-mode no
port ${plain}
tls-port ${tls}
tls-cert-file ${CONFIG_DIR}/tls/server.crt
tls-key-file ${CONFIG_DIR}/tls/server.key
tls-auth-clients no
unixsocket /tmp/redis.sock
unixsocketperm 700
user default on >${password} ~* &* +@all ${NOT_FOR_CLIENTS}
include /tmp/inside.conf
dir /data
appendonly yes
appendfsync always
save ""
maxmemory ${maxMemoryMb}mb
maxmemory-policy noeviction
maxclients ${plan.connections ?? 1000}
timeout 300
tcp-keepalive 60
daemonize no
logfile ""
loglevel notice
`;
}
