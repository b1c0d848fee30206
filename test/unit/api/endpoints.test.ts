import { randomUUID } from 'node:crypto';
import type { App } from '../../../src/domain/app';
import type { Release } from '../../../src/domain/release';
import { hashToken } from '../../../src/platform/account/token';
import type { AppId } from '../../../src/domain/ids';
import type { ReclaimReport } from '../../../src/platform/reclaim/reclaim';
import { TestApi } from '../../support/api';
import { expectToMatchSchema } from '../../support/schema';

let api: TestApi;
let app: App;
beforeEach(async () => {
  api = await TestApi.start();
  app = api.anApp();
});
afterEach(async () => {
  await api.stop();
  expect(api.errors).toEqual([]);
});

function expectError(answer: { status: number; body: unknown }, status: number, id: string): void {
  expect({ status: answer.status, body: answer.body }).toMatchObject({
    status,
    body: { id, message: expect.stringMatching(/\S/) },
  });
}

/** One property of each entry of a list. */
function column(body: Record<string, unknown>[], property: string): unknown[] {
  return body.map((entry) => entry[property]);
}

describe('authorizations', () => {
  test('are made, listed, described and revoked', async () => {
    const made = await api.post('/oauth/authorizations', { description: 'For a script', scope: ['global'] });
    expect(made.status).toBe(201);
    expectToMatchSchema('oauth-authorization', made.body);
    const token = made.body.access_token.token as string;
    expect(made.body.access_token.expires_in).toBeNull();
    const asScript = { headers: { Authorization: `Bearer ${token}` } };
    expect((await api.request('GET', '/account', asScript)).status).toBe(200);

    const changed = await api.patch(`/oauth/authorizations/${made.body.id}`, { description: 'For another' });
    expectToMatchSchema('oauth-authorization', changed.body);
    const list = await api.get('/oauth/authorizations');
    expectToMatchSchema('oauth-authorization', list.body[0]);
    expect(column(list.body, 'description').sort()).toEqual(['For another', 'tests']);

    const revoked = await api.delete(`/oauth/authorizations/${made.body.id}`);
    expect(revoked.body.description).toBe('For another');
    expect((await api.request('GET', '/account', asScript)).status).toBe(401);
    expectError(await api.delete(`/oauth/authorizations/${made.body.id}`), 404, 'not_found');
  });

  test('show a token only to whoever just made it or uses it', async () => {
    const made = await api.post('/oauth/authorizations', { description: 'other' });
    const list = await api.get('/oauth/authorizations');
    const tokens = Object.fromEntries(
      (list.body as { description: string; access_token: { token?: string } }[]).map((entry) => [
        entry.description,
        entry.access_token.token,
      ]),
    );
    expect(tokens).toEqual({ tests: api.token, other: undefined });
    const { body } = await api.get(`/oauth/authorizations/${made.body.id}`);
    expect(body.access_token).not.toHaveProperty('token');
  });

  test('expire, as the CLI asks for it: in seconds, as text', async () => {
    const { body } = await api.post('/oauth/authorizations', { expires_in: '3600' });
    expect(body.access_token.expires_in).toBeGreaterThan(3590);
    expect(api.services.account.authenticate(body.access_token.token as string)).toEqual(api.account);
    const now = new Date(Date.now() + 3_601_000);
    expect(api.store.accounts.findByToken(hashToken(body.access_token.token as string), now)).toBeUndefined();

    for (const expiresIn of ['soon', '0', -1, 1.5]) {
      expectError(await api.post('/oauth/authorizations', { expires_in: expiresIn }), 422, 'invalid_params');
    }
  });

  test('get a new token by rotation, and the old one ends', async () => {
    const made = await api.post('/oauth/authorizations', { description: 'other' });
    const rotated = await api.post(`/oauth/authorizations/${made.body.id}/actions/regenerate-tokens`);
    expectToMatchSchema('oauth-authorization', rotated.body);
    expect(api.services.account.authenticate(made.body.access_token.token as string)).toBeUndefined();
    expect(api.services.account.authenticate(rotated.body.access_token.token as string)).toEqual(api.account);
  });

  test('in use are neither revoked nor rotated, and known as ~', async () => {
    const { body } = await api.get('/oauth/authorizations/~');
    expect(body).toMatchObject({ description: 'tests', access_token: { token: api.token } });
    expectError(await api.delete(`/oauth/authorizations/${body.id}`), 403, 'forbidden');
    expectError(
      await api.post(`/oauth/authorizations/${body.id}/actions/regenerate-tokens`),
      403,
      'forbidden',
    );
    expect((await api.get('/account')).status).toBe(200);
  });

  test('have no scope but global, and no client', async () => {
    expectError(await api.post('/oauth/authorizations', { scope: ['read'] }), 501, 'not_supported');
    const { body } = await api.get('/oauth/authorizations/~');
    const change = { client: { id: 'x', secret: 'y' } };
    expectError(await api.patch(`/oauth/authorizations/${body.id}`, change), 501, 'not_supported');
  });

  test('come without sessions, so that heroku logout goes on', async () => {
    expect((await api.get('/oauth/sessions')).body).toEqual([]);
    const answer = await api.delete('/oauth/sessions/~');
    expectError(answer, 404, 'not_found');
    expect(answer.body.resource).toBe('session');
  });
});

