import http from 'node:http';
import { pack } from 'tar-stream';
import { createApiClient } from '../../../src/cli/api-client';
import { pushContainers, type ContainerPushOptions } from '../../../src/cli/container-push';
import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { APP_LABEL, ownedLabels } from '../../../src/engine/labels';
import { TestApi } from '../../support/api';
import { TestRepository, type TestFiles } from '../../support/git-repository';
import { expectToMatchSchema } from '../../support/schema';

let api: TestApi;
let app: App;

beforeEach(async () => {
  api = await TestApi.start();
  app = api.services.apps.create(api.account, { name: 'boxed', stack: 'container' });
});
afterEach(() => api.stop());

/** As somebody has built it by hand. Answers its id. */
function anImage(name: string, command = ['node', 'web.js'], more = {}): string {
  return api.engine.addImage(name, { command, ...more }).id;
}

async function descriptions(): Promise<string[]> {
  const { body } = await api.get('/apps/boxed/releases');
  for (const release of body) expectToMatchSchema('release', release);
  return (body as { description: string }[]).map(({ description }) => description).slice(2);
}

function expectRefusal(answer: { status: number; body: unknown }): void {
  expect(answer).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
}

describe('an image of the engine', () => {
  test('is released by its id, and brings its process type', async () => {
    const id = anImage('mine:1');
    const { status, body } = await api.patch('/apps/boxed/formation', {
      updates: [{ type: 'web', docker_image: id }],
    });
    expect(status).toBe(200);
    for (const entry of body) expectToMatchSchema('formation', entry);
    expect(body).toMatchObject([{ type: 'web', quantity: 1, command: 'node web.js' }]);
    expect(await descriptions()).toEqual([`Deployed web (${id.slice(7, 19)})`]);
    const release = (await api.get('/apps/boxed/releases/3')).body;
    expect(release).toMatchObject({ current: true, slug: null, artifacts: [{ type: 'docker-image' }] });
    expectToMatchSchema('app', (await api.get('/apps/boxed')).body);
    expect((await api.get(`/apps/boxed/slugs/${release.artifacts[0].id}`)).status).toBe(404);
    // Ours is another name for the same, which stays when the other goes.
    const slug = api.store.slugs.of(app.id)[0];
    expect(slug?.images?.['web']).toMatchObject({ id, runsAsRoot: true });
    expect(await api.engine.inspectImage(slug?.image ?? '')).toMatchObject({
      labels: ownedLabels('test', 'slug', { [APP_LABEL]: app.id }),
    });
  });

  test('several process types are one release, those that are not named stay, and null takes one away', async () => {
    anImage('mine:1');
    anImage('mine:2', ['node', 'worker.js'], { user: 'dyno' });
    await api.patch('/apps/boxed/formation', {
      updates: [
        { type: 'web', docker_image: 'mine:1' },
        { type: 'worker', docker_image: 'mine:2', quantity: 2 },
      ],
    });
    const third = await api.patch('/apps/boxed/formation/clock', { docker_image: 'mine:2' });
    expect(third.body).toMatchObject({ type: 'clock', quantity: 0, command: 'node worker.js' });
    const removed = await api.patch('/apps/boxed/formation/worker', { docker_image: null });
    expectToMatchSchema('formation', removed.body);
    expect(removed.body).toMatchObject({ type: 'worker', quantity: 0 });
    const { body } = await api.get('/apps/boxed/formation');
    expect((body as { type: string }[]).map(({ type }) => type)).toEqual(['clock', 'web']);
    const [first, second, last] = await descriptions();
    expect(first).toMatch(/^Deployed web \([0-9a-f]{12}\), worker \([0-9a-f]{12}\)$/);
    expect(second).toMatch(/^Deployed clock/);
    expect(last).toBe('Removed worker');
    // And back again.
    expect((await api.post('/apps/boxed/releases', { release: '3' })).status).toBe(201);
    expect((await api.get('/apps/boxed/formation/worker')).body).toMatchObject({ quantity: 0 });
  });

  test.each([
    ['that nobody has', [{ type: 'web', docker_image: 'nowhere:1' }], 422, 'has no image nowhere:1'],
    ['that runs nothing', [{ type: 'web', docker_image: 'empty' }], 422, 'neither a CMD nor an ENTRYPOINT'],
    ['for what is no process type', [{ type: 'we b', docker_image: 'mine:1' }], 422, 'not a process type'],
    [
      'to take away that is not there',
      [{ type: 'web', docker_image: null }],
      404,
      "Couldn't find that process",
    ],
    ['that is no text', [{ type: 'web', docker_image: 5 }], 422, 'updates[0].docker_image'],
    [
      'of a type that is named twice',
      [
        { type: 'web', docker_image: 'mine:1' },
        { type: 'web', docker_image: null },
      ],
      404,
      "Couldn't find that process",
    ],
  ])('%s is refused, and nothing is released', async (_, updates, status, message) => {
    anImage('mine:1');
    anImage('empty', []);
    const answer = await api.patch('/apps/boxed/formation', { updates });
    expect(answer).toMatchObject({ status, body: { message: expect.stringContaining(message) } });
    expect(await descriptions()).toEqual([]);
  });

  test('needs the container stack, and an engine', async () => {
    api.anApp('other');
    anImage('mine:1');
    const body = { updates: [{ type: 'web', docker_image: 'mine:1' }] };
    expect(await api.patch('/apps/other/formation', body)).toMatchObject({
      status: 422,
      body: { message: expect.stringContaining('heroku stack:set container') },
    });
    api.engine.failNext('inspectImage', new EngineError('unreachable', 'gone'));
    expect(await api.patch('/apps/boxed/formation', body)).toMatchObject({ status: 503 });
  });

  test('is released again as heroku releases:retry does it, which knows of no slug', async () => {
    anImage('mine:1');
    expectRefusal(await api.post('/apps/boxed/releases', { description: 'Retry of v2' }));
    await api.patch('/apps/boxed/formation', { updates: [{ type: 'web', docker_image: 'mine:1' }] });
    const answer = await api.post('/apps/boxed/releases', { description: 'Retry of v3: Deployed web' });
    expectToMatchSchema('release', answer.body);
    expect(answer.body).toMatchObject({
      version: 4,
      description: 'Retry of v3: Deployed web',
      current: true,
    });
    expectRefusal(await api.post('/apps/boxed/releases', {}));
  });

  test('is not released by its slug’s id', async () => {
    anImage('mine:1');
    await api.patch('/apps/boxed/formation', { updates: [{ type: 'web', docker_image: 'mine:1' }] });
    const slug = api.store.slugs.of(app.id)[0]?.id;
    expect(await api.post('/apps/boxed/releases', { slug })).toMatchObject({ status: 404 });
  });

  test('one-off dynos run the image of web, or of the type that they name', async () => {
    anImage('mine:1');
    await api.patch('/apps/boxed/formation', {
      updates: [
        { type: 'web', docker_image: 'mine:1' },
        { type: 'worker', docker_image: 'mine:1' },
      ],
    });
    expect((await api.post('/apps/boxed/dynos', { command: 'bash' })).status).toBe(201);
    expect((await api.post('/apps/boxed/dynos', { command: 'bash', type: 'worker' })).status).toBe(201);
    expect((await api.post('/apps/boxed/dynos', { command: 'bash', type: 'clock' })).status).toBe(422);
    const types = api.store.dynos.of(app.id).map(({ oneOff }) => oneOff?.processType);
    expect(types.sort()).toEqual(['worker', undefined]);
  });
});

