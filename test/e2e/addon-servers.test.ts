import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import path from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { mariadb } from '../../src/addons/mariadb';
import { memcached } from '../../src/addons/memcached';
import type { BackendCommand, ContainerProvider, ProviderCommands } from '../../src/addons/provider';
import { rabbitmq } from '../../src/addons/rabbitmq';
import type { AddOn } from '../../src/domain/addon';
import { Store } from '../../src/store/store';
import { eventually, execute, TestPlatform, words, type CommandResult } from '../support/platform';

jest.setTimeout(600_000);

/** One installation, one app that uses all three servers. */
const platform = new TestPlatform();
const NAMES = { 'jawsdb-maria': 'shop-db', memcachier: 'shop-cache', cloudamqp: 'shop-queue' };

interface Counts {
  visit: number;
  visits: number;
  cached: number;
  waiting: number;
  handled: number;
}

function heroku(args: string[]): Promise<CommandResult> {
  const [command = '', ...rest] = args;
  return platform.heroku([command, '--app', 'shop', ...rest], { timeoutMs: 180_000 });
}

async function failure(args: string[]): Promise<string> {
  const result = await heroku(args);
  expect(result.exitCode).toBeGreaterThan(0);
  return words(result);
}

async function containerOf(addon: string): Promise<string> {
  const { stdout } = await execute('docker', [
    'ps', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', `label=dynodock.add-on-name=${addon}`,
  ]); // prettier-ignore
  return stdout.trim();
}

/** What the page says; undefined while a server is away. */
async function visit(): Promise<Counts | undefined> {
  const { status, body } = await platform.visit('shop');
  return status === 200 ? (JSON.parse(body) as Counts) : undefined;
}

const visited = (): Promise<Counts> => eventually('the page to answer', visit, 120_000);

/** A provider's command for an add-on of the test, run in its container as the daemon does. */
async function run(
  provider: ContainerProvider,
  kind: keyof ProviderCommands,
  input?: Buffer,
): Promise<{ exitCode: number; output: Buffer; errors: string }> {
  const store = Store.open(path.join(platform.data, 'dynodock.sqlite'));
  let addon: AddOn | undefined;
  try {
    addon = store.addons.all().find(({ service }) => service === provider.service);
  } finally {
    store.close();
  }
  const plan = provider.plans.find(({ name }) => name === addon?.plan);
  if (addon === undefined || plan === undefined) throw new Error(`no add-on of ${provider.service}`);
  const command = provider.commands?.[kind]?.({ addon, plan });
  if (command === undefined) throw new Error(`${provider.service} has no command ${kind}`);
  return inContainer(addon.name, command, input);
}

async function inContainer(
  addon: string,
  { argv, user, env }: BackendCommand,
  input: Buffer = Buffer.alloc(0),
): Promise<{ exitCode: number; output: Buffer; errors: string }> {
  const options = [
    ...(user === undefined ? [] : ['--user', user]),
    ...Object.entries(env ?? {}).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
  ];
  const child = spawn('docker', ['exec', '--interactive', ...options, await containerOf(addon), ...argv]);
  // A command may end before it has read everything.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  const [output, errors] = await Promise.all([buffer(child.stdout), text(child.stderr)]);
  return { exitCode: await ended, output, errors };
}

/** The numbers that a query in MariaDB answers, a row each. */
async function numbers(query: string): Promise<number[]> {
  const url = new URL(await configVar('JAWSDB_MARIA_URL'));
  const argv = ['mariadb', '--socket=/tmp/mariadb.sock', '--skip-column-names', '--batch'];
  const { output } = await inContainer('shop-db', {
    argv: [...argv, `--execute=${query}`, url.pathname.slice(1)],
  });
  return output.toString().trim().split('\n').filter(Boolean).map(Number);
}

async function configVar(name: string): Promise<string> {
  const { body } = await platform.api('GET', '/apps/shop/config-vars');
  return (body as Record<string, string>)[name] ?? '';
}

beforeAll(async () => {
  await platform.start();
  // A first use takes as long as Debian's mirrors do.
  const images = await platform.dynodock(
    ['images', '--addons', 'mariadb', 'memcached', 'rabbitmq'],
    {},
    600_000,
  );
  expect(images).toMatchObject({ exitCode: 0 });
  await platform.api('POST', '/apps', { name: 'shop' });
});
afterAll(() => platform.destroy());

test('wrong plans and options are refused in Heroku’s words', async () => {
  const [plan, option] = await Promise.all([
    failure(['addons:create', 'jawsdb-maria:nope']),
    failure(['addons:create', 'cloudamqp', '--', '--nodes=3']),
  ]);
  expect(plan).toContain(
    'Couldn\'t find either the add-on service or the add-on plan of "jawsdb-maria:nope".',
  );
  expect(option).toContain('does not know the option "nodes"');
});

test('an app uses all three with the usual clients', async () => {
  const folder = await platform.repository('examples/mariadb-memcached-rabbitmq');
  // The last config var's release starts what was pushed meanwhile.
  const [pushed, ...created] = await Promise.all([
    platform.push(folder, 'shop'),
    ...Object.entries(NAMES).map(([service, name]) =>
      heroku(['addons:create', service, '--name', name, '--wait']),
    ),
  ]);
  expect(pushed).toMatchObject({ exitCode: 0 });
  expect(created.map(words)).toEqual([
    expect.stringMatching(/Created shop-db as JAWSDB_MARIA_URL/),
    expect.stringMatching(
      /Created shop-cache as MEMCACHIER_PASSWORD, MEMCACHIER_SERVERS, MEMCACHIER_USERNAME/,
    ),
    expect.stringMatching(/Created shop-queue as CLOUDAMQP_URL/),
  ]);
  expect(await configVar('JAWSDB_MARIA_URL')).toMatch(/^mysql:\/\/u\w+:p\w+@[\d.]+:\d+\/d\w+$/);
  expect(await configVar('CLOUDAMQP_URL')).toMatch(/^amqp:\/\/(\w+):p\w+@[\d.]+:\d+\/\1$/);

  const first = await visited();
  expect(await visited()).toEqual({
    visit: first.visit + 1,
    visits: first.visits + 1,
    cached: first.cached + 1,
    waiting: first.waiting + 1,
    handled: 0,
  });
});