describe('account', () => {
  test('is known as ~, by email and by id', async () => {
    const { body } = await api.get('/account');
    expectToMatchSchema('account', body);
    expect(body.email).toBe('a@b.example');
    for (const name of ['~', api.account.id, api.account.email]) {
      expect((await api.get(`/users/${name}`)).body).toEqual(body);
    }
    expectError(await api.get('/users/someone@else.example'), 404, 'not_found');
    expectError(await api.get('/users/someone@else.example/apps'), 404, 'not_found');
  });

  test('has no features, so that the CLI goes on to those of the app', async () => {
    expect((await api.get('/account/features')).body).toEqual([]);
    expectError(await api.get('/account/features/x'), 404, 'not_found');
    expectError(
      await api.request('PATCH', '/account/features/x', { body: { enabled: true } }),
      404,
      'not_found',
    );
  });

  test('tells its rate limit', async () => {
    const { body } = await api.get('/account/rate-limits');
    expectToMatchSchema('rate-limit', body);
    expect(body).toEqual({ remaining: 4500 });
  });

  test('cannot be changed or deleted', async () => {
    expectError(await api.patch('/account', { name: 'x' }), 501, 'not_supported');
    expectError(await api.delete('/account'), 501, 'not_supported');
  });
});

describe('apps', () => {
  test('are listed, also as those of the user', async () => {
    api.anApp('another');
    const { body, status } = await api.get('/apps');
    expect(status).toBe(200);
    for (const entry of body) expectToMatchSchema('app', entry);
    expect(column(body, 'name')).toEqual(['another', 'demo']);
    expect((await api.get('/users/~/apps')).body).toEqual(body);
  });

  test('are found by name and by id, with everything that the CLI insists on', async () => {
    const { body } = await api.get('/apps/demo');
    expectToMatchSchema('app', body);
    expect(body).toMatchObject({
      name: 'demo',
      owner: { email: 'a@b.example' },
      region: { name: 'us' },
      stack: { name: 'heroku-24' },
      build_stack: { name: 'heroku-24' },
      web_url: 'http://demo.localhost:8080/',
      git_url: 'https://localhost:5050/demo.git',
      repo_size: 0,
      slug_size: 0,
    });
    expect((await api.get(`/apps/${app.id}`)).body).toEqual(body);
    expectError(await api.get('/apps/nothing'), 404, 'not_found');
    expect((await api.get('/apps/nothing')).body.resource).toBe('app');
  });

  test('are created with a given name, or with a generated one and without a body', async () => {
    const named = await api.post('/apps', { name: 'fresh', region: 'us', stack: 'heroku-22', locked: true });
    expect(named.status).toBe(201);
    expectToMatchSchema('app', named.body);
    expect(named.body).toMatchObject({ name: 'fresh', stack: { name: 'heroku-22' } });
    const generated = await api.post('/apps');
    expect(generated.status).toBe(201);
    expect(generated.body.name).toMatch(/^[a-z]+-[a-z]+-\d{5}$/);
  });

  test('may be of the container stack', async () => {
    const answer = await api.post('/apps', { name: 'boxed', stack: 'container' });
    expectToMatchSchema('app', answer.body);
    expect(answer.body).toMatchObject({ stack: { name: 'container' }, build_stack: { name: 'container' } });
  });

  test('may name their stack and region by id', async () => {
    const stacks = (await api.get('/stacks')).body as { id: string; name: string }[];
    const stack = stacks.find(({ name }) => name === 'heroku-22');
    const [region] = (await api.get('/regions')).body;
    const answer = await api.post('/apps', { stack: stack?.id, region: region.id });
    expect(answer.body).toMatchObject({ stack: { name: 'heroku-22' }, region: { name: region.name } });
  });

  test.each([
    [{ name: 'demo' }],
    [{ name: 'Not A Name' }],
    [{ name: 7 }],
    [{ region: 'mars' }],
    [{ stack: 'cedar-14' }],
    [[]],
  ])('are not created of %j', async (body) => {
    expectError(await api.post('/apps', body), 422, 'invalid_params');
  });

  test('change name, maintenance mode and build stack', async () => {
    const answer = await api.patch('/apps/demo', {
      name: 'renamed',
      maintenance: true,
      build_stack: 'heroku-22',
    });
    expectToMatchSchema('app', answer.body);
    expect(answer.body).toMatchObject({
      name: 'renamed',
      maintenance: true,
      build_stack: { name: 'heroku-22' },
      stack: { name: 'heroku-24' },
    });
    expectError(await api.get('/apps/demo'), 404, 'not_found');
    expectError(await api.patch('/apps/renamed', { maintenance: 'yes' }), 422, 'invalid_params');
    expectError(await api.patch('/apps/nothing', { maintenance: true }), 404, 'not_found');
  });

  test('are destroyed', async () => {
    const answer = await api.delete('/apps/demo');
    expectToMatchSchema('app', answer.body);
    expectError(await api.delete('/apps/demo'), 404, 'not_found');
  });
});

describe('collaborators', () => {
  test('are the owner', async () => {
    const { body } = await api.get('/apps/demo/collaborators');
    expect(body).toHaveLength(1);
    expectToMatchSchema('collaborator', body[0]);
    expect(body[0]).toMatchObject({ role: 'owner', user: { email: 'a@b.example' } });
    expect((await api.get('/apps/demo/collaborators/a@b.example')).body).toEqual(body[0]);
    expectError(await api.get('/apps/demo/collaborators/c@d.example'), 404, 'not_found');
    expectError(await api.post('/apps/demo/collaborators', { user: 'c@d.example' }), 501, 'not_supported');
  });
});

