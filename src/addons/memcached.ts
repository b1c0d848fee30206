import { DEFAULT_CREDENTIAL, defaultCredential } from '../domain/addon';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

const PORT = 11_211;
const CONFIG_DIR = '/etc/dynodock';
const CREDENTIAL_FILE = `${CONFIG_DIR}/credential`;
const PASSWORDS = '/tmp/sasldb2';
const CONNECTIONS = 1024;

/** MemCachier's names are sizes in MB, but for the first. */
const PLANS: readonly AddOnPlan[] = [
  memcachedPlan('dev', 'Developer', 0, 25),
  memcachedPlan('100', '100 MB', 1500, 100),
  memcachedPlan('250', '250 MB', 3000, 250),
  memcachedPlan('500', '500 MB', 5000, 500),
  memcachedPlan('1000', '1 GB', 10_000, 1000),
  memcachedPlan('2500', '2.5 GB', 20_000, 2500),
  memcachedPlan('5000', '5 GB', 35_000, 5000),
];

function memcachedPlan(name: string, humanName: string, priceCents: number, cacheMb: number): AddOnPlan {
  return aPlan({
    name,
    humanName,
    description: `MemCachier ${humanName}`,
    priceCents,
    // What it keeps, the table that finds it, and buffers of connections.
    memoryBytes: Math.ceil(cacheMb * 1.15 + 64) * MIB,
    connections: CONNECTIONS,
    traits: { cacheMb, metricsLog: priceCents > 0 },
  });
}

export const memcached: ContainerProvider = {
  kind: 'container',
  service: 'memcachier',
  humanName: 'MemCachier',
  namePrefix: 'memcachier',
  attachmentName: 'MEMCACHIER',
  colourPrefix: 'MEMCACHIER',
  firstHasColour: false,
  plans: PLANS,
  defaultPlan: 'dev',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {},
  newConfig: ({ secret }) => ({
    credentials: { [DEFAULT_CREDENTIAL]: { user: secret(6).toUpperCase(), password: `p${secret(31)}` } },
    values: {},
  }),
  configVars: ({ credential, host, ports }) => ({
    SERVERS: `${host}:${ports[0] ?? PORT}`,
    USERNAME: credential.user,
    PASSWORD: credential.password,
  }),
  image: () => ({ kind: 'recipe', name: 'memcached' }),
  backend: backendOf,
  commands: {
    metrics: () => ({ argv: ['perl', '-e', METRICS] }),
  },
};

function backendOf({ addon, plan }: BackendInput): BackendSpec {
  const { user, password } = defaultCredential(addon);
  return {
    // Asking for SASL leaves the binary protocol alone: the text protocol could not ask for a password.
    command: [
      'memcached', '--enable-sasl', '--protocol=binary', `--port=${PORT}`,
      `--memory-limit=${Number(plan.traits['cacheMb'] ?? 25)}`, `--conn-limit=${plan.connections ?? CONNECTIONS}`,
      '--threads=2',
    ], // prettier-ignore
    env: { SASL_CONF_PATH: `${CONFIG_DIR}/sasl` },
    user: 'memcache',
    ports: [PORT],
    memoryBytes: plan.memoryBytes,
    files: [{ path: `${CONFIG_DIR}/sasl/memcached.conf`, content: SASL_SETTINGS }],
    stopTimeoutMs: 5_000,
    health: { argv: ['/bin/bash', '-c', HEALTH] },
    setup: [
      {
        argv: ['/bin/bash', '-c', SET_PASSWORD],
        files: [{ path: CREDENTIAL_FILE, content: `${user}\n${password}\n` }],
      },
    ],
  };
}

const SASL_SETTINGS = `mech_list: plain
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: ${PASSWORDS}
`;

/** The server takes its host's name for the realm of users who name none. */
const SET_PASSWORD = `set -euo pipefail
{ read -r user; read -r password; } < ${CREDENTIAL_FILE}
printf %s "$password" | saslpasswd2 -p -c -f ${PASSWORDS} -u "$(uname -n)" "$user"
`;

/** VERSION, which it refuses to those who have not said who they are: by then it serves (memcached, "Binary Protocol"). */
const HEALTH = `LC_ALL=C
exec 3<> /dev/tcp/127.0.0.1/${PORT} || exit 1
printf '\\x80\\x0b\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' >&3
IFS= read -r -t 5 -N 1 -u 3 magic && [ "$magic" = $'\\x81' ]
`;

/** Says who it is and asks for all statistics, in the binary protocol: there is no client among Debian's small packages. */
const METRICS = `use strict; use warnings; use IO::Socket::INET;
open(my $file, "<", "${CREDENTIAL_FILE}") or die; chomp(my ($user, $password) = <$file>);
my $server = IO::Socket::INET->new(PeerAddr => "127.0.0.1:${PORT}", Timeout => 5) or die "no connection\\n";
alarm 5;
sub ask { my ($code, $key, $value) = @_;
  print $server pack("CCnCCnNNNN", 0x80, $code, length $key, 0, 0, 0, length($key . $value), 0, 0, 0), $key, $value; }
sub answer { my ($head, $body) = ("", "");
  read($server, $head, 24) == 24 or die "cut off\\n";
  my (undef, undef, $keyLength, undef, undef, $status, $length) = unpack("CCnCCnN", $head);
  $length == 0 or read($server, $body, $length) == $length or die "cut off\\n";
  $status == 0 or die "status $status\\n";
  return (substr($body, 0, $keyLength), substr($body, $keyLength)); }
$server->autoflush(1);
ask(0x21, "PLAIN", "\\0$user\\0$password"); answer();
ask(0x10, "", "");
my %is;
while (1) { my ($key, $value) = answer(); last if $key eq ""; $is{$key} = $value; }
# This one is not the app's.
print "sample#active-connections=", $is{curr_connections} - 1, "\\n", "sample#items=$is{curr_items}\\n",
  "sample#memory-used=$is{bytes}bytes\\n", "sample#memory-limit=$is{limit_maxbytes}bytes\\n",
  "sample#evicted-keys=$is{evictions}\\n";
my $asked = $is{get_hits} + $is{get_misses};
printf "sample#hit-rate=%.5f\\n", $asked > 0 ? $is{get_hits} / $asked : 0;
`;