describe('dynodock container:push', () => {
  let repository: TestRepository;
  let printed: string;

  beforeEach(() => {
    repository = new TestRepository();
    printed = '';
  });
  afterEach(() => repository.remove());

  async function push(files: TestFiles, words: string[], options: ContainerPushOptions = {}): Promise<void> {
    repository.commit(files);
    await pushContainers(
      {
        api: createApiClient({ apiPort: api.server.port, token: api.token }),
        cwd: repository.directory,
        write: (text) => (printed += text),
        signal: new AbortController().signal,
      },
      'boxed',
      words,
      options,
    );
  }

  test('builds a folder’s Dockerfile for each process type, and releases them in one', async () => {
    await push(
      {
        'src/Dockerfile': 'FROM dynodock/heroku:24\nARG WORD\nRUN echo $WORD\nCOPY a.txt /a.txt\nCMD ["x"]\n',
        'src/a.txt': 'a'.repeat(200_000),
        'src/.dockerignore': '*\n!a.txt\n',
        'src/node_modules/large.txt': 'x',
      },
      ['web', 'worker', './src'],
      { arg: ['WORD=a = b'] },
    );
    expect(printed).toContain('=== Building web (Dockerfile)\n');
    expect(printed).toContain('\na = b\n');
    expect(printed).toMatch(
      /\nReleased v3 of boxed: Deployed web \([0-9a-f]{12}\), worker \([0-9a-f]{12}\)\n$/,
    );
    expect(api.store.slugs.of(app.id)[0]?.processTypes).toEqual({ web: 'x', worker: 'x' });
  });

  test('finds Dockerfiles by their names, each with its own folder', async () => {
    const files = {
      'Dockerfile.web': 'FROM dynodock/heroku:24\nCOPY a.txt /a\nCMD ["web"]\n',
      'a.txt': 'a',
      'jobs/Dockerfile.worker': 'FROM dynodock/heroku:24\nCOPY b.txt /b\nCMD ["worker"]\n',
      'jobs/b.txt': 'b',
      'deep/down/Dockerfile.web': 'FROM nowhere\n',
    };
    await push(files, [], { recursive: true });
    expect(api.store.slugs.of(app.id)[0]?.processTypes).toEqual({ web: 'web', worker: 'worker' });
    await expect(push(files, ['clock'], { recursive: true })).rejects.toThrow('Dockerfile.clock not found');
  });

  test.each([
    ['no process type', {}, [], {}, 'Requires one or more process types'],
    ['no Dockerfile', {}, ['web'], {}, 'Dockerfile not found'],
    ['no Dockerfiles', {}, [], { recursive: true }, 'No images to push'],
    ['an argument without a value', { Dockerfile: 'FROM x' }, ['web'], { arg: ['WORD'] }, '--arg WORD'],
    ['what is no process type', { Dockerfile: 'FROM x' }, ['we b'], {}, 'we b is not a process type'],
    ['a build that fails', { Dockerfile: 'FROM build\n' }, ['web'], {}, 'starts from is not there'],
    [
      'a Dockerfile out of the context',
      { Dockerfile: 'x', 'a/b': '' },
      ['web'],
      { contextPath: 'a' },
      'not in the',
    ],
  ])(
    '%s is an error in words, and nothing is released',
    async (_, files: TestFiles, words, options, message) => {
      await expect(push(files, words, options)).rejects.toThrow(message);
      expect(await descriptions()).toEqual([]);
    },
  );

  test('one who leaves ends the build', async () => {
    repository.commit({ Dockerfile: 'FROM test/run\nRUN sleep 600\n' });
    const calledOff = new AbortController();
    const pushing = pushContainers(
      {
        api: createApiClient({ apiPort: api.server.port, token: api.token }),
        cwd: repository.directory,
        write: (text) => {
          if (text.includes('RUN sleep')) calledOff.abort();
        },
        signal: calledOff.signal,
      },
      'boxed',
      ['web'],
      {},
    );
    await expect(pushing).rejects.toThrow();
    expect(await descriptions()).toEqual([]);
  });
});