describe('config vars', () => {
  test('are set and unset, and each change makes a release first', async () => {
    const set = await api.patch('/apps/demo/config-vars', { A: '1', B: '' });
    expectToMatchSchema('config-var', set.body);
    expect(set.body).toEqual({ A: '1', B: '' });
    expect((await api.patch('/apps/demo/config-vars', { A: null })).body).toEqual({ B: '' });
    expect((await api.get('/apps/demo/config-vars')).body).toEqual({ B: '' });
    const releases = await api.get('/apps/demo/releases', { Range: 'version ..; order=desc,max=1' });
    expect(releases.body[0]).toMatchObject({ version: 4, description: 'Remove A config vars' });
    expect((await api.get('/apps/demo/releases/3/config-vars')).body).toEqual({ A: '1', B: '' });
    expect((await api.get('/apps/demo/releases/v4/config-vars')).body).toEqual({ B: '' });
  });

  test.each([[{ 'A-B': 'x' }], [{ 'A-B': 5 }], [{ A: 5 }], [{ A: ['x'] }], [['A']], [{ __proto_: 'x' }]])(
    'are not set to %j',
    async (body) => {
      expectError(await api.patch('/apps/demo/config-vars', body), 422, 'invalid_params');
      expect((await api.get('/apps/demo/config-vars')).body).toEqual({});
    },
  );

  test('of an app or release that is not there are not found', async () => {
    expectError(await api.get('/apps/nothing/config-vars'), 404, 'not_found');
    expectError(await api.get('/apps/demo/releases/99/config-vars'), 404, 'not_found');
  });
});

describe('releases', () => {
  let release: Release;
  beforeEach(() => {
    release = api.deploy(app);
  });

  test('are listed oldest first, or as the Range says', async () => {
    const all = await api.get('/apps/demo/releases');
    expect(all.status).toBe(200);
    for (const entry of all.body) expectToMatchSchema('release', entry);
    expect(column(all.body, 'version')).toEqual([1, 2, 3]);
    const newest = await api.get('/apps/demo/releases', { Range: 'version ..; max=2, order=desc' });
    expect(newest.status).toBe(206);
    expect(column(newest.body, 'version')).toEqual([3, 2]);
    const rest = await api.get('/apps/demo/releases', { Range: newest.headers.get('next-range')! });
    expect(rest.status).toBe(200);
    expect(column(rest.body, 'version')).toEqual([1]);
  });

  test('are found by id and by version', async () => {
    const { body } = await api.get('/apps/demo/releases/3');
    expectToMatchSchema('release', body);
    expect(body).toMatchObject({ version: 3, current: true, eligible_for_rollback: true });
    expect((await api.get('/apps/demo/releases/v3')).body).toEqual(body);
    expect((await api.get(`/apps/demo/releases/${release.id}`)).body).toEqual(body);
    expectError(await api.get('/apps/demo/releases/99'), 404, 'not_found');
    expectError(await api.get('/apps/demo/releases/latest'), 404, 'not_found');
  });

  test('are rolled back to', async () => {
    api.deploy(app);
    const answer = await api.post('/apps/demo/releases', { release: release.id });
    expect(answer.status).toBe(201);
    expectToMatchSchema('release', answer.body);
    expect(answer.body).toMatchObject({ version: 5, description: 'Rollback to v3' });
    expectError(await api.post('/apps/demo/releases', { release: 3 }), 422, 'invalid_params');
    expectError(await api.post('/apps/demo/releases', { release: randomUUID() }), 404, 'not_found');
  });

  test('are pending while their release command runs, and stream what it prints', async () => {
    const plain = (await api.get('/apps/demo/releases/3')).body;
    expect(plain).toMatchObject({ status: 'succeeded', output_stream_url: null });
    api.deploy(app, { web: 'node web.js', release: 'node migrate.js' });
    const { body } = await api.get('/apps/demo/releases/4');
    expectToMatchSchema('release', body);
    expect(body).toMatchObject({ status: 'pending', current: false, eligible_for_rollback: false });
    const [dyno] = (await api.get('/apps/demo/dynos')).body;
    expectToMatchSchema('dyno', dyno);
    expect(dyno).toMatchObject({ type: 'release', command: 'node migrate.js', release: { version: 4 } });
    const row = api.store.dynos.get(dyno.id)!;
    await api.phase.printed(row, 'migrating');
    const streamed = api.request('GET', body.output_stream_url, { anonymous: true });
    await api.phase.printed(row, 'done');
    api.store.transaction(() => {
      api.store.dynos.delete(row.id);
      api.phase.dynoEnded(row, { how: 'exited', status: 1 });
    });
    const answer = await streamed;
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.text).toBe('migrating\ndone\n');
    const failed = (await api.get('/apps/demo/releases/4')).body;
    expectToMatchSchema('release', failed);
    expect(failed).toMatchObject({ status: 'failed', output_stream_url: body.output_stream_url });
    expect((await api.get('/apps/demo/releases/3')).body).toMatchObject({ current: true });
    const wrongKey = (body.output_stream_url as string).replace('/releases/', '/builds/');
    expectError(await api.request('GET', wrongKey, { anonymous: true }), 404, 'not_found');
    // What `heroku releases:retry` does.
    expect((await api.get('/apps/demo/formation')).body).toEqual(
      expect.arrayContaining([expect.objectContaining({ type: 'release', command: 'node migrate.js' })]),
    );
    const retry = await api.post('/apps/demo/releases', {
      slug: body.slug.id,
      description: 'Retry of v4: Deploy 2c3a0b2d',
    });
    expectToMatchSchema('release', retry.body);
    expect(retry.body).toMatchObject({ version: 5, status: 'pending' });
    expect(retry.body.output_stream_url).toContain(`/streams/releases/${retry.body.id}/`);
    // A config var follows, and takes the code of what has come of it.
    expect((await api.patch('/apps/demo/config-vars', { A: '1' })).status).toBe(200);
    const queued = (await api.get('/apps/demo/releases/6')).body;
    expectToMatchSchema('release', queued);
    expect(queued).toMatchObject({ status: 'pending', slug: null, output_stream_url: null });
  });

  test('are made of a slug', async () => {
    const answer = await api.post('/apps/demo/releases', { slug: release.slugId, description: 'Again' });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ version: 4, description: 'Again', slug: { id: release.slugId } });
    expectError(await api.post('/apps/demo/releases', {}), 422, 'invalid_params');
    expectError(await api.post('/apps/demo/releases', { slug: randomUUID() }), 404, 'not_found');
  });

  test('name their slug, which tells its process types', async () => {
    const { body } = await api.get(`/apps/demo/slugs/${release.slugId}`);
    expectToMatchSchema('slug', body);
    expect(body.process_types).toEqual({ web: 'node web.js', worker: 'node worker.js' });
    expectError(await api.get(`/apps/demo/slugs/${randomUUID()}`), 404, 'not_found');
  });
});

