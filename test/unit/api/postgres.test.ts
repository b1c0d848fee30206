import type { AddOn } from '../../../src/domain/addon';
import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { TestApi, type Answer } from '../../support/api';

const SETTINGS = [
  ['log_connections', 'on'], ['log_lock_waits', 'on'], ['log_min_duration_statement', '2000'],
  ['log_min_error_statement', 'error'], ['log_statement', 'ddl'], ['track_functions', 'none'],
  ['session_preload_libraries', ''], ['auto_explain.log_analyze', 'off'], ['auto_explain.log_buffers', 'off'],
  ['auto_explain.log_format', 'text'], ['auto_explain.log_min_duration', '-1'],
  ['auto_explain.log_nested_statements', 'off'], ['auto_explain.log_triggers', 'off'], ['auto_explain.log_verbose', 'off'],
].map(([name, value]) => ({ name, value })); // prettier-ignore

let api: TestApi;
let app: App;
/** What the server was asked, statement by statement, and the scripts of its set-up. */
let asked: string[];
let setups: string[];
/** What it says instead. */
let answer: (statement: string) => { exitCode?: number; stdout?: string; stderr?: string } | undefined;

beforeEach(async () => {
  asked = [];
  setups = [];
  answer = () => undefined;
  api = await TestApi.start();
  api.addons.engine.behave(() => true, {
    exec: (argv, _options, container) => {
      const statements = argv.flatMap((word) => /^--command=([^]*)$/.exec(word)?.[1] ?? []);
      if (argv.some((word) => word.startsWith('--file='))) {
        setups.push(container.read('/etc/dynodock/setup.sql') ?? '');
      }
      asked.push(...statements);
      for (const statement of statements) {
        const special = answer(statement);
        if (special !== undefined) return { exitCode: 0, stdout: '', stderr: '', ...special };
      }
      const last = statements.at(-1) ?? '';
      return { exitCode: 0, stdout: defaultAnswer(last), stderr: '' };
    },
  });
  app = api.anApp();
  expect(await add('heroku-postgresql', 'db')).toMatchObject({ status: 201, body: { state: 'provisioned' } });
  asked.length = 0;
});
afterEach(() => api.stop());

const add = (plan: string, name: string): Promise<Answer> =>
  api.post('/apps/demo/addons', { plan, name, confirm: null });

function defaultAnswer(statement: string): string {
  if (statement.includes('pg_database_size')) {
    return JSON.stringify([{ version: '15.4', bytes: 8_283_750, tables: 3, connections: 2, waiting: 0 }]);
  }
  if (statement.includes('AS sessions'))
    return JSON.stringify([{ usename: row().config.credentials['default']?.user, sessions: 4 }]);
  if (statement.includes('pg_settings')) return JSON.stringify(SETTINGS);
  return '[]';
}

function row(name = 'db'): AddOn {
  const found = api.store.addons.findByName(name);
  if (found === undefined) throw new Error(`no add-on ${name}`);
  return found;
}
const vars = (of: App): Record<string, string> => api.store.configVars.get(of.id);
const descriptions = (of: App): string[] =>
  api.store.releases.of(of.id).map(({ description }) => description);
const CREDENTIALS = '/postgres/v0/databases/db/credentials';

/** The server ends, and the engine refuses to start it again. */
async function stopServer(): Promise<void> {
  const [container] = api.addons.engine.containers();
  api.addons.engine.failNext('start', new EngineError('other', 'not now'), 1000);
  await api.addons.engine.stop(container?.id ?? ('' as never), { timeoutMs: 0 });
  // Its end is an event of the engine's.
  while (api.addons.backends.isServing(row().id)) await new Promise((resolve) => setImmediate(resolve));
  await api.addons.backends.idle();
}

