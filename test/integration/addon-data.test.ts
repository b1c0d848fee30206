import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, execute, TestPlatform } from '../support/platform';

jest.setTimeout(600_000);

const platform = new TestPlatform();

async function containerOf(addon: string): Promise<string> {
  const { stdout } = await execute('docker', [
    'ps', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', `label=dynodock.add-on-name=${addon}`,
  ]); // prettier-ignore
  return stdout.trim();
}

async function create(plan: string, name: string): Promise<void> {
  await platform.api('POST', '/apps/shop/addons', { plan, name });
  await eventually(`${name} to be usable`, async () => {
    const { body } = await platform.api('GET', `/addons/${name}`);
    return (body as { state: string }).state === 'provisioned';
  });
}

async function configVar(name: string): Promise<string> {
  const { body } = await platform.api('GET', '/apps/shop/config-vars');
  return (body as Record<string, string>)[name] ?? '';
}

/** Runs a script in an add-on's container, whose URL of another add-on is in $URL; by the same address as any dyno. */
function inContainer(container: string, url: string, script: string): ChildProcess {
  return spawn('docker', ['exec', '--env', 'URL', container, 'bash', '-c', script], {
    env: { ...process.env, URL: url },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

async function answerOf(container: string, url: string, script: string): Promise<string> {
  const child = inContainer(container, url, script);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(child, 'close');
  return text.trim();
}

/** Numbers that a writer says the server has acknowledged. */
function follow(writer: ChildProcess): Set<number> {
  const acknowledged = new Set<number>();
  let rest = '';
  writer.stdout?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) acknowledged.add(Number(line));
  });
  return acknowledged;
}

beforeAll(async () => {
  await platform.start();
  const images = await platform.dynodock(['images', '--addons', 'postgres', 'redis'], {}, 600_000);
  expect(images).toMatchObject({ exitCode: 0 });
  await platform.api('POST', '/apps', { name: 'shop' });
});
afterAll(() => platform.destroy());

/** Writes on while the server and the daemon are killed; `read` then lists what is there. */
async function expectNothingLost(options: {
  addon: string;
  client: string;
  url: string;
  write: string;
  read: string;
}): Promise<void> {
  const { addon, client, url, write, read } = options;
  const writer = inContainer(client, url, write);
  const acknowledged = follow(writer);
  for (let kill = 1; kill <= 3; kill += 1) {
    const before = acknowledged.size;
    await eventually('some writes', () => acknowledged.size > before + 20, 60_000);
    await execute('docker', ['kill', '--signal', 'KILL', await containerOf(addon)]);
    if (kill === 2) await platform.restartDaemon('SIGKILL');
    const after = acknowledged.size;
    await eventually('writes to go on', () => acknowledged.size > after, 60_000);
  }
  writer.kill('SIGKILL');
  await once(writer, 'close');
  const found = new Set((await answerOf(client, url, read)).split(/\s+/).map(Number));
  const lost = [...acknowledged].filter((number) => !found.has(number));
  expect(lost).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(60);
}

test('Postgres loses no committed row when it and the daemon are killed', async () => {
  await create('heroku-postgresql:essential-0', 'main-db');
  await create('heroku-postgresql:essential-0', 'client-db');
  const url = await configVar('DATABASE_URL');
  const client = await containerOf('client-db');
  await answerOf(client, url, 'psql "$URL" -qc "CREATE TABLE t (n int)"');
  await expectNothingLost({
    addon: 'main-db',
    client,
    url,
    // For a bounded number of times: the writer ends even if nobody ends it.
    write:
      'for i in $(seq 3000); do psql "$URL" -qc "INSERT INTO t VALUES ($i)" 2> /dev/null && echo $i; done',
    read: 'psql "$URL" -Atc "SELECT n FROM t"',
  });
});

test('Redis loses no acknowledged write when it and the daemon are killed', async () => {
  await create('heroku-redis:mini', 'main-redis');
  await create('heroku-redis:mini', 'client-redis');
  // Debian's redis-cli takes no user name for an empty one.
  const url = (await configVar('REDIS_URL')).replace('redis://:', 'redis://default:');
  await expectNothingLost({
    addon: 'main-redis',
    client: await containerOf('client-redis'),
    url,
    write:
      'for i in $(seq 3000); do [ "$(redis-cli --no-auth-warning -u "$URL" sadd s $i 2> /dev/null)" = 1 ] && echo $i; done',
    read: 'redis-cli --no-auth-warning -u "$URL" smembers s',
  });
});

test('a rotation of the password in which the daemon is killed leaves the URL of the config var good', async () => {
  const client = await containerOf('client-db');
  for (const afterMs of [0, 30, 80, 200]) {
    const rotation = platform
      .api('POST', '/postgres/v0/databases/main-db/credentials/default/credentials_rotation', {})
      // Nobody is left to answer.
      .catch(() => undefined);
    await delay(afterMs);
    await platform.restartDaemon('SIGKILL');
    await rotation;
    await eventually('the URL to be good', async () => {
      const url = await configVar('DATABASE_URL');
      return (await answerOf(client, url, 'psql "$URL" -Atc "SELECT 1"')) === '1';
    });
  }
});

test('the password of the superuser’s socket leads nowhere from outside, and plain text is optional', async () => {
  const url = await configVar('DATABASE_URL');
  const client = await containerOf('client-db');
  const asSuperuser = url.replace(/\/\/[^:]+:/, '//postgres:');
  expect(await answerOf(client, asSuperuser, 'psql "$URL" -Atc "SELECT 1" 2>&1')).toContain(
    'rejects connection',
  );
  expect(
    await answerOf(
      client,
      `${url}?sslmode=require`,
      'psql "$URL" -Atc "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"',
    ),
  ).toBe('t');
  const settings = await answerOf(
    client,
    url,
    'psql "$URL" -Atc "SELECT current_setting(\'fsync\') || current_setting(\'synchronous_commit\'), rolsuper FROM pg_roles WHERE rolname = current_user"',
  );
  expect(settings).toBe('onon|f');
});
