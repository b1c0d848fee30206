import type { App } from '../../../src/domain/app';
import { TestApi, type Answer } from '../../support/api';
import { expectToMatchSchema } from '../../support/schema';

let api: TestApi;
let app: App;

beforeEach(async () => {
  api = await TestApi.start();
  app = api.anApp('demo');
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

const create = (body: object, of = 'demo'): Promise<Answer> => api.post(`/apps/${of}/addons`, body);
const descriptions = (of: App = app): string[] =>
  api.store.releases.of(of.id).map(({ description, user }) => `${description} by ${user.email}`);

describe('the catalogue', () => {
  test('has services, plans and region capabilities by name and id', async () => {
    const services = (await api.get('/addon-services')).body as { name: string; id: string }[];
    expect(services.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['heroku-postgresql', 'heroku-redis']),
    );
    for (const service of services) {
      expectToMatchSchema('add-on-service', service);
      expect((await api.get(`/addon-services/${service.id}`)).body).toEqual(service);
      const plans = (await api.get(`/addon-services/${service.name}/plans`)).body as {
        name: string;
        id: string;
        default: boolean;
      }[];
      for (const plan of plans) {
        expectToMatchSchema('plan', plan);
        expect((await api.get(`/plans/${encodeURIComponent(plan.name)}`)).body).toEqual(plan);
        expect((await api.get(`/addon-services/${service.id}/plans/${plan.id}`)).body).toEqual(plan);
      }
      expect(plans.filter((plan) => plan.default)).toHaveLength(1);
    }
    for (const path of ['/addon-region-capabilities', '/regions/us/addon-region-capabilities']) {
      const capabilities = (await api.get(path)).body as unknown[];
      expect(capabilities).toHaveLength(services.length);
      capabilities.forEach((capability) => expectToMatchSchema('add-on-region-capability', capability));
    }
    expect((await api.get('/addon-services/heroku-redis/region-capabilities')).body).toHaveLength(1);
  });

  test('says what it does not have', async () => {
    expect(await api.get('/addon-services/nope')).toMatchObject({ status: 404, body: { id: 'not_found' } });
    expect(await api.get('/addon-services/heroku-redis/plans/nope')).toMatchObject({ status: 404 });
    expect(await api.get('/plans/heroku-redis:nope')).toMatchObject({ status: 404 });
    expect(await api.get('/regions/mars/addon-region-capabilities')).toMatchObject({ status: 404 });
  });
});

describe('creating', () => {
  test('gives a running backend, its config vars and a release', async () => {
    const { status, body } = await create({
      plan: { name: 'heroku-redis:mini' },
      attachment: {},
      config: {},
    });
    expect(status).toBe(201);
    expectToMatchSchema('add-on', body);
    expect(body).toMatchObject({
      state: 'provisioned',
      name: expect.stringMatching(/^redis-[a-z]+-\d{5}$/),
      plan: { name: 'heroku-redis:mini' },
      config_vars: ['REDIS_TLS_URL', 'REDIS_URL'],
      app: { name: 'demo' },
      billing_entity: { name: 'demo', type: 'app' },
    });
    expect(api.addons.engine.running()).toHaveLength(1);
    const vars = (await api.get('/apps/demo/config-vars')).body as Record<string, string>;
    expect(vars['REDIS_URL']).toMatch(/^redis:\/\/:ps{64}@198\.19\.0\.1:\d+$/);
    expect(vars['REDIS_TLS_URL']).toMatch(/^rediss:\/\/:ps{64}@198\.19\.0\.1:\d+$/);
    expect(descriptions().at(-1)).toBe(`Attach REDIS (@ref:${String(body.name)}) by a@b.example`);
    const releases = (await api.get('/apps/demo/releases')).body as { addon_plan_names: string[] }[];
    expect(releases.at(-1)?.addon_plan_names).toEqual(['heroku-redis:mini']);
    const current = api.store.releases.current(app.id);
    expect(current?.configVars).toEqual(vars);
  });

  test('takes a bare plan name, and old ones', async () => {
    expect((await create({ plan: 'heroku-redis' })).body.plan.name).toBe('heroku-redis:mini');
    expect((await create({ plan: 'heroku-postgresql:hobby-dev' })).body.plan.name).toBe(
      'heroku-postgresql:hobby-dev',
    );
    expect((await create({ plan: 'heroku-postgresql' })).body.plan.name).toBe('heroku-postgresql:standard-0');
  });

  test('attaches the first database as DATABASE and under a colour, further ones under colours', async () => {
    const first = await create({ plan: 'heroku-postgresql' });
    expect(first.body.config_vars).toEqual([
      'DATABASE_URL',
      expect.stringMatching(/^HEROKU_POSTGRESQL_[A-Z]+_URL$/),
    ]);
    const vars = (await api.get('/apps/demo/config-vars')).body as Record<string, string>;
    expect(vars['DATABASE_URL']).toMatch(/^postgres:\/\/us{13}:ps{64}@198\.19\.0\.1:\d+\/ds{13}$/);
    const second = await create({ plan: 'heroku-postgresql' });
    expect(second.body.config_vars).toEqual([expect.stringMatching(/^HEROKU_POSTGRESQL_[A-Z]+_URL$/)]);
    expect(second.body.config_vars[0]).not.toBe(first.body.config_vars[1]);
  });

  test('expands what is asked for', async () => {
    await create({ plan: 'heroku-redis' });
    const [addon] = (await api.get('/apps/demo/addons', { 'Accept-Expansion': 'addon_service,plan' })).body;
    expectToMatchSchema('plan', addon.plan);
    expectToMatchSchema('add-on-service', addon.addon_service);
  });

  test('refuses unknown services, plans, options and values, and names that are taken or odd', async () => {
    for (const plan of ['nope', 'heroku-redis:nope', 'nope:mini', '']) {
      expect(await create({ plan: { name: plan } })).toMatchObject({
        status: 422,
        body: {
          id: 'invalid_params',
          message: `Couldn't find either the add-on service or the add-on plan of "${plan}".`,
        },
      });
    }
    expect(await create({ plan: 'heroku-redis', config: { colour: 'red' } })).toMatchObject({
      status: 422,
      body: { message: 'heroku-redis does not know the option "colour". Its options: version.' },
    });
    expect((await create({ plan: 'heroku-redis', config: { version: '99' } })).body.message).toContain(
      '"99" is not one of 6, 7, 8',
    );
    expect((await create({ plan: 'heroku-redis', config: { version: true } })).status).toBe(422);
    await create({ plan: 'heroku-redis', name: 'my-redis' });
    expect(await create({ plan: 'heroku-redis', name: 'my-redis' })).toMatchObject({
      status: 422,
      body: { id: 'invalid_params', message: 'Name my-redis is already taken' },
    });
    expect((await create({ plan: 'heroku-redis', name: '-' })).status).toBe(422);
    expect((await create({ plan: 'heroku-redis', attachment: { name: 'a-b' } })).status).toBe(422);
    expect((await create({})).status).toBe(422);
    expect((await create({ plan: 'heroku-redis' }, 'nope')).status).toBe(404);
    expect(api.store.addons.all()).toHaveLength(1);
    expect(api.addons.engine.containers()).toHaveLength(1);
  });

  test('asks before it takes the place of an attachment, and leaves that until it is usable', async () => {
    const { body: old } = await create({ plan: 'heroku-redis' });
    const again = { plan: 'heroku-redis', attachment: { name: 'redis' } };
    expect(await create(again)).toMatchObject({
      status: 423,
      body: {
        id: 'confirmation_required',
        message: 'Adding REDIS to app demo would overwrite existing vars REDIS_TLS_URL and REDIS_URL.',
      },
    });
    const { body } = await create({ ...again, confirm: 'demo', name: 'newer' });
    expect(body.config_vars).toEqual(['REDIS_TLS_URL', 'REDIS_URL']);
    // The old one would be lost without a name of its own.
    expect(descriptions().slice(-3)).toEqual([
      expect.stringMatching(`^Attach HEROKU_REDIS_[A-Z]+ \\(@ref:${String(old.name)}\\) by a@b.example$`),
      `Detach REDIS (@ref:${String(old.name)}) by a@b.example`,
      'Attach REDIS (@ref:newer) by a@b.example',
    ]);
  });

  test('asks before it overwrites config vars that were set by hand', async () => {
    await api.patch('/apps/demo/config-vars', { MINE_URL: 'x', REDIS_URL: 'mine' });
    expect((await create({ plan: 'heroku-redis', attachment: { name: 'MINE' } })).status).toBe(423);
    // Not asked for by name, it goes out of the way.
    const { body } = await create({ plan: 'heroku-redis' });
    expect(body.config_vars[0]).toMatch(/^HEROKU_REDIS_[A-Z]+_TLS_URL$/);
    const confirmed = await create({ plan: 'heroku-redis', attachment: { name: 'MINE' }, confirm: 'demo' });
    expect(confirmed.body.config_vars).toEqual(['MINE_TLS_URL', 'MINE_URL']);
    expect((await api.get('/apps/demo/config-vars')).body).toMatchObject({
      MINE_URL: expect.stringMatching(/^redis:/),
      REDIS_URL: 'mine',
    });
  });
});

describe('what belongs to an attachment', () => {
  beforeEach(() => create({ plan: 'heroku-redis' }));

  test('cannot be set or unset by hand', async () => {
    for (const value of ['x', null]) {
      expect(await api.patch('/apps/demo/config-vars', { A: 'b', REDIS_URL: value })).toMatchObject({
        status: 422,
        body: { id: 'invalid_params', message: 'Cannot overwrite attachment values REDIS_URL.' },
      });
    }
    expect((await api.get('/apps/demo/config-vars')).body).not.toHaveProperty('A');
  });

  test('survives changes of other vars', async () => {
    const before = (await api.get('/apps/demo/config-vars')).body as Record<string, string>;
    await api.patch('/apps/demo/config-vars', { A: 'b' });
    expect((await api.get('/apps/demo/config-vars')).body).toEqual({ ...before, A: 'b' });
  });

  test('is left alone by a rollback', async () => {
    await api.patch('/apps/demo/config-vars', { A: '1' });
    const target = api.deploy(app);
    const [addon] = api.store.addons.of(app.id);
    await create({ plan: 'heroku-redis', attachment: { name: 'OTHER' } });
    await api.patch('/apps/demo/config-vars', { A: '2' });
    await api.delete(`/apps/demo/addons/${addon?.name ?? ''}`);
    const before = (await api.get('/apps/demo/config-vars')).body as Record<string, string>;
    expect((await api.post('/apps/demo/releases', { release: target.id })).status).toBe(201);
    const after = (await api.get('/apps/demo/config-vars')).body as Record<string, string>;
    expect(after).toEqual({ ...before, A: '1' });
    expect(Object.keys(after).sort()).toEqual(['A', 'OTHER_TLS_URL', 'OTHER_URL']);
  });
});

describe('looking up', () => {
  test('lists by app, by user and all, and finds by id and name', async () => {
    const { body } = await create({ plan: 'heroku-redis', name: 'cache' });
    for (const path of ['/addons', '/apps/demo/addons', '/users/~/addons']) {
      expect((await api.get(path)).body).toEqual([body]);
    }
    for (const id of ['cache', body.id]) {
      expect((await api.get(`/addons/${id}`)).body).toEqual(body);
      expect((await api.get(`/apps/demo/addons/${id}`)).body).toEqual(body);
    }
    api.anApp('other');
    expect((await api.get('/apps/other/addons')).body).toEqual([]);
    expect(await api.get('/apps/other/addons/cache')).toMatchObject({
      status: 404,
      body: { id: 'not_found', resource: 'add_on', message: "Couldn't find that add-on." },
    });
  });

  test('resolves add-ons by id, name, service, plan and attachment', async () => {
    const { body } = await create({ plan: 'heroku-redis', name: 'cache', attachment: { name: 'FAST' } });
    const resolve = (addon: string, more: object = {}): Promise<Answer> =>
      api.post('/actions/addons/resolve', { addon, app: 'demo', ...more });
    for (const text of ['cache', body.id, 'heroku-redis', 'heroku-redis:mini', 'FAST', 'FAST_URL']) {
      const found = (await resolve(text)).body;
      expect(found).toEqual([expect.objectContaining({ id: body.id })]);
      expectToMatchSchema('plan', found[0].plan);
    }
    expect((await resolve('cache', { app: null })).body).toHaveLength(1);
    for (const answer of [
      await resolve('nope'),
      await resolve('cache', { addon_service: 'heroku-postgresql' }),
    ]) {
      expect(answer).toMatchObject({ status: 404, body: { id: 'not_found', resource: 'add_on' } });
    }
  });

  test('resolves attachments by name, config var, add-on, and with the app along', async () => {
    const { body } = await create({ plan: 'heroku-postgresql', name: 'db' });
    const resolve = (text: string, more: object = {}): Promise<Answer> =>
      api.post('/actions/addon-attachments/resolve', { addon_attachment: text, app: 'demo', ...more });
    for (const text of ['DATABASE', 'DATABASE_URL', 'demo::DATABASE', 'demo::DATABASE_URL']) {
      expect((await resolve(text)).body).toEqual([
        expect.objectContaining({
          name: 'DATABASE',
          namespace: null,
          app: { id: app.id, name: 'demo' },
          addon: expect.objectContaining({
            id: body.id,
            name: 'db',
            app: { id: app.id, name: 'demo' },
            plan: expect.objectContaining({ name: 'heroku-postgresql:standard-0' }),
          }),
          config_vars: ['DATABASE_URL'],
        }),
      ]);
    }
    expect((await resolve('db')).body).toHaveLength(2);
    expect((await resolve('demo::DATABASE', { app: null })).body).toHaveLength(1);
    for (const text of ['nope', 'nope::DATABASE']) {
      expect(await resolve(text)).toMatchObject({
        status: 404,
        body: {
          id: 'not_found',
          resource: 'add_on attachment',
          message: "Couldn't find that add on attachment.",
        },
      });
    }
  });
});

describe('attaching', () => {
  let other: App;
  beforeEach(async () => {
    other = api.anApp('other');
    await create({ plan: 'heroku-postgresql', name: 'db' });
  });

  test('gives another app the same database, under a name of its own', async () => {
    const { status, body } = await api.post('/addon-attachments', { addon: 'db', app: 'other' });
    expect(status).toBe(201);
    expectToMatchSchema('add-on-attachment', body);
    expect(body.name).toBe('DATABASE');
    const url = async (of: string): Promise<string> =>
      ((await api.get(`/apps/${of}/config-vars`)).body as Record<string, string>)['DATABASE_URL'] ?? '';
    expect(await url('other')).toBe(await url('demo'));
    expect(descriptions(other).at(-1)).toBe('Attach DATABASE (@ref:db) by a@b.example');
    expect((await api.get('/apps/other/addons')).body).toEqual([expect.objectContaining({ name: 'db' })]);
    for (const path of ['/addon-attachments', '/addons/db/addon-attachments']) {
      const list = (await api.get(path)).body as unknown[];
      expect(list).toHaveLength(3);
      list.forEach((each) => expectToMatchSchema('add-on-attachment', each));
    }
    expect((await api.get('/apps/other/addon-attachments')).body).toEqual([body]);
    expect((await api.get('/apps/other/addon-attachments/DATABASE')).body).toEqual(body);
    expect((await api.get(`/addon-attachments/${body.id}`)).body).toEqual(body);
    const [included] = (
      await api.get('/apps/other/addon-attachments', { 'Accept-Inclusion': 'addon:plan,config_vars' })
    ).body;
    expect(included).toMatchObject({
      config_vars: ['DATABASE_URL'],
      addon: { plan: { name: expect.any(String) } },
    });
  });

  test('detaches with its config vars, but not the last one of its owner', async () => {
    const { body } = await api.post('/addon-attachments', { addon: 'db', app: 'other', name: 'MAIN' });
    expect((await api.delete(`/addon-attachments/${body.id}`)).body).toEqual(body);
    expect((await api.get('/apps/other/config-vars')).body).toEqual({});
    expect(descriptions(other).at(-1)).toBe('Detach MAIN (@ref:db) by a@b.example');
    const [first, second] = (await api.get('/apps/demo/addon-attachments')).body as { id: string }[];
    expect((await api.delete(`/addon-attachments/${first?.id ?? ''}`)).status).toBe(200);
    expect(await api.delete(`/addon-attachments/${second?.id ?? ''}`)).toMatchObject({
      status: 422,
      body: {
        id: 'invalid_params',
        message: 'Cannot destroy last attachment to billing app for resource db',
      },
    });
    expect((await api.delete(`/addon-attachments/${first?.id ?? ''}`)).status).toBe(404);
  });

  test('gives a colour to what would lose its only name to another add-on', async () => {
    await create({ plan: 'heroku-redis', name: 'old' });
    await create({ plan: 'heroku-redis', name: 'next' });
    const promote = { addon: 'next', app: 'demo', name: 'REDIS', confirm: 'demo' };
    expect((await api.post('/addon-attachments', promote)).status).toBe(201);
    const attached = (await api.get('/apps/demo/addon-attachments')).body as {
      name: string;
      addon: { name: string };
    }[];
    const ofOld = attached.filter(({ addon }) => addon.name === 'old').map(({ name }) => name);
    expect(ofOld).toEqual([expect.stringMatching(/^HEROKU_REDIS_[A-Z]+$/)]);
    expect(attached.find(({ name }) => name === 'REDIS')?.addon.name).toBe('next');
    expect((await api.get('/apps/demo/config-vars')).body).toHaveProperty(`${ofOld[0] ?? ''}_URL`);
    expect(descriptions().slice(-3)).toEqual([
      `Attach ${ofOld[0] ?? ''} (@ref:old) by a@b.example`,
      'Detach REDIS (@ref:old) by a@b.example',
      'Attach REDIS (@ref:next) by a@b.example',
    ]);
  });

  test('promotes another database by its name, as pg:promote does', async () => {
    await create({ plan: 'heroku-postgresql', name: 'next' });
    const promote = { addon: { name: 'next' }, app: { name: 'demo' }, name: 'DATABASE', namespace: null };
    expect((await api.post('/addon-attachments', promote)).status).toBe(423);
    expect((await api.post('/addon-attachments', { ...promote, confirm: 'demo' })).status).toBe(201);
    expect(descriptions().slice(-2)).toEqual([
      'Detach DATABASE (@ref:db) by a@b.example',
      'Attach DATABASE (@ref:next) by a@b.example',
    ]);
    expect((await api.post('/addon-attachments', { ...promote, confirm: 'demo' })).body).toMatchObject({
      id: 'invalid_params',
      message: 'next is already attached to demo as DATABASE.',
    });
  });

  test('knows the credentials that there are', async () => {
    expect((await api.get('/addons/db/config/credential:default')).body).toEqual([
      expect.objectContaining({ name: 'URL' }),
    ]);
    expect((await api.get('/addons/db/config/credential:nope')).body).toEqual([]);
    const [config] = (await api.get('/addons/db/config')).body;
    expectToMatchSchema('add-on-config', config);
    expect(
      await api.post('/addon-attachments', { addon: 'db', app: 'other', namespace: 'credential:nope' }),
    ).toMatchObject({ status: 422 });
    const { body } = await api.post('/addon-attachments', {
      addon: 'db',
      app: 'other',
      namespace: 'credential:default',
    });
    expect(body).toMatchObject({ namespace: 'credential:default' });
  });

  test('of other apps keeps it from being destroyed, unless forced', async () => {
    await api.post('/addon-attachments', { addon: 'db', app: 'other' });
    expect(await api.delete('/apps/demo/addons/db')).toMatchObject({ status: 422 });
    // Nobody but its owner may.
    expect((await api.delete('/apps/other/addons/db')).status).toBe(404);
    const { body } = await api.request('DELETE', '/apps/demo/addons/db', { body: { force: true } });
    expect(body).toMatchObject({ state: 'deprovisioned' });
    for (const each of [app, other]) {
      expect(descriptions(each).at(-1)).toBe('Detach DATABASE (@ref:db) by a@b.example');
      expect(api.store.configVars.get(each.id)).toEqual({});
    }
  });

  test('ends when the owning app is destroyed', async () => {
    await api.post('/addon-attachments', { addon: 'db', app: 'other' });
    expect((await api.delete('/apps/demo')).status).toBe(200);
    expect((await api.get('/addons')).body).toEqual([]);
    expect(descriptions(other).at(-1)).toBe('Detach DATABASE (@ref:db) by a@b.example');
    await api.addons.backends.idle();
    expect(api.addons.engine.containers()).toEqual([]);
    expect(api.addons.engine.volumes()).toHaveLength(1);
    // Its data can still be had, by another app.
    expect((await api.post('/dynodock/addons/deleted/db/undelete')).status).toBe(422);
    const { status, body } = await api.post('/dynodock/addons/deleted/db/undelete', { app: 'other' });
    expect({ status, app: body.app.name, vars: body.config_vars[0] }).toEqual({
      status: 201,
      app: 'other',
      vars: 'DATABASE_URL',
    });
  });
});

describe('changing', () => {
  beforeEach(() => create({ plan: 'heroku-redis', name: 'cache' }));

  test('the plan keeps the volume and makes a release', async () => {
    const before = api.addons.engine.volumes();
    const { status, body } = await api.patch('/apps/demo/addons/cache', {
      plan: { name: 'heroku-redis:premium-0' },
    });
    expect(status).toBe(200);
    expectToMatchSchema('add-on', body);
    expect(body).toMatchObject({ plan: { name: 'heroku-redis:premium-0' }, config_vars: ['REDIS_URL'] });
    expect(api.addons.engine.volumes()).toEqual(before);
    expect(api.addons.engine.running()).toHaveLength(1);
    expect(descriptions().at(-1)).toBe('Update REDIS (@ref:cache) by a@b.example');
    expect(api.store.releases.current(app.id)?.addonPlanNames).toEqual(['heroku-redis:premium-0']);
    expect((await api.get('/apps/demo/config-vars')).body.REDIS_URL).toMatch(/^rediss:/);
    expect(await api.patch('/apps/demo/addons/cache', { plan: { name: 'heroku-redis:nope' } })).toMatchObject(
      {
        status: 422,
        body: {
          message: `Couldn't find either the add-on service or the add-on plan of "heroku-redis:nope".`,
        },
      },
    );
    expect((await api.patch('/apps/demo/addons/cache', { plan: 'heroku-postgresql' })).status).toBe(422);
  });

  test('the name makes none', async () => {
    const count = descriptions().length;
    expect((await api.patch('/apps/demo/addons/cache', { name: 'fast' })).body).toMatchObject({
      name: 'fast',
    });
    expect(descriptions()).toHaveLength(count);
    expect((await api.get('/addons/cache')).status).toBe(404);
    await create({ plan: 'heroku-redis', name: 'cache' });
    expect((await api.patch('/apps/demo/addons/cache', { name: 'fast' })).status).toBe(422);
  });

  test('destroys, and gets all back', async () => {
    const url = (await api.get('/apps/demo/config-vars')).body.REDIS_URL as string;
    const { body } = await api.delete('/apps/demo/addons/cache');
    expectToMatchSchema('add-on', body);
    expect(body.state).toBe('deprovisioned');
    expect((await api.get('/apps/demo/addons/cache')).status).toBe(404);
    expect(descriptions().at(-1)).toBe('Detach REDIS (@ref:cache) by a@b.example');
    expect((await api.get('/apps/demo/config-vars')).body).toEqual({});
    expect((await api.get('/dynodock/addons/deleted')).body).toEqual([
      expect.objectContaining({ name: 'cache', plan: 'heroku-redis:mini', app: 'demo' }),
    ]);
    expect((await api.post('/dynodock/addons/deleted/nope/undelete')).status).toBe(404);
    expect((await api.post('/dynodock/addons/deleted/cache/undelete')).body).toMatchObject({
      name: 'cache',
      state: 'provisioned',
    });
    expect((await api.get('/apps/demo/config-vars')).body.REDIS_URL).toBe(url);
    expect((await api.get('/dynodock/addons/deleted')).body).toEqual([]);
  });
});

describe('what goes wrong', () => {
  test('an image that cannot be made leaves nothing behind but the reason', async () => {
    api.addons.imageError = new Error('no packages to be had');
    const { status, body } = await create({ plan: 'heroku-redis', name: 'cache' });
    expect({ status, body }).toMatchObject({
      status: 503,
      body: {
        id: 'service_unavailable',
        message: 'cache could not be provisioned: its image could not be made; the log of dynodock says why.',
      },
    });
    expect((await api.get('/apps/demo/addons')).body).toEqual([]);
    expect((await api.get('/apps/demo/addon-attachments')).body).toEqual([]);
    expect((await api.get('/apps/demo/config-vars')).body).toEqual({});
    expect((await api.get('/apps/demo/addons/cache')).body).toMatchObject({ state: 'deprovisioned' });
    expect(api.addons.engine.containers()).toEqual([]);
    api.addons.imageError = undefined;
    expect((await create({ plan: 'heroku-redis', name: 'cache' })).body.state).toBe('provisioned');
  });
});

describe('config vars under whole names', () => {
  const vars = async (of = 'demo'): Promise<Record<string, string>> =>
    (await api.get(`/apps/${of}/config-vars`)).body as Record<string, string>;
  const bucket = (body: object = {}): Promise<Answer> => create({ plan: 'bucketeer', ...body });

  test('come with the attachment of the service’s own name, and go with it', async () => {
    const { body } = await bucket();
    const { AWS_ENDPOINT_URL_S3, BUCKETEER_ENDPOINT_URL } = await vars();
    expect(AWS_ENDPOINT_URL_S3).toMatch(/^http:\/\/198\.19\.0\.1:\d+$/);
    expect(AWS_ENDPOINT_URL_S3).toBe(BUCKETEER_ENDPOINT_URL);
    expect(body.config_vars).toContain('AWS_ENDPOINT_URL_S3');
    const refused = await api.patch('/apps/demo/config-vars', { AWS_ENDPOINT_URL_S3: 'http://x' });
    expect(refused).toMatchObject({ status: 422 });
    expect((await api.delete(`/apps/demo/addons/${String(body.id)}`)).status).toBe(200);
    expect(Object.keys(await vars())).toEqual([]);
  });

  test('are the first bucket’s only, and another app’s as well when it attaches the bucket', async () => {
    const { body: first } = await bucket();
    await bucket();
    const { AWS_ENDPOINT_URL_S3, BUCKETEER_ENDPOINT_URL, ...rest } = await vars();
    expect(AWS_ENDPOINT_URL_S3).toBe(BUCKETEER_ENDPOINT_URL);
    expect(Object.keys(rest).filter((name) => name.endsWith('_ENDPOINT_URL'))).toEqual([
      expect.stringMatching(/^BUCKETEER_[A-Z]+_ENDPOINT_URL$/),
    ]);
    api.anApp('other');
    const attached = await api.post('/addon-attachments', { app: 'other', addon: first.id });
    expect(attached.status).toBe(201);
    expect((await vars('other'))['AWS_ENDPOINT_URL_S3']).toBe(AWS_ENDPOINT_URL_S3);
  });

  test('leave be what the user has set, and are left out if asked for', async () => {
    await api.patch('/apps/demo/config-vars', { AWS_ENDPOINT_URL_S3: 'http://mine' });
    expect((await bucket()).status).toBe(201);
    expect(await vars()).toMatchObject({
      AWS_ENDPOINT_URL_S3: 'http://mine',
      BUCKETEER_BUCKET_NAME: expect.stringMatching(/^bucketeer-/),
    });
    api.anApp('other');
    await create({ plan: 'bucketeer', config: { 'aws-endpoint': 'off' } }, 'other');
    expect(Object.keys(await vars('other'))).not.toContain('AWS_ENDPOINT_URL_S3');
    const wrong = await create({ plan: 'bucketeer', config: { 'aws-endpoint': 'no' } }, 'other');
    expect(wrong).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
  });
});
