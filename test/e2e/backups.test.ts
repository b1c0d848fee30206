import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { eventually, execute, TestPlatform, type CommandResult } from '../support/platform';

/** One installation; `demo` has the database that is backed up, `other` one that is copied into. */
let platform: TestPlatform;
beforeAll(async () => {
  platform = new TestPlatform();
  await platform.start();
  for (const app of ['demo', 'other']) {
    const created = await platform.api('POST', '/apps', { name: app });
    expect(created.status).toBe(201);
  }
  const [main, second] = await Promise.all([
    heroku('addons:create', 'heroku-postgresql', '--name', 'main-db', '-a', 'demo', '--wait'),
    heroku('addons:create', 'heroku-postgresql:essential-0', '--name', 'other-db', '-a', 'other', '--wait'),
  ]);
  good(main);
  good(second);
}, 300_000);
afterAll(() => platform.destroy(), 120_000);

const heroku = (...args: string[]): Promise<CommandResult> => platform.heroku(args, { timeoutMs: 120_000 });
const backups = (command: string, ...args: string[]): Promise<CommandResult> =>
  heroku(`pg:backups${command}`, ...args, '-a', 'demo');

/** Fails with all that the command said. */
function good({ exitCode, stdout, stderr }: CommandResult): string {
  if (exitCode !== 0) throw new Error(`status ${exitCode}\n${stdout}\n${stderr}`);
  return `${stdout}\n${stderr}`;
}

/** As the app would, with TLS. */
async function sql(app: string, statement: string, name = 'DATABASE_URL'): Promise<string> {
  const { body } = await platform.api('GET', `/apps/${app}/config-vars`);
  const { username, password, hostname, port, pathname } = new URL(
    (body as Record<string, string>)[name] ?? '',
  );
  return good(
    await execute('psql', ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-c', statement], {
      env: {
        PATH: process.env.PATH ?? '',
        PGSSLMODE: 'require',
        PGUSER: username,
        PGPASSWORD: password,
        PGHOST: hostname,
        PGPORT: port,
        PGDATABASE: pathname.slice(1),
      },
      timeoutMs: 60_000,
    }),
  ).trim();
}
const rows = (app: string, table = 'things'): Promise<string> =>
  sql(app, `SELECT count(*) || ' ' || sum(length(name)) FROM ${table}`);

interface Transfer {
  uuid: string;
  num: number;
  succeeded: boolean | null;
  started_at: string | null;
  processed_bytes: number;
  logs?: { message: string }[];
}
async function transfers(app = 'demo'): Promise<Transfer[]> {
  return (await platform.api('GET', `/client/v11/apps/${app}/transfers`)).body;
}
async function transfer(num: number | string): Promise<Transfer> {
  return (await platform.api('GET', `/client/v11/apps/demo/transfers/${num}?verbose=true`)).body;
}
/** Of all that is on the disk. */
const files = (): string[] => readdirSync(path.join(platform.data, 'backups'));

test('what was captured comes back, exactly', async () => {
  await sql(
    'demo',
    `CREATE EXTENSION hstore;
    CREATE TABLE things (id serial PRIMARY KEY, name text NOT NULL, more hstore);
    INSERT INTO things (name, more) SELECT md5(id::text), hstore('id', id::text) FROM generate_series(1, 5000) AS id;
    CREATE INDEX by_name ON things (name);
    CREATE VIEW long_things AS SELECT * FROM things WHERE length(name) > 3;
    SELECT lo_from_bytea(4711, 'a large object')`,
  );
  const before = await rows('demo');
  const captured = good(await backups(':capture', '--verbose'));
  expect(captured).toMatch(/Starting backup of .*main-db/);
  expect(captured).toMatch(/Backing up .*DATABASE.* to .*b001/);
  expect(captured).toContain('pg_dump: dumping contents of table "public.things"');
  expect(captured).toContain('Backup b001 has finished.');

  await sql('demo', 'DELETE FROM things WHERE id > 10; CREATE TABLE later (id int); DROP VIEW long_things');
  const restored = good(await backups(':restore', 'b001', 'DATABASE', '--confirm', 'demo', '--verbose'));
  expect(restored).toContain('pg_restore: processing data for table "public.things"');
  expect(await rows('demo')).toBe(before);
  expect(await sql('demo', "SELECT count(*) FROM long_things; SELECT to_regclass('later')")).toBe('5000');
  expect(await sql('demo', "SELECT convert_from(lo_get(4711), 'UTF8')")).toBe('a large object');
  expect(
    await sql('demo', "SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'things'"),
  ).toBe('t');
  // Nothing beside it is left.
  expect(await sql('demo', "SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_re%'")).toBe('0');

  const [list, info] = (await Promise.all([backups(''), backups(':info')])).map(good) as [string, string];
  expect(list).toMatch(/b001 .*Completed .* \+0000 .*KB .*DATABASE/);
  expect(list).toMatch(/r002 .*Completed/);
  expect(info).toMatch(/Status: +Completed/);
  expect(info).toMatch(/Type: +Manual/);
  expect(info).toMatch(/Original DB Size: +\d+\.\d\dMB/);
  expect(info).toMatch(/Backup Size: +\d+\.\d\d[KM]B \(\d+% compression\)/);
}, 240_000);