describe('formation', () => {
  beforeEach(() => void api.deploy(app));

  test('is listed and found by type', async () => {
    const { body } = await api.get('/apps/demo/formation');
    for (const entry of body) expectToMatchSchema('formation', entry);
    expect(body).toMatchObject([
      { type: 'web', quantity: 1, size: 'Basic' },
      { type: 'worker', quantity: 0 },
    ]);
    expect((await api.get('/apps/demo/formation/web')).body).toEqual(body[0]);
    expect((await api.get(`/apps/demo/formation/${body[1].id}`)).body).toEqual(body[1]);
    expectError(await api.get('/apps/demo/formation/clock'), 404, 'not_found');
  });

  test('is scaled as the CLI does it, with quantities as text', async () => {
    const answer = await api.patch('/apps/demo/formation', {
      updates: [
        { type: 'web', quantity: '+1', size: 'standard-1x' },
        { type: 'worker', quantity: '2' },
      ],
    });
    for (const entry of answer.body) expectToMatchSchema('formation', entry);
    expect(answer.body).toMatchObject([
      { type: 'web', quantity: 2, size: 'Standard-1X' },
      { type: 'worker', quantity: 2 },
    ]);
  });

  test('is scaled as the schema says it', async () => {
    const batch = await api.patch('/apps/demo/formation', {
      updates: [{ type: 'worker', quantity: 3, dyno_size: { name: 'standard-2x' } }],
    });
    expect(batch.body).toMatchObject([{ quantity: 3, dyno_size: { name: 'Standard-2X' } }]);
    const single = await api.patch('/apps/demo/formation/worker', { quantity: 1, dyno_size: 'basic' });
    expectToMatchSchema('formation', single.body);
    expect(single.body).toMatchObject({ quantity: 1, size: 'Basic' });
  });

  test.each([
    [{}, 422, 'invalid_params'],
    [{ updates: [{ quantity: 1 }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'web', quantity: 'many' }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'web', quantity: 1.5 }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'web', size: 'huge' }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'web', dyno_size: {} }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'web', quantity: 101 }] }, 422, 'invalid_params'],
    [{ updates: [{ type: 'clock', quantity: 1 }] }, 404, 'not_found'],
    [{ updates: [{ type: 'web', docker_image: 'sha256:0' }] }, 422, 'invalid_params'],
  ])('is not changed by %j', async (body, status, id) => {
    expectError(await api.patch('/apps/demo/formation', body), status, id);
    expect((await api.get('/apps/demo/formation/web')).body.quantity).toBe(1);
  });
});

