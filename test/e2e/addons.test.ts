import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { eventually, execute, TestPlatform, words, type CommandResult } from '../support/platform';

jest.setTimeout(600_000);

const platform = new TestPlatform();

function heroku(args: string[], app = 'shop'): Promise<CommandResult> {
  const [command = '', ...rest] = args;
  // What stands behind a `--` is the add-on's.
  return platform.heroku([command, '--app', app, ...rest], { timeoutMs: 180_000 });
}
async function output(args: string[], app = 'shop'): Promise<string> {
  const result = await heroku(args, app);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}
async function failure(args: string[], app = 'shop'): Promise<string> {
  const result = await heroku(args, app);
  expect(result.exitCode).toBeGreaterThan(0);
  return words(result);
}
async function configVar(name: string, app = 'shop'): Promise<string> {
  return (await heroku(['config:get', name], app)).stdout.trim();
}
async function descriptions(app = 'shop'): Promise<string[]> {
  const { body } = await platform.api('GET', `/apps/${app}/releases`);
  return (body as { description: string }[]).map(({ description }) => description);
}

beforeAll(async () => {
  await platform.start();
  // Once for all tests: a first use takes as long as Debian's mirrors do.
  const images = await platform.dynodock(['images', '--addons', 'postgres', 'redis'], {}, 600_000);
  expect(images).toMatchObject({ exitCode: 0 });
  for (const app of ['shop', 'admin']) {
    expect(await platform.heroku(['create', app], { cwd: platform.home })).toMatchObject({ exitCode: 0 });
  }
});
afterAll(() => platform.destroy());

test('what there is to choose from is shown', async () => {
  const services = words(await platform.heroku(['addons:services']));
  expect(services).toMatch(/heroku-postgresql Heroku Postgres ga .*heroku-redis Heroku Key-Value Store ga/);
  const plans = words(await platform.heroku(['addons:plans', 'heroku-postgresql']));
  expect(plans).toContain('heroku-postgresql:essential-0');
  expect(plans).toMatch(/default heroku-postgresql:standard-0/);
});

test('wrong services, plans, options and names are refused in Heroku’s words', async () => {
  expect(await failure(['addons:create', 'nope'])).toContain(
    'Couldn\'t find either the add-on service or the add-on plan of "nope". Error ID: invalid_params',
  );
  // The CLI adds the plans that there are.
  expect(await failure(['addons:create', 'heroku-redis:nope'])).toMatch(
    /Couldn't find either the add-on service or the add-on plan of "heroku-redis:nope"\./,
  );
  expect(await failure(['addons:attach', 'nope'])).toContain(
    "Couldn't find that add-on. Error ID: not_found",
  );
  expect(await failure(['addons:create', 'heroku-redis', '--', '--colour=red'])).toContain(
    'does not know the option "colour"',
  );
  expect(await failure(['addons:create', 'heroku-redis', '--name', '-x'])).toContain('Error');
  expect(await output(['addons'])).toBe('No add-ons for app shop.');
});

test('a database and a Redis are created, shown and used from a dyno', async () => {
  const created = await output([
    'addons:create',
    'heroku-postgresql:standard-0',
    '--name',
    'shop-db',
    '--wait',
  ]);
  expect(created).toMatch(/Created shop-db as DATABASE_URL, HEROKU_POSTGRESQL_[A-Z]+_URL/);
  expect(await output(['addons:create', 'heroku-redis', '--as', 'cache', '--name', 'shop-redis'])).toMatch(
    /Created shop-redis as CACHE_TLS_URL, CACHE_URL/,
  );
  expect(await failure(['addons:create', 'heroku-redis', '--name', 'shop-redis'])).toContain(
    'Name shop-redis is already taken',
  );
  expect(await output(['addons:attach', 'shop-redis'])).toContain('Setting REDIS config vars');
  const list = await output(['addons']);
  expect(list).toMatch(/heroku-postgresql \(shop-db\) .*as DATABASE/);
  const info = await output(['addons:info', 'shop-db']);
  expect(info).toMatch(/Plan: heroku-postgresql:standard-0 .*Owning app: shop .*State: created/);
  expect((await descriptions()).slice(-3)).toEqual([
    'Attach DATABASE (@ref:shop-db)',
    'Attach CACHE (@ref:shop-redis)',
    'Attach REDIS (@ref:shop-redis)',
  ]);

  const folder = await platform.repository('examples/postgres-redis');
  expect(await platform.push(folder, 'shop')).toMatchObject({ exitCode: 0 });
  const counts = await eventually('the app to count', async () => {
    const { status, body } = await platform.visit('shop');
    return status === 200 && (JSON.parse(body) as { postgres: number; redis: number });
  });
  const next = JSON.parse((await platform.visit('shop')).body) as typeof counts;
  expect(next).toEqual({ postgres: counts.postgres + 1, redis: counts.redis + 1 });
});