test('url and download give the dump, to whoever has the URL', async () => {
  const target = path.join(platform.dir, 'latest.dump');
  const [shown, downloaded] = await Promise.all([
    backups(':url'),
    backups(':download', 'b001', '--output', target),
  ]);
  good(downloaded);
  const url = good(shown).trim();
  expect(url).toMatch(
    /^https:\/\/localhost:\d+\/blobs\/backups\/[0-9a-f-]+\.dump\?expires=\d+&signature=[0-9a-f]{64}$/,
  );
  const listing = good(await execute('pg_restore', ['-l', target], { timeoutMs: 60_000 }));
  expect(listing).toContain('TABLE DATA public things');
  expect(statSync(target).size).toBe((await transfer(1)).processed_bytes);
  // By URL, into the database of another app, whose plan keeps a schema of its own.
  good(await heroku('pg:backups:restore', url, 'DATABASE', '-a', 'other', '--confirm', 'other'));
  expect(await rows('other')).toBe(await rows('demo'));
}, 240_000);

test('copies and forks bring all rows, and what fails leaves all as it was', async () => {
  await sql('other', 'DROP TABLE things CASCADE; CREATE TABLE own AS SELECT 1 AS id');
  const [copied, forked] = await Promise.all([
    heroku('pg:copy', 'demo::DATABASE', 'DATABASE', '-a', 'other', '--confirm', 'DATABASE'),
    heroku('addons:create', 'heroku-postgresql:standard-0', '-a', 'demo', '--name', 'fork-db', '--as', 'FORK', '--wait',
      '--', '--fork', 'DATABASE'), // prettier-ignore
  ]);
  good(copied);
  good(forked);
  expect(await rows('other')).toBe(await rows('demo'));
  expect(await sql('demo', 'SELECT count(*) FROM things', 'FORK_URL')).toBe('5000');
  expect(await sql('other', "SELECT count(*) FROM pg_tables WHERE tablename = 'own'")).toBe('0');
  expect(await transfers('other')).toEqual([
    expect.objectContaining({ num: 2, from_name: 'DATABASE', to_name: 'DATABASE', succeeded: true }),
    expect.objectContaining({ num: 1, to_type: 'pg_restore' }),
  ]);

  // A dump that breaks off.
  const file = path.join(platform.data, 'backups', `${(await transfer(1)).uuid}.dump`);
  await execute('truncate', ['--size=-20000', file], { timeoutMs: 10_000 });
  const broken = await backups(':restore', 'b001', 'DATABASE', '--confirm', 'demo');
  expect(broken.exitCode).not.toBe(0);
  expect(broken.stderr).toMatch(/the backup did not finish[^]*end of file/);
  expect((await rows('demo')).startsWith('5000 ')).toBe(true);
  expect(await sql('demo', "SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_re%'")).toBe('0');
}, 240_000);