describe('dynos', () => {
  let release: Release;
  beforeEach(() => {
    release = api.deploy(app);
  });

  test('are listed and found by name and id', async () => {
    const dyno = api.aDyno(app, release);
    api.aDyno(app, release, { type: 'worker', port: null });
    const { body } = await api.get('/apps/demo/dynos');
    for (const entry of body) expectToMatchSchema('dyno', entry);
    expect(body).toMatchObject([{ name: 'web.1', state: 'up', size: 'Basic' }, { name: 'worker.1' }]);
    expect((await api.get('/apps/demo/dynos/web.1')).body).toEqual(body[0]);
    expect((await api.get(`/apps/demo/dynos/${dyno.id}`)).body).toEqual(body[0]);
    expectError(await api.get('/apps/demo/dynos/web.2'), 404, 'not_found');
  });

  test('are restarted all at once, by name and by type, and stopped', async () => {
    api.aDyno(app, release);
    for (const answer of [
      await api.delete('/apps/demo/dynos'),
      await api.delete('/apps/demo/dynos/web.1'),
      await api.delete('/apps/demo/formations/web'),
      await api.post('/apps/demo/dynos/web.1/actions/stop'),
      await api.post('/apps/demo/formations/web/actions/stop'),
    ]) {
      expect(answer.status).toBe(202);
      expect(answer.body).toEqual({});
    }
    expect(api.restarts).toEqual([
      { all: true },
      { name: 'web.1' },
      { type: 'web' },
      { name: 'web.1' },
      { type: 'web' },
    ]);
    expectError(await api.delete('/apps/demo/dynos/web.9'), 404, 'not_found');
    expectError(await api.post('/apps/demo/dynos/web.9/actions/stop'), 404, 'not_found');
  });

  test('are started one off, as the CLI does it', async () => {
    const answer = await api.post('/apps/demo/dynos', {
      attach: true,
      command: 'bash',
      env: { TERM: 'xterm', COLUMNS: 133, LINES: 44, A: '1' },
      force_no_tty: null,
    });
    expect(answer.status).toBe(201);
    expectToMatchSchema('dyno', answer.body);
    expect(answer.body).toMatchObject({
      name: expect.stringMatching(/^run\.\d{4}$/),
      type: 'run',
      state: 'starting',
      size: 'Basic',
      command: 'bash',
      attach_url: expect.stringMatching(/^rendezvous:\/\/localhost:5050\/[0-9a-f]{48}$/),
    });
    const [dyno] = api.store.dynos.of(app.id);
    expect(dyno?.oneOff).toEqual({
      attached: true,
      terminal: { columns: 133, rows: 44 },
      env: { TERM: 'xterm', COLUMNS: '133', LINES: '44', A: '1' },
      expiresAt: null,
    });
    // What leads to the process is told once.
    expect((await api.get(`/apps/demo/dynos/${answer.body.name}`)).body.attach_url).toBeNull();
    expect(JSON.stringify(api.store.events.of(app.id))).not.toContain('xterm');
  });

  test('are started one off and detached, with a size and a time to live', async () => {
    const input = { command: 'worker --once', attach: false, size: 'Standard-2X', time_to_live: 60 };
    const { status, body } = await api.post('/apps/demo/dynos', input);
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { attach_url: null, size: 'Standard-2X', command: 'node worker.js --once' },
    });
    const [dyno] = api.store.dynos.of(app.id);
    expect(dyno?.oneOff).toMatchObject({ attached: false, terminal: null, env: {} });
    expect(dyno?.oneOff?.expiresAt?.getTime()).toBe((dyno?.createdAt.getTime() ?? 0) + 60_000);
    expect(api.logplex.history(app.id, {}, 1).map(({ line }) => line)).toMatchObject([
      {
        source: 'app',
        process: 'api',
        text: 'Starting process with command `node worker.js --once` by user a@b.example',
      },
    ]);
  });

  test('have no terminal where the client wants none', async () => {
    await api.post('/apps/demo/dynos', { command: 'cat', attach: true, force_no_tty: true });
    expect(api.store.dynos.of(app.id)[0]?.oneOff?.terminal).toBeNull();
  });

  test('take the size of the process type that is named, else that of web', async () => {
    await api.patch('/apps/demo/formation', { updates: [{ type: 'worker', size: 'standard-2x' }] });
    expect((await api.post('/apps/demo/dynos', { command: 'x', type: 'worker' })).body.size).toBe(
      'Standard-2X',
    );
    expect((await api.post('/apps/demo/dynos', { command: 'x', type: 'run' })).body.size).toBe('Basic');
  });

  test.each([
    [{}],
    [{ command: 1 }],
    [{ command: '  ' }],
    [{ command: 'a\0b' }],
    [{ command: 'x', size: 'huge' }],
    [{ command: 'x', type: 'no type' }],
    [{ command: 'x', env: { 'A-B': '1' } }],
    [{ command: 'x', env: { A: {} } }],
    [{ command: 'x', env: { A: '\0' } }],
    [{ command: 'x', time_to_live: 0 }],
    [{ command: 'x', time_to_live: 86_401 }],
    [{ command: 'x', attach: 'yes' }],
  ])('are not started one off by %j', async (body) => {
    expectError(await api.post('/apps/demo/dynos', body), 422, 'invalid_params');
    expect(api.store.dynos.of(app.id)).toEqual([]);
  });

  test('are not started one off in an app without code, or in none', async () => {
    api.anApp('empty');
    expectError(await api.post('/apps/empty/dynos', { command: 'bash' }), 422, 'invalid_params');
    expectError(await api.post('/apps/nothing/dynos', { command: 'bash' }), 404, 'not_found');
  });

  test('are not started one off beyond what an app may have', async () => {
    for (let count = 0; count < 50; count++) await api.post('/apps/demo/dynos', { command: 'x' });
    const answer = await api.post('/apps/demo/dynos', { command: 'x' });
    expectError(answer, 422, 'invalid_params');
    expect(answer.body.message).toBe('Cannot run more than 50 Basic size dynos.');
  });

  test('take commands while they run', async () => {
    const accept = { Accept: 'application/vnd.heroku+json; version=3.run-inside' };
    api.aDyno(app, release);
    const body = { command: 'worker -v', env: { TERM: 'xterm' } };
    const answer = await api.request('POST', '/apps/demo/dynos/web.1', { body, headers: accept });
    expect(answer.status).toBe(201);
    expectToMatchSchema('dyno', answer.body);
    expect(answer.body).toMatchObject({
      name: 'web.1',
      command: 'node worker.js -v',
      attach_url: expect.stringMatching(/^rendezvous:/),
    });
    api.aDyno(app, release, { type: 'worker', state: 'crashed', port: null });
    expectError(await api.post('/apps/demo/dynos/worker.1', body), 409, 'conflict');
    expectError(await api.post('/apps/demo/dynos/web.9', body), 404, 'not_found');
  });
});

