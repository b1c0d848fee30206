import type { AddOn } from '../../../src/domain/addon';
import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { TestApi, type Answer } from '../../support/api';

const INFO = 'redis_version:7.0.15\r\nconnected_clients:2\r\n';
const DATABASE = '/redis/v0/databases/cache';

let api: TestApi;
let app: App;
/** The arguments of each command that was run inside. */
let asked: string[][];
/** The file of the server that was asked last. */
let serverSettings: string;

beforeEach(async () => {
  asked = [];
  api = await TestApi.start();
  api.addons.engine.behave(() => true, {
    exec: (argv, _options, container) => {
      serverSettings = container.read('/etc/dynodock/redis.conf') ?? '';
      asked.push([...argv]);
      return { exitCode: 0, stdout: argv.at(-1) === 'info' ? INFO : 'OK\n', stderr: '' };
    },
  });
  app = api.anApp();
  expect(await add('heroku-redis:mini', 'cache')).toMatchObject({ status: 201 });
});
afterEach(() => api.stop());

const add = (plan: string, name: string): Promise<Answer> =>
  api.post('/apps/demo/addons', { plan, name, confirm: null });
const configure = (changes: unknown): Promise<Answer> =>
  api.request('PATCH', `${DATABASE}/config`, { body: changes });
const vars = (): Record<string, string> => api.store.configVars.get(app.id);
function row(): AddOn {
  const found = api.store.addons.findByName('cache');
  if (found === undefined) throw new Error('no add-on');
  return found;
}

test('info has Heroku’s rows, with Bearer and with Basic', async () => {
  const { status, body } = await api.get(DATABASE);
  expect(status).toBe(200);
  expect(body).toMatchObject({ plan: 'mini', prefer_native_tls: false, resource_url: vars()['REDIS_URL'] });
  for (const [name, value] of [
    ['Plan', 'Mini'],
    ['Status', 'available'],
    ['Version', '7.0.15'],
    ['Timeout', '300'],
    ['Maxmemory', 'noeviction'],
    ['Connections', '2/20'],
    ['Requires TLS', 'No'],
  ]) {
    expect(body.info).toContainEqual({ name, values: [value] });
  }
  const basic = Buffer.from(`:${api.token}`).toString('base64');
  expect(
    (await api.get(`/redis/v0/databases/${row().id}`, { Authorization: `Basic ${basic}` })).body,
  ).toEqual(body);
  expect((await api.request('GET', DATABASE, { anonymous: true })).status).toBe(401);
});

test.each([
  ['premium-0', 'rediss:'],
  ['hobby-dev', 'redis:'],
])('redis:cli is told that %s has TLS of its own', async (plan, protocol) => {
  await add(`heroku-redis:${plan}`, 'other');
  const { body } = await api.get('/redis/v0/databases/other');
  expect(body).toMatchObject({ plan, prefer_native_tls: true });
  expect(new URL(body.resource_url as string).protocol).toBe(protocol);
});

test('knows neither strangers nor other services, and has no message before it is provisioned', async () => {
  await add('heroku-postgresql', 'db');
  for (const name of ['nope', 'db']) expect((await api.get(`/redis/v0/databases/${name}`)).status).toBe(404);
  api.store.addons.update({ ...row(), state: 'provisioning' });
  expect(await api.get(DATABASE)).toMatchObject({ status: 404, body: { id: 'not_found' } });
  expect((await api.get(DATABASE)).body.message).toBeUndefined();
  expect((await api.get(`${DATABASE}/wait`)).body).toEqual({ 'waiting?': true, message: 'preparing' });
  expect((await configure({ timeout: 1 })).status).toBe(503);
});

test('settings go into the server and stay', async () => {
  expect((await configure({ timeout: 60 })).body).toMatchObject({ timeout: { value: 60 } });
  expect((await configure({ maxmemory_policy: 'allkeys-lru' })).body).toMatchObject({
    maxmemory_policy: { value: 'allkeys-lru', values: { 'allkeys-lru': expect.stringContaining('removes') } },
  });
  const last = await configure({ notify_keyspace_events: 'KEA' });
  expect(last).toMatchObject({
    status: 200,
    body: { notify_keyspace_events: { value: 'KEA' }, timeout: { value: 60 } },
  });
  expect(asked.at(-1)?.slice(-6)).toEqual([
    'timeout', '60', 'maxmemory-policy', 'allkeys-lru', 'notify-keyspace-events', 'KEA',
  ]); // prettier-ignore
  expect(JSON.stringify(asked)).not.toContain(row().config.credentials['default']?.password);
});

test.each([
  [{ timeout: -1 }],
  [{ timeout: '5' }],
  [{ timeout: 1.5 }],
  [{ maxmemory_policy: 'toString' }],
  [{ notify_keyspace_events: 'Q' }],
  [{ requirepass: 'x' }],
  [[]],
])('refuses %j', async (changes) => {
  const before = row();
  expect(await configure(changes)).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
  expect(row()).toEqual(before);
});

test('a rotation gives the app another URL with a release, and the server another password', async () => {
  const before = vars()['REDIS_URL'] ?? '';
  expect((await api.post(`${DATABASE}/credentials_rotation`, {})).status).toBe(200);
  const after = vars()['REDIS_URL'] ?? '';
  expect(after).not.toBe(before);
  expect(api.store.releases.of(app.id).at(-1)?.description).toBe('Update REDIS (@ref:cache)');
  expect(serverSettings).toContain(`user default on >${new URL(after).password} `);
});

test('statistics are reset', async () => {
  expect((await api.post(`${DATABASE}/stats/reset`, {})).status).toBe(200);
  expect(asked.at(-1)?.slice(-2)).toEqual(['config', 'resetstat']);
});

test.each([
  ['7', 'runs version 7 already'],
  ['7.2', 'runs version 7 already'],
  ['6', "can't be downgraded"],
  ['99', 'is not one of'],
  ['8', 'does not upgrade'],
])('upgrade to %s is refused', async (version, message) => {
  const { status, body } = await api.post(`${DATABASE}/upgrade`, { version });
  expect(status).toBeGreaterThanOrEqual(400);
  expect(body.message).toContain(message);
});

test('nothing is changed while the server is away', async () => {
  const [container] = api.addons.engine.containers();
  api.addons.engine.failNext('start', new EngineError('other', 'not now'), 1000);
  await api.addons.engine.stop(container?.id ?? ('' as never), { timeoutMs: 0 });
  while (api.addons.backends.isServing(row().id)) await new Promise((resolve) => setImmediate(resolve));
  await api.addons.backends.idle();
  const before = row().config;
  expect((await configure({ timeout: 5 })).status).toBe(503);
  expect((await api.post(`${DATABASE}/credentials_rotation`, {})).status).toBe(503);
  expect((await api.post(`${DATABASE}/stats/reset`, {})).status).toBe(503);
  expect(row().config).toEqual(before);
  expect((await api.get(DATABASE)).body.info).toContainEqual({
    name: 'Status',
    values: [expect.stringMatching(/^unavailable \(/)],
  });
});
