import { BuildFailure } from '../../../src/build/build-failure';
import type { BuildRequest, BuiltSlug } from '../../../src/build/build-request';
import { withKeepAlive } from '../../../src/api/keep-alive';
import { EngineError } from '../../../src/engine/engine';
import { TestApi } from '../../support/api';
import { FakeClock, settled } from '../../support/fake-clock';
import { expectToMatchSchema } from '../../support/schema';

const URL = 'https://example.com/source.tgz?token=xyz';
const CHECKSUM = `SHA256:${'a'.repeat(64)}`;

describe('builds through the API', () => {
  let api: TestApi;
  let requests: BuildRequest[];
  let purge: () => Promise<void>;
  let release: () => void;

  beforeEach(async () => {
    requests = [];
    purge = () => Promise.resolve();
    api = await TestApi.start({
      building: {
        builder: {
          build: (request, output, signal) => {
            requests.push(request);
            return new Promise<BuiltSlug>((resolve, reject) => {
              signal.addEventListener('abort', () =>
                reject(new BuildFailure('canceled', 'The build was canceled.')),
              );
              release = () => {
                void output.write('-----> Done\n').then(() =>
                  resolve({
                    checksum: CHECKSUM,
                    size: 1,
                    archivePath: '/nonexistent',
                    image: 'slug:1',
                    processTypes: { web: 'x' },
                    buildpackProvidedDescription: 'x',
                    buildpacks: [{ name: 'heroku/nodejs', revision: 'sha256:00' }],
                    configVars: {},
                    addons: [],
                    timings: { containerMs: 1, sourceMs: 1, compileMs: 1, slugMs: 1, imageMs: 1 },
                  }),
                );
              };
            });
          },
          sweep: () => Promise.resolve({ containers: 0 }),
          purgeCache: () => purge(),
          removeApp: () => Promise.resolve(),
        },
        sources: {
          fetch: async () => ({
            source: {
              kind: 'archive',
              path: '/source',
              compression: 'gzip',
              topFolder: '',
              slugIgnore: '',
              time: new Date(0),
            },
            dispose: () => Promise.resolve(),
          }),
        },
      },
    });
    api.anApp();
  });
  afterEach(async () => {
    expect(api.errors).toEqual([]);
    await api.stop();
  });

  test('begin with an archive’s URL, and are followed by their stream to their end', async () => {
    const blob = {
      url: URL,
      version: 'v1.3.0',
      version_description: 'Change session key',
      checksum: CHECKSUM,
    };
    const { status, body } = await api.post('/apps/demo/builds', {
      source_blob: blob,
      buildpacks: [{ url: 'https://github.com/heroku/heroku-buildpack-ruby' }, { name: 'heroku/nodejs' }],
    });
    expect(status).toBe(201);
    expectToMatchSchema('build', body);
    expect(body).toMatchObject({ status: 'pending', source_blob: blob, release: null, slug: null });
    const stream = api.request('GET', body.output_stream_url, { anonymous: true });
    await settled();
    release();
    expect((await stream).text).toContain('-----> Done\n-----> Launching...\n       Released v3\n');
    expect(requests[0]).toMatchObject({
      version: 'v1.3.0',
      buildpacks: ['https://github.com/heroku/heroku-buildpack-ruby', 'heroku/nodejs'],
    });
    const done = (await api.get(`/apps/demo/builds/${body.id}`)).body;
    expectToMatchSchema('build', done);
    expect(done).toMatchObject({ status: 'succeeded', source_blob: blob });
    expect(done.release.id).toBe((await api.get('/apps/demo/releases/3')).body.id);
    expect((await api.request('GET', body.output_stream_url, { anonymous: true })).text).toContain(
      '-----> Done',
    );
    expect((await api.get('/apps/demo/buildpack-installations')).body).toEqual([]);
  });

  test('need a URL that can be fetched', async () => {
    for (const body of [
      {},
      { source_blob: {} },
      { source_blob: { url: 'file:///etc/passwd' } },
      { source_blob: { url: 'x' } },
      { source_blob: { url: URL, checksum: 'md5:1' } },
      { source_blob: { url: URL }, buildpacks: [{}] },
      { source_blob: { url: URL }, buildpacks: 'heroku/nodejs' },
    ]) {
      expect(await api.post('/apps/demo/builds', body)).toMatchObject({
        status: 422,
        body: { id: 'invalid_params' },
      });
    }
    expect(await api.post('/apps/none/builds', { source_blob: { url: URL } })).toMatchObject({ status: 404 });
    expect((await api.get('/apps/demo/builds')).body).toEqual([]);
  });

  test('are listed and canceled as the heroku-builds plugin does it', async () => {
    const first = (await api.post('/apps/demo/builds', { source_blob: { url: URL, version: '' } })).body;
    const list = await api.get('/apps/demo/builds', { Range: 'created_at ..; max=10, order=desc' });
    expect([200, 206]).toContain(list.status);
    expect(list.body).toMatchObject([{ id: first.id }]);
    const canceled = await api.request('DELETE', `/apps/demo/builds/${first.id}`, {
      headers: { Accept: 'application/vnd.heroku+json; version=3.cancel-build' },
    });
    expect(canceled.status).toBe(200);
    expectToMatchSchema('build', canceled.body);
    expect(canceled.body).toMatchObject({ id: first.id, status: 'failed' });
    expect(await api.delete(`/apps/demo/builds/${first.id}`)).toMatchObject({
      status: 422,
      body: { message: `Can only cancel pending builds. Build ${first.id} has status 'failed'.` },
    });
    expect(await api.delete('/apps/demo/builds/none')).toMatchObject({ status: 404 });
  });

  test('have a cache that can be purged, but not under a build', async () => {
    expect((await api.delete('/apps/demo/build-cache')).status).toBe(202);
    purge = () => Promise.reject(new EngineError('conflict', 'in use'));
    expect(await api.delete('/apps/demo/build-cache')).toMatchObject({
      status: 409,
      body: { id: 'conflict' },
    });
  });
});

describe('a stream that is kept alive', () => {
  test('has a NUL in each silence, and all that there is', async () => {
    const clock = new FakeClock();
    let next: (text: string | undefined) => void = () => undefined;
    async function* output(): AsyncGenerator<Buffer> {
      for (;;) {
        const text = await new Promise<string | undefined>((resolve) => (next = resolve));
        if (text === undefined) return;
        yield Buffer.from(text);
      }
    }
    let seen = '';
    const read = (async () => {
      for await (const chunk of withKeepAlive(output(), clock, 15_000)) seen += chunk.toString();
    })();
    await clock.advance(31_000);
    expect(seen).toBe('\0\0');
    next('a');
    await clock.advance(14_000);
    next('b');
    await clock.advance(14_000);
    expect(seen).toBe('\0\0ab');
    next(undefined);
    await read;
    expect(clock.pending).toBe(0);
  });

  test('ends with its reader', async () => {
    const clock = new FakeClock();
    async function* output(): AsyncGenerator<Buffer> {
      yield Buffer.from('a');
      await new Promise(() => undefined);
    }
    for await (const chunk of withKeepAlive(output(), clock, 15_000)) {
      expect(chunk.toString()).toBe('a');
      break;
    }
    expect(clock.pending).toBe(0);
  });
});