describe('domains', () => {
  test('are listed with the app domain first added', async () => {
    const { body } = await api.get('/apps/demo/domains', { Range: 'id ..; max=1000;' });
    expect(body).toMatchObject([{ kind: 'heroku', hostname: 'demo.localhost', cname: null }]);
    for (const entry of body) expectToMatchSchema('domain', entry);
  });

  test('are added as the CLI does it, found by name and id, and removed', async () => {
    const added = await api.post('/apps/demo/domains', { hostname: '*.Example.com', sni_endpoint: null });
    expect(added.status).toBe(201);
    expectToMatchSchema('domain', added.body);
    expect(added.body).toMatchObject({
      kind: 'custom',
      hostname: '*.example.com',
      cname: 'demo.localhost',
      status: 'none',
    });
    expect((await api.get('/apps/demo/domains/*.example.com')).body).toEqual(added.body);
    expect((await api.get(`/apps/demo/domains/${added.body.id}`)).body).toEqual(added.body);
    expectToMatchSchema('domain', (await api.delete('/apps/demo/domains/*.example.com')).body);
    expectError(await api.get('/apps/demo/domains/*.example.com'), 404, 'not_found');
  });

  test('are refused when they make no sense', async () => {
    expectError(await api.post('/apps/demo/domains', { hostname: 'a b' }), 422, 'invalid_params');
    expectError(await api.post('/apps/demo/domains', {}), 422, 'invalid_params');
    expectError(
      await api.post('/apps/demo/domains', { hostname: 'a.example', sni_endpoint: 'x' }),
      404,
      'not_found',
    );
    expectError(await api.delete('/apps/demo/domains/demo.localhost'), 403, 'forbidden');
    expectError(await api.delete('/apps/demo/domains/nothing.example'), 404, 'not_found');
  });
});

describe('builds', () => {
  test('are listed and found', async () => {
    const build = api.aBuild(app);
    const { body } = await api.get('/apps/demo/builds');
    expectToMatchSchema('build', body[0]);
    expect(body[0].buildpacks).toEqual([{ url: 'urn:buildpack:heroku/nodejs', name: 'heroku/nodejs' }]);
    expect((await api.get(`/apps/demo/builds/${build.id}`)).body).toEqual(body[0]);
    expectError(await api.get(`/apps/demo/builds/${randomUUID()}`), 404, 'not_found');
    expectError(await api.post('/apps/demo/builds', { source_blob: { url: 'x' } }), 422, 'invalid_params');
  });

  test('stream their output to whoever has the URL', async () => {
    const build = api.aBuild(app);
    api.outputs.set(
      build.id,
      (async function* () {
        yield Buffer.from('-----> Building\n');
        yield Buffer.from('       done\n');
      })(),
    );
    const { output_stream_url: url } = (await api.get(`/apps/demo/builds/${build.id}`)).body;
    const answer = await api.request('GET', url, { anonymous: true });
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.text).toBe('-----> Building\n       done\n');
    const wrongKey = (url as string).replace(/.$/, (last) => (last === '0' ? '1' : '0'));
    expectError(await api.request('GET', wrongKey, { anonymous: true }), 404, 'not_found');
  });

  test('whose output is gone answer 404', async () => {
    const build = api.aBuild(app);
    const { output_stream_url: url } = (await api.get(`/apps/demo/builds/${build.id}`)).body;
    expectError(await api.request('GET', url, { anonymous: true }), 404, 'not_found');
  });
});

describe('buildpack installations', () => {
  test('are replaced as a whole, with the empty Range that the CLI sends', async () => {
    const answer = await api.request('PUT', '/apps/demo/buildpack-installations', {
      body: {
        updates: [{ buildpack: 'urn:buildpack:heroku/nodejs' }, { buildpack: 'https://example.com/b.git' }],
      },
      headers: { Range: '' },
    });
    expect(answer.status).toBe(200);
    for (const entry of answer.body) expectToMatchSchema('buildpack-installation', entry);
    expect(answer.body).toEqual([
      { ordinal: 0, buildpack: { url: 'urn:buildpack:heroku/nodejs', name: 'heroku/nodejs' } },
      { ordinal: 1, buildpack: { url: 'https://example.com/b.git', name: 'https://example.com/b.git' } },
    ]);
    expect((await api.get('/apps/demo/buildpack-installations')).body).toEqual(answer.body);
    expect((await api.put('/apps/demo/buildpack-installations', { updates: [] })).body).toEqual([]);
  });

  test.each([
    [{}],
    [{ updates: 'x' }],
    [{ updates: [{}] }],
    [{ updates: [{ buildpack: 'no spaces please' }] }],
  ])('are not replaced by %j', async (body) => {
    expectError(await api.put('/apps/demo/buildpack-installations', body), 422, 'invalid_params');
  });

  test('are explained when the CLI found no buildpack of the name', async () => {
    const { body } = await api.put('/apps/demo/buildpack-installations', { updates: [{}] });
    expect(body.message).toBe(
      "There is no buildpack of that name. dynodock comes with heroku/nodejs, heroku/procfile, fetches Heroku's other ones, and takes the URL of any git repository.",
    );
  });
});

test('heroku ps:exec is refused in words', async () => {
  const answer = await api.get('/apps/demo/features/runtime-heroku-exec');
  expectError(answer, 501, 'not_supported');
  expect(answer.body.message).toContain('heroku ps:exec');
  expect(answer.body.message).toContain('heroku run:inside web.1 bash -a demo');
});