test('the same URL leads there from this machine, and from nowhere else', async () => {
  const url = new URL(await configVar('REDIS_URL'));
  for (const port of [Number(url.port), Number(url.port) + 1]) {
    expect(await listenersOn(port)).toEqual([url.hostname]);
  }
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname, () => {
      socket.write(`AUTH ${url.password}\r\nPING\r\nQUIT\r\n`);
    });
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.once('end', () => resolve(text));
    socket.once('error', reject);
  });
  expect(answer).toBe('+OK\r\n+PONG\r\n+OK\r\n');
});

/** Addresses of this machine on which somebody listens; IPv6 ones as the kernel writes them. */
async function listenersOn(port: number): Promise<string[]> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  return tables
    .flatMap((table) => table.split('\n').map((line) => line.trim().split(/\s+/)))
    .filter(([, local = '', , state]) => state === '0A' && parseInt(local.split(':')[1] ?? '', 16) === port)
    .map(([, local = '']) => local.split(':')[0] ?? '')
    .map((hex) => (hex.length === 8 ? Buffer.from(hex, 'hex').reverse().join('.') : hex));
}

test('config vars of add-ons can not be set by hand', async () => {
  expect(await failure(['config:set', 'DATABASE_URL=x'])).toContain(
    'Cannot overwrite attachment values DATABASE_URL.',
  );
  expect(await failure(['config:unset', 'DATABASE_URL'])).toContain('Cannot overwrite attachment values');
});

test('another app shares the database, and gives it back', async () => {
  expect(await output(['addons:attach', 'shop-db', '--as', 'MAIN'], 'admin')).toContain(
    'Setting MAIN config vars',
  );
  expect(await configVar('MAIN_URL', 'admin')).toBe(await configVar('DATABASE_URL'));
  expect(await failure(['addons:attach', 'shop-db', '--as', 'MAIN'], 'admin')).toContain(
    'shop-db is already attached to admin as MAIN.',
  );
  expect(await failure(['addons:attach', 'shop-db', '--as', 'MAIN'], 'nope')).toContain(
    "Couldn't find that app. Error ID: not_found",
  );
  const rows = await platform.heroku(
    ['run', '--exit-code', '--no-tty', '--app', 'shop', '--', 'node', '-e', COUNT_ROWS],
    { timeoutMs: 120_000 },
  );
  expect(rows.stdout).toMatch(/rows=[1-9]\d*/);
  expect(await failure(['addons:destroy', 'shop-db', '--confirm', 'nope'])).toContain(
    'Confirmation nope did not match shop. Aborted.',
  );
  expect(await failure(['addons:destroy', 'shop-db', '--confirm', 'shop'])).toContain(
    'attached to other apps',
  );
  expect(await output(['addons:detach', 'MAIN'], 'admin')).toContain('Detaching MAIN');
  expect(await configVar('MAIN_URL', 'admin')).toBe('');
  expect((await descriptions('admin')).slice(-2)).toEqual([
    'Attach MAIN (@ref:shop-db)',
    'Detach MAIN (@ref:shop-db)',
  ]);
});

const COUNT_ROWS =
  "const { Client } = require('pg'); const c = new Client({ connectionString: process.env.DATABASE_URL, ssl: { rejectUnauthorized: false } });" +
  "c.connect().then(() => c.query('SELECT count(*) FROM visits')).then(({ rows }) => { console.log('rows=' + rows[0].count); return c.end(); })";