describe('GET /client/v11/databases/:id', () => {
  test('shows Heroku’s rows, by id and name, with Bearer and with Basic', async () => {
    const { status, body } = await api.get(`/client/v11/databases/${row().id}`);
    expect(status).toBe(200);
    const rows = Object.fromEntries(
      (body.info as { name: string; values: string[] }[]).map(({ name, values }) => [name, values.join()]),
    );
    expect(rows).toMatchObject({
      Plan: 'Standard 0',
      Status: 'Available',
      'Data Size': '7.9 MB',
      Tables: '3',
      'PG Version': '15.4',
      Connections: '2/120',
      Credentials: '1',
      'Fork/Follow': 'Available (forks only)',
      'Continuous Protection': 'Off',
    });
    expect(rows['Created']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d$/);
    expect(body).toMatchObject({ resource_url: vars(app)['DATABASE_URL'], following: null, leader: null });
    const basic = Buffer.from(`:${api.token}`).toString('base64');
    const other = await api.get('/client/v11/databases/db', { Authorization: `Basic ${basic}` });
    expect(other.body).toEqual(body);
    expect((await api.request('GET', '/client/v11/databases/db', { anonymous: true })).status).toBe(401);
  });

  test('says that it is away, and why, rather than nothing', async () => {
    await stopServer();
    const { status, body } = await api.get('/client/v11/databases/db');
    expect(status).toBe(200);
    expect(body.info).toContainEqual({ name: 'Status', values: [expect.stringMatching(/^Unavailable \(/)] });
    expect((await api.get('/client/v11/databases/db/wait_status')).body).toMatchObject({
      'waiting?': true,
      'error?': false,
    });
    for (const [method, target] of [
      ['PUT', '/client/v11/databases/db/reset'],
      ['POST', '/client/v11/databases/db/connection_reset'],
      ['PUT', '/client/v11/databases/db/stats_reset'],
      ['GET', '/postgres/v0/databases/db/config'],
      ['POST', `${CREDENTIALS}/default/credentials_rotation`],
    ] as const) {
      expect(await api.request(method, target)).toMatchObject({
        status: 503,
        body: { id: 'service_unavailable' },
      });
    }
    expect(setups).toHaveLength(1);
    // What is in the store is known without it.
    expect((await api.get(CREDENTIALS)).body).toEqual([expect.objectContaining({ name: 'default' })]);
  });

  test('knows neither strangers nor other services', async () => {
    await add('heroku-redis', 'cache');
    for (const id of ['nope', 'cache']) {
      expect(await api.get(`/client/v11/databases/${id}`)).toMatchObject({
        status: 404,
        body: { id: 'not_found', message: "Couldn't find that add-on." },
      });
    }
  });

  test('has no message for one that is not provisioned yet, by which the CLI knows', async () => {
    const pending: AddOn = { ...row(), state: 'provisioning' };
    api.store.addons.update(pending);
    const { status, body } = await api.get('/client/v11/databases/db');
    expect({ status, body }).toEqual({ status: 404, body: { id: 'not_found' } });
    expect((await api.get('/client/v11/databases/db/wait_status')).body).toEqual({
      'waiting?': true,
      message: 'preparing',
      'error?': false,
    });
    expect((await api.get(CREDENTIALS)).status).toBe(503);
  });
});

test('wait_status of one that serves is over at once', async () => {
  expect((await api.get('/client/v11/databases/db/wait_status')).body).toEqual({
    'waiting?': false,
    message: 'available',
    'error?': false,
  });
});

describe('PUT reset', () => {
  const reset = (body?: unknown): Promise<Answer> => api.put('/client/v11/databases/db/reset', body);

  test('drops the database and lets the set-up make it again', async () => {
    const database = row().config.values['database'] ?? '';
    expect((await reset({})).status).toBe(200);
    expect(asked).toEqual([`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`]);
    expect(setups).toHaveLength(2);
  });

  test('makes extensions as the owner, and knows which there are', async () => {
    expect((await reset({ extensions: ['citext', 'hstore'] })).status).toBe(200);
    expect(asked.slice(1)).toEqual([
      `SET SESSION AUTHORIZATION "${row().config.credentials['default']?.user ?? ''}"`,
      'CREATE EXTENSION IF NOT EXISTS "citext" CASCADE',
      'CREATE EXTENSION IF NOT EXISTS "hstore" CASCADE',
    ]);
    asked.length = 0;
    for (const extensions of [['nope'], 'citext', [1], ['x"; DROP DATABASE postgres']]) {
      expect(await reset({ extensions })).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
    }
    expect(asked).toEqual([]);
  });

  test('tells of an extension that the server refuses', async () => {
    answer = (statement) =>
      statement.startsWith('CREATE EXTENSION')
        ? { exitCode: 1, stderr: 'psql: ERROR:  no such file' }
        : undefined;
    expect(await reset({ extensions: ['citext'] })).toMatchObject({
      status: 422,
      body: { message: 'The database was reset, but not all extensions were made: no such file.' },
    });
  });
});

describe('credentials', () => {
  const create = (name: unknown): Promise<Answer> => api.post(CREDENTIALS, { name });

  test('are listed with their sessions, default first', async () => {
    await create('alpha');
    const { body } = await api.get(CREDENTIALS);
    expect(body).toEqual([
      expect.objectContaining({
        name: 'default',
        state: 'active',
        credentials: [expect.objectContaining({ state: 'active', connections: 4 })],
      }),
      expect.objectContaining({
        name: 'alpha',
        credentials: [expect.objectContaining({ user: 'alpha', connections: 0 })],
      }),
    ]);
    const found = (await api.get(`${CREDENTIALS}/alpha`)).body;
    expect(found).toEqual(body[1]);
    expect(found).toMatchObject({
      host: expect.any(String),
      port: expect.any(Number),
      database: row().config.values['database'],
    });
    expect(await api.get(`${CREDENTIALS}/nope`)).toMatchObject({
      status: 404,
      body: { message: "Couldn't find that credential." },
    });
  });

  test('become roles that default has a say over', async () => {
    expect((await create('reader')).status).toBe(201);
    const script = setups.at(-1) ?? '';
    expect(script).toContain(`CREATE ROLE "reader"`);
    expect(script).toContain(
      `GRANT "reader" TO "${row().config.credentials['default']?.user ?? ''}" WITH ADMIN OPTION`,
    );
    // The password is in the script's file, and in no argument.
    const password = row().config.credentials['reader']?.password ?? '';
    expect(password).toMatch(/^p1x+$/);
    expect(script).toContain(password);
    expect(JSON.stringify(api.store.events.of(app.id))).not.toContain(password);
  });

  test.each([
    ['Upper'],
    ['1st'],
    ['a b'],
    ['pg_x'],
    ['postgres'],
    ['x'.repeat(51)],
    ["a';--"],
    [''],
    [7],
    [null],
    ['default'],
  ])('cannot be called %p', async (name) => {
    expect(await create(name)).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
    expect(Object.keys(row().config.credentials)).toEqual(['default']);
  });

  test('exist once each, also when asked for twice at once', async () => {
    const statuses = (await Promise.all([create('reader'), create('reader')])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([201, 422]);
  });

  test('are rotated for every app that has them, with a release each', async () => {
    const other = api.anApp('other');
    await api.post('/addon-attachments', { addon: 'db', app: 'other' });
    const before = vars(app)['DATABASE_URL'] ?? '';
    expect((await api.post(`${CREDENTIALS}/default/credentials_rotation`, { forced: true })).status).toBe(
      200,
    );
    const after = vars(app)['DATABASE_URL'] ?? '';
    expect(after).not.toBe(before);
    expect(vars(other)['DATABASE_URL']).toBe(after);
    expect(new URL(after).username).toBe(new URL(before).username);
    for (const each of [app, other]) {
      expect(descriptions(each).at(-1)).toBe('Update DATABASE (@ref:db)');
    }
    expect(setups.at(-1)).toContain(new URL(after).password);
    // Should the daemon be killed before it has ended them itself.
    expect(setups.at(-1)).toMatch(/pg_terminate_backend\(pid\)[^;]*backend_start < '\d{4}-/);
    expect(asked.at(-1)).toContain(`usename IN ('${new URL(after).username}')`);
  });

  test('are rotated one or all', async () => {
    await create('reader');
    const before = row().config.credentials;
    await api.post(`${CREDENTIALS}/reader/credentials_rotation`, {});
    const one = row().config.credentials;
    expect(one['default']).toEqual(before['default']);
    expect(one['reader']?.password).not.toBe(before['reader']?.password);
    await api.post('/postgres/v0/databases/db/credentials_rotation', {});
    expect(row().config.credentials['default']?.password).not.toBe(before['default']?.password);
    expect(row().config.credentials['reader']?.password).not.toBe(one['reader']?.password);
    expect((await api.post(`${CREDENTIALS}/nope/credentials_rotation`, {})).status).toBe(404);
  });

  test('are destroyed with their role, but not the default one and none that is attached', async () => {
    await create('reader');
    const { body } = await api.post('/addon-attachments', {
      addon: 'db',
      app: 'demo',
      name: 'READER',
      namespace: 'credential:reader',
    });
    expect(await api.delete(`${CREDENTIALS}/reader`)).toMatchObject({
      status: 422,
      body: { message: 'Credential reader must be detached from the app demo before destroying.' },
    });
    expect((await api.delete(`${CREDENTIALS}/default`)).body.message).toBe(
      'Default credential cannot be destroyed.',
    );
    await api.delete(`/addon-attachments/${body.id as string}`);
    expect((await api.delete(`${CREDENTIALS}/reader`)).status).toBe(200);
    expect(asked.at(-1)).toMatch(/REASSIGN OWNED BY "reader" TO "u[^]*DROP ROLE "reader"/);
    expect(Object.keys(row().config.credentials)).toEqual(['default']);
    expect((await api.delete(`${CREDENTIALS}/reader`)).status).toBe(404);
  });

  test('stay if the server does not let their role go', async () => {
    await create('reader');
    answer = (statement) =>
      statement.includes('DROP ROLE') ? { exitCode: 2, stderr: 'connection lost' } : undefined;
    expect(await api.delete(`${CREDENTIALS}/reader`)).toMatchObject({ status: 503 });
    expect(Object.keys(row().config.credentials)).toEqual(['default', 'reader']);
  });

  test('repair-default takes over what the others own', async () => {
    await create('reader');
    expect((await api.post('/postgres/v0/databases/db/repair-default')).status).toBe(200);
    expect(asked.at(-1)).toMatch(/^REASSIGN OWNED BY "reader" TO "u/);
  });
});

describe('settings', () => {
  const CONFIG = '/postgres/v0/databases/db/config';

  test('are shown with what their values mean', async () => {
    const { body } = await api.get(CONFIG);
    expect(body).toMatchObject({
      log_statement: { value: 'ddl', values: { all: 'All statements will be logged.' } },
      log_connections: { value: true },
      log_min_duration_statement: { value: 2000 },
      auto_explain: { value: false },
      'auto_explain.log_format': { value: 'text' },
      data_connector_details_logs: { value: false },
    });
  });

  test('are changed in the server', async () => {
    const { body } = await api.patch(CONFIG, {
      log_statement: 'all',
      auto_explain: true,
      log_min_duration_statement: -1,
    });
    expect(body).toMatchObject({
      log_statement: { value: 'all' },
      auto_explain: { value: true },
      log_min_duration_statement: { value: -1 },
    });
    expect(asked.filter((statement) => statement.startsWith('ALTER SYSTEM'))).toEqual([
      "ALTER SYSTEM SET log_statement = 'all'",
      "ALTER SYSTEM SET session_preload_libraries = 'auto_explain'",
      'ALTER SYSTEM SET log_min_duration_statement = -1',
    ]);
  });

  test.each([
    [{ log_statement: "all'; DROP" }],
    [{ log_connections: 'on' }],
    [{ log_min_duration_statement: 1.5 }],
    [{ log_min_duration_statement: -2 }],
    [{ fsync: false }],
    [{ constructor: 'x' }],
    [[]],
  ])('%j is refused, and nothing is changed', async (body) => {
    expect(await api.patch(CONFIG, body)).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
    expect(asked).toEqual([]);
  });

  test('what replicates is not supported', async () => {
    expect((await api.patch(CONFIG, { data_connector_details_logs: true })).status).toBe(501);
    expect((await api.patch(CONFIG, { data_connector_details_logs: false })).status).toBe(200);
  });
});

test('essential plans are refused what they do not have', async () => {
  await add('heroku-postgresql:essential-0', 'small');
  for (const [method, target, body] of [
    ['POST', '/postgres/v0/databases/small/credentials', { name: 'x' }],
    ['DELETE', '/postgres/v0/databases/small/credentials/x', undefined],
    ['POST', '/postgres/v0/databases/small/repair-default', undefined],
    ['GET', '/postgres/v0/databases/small/config', undefined],
    ['PATCH', '/postgres/v0/databases/small/config', { log_statement: 'all' }],
    ['PUT', '/client/v11/databases/small/stats_reset', undefined],
  ] as const) {
    expect(await api.request(method, target, { body })).toMatchObject({
      status: 422,
      body: { id: 'invalid_params', message: expect.stringContaining('Essential-tier') },
    });
  }
  expect(
    (await api.post('/postgres/v0/databases/small/credentials/default/credentials_rotation')).status,
  ).toBe(200);
});

describe('reports', () => {
  const report = (more: object = {}): Promise<Answer> =>
    api.post('/reports', {
      app: 'demo',
      database: 'DATABASE_URL',
      plan: 'standard-0',
      url: vars(app)['DATABASE_URL'],
      ...more,
    });

  test('judge what the server says, and can be read again', async () => {
    const found: Record<string, unknown[]> = {
      'Connection Count': [{ count: 100 }],
      'Long Queries': [{ pid: 7, duration: '00:02:00', query: 'SELECT' }],
      Bloat: [{ type: 'table', object: 'public.a', bloat: 12, waste: '200 MB', _waste_mb: 200 }],
      Sequences: [],
    };
    // One exec answers for all statements, some of which failed.
    answer = () => ({
      exitCode: 1,
      stdout: Object.entries(found)
        .map(([name, rows]) => JSON.stringify({ name, rows }))
        .join('\n'),
      stderr: 'ERROR:  canceling statement due to statement timeout',
    });
    const { status, body } = await report();
    expect(status).toBe(201);
    expect(body).toMatchObject({ app: 'demo', database: 'DATABASE_URL' });
    const checks = Object.fromEntries(
      (body.checks as { name: string; status: string; results: unknown }[]).map((each) => [each.name, each]),
    );
    expect(checks['Connection Count']).toMatchObject({ status: 'yellow', results: [{ count: 100 }] });
    expect(checks['Long Queries']).toMatchObject({ status: 'red' });
    expect(checks['Bloat']).toMatchObject({
      status: 'red',
      results: [{ type: 'table', object: 'public.a', bloat: 12, waste: '200 MB' }],
    });
    expect(checks['Sequences']).toMatchObject({ status: 'green', results: [] });
    expect(checks['Hit Rate']).toMatchObject({ status: 'skipped' });
    expect((await api.get(`/reports/${body.id as string}`)).body).toEqual(body);
  });

  test('are of databases of this installation only', async () => {
    for (const url of ['postgres://u:p@db.example.com/production', 'not a url', 7, undefined]) {
      expect(await report({ url })).toMatchObject({ status: 422 });
    }
    expect(asked).toEqual([]);
    for (const id of ['nope', '11111111-2222-4333-8444-555555555555']) {
      expect((await api.get(`/reports/${id}`)).status).toBe(404);
    }
  });
});

test('what is not supported says so', async () => {
  for (const [method, target] of [
    ['POST', '/client/v11/databases/db/links'],
    ['DELETE', '/client/v11/databases/db/links/x'],
    ['POST', '/client/v11/databases/db/connection-pooling'],
    ['GET', '/data/postgres/v1/db/info'],
    ['POST', '/data/maintenances/v1/db/run'],
    ['POST', '/client/v11/databases/db/upgrade/run'],
    ['PUT', '/client/v11/databases/db/unfollow'],
  ] as const) {
    expect(await api.request(method, target)).toMatchObject({ status: 501, body: { id: 'not_supported' } });
  }
  expect((await api.get('/client/v11/databases/db/links')).body).toEqual([]);
  expect((await api.get('/client/v11/databases/db/burst_status')).body).toEqual({});
  expect((await api.get(`/data/maintenances/v1/apps/${app.id}`)).body).toEqual({ maintenances: [] });
  expect((await api.get('/data/maintenances/v1/db/history')).body).toEqual({ maintenances: [] });
});

test('metrics are numbers by name', async () => {
  expect((await api.get('/client/v11/databases/db/metrics')).body).toContainEqual({
    name: 'tables',
    value: 3,
  });
});