test('MariaDB offers TLS and bounds its user; memcached serves nobody who does not say who he is', async () => {
  const { hostname, port, username, password, pathname } = new URL(await configVar('JAWSDB_MARIA_URL'));
  const { output, errors } = await inContainer('shop-db', {
    argv: [
      'mariadb', '--ssl', `--host=${hostname}`, `--port=${port}`, `--user=${username}`, '--skip-column-names',
      "--execute=SHOW STATUS LIKE 'Ssl_version'; SELECT @@max_user_connections; SHOW DATABASES",
    ],
    env: { MYSQL_PWD: password },
  }); // prettier-ignore
  expect({ output: output.toString().trim().split(/\s+/), errors }).toEqual({
    output: ['Ssl_version', 'TLSv1.3', '10', pathname.slice(1), 'information_schema'],
    errors: '',
  });

  const server = (await configVar('MEMCACHIER_SERVERS')).split(':');
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect(Number(server[1]), server[0] ?? '', () => socket.write(GET_VISITS));
    socket.once('data', (chunk: Buffer) => {
      resolve(chunk);
      socket.destroy();
    });
    socket.once('error', reject);
  });
  // "Authentication error" (memcached, "Binary Protocol").
  expect(answer.readUInt16BE(6)).toBe(0x20);
});

/** GET of the binary protocol. */
const GET_VISITS = Buffer.concat([
  Buffer.from([0x80, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
  Buffer.from('visits'),
]);

test('killed, they lose no committed row and no confirmed message', async () => {
  const acknowledged = new Set<number>();
  let stopped = false;
  const visitors = Array.from({ length: 3 }, async () => {
    while (!stopped) {
      const counts = await visit().catch(() => undefined);
      if (counts !== undefined) acknowledged.add(counts.visit);
    }
  });
  try {
    for (const round of [1, 2]) {
      const before = acknowledged.size;
      await eventually('some visits', () => acknowledged.size > before + 30, 60_000);
      const containers = await Promise.all(Object.values(NAMES).map(containerOf));
      await execute('docker', ['kill', '--signal', 'KILL', ...containers]);
      if (round === 2) await platform.restartDaemon('SIGKILL');
      const after = acknowledged.size;
      await eventually('visits to go on', () => acknowledged.size > after, 120_000);
    }
  } finally {
    stopped = true;
    await Promise.all(visitors);
  }
  expect(acknowledged.size).toBeGreaterThan(60);
  const rows = new Set(await numbers('SELECT id FROM visits'));
  expect([...acknowledged].filter((id) => !rows.has(id))).toEqual([]);

  await platform.api('PATCH', '/apps/shop/formation/worker', { quantity: 1 });
  const unhandled = async (): Promise<number[]> =>
    (await numbers('SELECT id FROM visits WHERE handled_at IS NULL')).filter((id) => acknowledged.has(id));
  await eventually('every message to be handled', async () => (await unhandled()).length === 0, 60_000);
  await platform.api('PATCH', '/apps/shop/formation/worker', { quantity: 0 });
});

test('a dump of MariaDB brings everything back, and half a dump changes nothing', async () => {
  const before = await numbers('SELECT id FROM visits ORDER BY id');
  const dump = await run(mariadb, 'backup');
  expect(dump).toMatchObject({ exitCode: 0, errors: '' });
  await numbers('DELETE FROM visits; CREATE TABLE later (id INT)');
  const half = await run(mariadb, 'restore', dump.output.subarray(0, dump.output.length / 2));
  expect(half).toMatchObject({ exitCode: 1, errors: expect.stringContaining('not whole') as string });
  expect(await numbers('SELECT COUNT(*) FROM visits')).toEqual([0]);
  expect(await run(mariadb, 'restore', dump.output)).toMatchObject({ exitCode: 0, errors: '' });
  expect(await numbers('SELECT id FROM visits ORDER BY id')).toEqual(before);
  expect(await numbers("SELECT COUNT(*) FROM information_schema.tables WHERE table_name = 'later'")).toEqual([
    0,
  ]);
  expect((await visited()).visits).toBeGreaterThanOrEqual(before.length);
});

test('each has its samples', async () => {
  const samples = await Promise.all(
    [mariadb, memcached, rabbitmq].map(async (provider) => {
      const { exitCode, output, errors } = await run(provider, 'metrics');
      expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' });
      return output.toString().trim().split('\n');
    }),
  );
  for (const line of samples.flat()) expect(line).toMatch(/^sample#[a-z_-]+=[\d.]+(bytes)?$/);
  expect(samples[0]).toContain('sample#tables=1');
  expect(samples[1]?.join(' ')).toMatch(/sample#items=1 .*sample#memory-limit=26214400bytes/);
  // The last visit's message, with no worker any more.
  expect(samples[2]).toEqual(expect.arrayContaining(['sample#queues=1', 'sample#messages-ready=1']));
});