describe('the endpoint for folders', () => {
  const build = (header: string | undefined): Promise<{ status: number; text: string }> =>
    api.request('POST', '/apps/boxed/container-images', {
      headers: header === undefined ? {} : { 'Dynodock-Image-Build': header },
      body: 'no tar',
    });
  const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');

  test.each([
    ['no header', undefined],
    ['a header that is no JSON', '!'],
    ['no process type', encoded({})],
    ['build arguments that are none', encoded({ process_type: 'web', build_args: { A: 1 } })],
    ['a Dockerfile that is no text', encoded({ process_type: 'web', dockerfile: 1 })],
    ['a process type that is none', encoded({ process_type: 'we b' })],
  ])('refuses %s', async (_, header) => {
    expect(await build(header)).toMatchObject({ status: 422 });
  });

  test('says that what it was sent is no tar', async () => {
    const { status, text } = await build(encoded({ process_type: 'web' }));
    expect(status).toBe(200);
    const last = JSON.parse(text.trim().split('\n').at(-1) ?? '') as { error?: { id: string } };
    expect(last.error).toBeDefined();
  });

  test('is for those with a token only', async () => {
    const answer = await api.request('POST', '/apps/boxed/container-images', { anonymous: true });
    expect(answer.status).toBe(401);
  });

  test('keeps nobody waiting who sends a folder that the build does not want', async () => {
    const tar = pack();
    tar.entry({ name: 'large' }, Buffer.alloc(4 * 1024 * 1024));
    tar.finalize();
    // The rest of it is not wanted.
    tar.on('error', () => undefined);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = http.request(
        {
          host: '127.0.0.1',
          port: api.server.port,
          method: 'POST',
          path: '/apps/nothing/container-images',
          headers: { Authorization: `Bearer ${api.token}`, Accept: 'application/vnd.heroku+json; version=3' },
        },
        (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode));
        },
      );
      request.on('error', reject);
      tar.pipe(request);
    });
    expect(status).toBe(404);
  });
});