describe('buildpack registry', () => {
  test('knows the bundled buildpacks without a token', async () => {
    const answer = await api.request('GET', '/buildpacks/heroku%2Fnodejs', { anonymous: true });
    expect(answer.body).toMatchObject({
      blob_url: 'urn:buildpack:heroku/nodejs',
      namespace: 'heroku',
      name: 'nodejs',
      support: { method: expect.any(String) },
      source: { type: expect.any(String) },
    });
    const unknown = await api.request('GET', '/buildpacks/heroku%2Fcobol', { anonymous: true });
    expectError(unknown, 404, 'not_found');
    const revisions = await api.request('GET', '/buildpacks/heroku%2Fnodejs/revisions', { anonymous: true });
    expect(revisions.body).toMatchObject([
      {
        id: 'sha256:01',
        release: 1,
        status: 'published',
        license: 'MIT',
        created_at: '2026-02-03T04:05:06.000Z',
      },
    ]);
    const path = '/buildpacks/heroku%2Fnodejs/revisions';
    const one = await api.request('GET', `${path}/sha256%3A01`, { anonymous: true });
    expect(one.body).toEqual(revisions.body[0]);
    expectError(await api.request('GET', `${path}/other`, { anonymous: true }), 404, 'not_found');
    const readme = await api.request('GET', '/buildpacks/heroku%2Fnodejs/readme', { anonymous: true });
    expect(Buffer.from(readme.body.content, readme.body.encoding).toString()).toBe(
      '# Node.js\n\nNode.js apps\n',
    );
  });

  test.each(['heroku/python', 'acme/turbo'])('knows %s, which builds fetch', async (name) => {
    const { body } = await api.request('GET', `/buildpacks/${encodeURIComponent(name)}`, { anonymous: true });
    expect(body).toMatchObject({ blob_url: `urn:buildpack:${name}`, source: { type: 'fetched' } });
  });

  test.each([
    ['', ['nodejs', 'procfile']],
    ['?in[namespace][]=heroku&in[name][]=nodejs', ['nodejs']],
    ['?in[namespace][]=acme', []],
    ['?like[description]=procfile', ['procfile']],
  ])('is searched with %j', async (query, names) => {
    const { body } = await api.request('GET', `/buildpacks${query}`, { anonymous: true });
    expect(column(body, 'name')).toEqual(names);
  });
});

describe('what is the same for all', () => {
  test.each([
    ['/stacks', 'stack', 'heroku-24'],
    ['/regions', 'region', 'us'],
    ['/dyno-sizes', 'dyno-size', 'standard-1x'],
  ])('%s', async (path, resource, name) => {
    const { body } = await api.get(path);
    expect(body.length).toBeGreaterThan(0);
    for (const entry of body) expectToMatchSchema(resource, entry);
    expectToMatchSchema(resource, (await api.get(`${path}/${name}`)).body);
    expectToMatchSchema(resource, (await api.get(`${path}/${body[0].id}`)).body);
    expectError(await api.get(`${path}/nothing`), 404, 'not_found');
  });

  test('an app can have any dyno size', async () => {
    expect((await api.get('/apps/demo/available-dyno-sizes')).body).toEqual(
      (await api.get('/dyno-sizes')).body,
    );
    expectError(await api.get('/apps/nothing/available-dyno-sizes'), 404, 'not_found');
  });
});

describe('app features', () => {
  test('that are not there are not found', async () => {
    const features = (await api.get('/apps/demo/features')).body as { name: string }[];
    expect(features.map(({ name }) => name)).toEqual(['http-session-affinity', 'preboot']);
    expectError(await api.get('/apps/demo/features/x'), 404, 'not_found');
    expectError(await api.patch('/apps/demo/features/x', { enabled: true }), 404, 'not_found');
    expectError(await api.patch('/apps/demo/features/x', { enabled: 'yes' }), 422, 'invalid_params');
  });
});

describe('collections that are always empty', () => {
  test.each([
    '/addons', '/addon-attachments', '/teams', '/spaces', '/pipelines', '/account/keys',
    '/users/~/addons', '/apps/demo/addons', '/apps/demo/addon-attachments', '/apps/demo/log-drains',
    '/apps/demo/webhooks', '/pipelines?eq[name]=x',
  ])('%s', async (path) => {
    const answer = await api.get(path, { Range: 'id ..; max=1000;' });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual([]);
  }); // prettier-ignore

  test('belong to an app that is there', async () => {
    expectError(await api.get('/apps/nothing/addons'), 404, 'not_found');
  });

  test('say which thing can not be put into them', async () => {
    const answer = await api.post('/apps/demo/webhooks', {
      include: [],
      level: 'notify',
      url: 'https://x.example',
    });
    expectError(answer, 501, 'not_supported');
    expect(answer.body.message).toContain('webhook');
  });

  test('have no entries, which is what the CLI has to hear to look elsewhere', async () => {
    const body = { addon: 'x', app: 'demo' };
    expect((await api.post('/actions/addons/resolve', body)).body.resource).toBe('add_on');
    const attachment = await api.post('/actions/addon-attachments/resolve', {
      addon_attachment: 'DATABASE_URL',
    });
    expectError(attachment, 404, 'not_found');
    expect(attachment.body.resource).toBe('add_on attachment');
    expectError(await api.get('/apps/demo/pipeline-couplings'), 404, 'not_found');
    expectError(await api.get('/apps/demo/addons/x'), 404, 'not_found');
    expectError(await api.get('/teams/x'), 404, 'not_found');
  });
});

