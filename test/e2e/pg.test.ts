import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, execute, TestPlatform, type CommandResult } from '../support/platform';

/** One installation, two apps, one database that both use, and another one to promote and to pull into. */
let platform: TestPlatform;
beforeAll(async () => {
  platform = new TestPlatform();
  await platform.start();
  await platform.heroku(['apps:create', 'demo']);
  await platform.heroku(['apps:create', 'other']);
  const main = await platform.heroku(
    ['addons:create', 'heroku-postgresql', '--name', 'main-db', '-a', 'demo', '--wait'],
    {
      timeoutMs: 180_000,
    },
  );
  expect(main).toMatchObject({ exitCode: 0 });
  expect(await heroku('addons:attach', 'main-db', '-a', 'other')).toMatchObject({ exitCode: 0 });
}, 300_000);
afterAll(() => platform.destroy(), 120_000);

const heroku = (...args: string[]): Promise<CommandResult> => platform.heroku(args, { timeoutMs: 120_000 });
const pg = (command: string, ...args: string[]): Promise<CommandResult> =>
  heroku(`pg:${command}`, ...args, '-a', 'demo');
const sql = (statement: string, ...args: string[]): Promise<CommandResult> =>
  pg('psql', '-c', statement, ...args);

/** Fails with all that the command said. */
function good({ exitCode, stdout, stderr }: CommandResult): string {
  if (exitCode !== 0) throw new Error(`status ${exitCode}\n${stdout}\n${stderr}`);
  return stdout;
}
async function url(app: string, name = 'DATABASE_URL'): Promise<string> {
  return good(await heroku('config:get', name, '-a', app)).trim();
}
async function lastRelease(app: string): Promise<string> {
  const { body } = await platform.api('GET', `/apps/${app}/releases`);
  return (body as { description: string }[]).at(-1)?.description ?? '';
}
/** As an app would connect, with TLS. */
const connect = (to: string, statement: string): Promise<CommandResult> =>
  execute('psql', ['-X', '-A', '-t', '-c', statement], {
    env: { PATH: process.env.PATH ?? '', PGSSLMODE: 'require', ...fromUrl(to) },
    timeoutMs: 60_000,
  });
function fromUrl(text: string): Record<string, string> {
  const { username, password, hostname, port, pathname } = new URL(text);
  return {
    PGUSER: username,
    PGPASSWORD: password,
    PGHOST: hostname,
    PGPORT: port,
    PGDATABASE: pathname.slice(1),
  };
}