test('a plan is changed with all data, and a name', async () => {
  const before = JSON.parse((await platform.visit('shop')).body) as { postgres: number };
  expect(await output(['addons:upgrade', 'shop-db', 'heroku-postgresql:standard-2'])).toContain(
    'heroku-postgresql:standard-2',
  );
  expect(await failure(['addons:upgrade', 'shop-db', 'heroku-postgresql:nope'])).toContain(
    'Here are the available plans for heroku-postgresql',
  );
  const after = await eventually('the app to count again', async () => {
    const { status, body } = await platform.visit('shop');
    return status === 200 && (JSON.parse(body) as { postgres: number });
  });
  expect(after.postgres).toBeGreaterThan(before.postgres);
  // It takes no app.
  expect(words(await platform.heroku(['addons:rename', 'shop-db', 'main-db']))).toContain('main-db');
});

test('what has a name gives way only when that is confirmed', async () => {
  const result = await platform.heroku(
    ['addons:create', 'heroku-redis', '--as', 'CACHE', '--app', 'shop', '--confirm', 'nope'],
    { timeoutMs: 60_000 },
  );
  expect(result.exitCode).toBeGreaterThan(0);
  expect(words(result)).toContain('Confirmation nope did not match shop. Aborted.');
  expect(
    words(await heroku(['addons:create', 'heroku-redis', '--as', 'CACHE', '--confirm', 'shop'])),
  ).toMatch(/Created redis-\S+ as CACHE_TLS_URL, CACHE_URL/);
  expect(await failure(['addons:detach', 'CACHE'])).toContain(
    'Cannot destroy last attachment to billing app for resource',
  );
});

test('killed, it comes back with everything that was committed', async () => {
  const before = JSON.parse((await platform.visit('shop')).body) as { postgres: number; redis: number };
  const { stdout } = await execute('docker', [
    'ps', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', 'label=dynodock.role=add-on',
  ]); // prettier-ignore
  for (const id of stdout.trim().split('\n')) await execute('docker', ['kill', '--signal', 'KILL', id]);
  await platform.restartDaemon('SIGKILL');
  const after = await eventually('the app to count again', async () => {
    const { status, body } = await platform.visit('shop');
    return status === 200 && (JSON.parse(body) as typeof before);
  });
  expect(after.postgres).toBeGreaterThan(before.postgres);
  expect(after.redis).toBeGreaterThan(before.redis);
});

test('what was destroyed can be had back with its data', async () => {
  const before = JSON.parse((await platform.visit('shop')).body) as { postgres: number };
  expect(await output(['addons:destroy', 'main-db', '--confirm', 'shop'])).toContain('Destroying main-db');
  expect(await configVar('DATABASE_URL')).toBe('');
  expect(words(await platform.dynodock(['addons:undelete']))).toMatch(
    /main-db heroku-postgresql:standard-2 shop/,
  );
  expect(words(await platform.dynodock(['addons:undelete', 'main-db']))).toMatch(
    /main-db is (back on shop as DATABASE_URL|being made usable again)/,
  );
  await output(['addons:wait', 'main-db']);
  const after = await eventually('the app to count again', async () => {
    const { status, body } = await platform.visit('shop');
    return status === 200 && (JSON.parse(body) as { postgres: number });
  });
  expect(after.postgres).toBeGreaterThan(before.postgres);
});

test('status shows them; going down with everything stops them, and they come up again', async () => {
  expect(words(await platform.dynodock(['status']))).toMatch(
    /main-db heroku-postgresql:standard-2 shop as DATABASE/,
  );
  const before = JSON.parse((await platform.visit('shop')).body) as { redis: number };
  expect(words(await platform.dynodock(['down', '--all']))).toMatch(/[1-9] add-ons stopped/);
  const { stdout } = await execute('docker', [
    'ps', '--all', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', 'label=dynodock.role=add-on',
  ]); // prettier-ignore
  expect(stdout.trim()).toBe('');
  platform.startDaemon();
  await platform.untilAnswering();
  const after = await eventually('the app to count again', async () => {
    const { status, body } = await platform.visit('shop');
    return status === 200 && (JSON.parse(body) as typeof before);
  });
  expect(after.redis).toBeGreaterThan(before.redis);
});

test('an app takes its add-ons along', async () => {
  expect(await platform.heroku(['apps:destroy', '--app', 'shop', '--confirm', 'shop'])).toMatchObject({
    exitCode: 0,
  });
  expect((await platform.api('GET', '/addons')).body).toEqual([]);
  expect(words(await platform.dynodock(['addons:undelete']))).toContain('main-db');
});