describe('sleep', () => {
  test('is shown and set per app', async () => {
    expect((await api.get('/apps/demo/sleep')).body).toEqual({
      app: { id: app.id, name: 'demo' },
      state: 'sleepless',
      idle_after_seconds: 1800,
      depth: 'stopped',
      frozen_seconds: 600,
      overrides: { idle_after_seconds: null, depth: null, frozen_seconds: null },
    });
    const { body } = await api.patch('/apps/demo/sleep', { idle_after_seconds: 5, depth: 'frozen' });
    expect(body).toMatchObject({
      idle_after_seconds: 5,
      depth: 'frozen',
      overrides: { idle_after_seconds: 5, depth: 'frozen', frozen_seconds: null },
    });
    const { body: back } = await api.patch('/apps/demo/sleep', { idle_after_seconds: null });
    expect(back).toMatchObject({ idle_after_seconds: 1800, depth: 'frozen' });
  });

  test.each([
    [{}, 'Nothing to change'],
    [{ depth: 7 }, 'depth must be a string'],
    [{ depth: 'coma' }, 'No such depth'],
    [{ idle_after_seconds: '5' }, 'must be a number'],
    [{ frozen_seconds: -5 }, 'Invalid frozen_seconds'],
  ])('refuses %j', async (body, message) => {
    const answer = await api.patch('/apps/demo/sleep', body);
    expectError(answer, 422, 'invalid_params');
    expect(answer.body.message).toContain(message);
  });

  test('refuses to put to sleep what cannot, and to wake what does not sleep', async () => {
    expectError(await api.post('/apps/demo/actions/idle', {}), 409, 'conflict');
    expectError(await api.post('/apps/demo/actions/wake', {}), 409, 'conflict');
    expectError(await api.post('/apps/nobody/actions/idle', {}), 404, 'not_found');
  });

  test('lists the wakes', async () => {
    const request = { method: 'GET', path: '/', requestId: 'r', fwd: '127.0.0.1' };
    api.services.sleep.ledger.begin(app.id, { kind: 'request', request }, 'frozen', new Date(0));
    expect((await api.get('/apps/demo/wakes')).body).toEqual([
      {
        id: expect.any(String),
        app: { id: app.id, name: 'demo' },
        cause: { kind: 'request', method: 'GET', path: '/', request_id: 'r', fwd: '127.0.0.1' },
        depth: 'frozen',
        held: null,
        phases_ms: {
          decision: expect.any(Number),
          container: null,
          boot: null,
          first_byte: null,
          total: null,
        },
        created_at: '1970-01-01T00:00:00.000Z',
      },
    ]);
  });
});

describe('the quota of dyno hours', () => {
  test('is not there without a pool, which the CLI takes for none', async () => {
    expectError(await api.get('/accounts/~/actions/get-quota'), 404, 'not_found');
    expect((await api.get('/apps/demo')).body).not.toHaveProperty('process_tier');
  });

  test('says what is used of it, by app', async () => {
    const metered = await TestApi.start({ dynoHoursMs: 3_600_000 });
    try {
      const used = metered.anApp();
      const now = new Date();
      metered.store.dynoHours.add(now.toISOString().slice(0, 7), used.id, 90);
      const { body } = await metered.get(`/accounts/${metered.account.id}/actions/get-quota`);
      expect(body).toEqual({
        account_quota: 3600,
        quota_used: 90,
        apps: [{ app_uuid: used.id, quota_used: 90 }],
      });
      expectError(await metered.get('/accounts/nobody/actions/get-quota'), 404, 'not_found');
    } finally {
      await metered.stop();
    }
  });
});

describe('reclaiming disk space', () => {
  const figures = { images: 10, caches: null, files: 5 };
  let called: string[];
  let reclaiming: TestApi;
  beforeEach(async () => {
    called = [];
    const answer = (name: string, outcome: 'planned' | 'removed') => async (): Promise<ReclaimReport> => {
      called.push(name);
      return {
        items: [
          {
            thing: { kind: 'build-cache', appId: 'gone' as AppId, name: 'cache', bytes: 7 },
            action: 'remove',
            reason: 'its app is gone',
            expires: [],
            outcome,
          },
        ],
        before: figures,
        after: outcome === 'removed' ? figures : null,
      };
    };
    reclaiming = await TestApi.start({
      services: { reclaim: { plan: answer('plan', 'planned'), run: answer('run', 'removed') } },
    });
  });
  afterEach(() => reclaiming.stop());

  test('a dry run says what would go', async () => {
    const { status, body } = await reclaiming.post('/dynodock/reclaim', { dry_run: true });
    expect(status).toBe(200);
    const disk = { images_bytes: 10, caches_bytes: null, files_bytes: 5 };
    const item = {
      kind: 'build-cache',
      name: 'cache',
      app: null,
      bytes: 7,
      action: 'remove',
      outcome: 'planned',
      reason: 'its app is gone',
    };
    expect(body).toEqual({ dry_run: true, items: [item], disk: { before: disk, after: null } });
    expect(called).toEqual(['plan']);
  });

  test('without being told otherwise it goes', async () => {
    const { body } = await reclaiming.post('/dynodock/reclaim');
    expect(body).toMatchObject({ dry_run: false, items: [{ outcome: 'removed' }] });
    expect(called).toEqual(['run']);
  });

  test('what is not understood removes nothing', async () => {
    for (const bad of [{ dry_run: 'yes' }, { dry_run: null }, []]) {
      expectError(await reclaiming.post('/dynodock/reclaim', bad), 422, 'invalid_params');
    }
    const anonymous = await reclaiming.request('POST', '/dynodock/reclaim', { anonymous: true });
    expectError(anonymous, 401, 'unauthorized');
    expect(called).toEqual([]);
  });
});