describe('heroku pg:*', () => {
  test('psql runs statements and files over TLS', async () => {
    expect(
      good(
        await sql(
          'CREATE TABLE things AS SELECT id, md5(id::text) AS name FROM generate_series(1, 500) AS id',
        ),
      ),
    ).toContain('SELECT 500');
    expect(good(await sql('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'))).toMatch(/^ t$/m);
    const file = path.join(platform.dir, 'count.sql');
    writeFileSync(file, 'SELECT count(*) FROM things;\n');
    expect(good(await pg('psql', '-f', file))).toContain('500');
    // Both apps see the same.
    expect(good(await heroku('pg:psql', '-c', 'SELECT count(*) FROM things', '-a', 'other'))).toContain(
      '500',
    );
    const wrong = await sql('SELECT nonsense');
    expect(wrong.exitCode).not.toBe(0);
    expect(wrong.stderr).toContain('column "nonsense" does not exist');
    const unknown = await pg('psql', 'NOPE', '-c', 'SELECT 1');
    expect(unknown.exitCode).not.toBe(0);
    expect(unknown.stderr).toContain('Unknown database: NOPE');
  }, 240_000);

  test('info, wait and wrong names', async () => {
    const info = good(await pg('info'));
    expect(info).toMatch(/DATABASE_URL/);
    expect(info).toMatch(/Plan: +Standard 0/);
    expect(info).toMatch(/Status: +Available/);
    expect(info).toMatch(/PG Version: +15\.\d+/);
    expect(info).toMatch(/Connections: +\d+\/120/);
    expect(info).toMatch(/Data Size: +\d+\.\d MB/);
    expect(info).toMatch(/Tables: +1/);
    expect(info).toMatch(/Add-on: +main-db/);
    expect(good(await heroku('pg:info', 'DATABASE', '-a', 'other'))).toMatch(/Billing App: +.*demo/);
    expect(good(await pg('wait'))).toBe('');
    const none = await pg('info', 'HEROKU_POSTGRESQL_NOPE');
    expect(none.exitCode).not.toBe(0);
  }, 180_000);

  test.each([
    [['ps'], /pid|state/],
    [['locks'], /pid|relname/],
    [['blocking'], /blocked_pid/],
    [['outliers'], /total_exec_time/],
    [['outliers', '--reset'], /^$/],
    [['outliers', '-n', '3', '--truncate'], /total_exec_time/],
    [['calls'], /ncalls/],
    [['bloat'], /bloat|waste/],
    [['cache-hit'], /index hit rate/],
    [['index-size'], /size/],
    [['index-usage'], /things/],
    [['unused-indexes'], /index/],
    [['seq-scans'], /things/],
    [['records-rank'], /things/],
    [['table-size'], /things/],
    [['table-indexes-size'], /things/],
    [['total-index-size'], /size/],
    [['total-table-size'], /things/],
    [['vacuum-stats'], /things/],
    [['extensions'], /pg_stat_statements/],
    [['user-connections'], /credential/],
    [['long-running-queries'], /pid/],
    [['mandelbrot'], /\*|@|-/],
  ])(
    '%j',
    async ([command = '', ...args], expected) => {
      expect(good(await pg(command, ...args))).toMatch(expected);
    },
    120_000,
  );

  test('kill and killall end sessions', async () => {
    const at = await url('demo');
    const sleepers = (): Promise<string> =>
      connect(at, "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(300)'").then(
        ({ stdout }) => stdout.trim(),
      );
    const first = connect(at, 'SELECT pg_sleep(300)');
    await eventually('the first sleeps', async () => (await sleepers()) !== '', 60_000);
    expect(good(await pg('kill', await sleepers()))).toMatch(/^ t$/m);
    expect((await first).stderr).toContain('canceling statement due to user request');
    const second = connect(at, 'SELECT pg_sleep(300)');
    await eventually('the second sleeps', async () => (await sleepers()) !== '', 60_000);
    expect(good(await pg('kill', '--force', await sleepers()))).toMatch(/^ t$/m);
    expect((await second).exitCode).not.toBe(0);
    const third = connect(at, 'SELECT pg_sleep(300)');
    await eventually('the third sleeps', async () => (await sleepers()) !== '', 60_000);
    good(await pg('killall'));
    expect((await third).exitCode).not.toBe(0);
  }, 240_000);

  test('settings are changed in the server and survive its restart', async () => {
    const all = good(await pg('settings'));
    expect(all).toMatch(/log-statement: +ddl/);
    expect(all).toMatch(/auto-explain: +false/);
    expect(good(await pg('settings:log-statement', 'main-db', 'mod'))).toMatch(
      /log-statement has been set to mod for main-db\.\nAll data definition and data modifying/,
    );
    expect(good(await pg('settings:log-min-duration-statement', 'main-db', '500'))).toContain(
      'at least 500 milliseconds',
    );
    expect(good(await pg('settings:log-connections', 'main-db', 'off'))).toContain('no log message');
    expect(good(await pg('settings:log-lock-waits', 'main-db', 'off'))).toContain('no log message');
    expect(good(await pg('settings:log-min-error-statement', 'main-db', 'panic'))).toContain('panic');
    expect(good(await pg('settings:track-functions', 'main-db', 'pl'))).toContain('procedural');
    expect(good(await pg('settings:auto-explain', 'main-db', 'on'))).toContain('will be logged');
    expect(good(await pg('settings:auto-explain:log-format', 'main-db', 'json'))).toContain('json');
    expect(good(await pg('settings:auto-explain:log-min-duration', 'main-db', '250'))).toContain('250');
    expect(good(await sql('SHOW log_statement'))).toContain('mod');
    const refused = await pg('settings:data-connector-details-logs', 'main-db', 'on');
    expect(refused).toMatchObject({
      stderr: expect.stringContaining('does not support data_connector_details_logs'),
    });
    expect((await pg('settings:log-statement', 'main-db', 'nonsense')).exitCode).not.toBe(0);
    const before = good(await sql('SELECT pg_postmaster_start_time()'));
    const { stdout: name } = await execute(
      'docker',
      [
        'ps',
        '--filter',
        `label=dynodock.installation=${platform.installationId ?? 'none'}`,
        '--filter',
        'label=dynodock.add-on-name=main-db',
        '--format',
        '{{.ID}}',
      ],
      { timeoutMs: 30_000 },
    );
    expect(name.trim()).not.toBe('');
    await execute('docker', ['kill', name.trim().split('\n')[0] ?? ''], { timeoutMs: 60_000 });
    await eventually(
      'it serves again',
      async () => {
        const result = await sql('SELECT pg_postmaster_start_time()');
        return result.exitCode === 0 && result.stdout !== before;
      },
      120_000,
    );
    expect(good(await pg('settings'))).toMatch(/log-min-duration-statement: +500/);
    expect(good(await sql('SELECT count(*) FROM things'))).toContain('500');
  }, 400_000);

  test('stats-reset and diagnose', async () => {
    expect(good(await pg('stats-reset'))).toContain('Statistics have been reset.');
    const report = good(await pg('diagnose'));
    const id = /Report ([0-9a-f-]{36}) for demo::DATABASE_URL/.exec(report)?.[1] ?? '';
    for (const name of [
      'Connection Count',
      'Long Queries',
      'Idle in Transaction',
      'Indexes',
      'Bloat',
      'Hit Rate',
      'Blocking Queries',
      'Sequences',
    ]) {
      expect(report).toContain(`GREEN: ${name}`);
    }
    expect(good(await pg('diagnose', id, '--json'))).toContain('"checks"');
    expect((await pg('diagnose', '11111111-2222-4333-8444-555555555555')).stderr).toContain(
      "Couldn't find that report.",
    );
  }, 180_000);

  test('a rotation is seen by both apps, and ends what knew the old password', async () => {
    const before = await url('demo');
    expect(await url('other')).toBe(before);
    const session = connect(before, 'SELECT pg_sleep(300)');
    good(await pg('credentials:rotate', 'DATABASE', '--confirm', 'demo'));
    const after = await url('demo');
    expect(after).not.toBe(before);
    expect(new URL(after).username).toBe(new URL(before).username);
    expect(await url('other')).toBe(after);
    for (const app of ['demo', 'other']) expect(await lastRelease(app)).toMatch(/^Update DATABASE/);
    expect((await session).exitCode).not.toBe(0);
    expect((await connect(before, 'SELECT 1')).stderr).toContain('password authentication failed');
    expect((await connect(after, 'SELECT count(*) FROM things')).stdout).toBe('500\n');
  }, 240_000);

  test('credentials: made, granted, attached, rotated, promoted, destroyed', async () => {
    expect(good(await pg('credentials:create', 'DATABASE', '--name', 'reader'))).toContain(
      'attach the credential',
    );
    expect((await pg('credentials:create', 'DATABASE', '--name', 'reader')).stderr).toContain(
      'exists already',
    );
    expect((await pg('credentials:create', 'DATABASE', '--name', 'Wrong Name')).stderr).toContain(
      'is invalid',
    );
    expect(good(await pg('credentials'))).toMatch(/default.*reader/s);
    expect((await pg('psql', 'DATABASE', '--credential', 'reader', '-c', 'SELECT 1')).stderr).toContain(
      "Credential doesn't match",
    );
    expect(
      (await heroku('addons:attach', 'main-db', '--credential', 'nope', '-a', 'other')).exitCode,
    ).not.toBe(0);
    good(await heroku('addons:attach', 'main-db', '--credential', 'reader', '--as', 'READER', '-a', 'other'));
    const reader = await url('other', 'READER_URL');
    expect(new URL(reader).username).toBe('reader');
    // Nothing but what it is granted.
    expect((await connect(reader, 'SELECT count(*) FROM things')).stderr).toContain('permission denied');
    good(await sql('GRANT SELECT ON things TO reader'));
    expect((await connect(reader, 'SELECT count(*) FROM things')).stdout).toBe('500\n');
    expect((await connect(reader, 'DELETE FROM things')).stderr).toContain('permission denied');
    expect(good(await pg('credentials:url', 'DATABASE', '--name', 'reader'))).toContain(reader);
    good(await pg('credentials:rotate', 'DATABASE', '--name', 'reader', '--force', '--confirm', 'demo'));
    const rotated = await url('other', 'READER_URL');
    expect(rotated).not.toBe(reader);
    expect((await connect(reader, 'SELECT 1')).stderr).toContain('password authentication failed');
    expect((await connect(rotated, 'SELECT count(*) FROM things')).stdout).toBe('500\n');
    // What it owns can be taken back by default.
    good(await sql('CREATE SCHEMA theirs AUTHORIZATION reader'));
    expect((await connect(rotated, 'CREATE TABLE theirs.own (id int)')).exitCode).toBe(0);
    good(await pg('credentials:repair-default', 'DATABASE', '--confirm', 'demo'));
    expect(
      (
        await connect(
          await url('demo'),
          "SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'own'",
        )
      ).stdout,
    ).toBe('t\n');
    good(await pg('credentials:rotate', 'DATABASE', '--all', '--confirm', 'demo'));
    expect(await url('other', 'READER_URL')).not.toBe(rotated);
    const promoted = await heroku('pg:promote', 'READER', '-a', 'other');
    expect(good(promoted)).toBe('');
    expect(new URL(await url('other')).username).toBe('reader');
    expect(
      (await pg('credentials:destroy', 'DATABASE', '--name', 'reader', '--confirm', 'demo')).stderr,
    ).toContain('must be detached from the app');
    expect((await platform.api('DELETE', '/postgres/v0/databases/main-db/credentials/reader')).status).toBe(
      422,
    );
    expect(
      (await pg('credentials:destroy', 'DATABASE', '--name', 'default', '--confirm', 'demo')).stderr,
    ).toContain('cannot be destroyed');
    good(await heroku('addons:detach', 'READER', '-a', 'other'));
    good(await heroku('addons:detach', 'DATABASE', '-a', 'other'));
    expect(
      good(await pg('credentials:destroy', 'DATABASE', '--name', 'reader', '--confirm', 'demo')),
    ).toContain('has been destroyed');
    expect(good(await pg('credentials'))).not.toContain('reader');
    expect(good(await sql("SELECT count(*) FROM pg_roles WHERE rolname = 'reader'"))).toMatch(/^ +0$/m);
  }, 600_000);

  test('pull, reset, push and promote between two databases, with and without a release phase', async () => {
    good(
      await platform.heroku(
        ['addons:create', 'heroku-postgresql', '--name', 'next-db', '-a', 'demo', '--wait'],
        { timeoutMs: 180_000 },
      ),
    );
    const { body } = await platform.api('GET', '/addons/next-db');
    const variable = (body as { config_vars: string[] }).config_vars[0] ?? '';
    good(await pg('pull', 'DATABASE', await url('demo', variable)));
    expect(good(await pg('psql', 'next-db', '-c', 'SELECT count(*) FROM things'))).toContain('500');
    // The target has to be empty.
    expect((await pg('push', await url('demo', variable), 'main-db')).stderr).toContain('not empty');
    expect((await pg('reset', 'main-db', '--confirm', 'wrong')).exitCode).not.toBe(0);
    expect((await pg('reset', 'main-db', '--confirm', 'demo', '--extensions', 'nonsense')).stderr).toContain(
      'not available',
    );
    expect(good(await sql('SELECT count(*) FROM things'))).toContain('500');
    good(await pg('reset', 'main-db', '--confirm', 'demo', '--extensions', 'hstore, citext'));
    expect((await sql('SELECT count(*) FROM things')).stderr).toContain('does not exist');
    expect(good(await sql('SELECT extname FROM pg_extension'))).toMatch(/citext[^]*hstore|hstore[^]*citext/);
    good(await sql('DROP EXTENSION hstore; DROP EXTENSION citext'));
    good(await pg('push', await url('demo', variable), 'main-db'));
    expect(good(await sql('SELECT count(*) FROM things'))).toContain('500');

    const old = await url('demo');
    good(await pg('promote', 'next-db'));
    expect(await url('demo')).toBe(await url('demo', variable));
    const vars = (await platform.api('GET', '/apps/demo/config-vars')).body as Record<string, string>;
    expect(
      Object.entries(vars)
        .filter(([, value]) => value === old)
        .map(([key]) => key),
    ).toEqual([expect.stringMatching(/^HEROKU_POSTGRESQL_[A-Z]+_URL$/)]);
    expect((await pg('promote', 'next-db')).stderr).toContain('already promoted');

    const folder = await platform.repository('examples/procfile-only');
    writeFileSync(path.join(folder, 'Procfile'), 'release: echo released\nworker: sleep 1000\n');
    await platform.commit(folder, 'A release phase');
    expect((await platform.push(folder, 'demo')).exitCode).toBe(0);
    await eventually(
      'its release command is done',
      async () => {
        const { body: releases } = await platform.api('GET', '/apps/demo/releases');
        return (releases as { status: string }[]).every(({ status }) => status !== 'pending');
      },
      120_000,
    );
    const promoted = await platform.heroku(['pg:promote', 'main-db', '-a', 'demo'], { timeoutMs: 180_000 });
    expect(promoted.exitCode).toBe(0);
    expect(promoted.stderr).toContain('pg:promote succeeded.');
    expect(await url('demo')).toBe(old);
  }, 900_000);

  test('what essential plans and dynodock do not have is refused in so many words', async () => {
    good(
      await platform.heroku(
        ['addons:create', 'heroku-postgresql:essential-0', '--name', 'small-db', '-a', 'other', '--wait'],
        { timeoutMs: 180_000 },
      ),
    );
    const small = (command: string, ...args: string[]): Promise<CommandResult> =>
      heroku(`pg:${command}`, 'small-db', ...args, '-a', 'other');
    expect((await small('credentials:create', '--name', 'x')).stderr).toContain('Essential-tier');
    expect((await small('settings')).stderr).toContain('Essential-tier');
    expect((await small('stats-reset')).stderr).toContain('Essential-tier');
    for (const [method, target, sent] of [
      ['POST', '/postgres/v0/databases/small-db/credentials', { name: 'x' }],
      ['PATCH', '/postgres/v0/databases/small-db/config', { log_statement: 'all' }],
    ] as const) {
      const answer = await platform.api(method, target, sent);
      expect(answer.status).toBe(422);
    }
    good(await small('outliers', '--reset'));
    expect(good(await small('extensions'))).toContain('citext');
    expect(good(await small('info'))).toMatch(/Plan: +Essential 0/);
    expect((await pg('links:create', 'main-db', 'next-db', '--as', 'x')).stderr).toContain(
      'does not support links',
    );
    expect(good(await pg('links', 'main-db'))).toContain('No data sources are linked');
    expect((await pg('connection-pooling:attach', 'main-db')).stderr).toContain(
      'does not support connection pooling',
    );
    expect((await heroku('data:maintenances', '-a', 'demo')).stderr).toContain('No maintenances found');
    expect((await heroku('pg:info', '-a', 'nope')).stderr).toContain("Couldn't find that app.");
  }, 400_000);

  test('logs have the metrics of databases each minute', async () => {
    await eventually(
      'a line',
      async () => {
        const { stdout } = await heroku('logs', '-n', '500', '-a', 'demo');
        return /app\[heroku-postgres\]: source=DATABASE addon=main-db sample#current_transaction=\d+ sample#db_size=\d+bytes sample#tables=\d+ sample#active-connections=\d+ sample#waiting-connections=0 sample#index-cache-hit-rate=[\d.]+ sample#table-cache-hit-rate=[\d.]+/.test(
          stdout,
        );
      },
      150_000,
    );
    expect(good(await heroku('logs', '-n', '1500', '-a', 'other'))).not.toContain('addon=small-db');
  }, 200_000);
});
