import { DEFAULT_CREDENTIAL, defaultCredential, type AddOnCredential } from '../domain/addon';
import {
  aPlan,
  MIB,
  type AddOnPlan,
  type BackendInput,
  type BackendSpec,
  type ContainerProvider,
} from './provider';

const PORT = 5672;
const VOLUME = '/data';
const CONFIG_DIR = '/etc/dynodock';
/** Also what its data are filed under: never to be changed. */
const NODE = 'rabbit@localhost';
/** Of the container, above which publishers are held back. */
const MEMORY_SHARE = 0.6;

/** CloudAMQP's names; memory is what a container may take here. An idle server counts 130 MB for itself. */
const PLANS: readonly AddOnPlan[] = [
  rabbitPlan('lemur', 'Little Lemur', 0, 320, 20),
  rabbitPlan('tiger', 'Tough Tiger', 1900, 512, 100),
  rabbitPlan('bunny', 'Big Bunny', 9900, 1024, 1000),
  rabbitPlan('rabbit', 'Roaring Rabbit', 29_900, 2048, 2500),
  rabbitPlan('panda', 'Power Panda', 49_900, 4096, 5000),
];

function rabbitPlan(
  name: string,
  humanName: string,
  priceCents: number,
  memoryMb: number,
  connections: number,
): AddOnPlan {
  return aPlan({
    name,
    humanName,
    description: `CloudAMQP ${humanName}`,
    priceCents,
    memoryBytes: memoryMb * MIB,
    connections,
    // One thread starts and idles cheapest.
    traits: { schedulers: memoryMb > 512 ? 2 : 1, metricsLog: priceCents > 0 },
  });
}

export const rabbitmq: ContainerProvider = {
  kind: 'container',
  service: 'cloudamqp',
  humanName: 'CloudAMQP',
  namePrefix: 'cloudamqp',
  attachmentName: 'CLOUDAMQP',
  colourPrefix: 'CLOUDAMQP',
  firstHasColour: false,
  plans: PLANS,
  defaultPlan: 'lemur',
  multiple: true,
  sharable: true,
  cliPluginName: null,
  options: {},
  newConfig: ({ secret }) => ({
    credentials: { [DEFAULT_CREDENTIAL]: { user: secret(8), password: `p${secret(31)}` } },
    values: {},
  }),
  // As there: the virtual host has the user's name.
  configVars: ({ addon, credential, host, ports }) => ({
    URL: `amqp://${credential.user}:${credential.password}@${host}:${ports[0] ?? PORT}/${defaultCredential(addon).user}`,
  }),
  image: () => ({ kind: 'recipe', name: 'rabbitmq' }),
  backend: backendOf,
  commands: {
    metrics: () => ({ argv: ['/bin/sh', '-c', METRICS], env: { HOME: VOLUME } }),
  },
};

function backendOf({ addon, plan }: BackendInput): BackendSpec {
  return {
    command: ['/bin/sh', '-c', START],
    env: {
      HOME: VOLUME,
      RABBITMQ_NODENAME: NODE,
      RABBITMQ_MNESIA_BASE: `${VOLUME}/mnesia`,
      RABBITMQ_LOGS: '-',
      RABBITMQ_CONFIG_FILE: `${CONFIG_DIR}/rabbitmq.conf`,
      RABBITMQ_ENABLED_PLUGINS_FILE: `${CONFIG_DIR}/enabled_plugins`,
      // Its threads do not spin while there is nothing to do; other nodes are not spoken with.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: [
        `+S ${Number(plan.traits['schedulers'] ?? 1)}`,
        '+sbwt none +sbwtdcpu none +sbwtdio none',
        '-kernel inet_dist_use_interface {127,0,0,1}',
      ].join(' '),
      ERL_EPMD_ADDRESS: '127.0.0.1',
    },
    user: 'rabbitmq',
    ports: [PORT],
    volumeTarget: VOLUME,
    memoryBytes: plan.memoryBytes,
    files: [
      { path: `${CONFIG_DIR}/rabbitmq.conf`, content: serverSettings(plan) },
      // Read at each start; its own commands take a second or two each.
      { path: `${CONFIG_DIR}/definitions.json`, content: definitions(defaultCredential(addon), plan) },
      { path: `${CONFIG_DIR}/enabled_plugins`, content: '[].\n' },
    ],
    stopTimeoutMs: 30_000,
    health: { argv: ['/bin/bash', '-c', HEALTH] },
    setup: [],
  };
}

/** Killed while it wrote the secret of its node for the first time, it would refuse what there is of it for ever. */
const START = `find ${VOLUME} -maxdepth 1 -name .erlang.cookie -size -20c -delete
exec /usr/lib/rabbitmq/bin/rabbitmq-server`;

function serverSettings(plan: AddOnPlan): string {
  return `# Written by dynodock.
listeners.tcp.default = ${PORT}
loopback_users = none
load_definitions = ${CONFIG_DIR}/definitions.json
vm_memory_high_watermark.absolute = ${Math.round((plan.memoryBytes / MIB) * MEMORY_SHARE)}MiB
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = warning
log.file = false
`;
}

/** What is declared by clients is not touched by it. */
function definitions({ user, password }: AddOnCredential, plan: AddOnPlan): string {
  return JSON.stringify({
    users: [{ name: user, password, tags: [] }],
    vhosts: [{ name: user }],
    permissions: [{ user, vhost: user, configure: '.*', write: '.*', read: '.*' }],
    parameters: [
      {
        vhost: user,
        component: 'vhost-limits',
        name: 'limits',
        value: { 'max-connections': plan.connections ?? -1 },
      },
    ],
  });
}

/** Its greeting is a frame of type 1 (AMQP 0-9-1, sections 2.2.4 and 2.3.5): it listens when all queues are back. */
const HEALTH = `LC_ALL=C
exec 3<> /dev/tcp/127.0.0.1/${PORT} || exit 1
printf 'AMQP\\0\\0\\x09\\x01' >&3
IFS= read -r -t 5 -N 1 -u 3 type && [ "$type" = $'\\x01' ]
`;

/** Asked of the node itself, which takes milliseconds, unlike rabbitmqctl. A queue that does not answer has no count. */
const METRICS = `erl_call -n ${NODE} -e << 'EOF' | sed -n 's/^{ok, "\\(.*\\)"}$/\\1/p' | tr ' ' '\\n'
Queues = lists:append([rabbit_amqqueue:info_all(Host, [messages_ready, messages_unacknowledged])
  || Host <- rabbit_vhost:list_names()]),
Sum = fun (Key) -> lists:sum([Count || Queue <- Queues, {Name, Count} <- Queue, Name =:= Key, is_integer(Count)]) end,
lists:flatten(io_lib:format(
  "sample#active-connections=~b sample#queues=~b sample#messages-ready=~b sample#messages-unacknowledged=~b sample#memory=~bbytes",
  [length(rabbit_networking:connections()), length(Queues), Sum(messages_ready), Sum(messages_unacknowledged),
   vm_memory_monitor:get_process_memory()])).
EOF
`;