test('schedules, and names that lead nowhere', async () => {
  const [scheduled, nowhere, unknown, strange] = await Promise.all([
    backups(':schedule', 'DATABASE', '--at', '02:00 America/Los_Angeles'),
    backups(':schedule', 'FORK', '--at', '02:00 Mars/Base'),
    backups(':info', 'b099'),
    backups(':restore', 'b099', 'DATABASE', '--confirm', 'demo'),
  ]);
  good(scheduled);
  expect(nowhere.stderr).toContain('not a time zone');
  expect(unknown.stderr).toContain("Couldn't find that backup.");
  expect(strange.stderr).toContain('not found for');
  const [listed, deleted] = await Promise.all([
    backups(':schedules'),
    backups(':delete', 'b001', '--confirm', 'demo'),
  ]);
  expect(good(listed)).toContain('DATABASE_URL: daily at 2:00 America/Los_Angeles');
  good(deleted);
  expect((await transfers()).map(({ num }) => num)).not.toContain(1);
  expect(files()).toEqual([]);
  good(await backups(':unschedule', 'DATABASE'));
  const left = await platform.api('GET', '/client/v11/databases/main-db/transfer-schedules');
  expect(left.body).toEqual([]);
}, 240_000);

test('a capture and a restore are canceled, and a killed daemon leaves none running', async () => {
  // Takes a dump some seconds, and a restore longer.
  await sql(
    'demo',
    'CREATE TABLE large AS SELECT id, md5(id::text) || md5((id + 1)::text) AS name FROM generate_series(1, 800000) AS id',
  );
  const database = '/client/v11/databases/main-db';
  const begin = async (target: string, body?: object, addon = 'main-db'): Promise<Transfer> => {
    const answer = await platform.api('POST', `/client/v11/databases/${addon}/${target}`, body);
    expect(answer.status).toBe(201);
    const begun = answer.body as Transfer;
    await eventually('it is at work', async () => (await transfer(begun.uuid)).processed_bytes > 0, 60_000);
    return begun;
  };
  // A dump waits for whoever has the table to itself, so that it runs for as long as this does.
  const holder = sql('demo', 'BEGIN; LOCK TABLE large; SELECT pg_sleep(300)').catch(() => undefined);
  await eventually('the lock', async () => {
    return (
      (await sql('demo', "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted")) !==
      '0'
    );
  });
  const first = (await platform.api('POST', `${database}/backups`)).body as Transfer;
  await eventually('it has begun', async () => (await transfer(first.uuid)).started_at !== null, 60_000);
  const second = (await platform.api('POST', `${database}/backups`)).body as Transfer;
  expect((await transfer(second.uuid)).started_at).toBeNull();
  expect(good(await backups(':cancel', `b${String(first.num).padStart(3, '0')}`))).toContain('Cancelling');
  expect(await transfer(first.uuid)).toMatchObject({ succeeded: false, canceled_at: expect.any(String) });
  await sql(
    'demo',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND query LIKE 'BEGIN; LOCK%'",
  );
  await holder;
  await eventually('the second ends', async () => (await transfer(second.uuid)).succeeded === true, 120_000);
  expect(files()).toEqual([`${second.uuid}.dump`]);

  const url = ((await transfer(second.uuid)) as unknown as { to_url: string }).to_url;
  const restore = await begin('restores', { backup_url: url });
  // What the CLI sends, but at once.
  const cancel = await platform.api('POST', `/client/v11/apps/demo/transfers/${restore.uuid}/actions/cancel`);
  expect(cancel.status).toBe(200);
  expect((await transfer(restore.uuid)).logs?.at(-1)?.message).toContain('was canceled');
  const count = await rows('demo', 'large');
  expect(count.startsWith('800000 ')).toBe(true);

  // Both at once, in different databases.
  const cut = await Promise.all([begin('backups'), begin('restores', { backup_url: url }, 'fork-db')]);
  await platform.restartDaemon('SIGKILL');
  for (const { uuid } of cut) {
    await eventually('it has ended', async () => (await transfer(uuid)).succeeded === false, 60_000);
    expect((await transfer(uuid)).logs?.at(-1)?.message).toBe('dynodock was stopped while it ran.');
  }
  expect(files()).toEqual([`${second.uuid}.dump`]);
  expect(await rows('demo', 'large')).toBe(count);
  expect(await sql('demo', 'SELECT count(*) FROM things', 'FORK_URL')).toBe('5000');
  expect(
    await sql(
      'demo',
      "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dynodock transfer%'",
    ),
  ).toBe('0');
}, 300_000);
