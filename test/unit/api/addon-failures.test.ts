import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { deferred, type Deferred } from '../../../src/lib/deferred';
import { FakeClock } from '../../support/fake-clock';
import { TestApi, type Answer } from '../../support/api';
import { eventually } from '../../support/platform';

let api: TestApi;
let app: App;

beforeEach(async () => {
  api = await TestApi.start({ addonPatienceMs: 300 });
  app = api.anApp('demo');
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

const create = (body: object): Promise<Answer> => api.post('/apps/demo/addons', body);
const info = async (name: string): Promise<Answer['body']> => (await api.get(`/addons/${name}`)).body;
const logged = (): string[] => api.logplex.history(app.id, {}, 100).map(({ line }) => line.text);
const descriptions = (): string[] => api.store.releases.of(app.id).map(({ description }) => description);
const usable = (name: string): Promise<unknown> =>
  eventually(`${name} to be usable`, () => api.store.addons.findByName(name)?.state === 'provisioned');

describe('an image that is not there yet', () => {
  beforeEach(() => {
    api.addons.imageIsMissing = true;
  });

  test('is made while the add-on is provisioning, and the answer and the log say so', async () => {
    const made: Deferred<void> = deferred();
    api.addons.imageMade = made.promise;
    const { status, body } = await create({ plan: 'heroku-redis', name: 'cache' });
    expect({ status, body }).toMatchObject({
      status: 201,
      body: {
        state: 'provisioning',
        provision_message:
          'The image of Heroku Key-Value Store is being made, which takes about a minute. Follow it: heroku logs --tail --app demo',
      },
    });
    expect(descriptions().at(-1)).toBe('Attach REDIS (@ref:cache)');
    expect(logged()).toContain('@ref:cache: Installing it');
    made.resolve();
    await usable('cache');
    expect(await info('cache')).not.toHaveProperty('provision_message');
    expect(descriptions().at(-1)).toBe(
      '@ref:cache completed provisioning, setting REDIS_TLS_URL, REDIS_URL.',
    );
  });

  test('and can not be made, is told with the reason, at once where that is known at once', async () => {
    api.addons.imageError = new Error(
      "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease  Could not resolve 'deb.debian.org'",
    );
    expect(await create({ plan: 'heroku-redis', name: 'cache' })).toMatchObject({
      status: 503,
      body: {
        id: 'service_unavailable',
        message:
          'cache could not be provisioned: its image could not be made: ' +
          "Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease: Could not resolve 'deb.debian.org'.",
      },
    });
    api.addons.imageError = undefined;
    expect(await create({ plan: 'heroku-redis', name: 'cache' })).toMatchObject({
      status: 201,
      body: { state: 'provisioned' },
    });
  });

  test('and can not be made, is told in the log where the request was answered before', async () => {
    const made: Deferred<void> = deferred();
    api.addons.imageMade = made.promise;
    await create({ plan: 'heroku-redis', name: 'cache' });
    api.addons.imageError = new EngineError('no_space', 'no space left on device');
    made.resolve();
    await eventually('the failure', () => api.store.addons.findFailed('cache'));
    expect(logged()).toContain(
      '@ref:cache failed to provision: its image could not be made: there is no space left on the disk',
    );
    expect(descriptions().slice(-2)).toEqual(['Attach REDIS (@ref:cache)', 'Detach REDIS (@ref:cache)']);
    expect(api.store.addons.of(app.id)).toEqual([]);
    expect(api.addons.engine.volumes()).toEqual([]);
  });

  test('leaves nobody else the config vars that the add-on will set', async () => {
    const made: Deferred<void> = deferred();
    api.addons.imageMade = made.promise;
    await create({ plan: 'heroku-redis', name: 'cache' });
    expect(await api.patch('/apps/demo/config-vars', { REDIS_URL: 'mine', OTHER: '1' })).toMatchObject({
      status: 422,
      body: { id: 'invalid_params', message: 'Cannot overwrite attachment values REDIS_URL.' },
    });
    expect(await api.patch('/apps/demo/config-vars', { OTHER: '1' })).toMatchObject({ status: 200 });
    made.resolve();
    await usable('cache');
    expect(api.store.configVars.get(app.id)).toMatchObject({
      OTHER: '1',
      REDIS_URL: expect.stringMatching(/^redis:/),
    });
  });

  test('is waited for by two that want it', async () => {
    const made: Deferred<void> = deferred();
    api.addons.imageMade = made.promise;
    const answers = await Promise.all([
      create({ plan: 'heroku-redis', name: 'one' }),
      create({ plan: 'heroku-redis', name: 'two' }),
    ]);
    expect(answers.map(({ body }) => String(body.state))).toEqual(['provisioning', 'provisioning']);
    made.resolve();
    await Promise.all([usable('one'), usable('two')]);
  });
});

test('an engine that is away is told, and the add-on is made once it is back', async () => {
  api.addons.engine.unreachable = true;
  const { status, body } = await create({ plan: 'heroku-redis', name: 'cache' });
  expect({ status, body }).toMatchObject({
    status: 201,
    body: {
      state: 'provisioning',
      provision_message: 'The container engine does not answer just now. The add-on is made once it does.',
    },
  });
  expect((await api.get('/apps/demo/config-vars')).body).toEqual({});
  api.addons.engine.unreachable = false;
  await usable('cache');
  expect((await api.get('/apps/demo/config-vars')).body).toHaveProperty('REDIS_URL');
});

test('an engine that goes away in the middle of it changes nothing about the end', async () => {
  api.addons.engine.failNext('start', new EngineError('unreachable', 'gone'));
  await create({ plan: 'heroku-redis', name: 'cache' });
  await usable('cache');
  expect(api.addons.engine.containers()).toHaveLength(1);
});

test('a full disk takes nothing from the app, and another try works', async () => {
  await api.stop();
  const clock = new FakeClock();
  api = await TestApi.start({ clock, addonPatienceMs: 300 });
  app = api.anApp('demo');
  api.addons.engine.failNext('ensureVolume', new EngineError('no_space', 'no space left on device'), 100);
  const answer = create({ plan: 'heroku-redis', name: 'cache' });
  await eventually('the add-on', () => api.store.addons.findByName('cache'));
  await eventually('the failure', async () => {
    await clock.advance(1000);
    return api.store.addons.findFailed('cache');
  });
  expect((await answer).status).toBeLessThan(500);
  expect(logged()).toContain('@ref:cache failed to provision: there is no space left on the disk');
  expect((await api.get('/apps/demo/addon-attachments')).body).toEqual([]);
  expect((await api.get('/apps/demo/config-vars')).body).toEqual({});
  api.addons.engine.heal();
  expect((await create({ plan: 'heroku-redis', name: 'cache' })).body.state).toBe('provisioned');
});
