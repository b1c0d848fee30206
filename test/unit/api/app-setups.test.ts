import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readArchive } from '../../../src/build/archive-source';
import { BuildFailure } from '../../../src/build/build-failure';
import type { AppSetup } from '../../../src/domain/app-setup';
import type { AppSetupId } from '../../../src/domain/ids';
import { TestApi, type Answer } from '../../support/api';
import { tgzOf } from '../../support/archives';
import { eventually } from '../../support/platform';
import { expectToMatchSchema } from '../../support/schema';

const source = { source_blob: { url: 'https://example.com/source.tgz' } };

describe('app set-ups through the API', () => {
  let api: TestApi;
  let folder: string;
  let manifest: unknown;
  let buildError: BuildFailure | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'dynodock-setups-'));
    buildError = undefined;
    api = await TestApi.start({
      building: {
        builder: {
          build: async () => {
            if (buildError !== undefined) throw buildError;
            return {
              checksum: `SHA256:${'a'.repeat(64)}`,
              size: 1,
              archivePath: '/nonexistent',
              image: 'slug:1',
              processTypes: { web: 'x' },
              buildpackProvidedDescription: 'x',
              buildpacks: [{ name: 'heroku/nodejs', revision: 'sha256:00' }],
              configVars: {},
              addons: [],
              timings: { containerMs: 1, sourceMs: 1, compileMs: 1, slugMs: 1, imageMs: 1 },
            };
          },
          sweep: () => Promise.resolve({ containers: 0 }),
          purgeCache: () => Promise.resolve(),
          removeApp: () => Promise.resolve(),
        },
        sources: {
          fetch: async (_blob, signal) => {
            const file = path.join(folder, 'source.tgz');
            writeFileSync(file, await tgzOf({ 'top/app.json': JSON.stringify(manifest), 'top/x': 'x' }));
            return { source: await readArchive(file, signal), dispose: () => Promise.resolve() };
          },
        },
      },
    });
  });
  afterEach(async () => {
    expect(api.errors).toEqual([]);
    await api.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function until(id: string, check: (setup: AppSetup) => boolean): Promise<AppSetup> {
    return eventually('the set-up', () => {
      const setup = api.store.appSetups.get(id as AppSetupId);
      return setup !== undefined && check(setup) ? setup : undefined;
    });
  }
  async function ended({ body }: Answer): Promise<Answer> {
    await until(body.id, ({ stage }) => stage === 'ended');
    const answer = await api.get(`/app-setups/${body.id}`);
    expectToMatchSchema('app-setup', answer.body);
    return answer;
  }

  test('go from pending through the postdeploy script to success', async () => {
    manifest = {
      env: { A: { generator: 'secret' } },
      formation: { web: { quantity: 2 } },
      scripts: { postdeploy: 'seed' },
    };
    const begun = await api.post('/app-setups', { ...source, app: { name: 'made' } });
    expect(begun.status).toBe(201);
    expectToMatchSchema('app-setup', begun.body);
    expect(begun.body).toMatchObject({ status: 'pending', app: { name: 'made' }, build: null });
    const { dynoId } = await until(begun.body.id, ({ stage }) => stage === 'postdeploy');
    const dyno = dynoId === null ? undefined : api.store.dynos.get(dynoId);
    if (dyno === undefined) throw new Error('there is no dyno');
    // As after a restart: nothing is in memory.
    api.appSetups.start();
    api.appSetups.printed(dyno, 'seeded');
    api.store.transaction(() => api.appSetups.dynoEnded(dyno, { how: 'exited', status: 0 }));
    expect((await ended(begun)).body).toMatchObject({
      status: 'succeeded',
      build: { status: 'succeeded' },
      postdeploy: { output: 'seeded\n', exit_code: 0 },
      resolved_success_url: 'http://made.localhost:8080/',
    });
    const app = api.services.apps.find('made');
    expect(api.store.configVars.get(app.id)).toEqual({ A: 'ab'.repeat(32) });
    expect(api.store.formations.of(app.id)).toMatchObject([{ type: 'web', quantity: 2 }]);
  });

  test('give the app a scheduler', async () => {
    manifest = { addons: ['scheduler:standard'] };
    const created = await api.post('/app-setups', {
      app: { name: 'demo' },
      source_blob: { url: 'http://localhost/source.tgz' },
    });
    expect((await ended(created)).body.status).toBe('succeeded');
    expect((await api.get('/apps/demo/scheduled-jobs')).body).toEqual([]);
  });

  test('fail for a bad app.json, and leave no app', async () => {
    manifest = { env: { FOO: { description: 'x' } } };
    const failed = await ended(await api.post('/app-setups', { ...source, app: { name: 'made' } }));
    expect(failed.body).toMatchObject({
      status: 'failed',
      failure_message: 'invalid app.json',
      manifest_errors: ['config var FOO is required'],
    });
    expect((await api.get('/apps/made')).status).toBe(404);
  });

  test('fail with their build, whose app stays', async () => {
    manifest = {};
    buildError = new BuildFailure('source', 'No luck.');
    const failed = await ended(await api.post('/app-setups', { ...source, app: { name: 'made' } }));
    expect(failed.body).toMatchObject({ status: 'failed', failure_message: 'The build failed: No luck.' });
    expect((await api.get('/apps/made')).status).toBe(200);
  });

  test.each([
    ['preparing', 'The daemon was stopped during the set-up.', 404],
    ['building', 'The build failed: it is gone', 200],
    ['postdeploy', 'The postdeploy dyno is gone.', 200],
  ] as const)('cut off while %s fail at the next start', async (stage, failure, status) => {
    manifest = {};
    const { body } = await api.post('/app-setups', { ...source, app: { name: 'made' } });
    const setup = await until(body.id, (row) => row.stage === 'ended');
    api.store.appSetups.save({ ...setup, status: 'pending', stage, buildId: null });
    api.appSetups.start();
    expect(await until(body.id, (row) => row.stage === 'ended')).toMatchObject({ status: 'failed', failure });
    expect((await api.get('/apps/made')).status).toBe(status);
  });

  test('fail when their app is destroyed, and refuse what is not a set-up', async () => {
    manifest = { scripts: { postdeploy: 'seed' } };
    const { body } = await api.post('/app-setups', { ...source, app: { name: 'made' } });
    await until(body.id, ({ stage }) => stage === 'postdeploy');
    await api.delete('/apps/made');
    expect(api.store.appSetups.get(body.id)).toMatchObject({
      status: 'failed',
      failure: 'The app was destroyed during the set-up.',
    });
    expect((await api.post('/app-setups', {})).status).toBe(422);
    expect((await api.post('/app-setups', { ...source, app: { space: 'x' } })).status).toBe(501);
    expect((await api.get('/app-setups/none')).status).toBe(404);
  });
});
