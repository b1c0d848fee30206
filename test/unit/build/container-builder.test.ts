import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BuildFailure } from '../../../src/build/build-failure';
import type { BuiltSlug } from '../../../src/build/build-request';
import { Builder } from '../../../src/build/builder';
import type { AppId, BuildId, SlugId } from '../../../src/domain/ids';
import { EngineError } from '../../../src/engine/engine';
import { APP_LABEL, ownedLabels } from '../../../src/engine/labels';
import { silentLogger } from '../../../src/lib/logger';
import { FakeClock } from '../../support/fake-clock';
import { FakeEngine } from '../../support/fake-engine';
import { COMMIT_TIME, TestRepository, type TestFiles } from '../../support/git-repository';

const APP = 'aaaaaaaa-0000-4000-8000-000000000001' as AppId;
const DOCKERFILE = 'FROM run\nCMD ["node", "web.js"]\n';

describe('a build of the container stack', () => {
  let directory: string;
  let repository: TestRepository;
  let engine: FakeEngine;
  let builder: Builder;
  let output: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-containers-'));
    repository = new TestRepository();
    const clock = new FakeClock();
    engine = new FakeEngine(clock);
    engine.addImage('run', { entrypoint: ['/launch'], user: '10001' });
    engine.addImage('build');
    output = '';
    builder = new Builder({
      engine,
      installationId: 'test',
      imagesFor: () => ({ run: 'run', build: 'build' }),
      buildpacksDir: directory,
      buildpackCacheDir: path.join(directory, 'buildpack-cache'),
      slugsDir: path.join(directory, 'slugs'),
      workDir: path.join(directory, 'work'),
      network: 'bridge',
      clock,
      logger: silentLogger,
      limits: { memoryBytes: 1024 ** 3, pids: 100, minFreeBytes: 0 },
    });
  });
  afterEach(() => {
    repository.remove();
    // Nothing of the source stays, however the build ended.
    expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  function build(files: TestFiles, signal = new AbortController().signal): Promise<BuiltSlug> {
    const commit = repository.commit(files);
    const repositoryDir = path.join(repository.directory, '.git');
    return builder.build(
      {
        buildId: randomUUID() as BuildId,
        slugId: randomUUID() as SlugId,
        appId: APP,
        appName: 'boxed',
        stack: 'container',
        source: { kind: 'git', repositoryDir, commit, environment: {}, time: COMMIT_TIME },
        buildpacks: [],
        configVars: { SECRET: 'config vars are none of a build' },
        version: commit,
      },
      {
        write: (chunk) => {
          output += Buffer.from(chunk).toString();
          return Promise.resolve();
        },
      },
      signal,
    );
  }

  async function failure(files: TestFiles): Promise<BuildFailure> {
    const error: unknown = await build(files).then(
      () => 'built',
      (reason: unknown) => reason,
    );
    if (!(error instanceof BuildFailure)) throw error;
    return error;
  }

  test('makes an image per Dockerfile, each in its own folder, and says what runs in which', async () => {
    const built = await build({
      'heroku.yml': `build: {docker: {web: Dockerfile, worker: worker/Dockerfile}, config: {WORD: xyzzy}}
run: {web: node $FILE, clock: {command: [node, clock.js], image: worker}}
release: {command: [./migrate], image: worker}
`,
      Dockerfile: 'FROM run\nCOPY web.js /app/web.js\nRUN echo $WORD\nCMD ["node", "$FILE"]\n',
      'web.js': 'web',
      'worker/Dockerfile':
        'FROM dynodock/heroku:24\nCOPY worker.js /app/worker.js\nUSER 1000\nCMD ["node", "$FILE"]\n',
      'worker/worker.js': 'worker',
    });
    expect(output).toContain('=== Fetching app code\n\n=== Building web (Dockerfile)\nStep 1/4 : FROM run\n');
    expect(output).toContain('\nxyzzy\n');
    expect(output).toContain('=== Building worker (worker/Dockerfile)\n');
    expect(output).not.toContain('config vars are none');
    expect(built.processTypes).toEqual({
      web: 'node $FILE',
      worker: 'node $FILE',
      clock: 'node clock.js',
      release: './migrate',
    });
    const { web, worker, clock, release } = built.images ?? {};
    expect(web).toMatchObject({ argv: ['/bin/sh', '-c', 'node $FILE'], runsAsRoot: false });
    // Its own command needs a shell for what is in it.
    expect(worker).toMatchObject({ argv: ['/bin/sh', '-c', 'exec node "$FILE"'], runsAsRoot: false });
    expect(clock).toMatchObject({ reference: worker?.reference, argv: ['node', 'clock.js'] });
    expect(release).toMatchObject({ reference: worker?.reference, argv: ['./migrate'] });
    expect(built.image).toBe(web?.reference);
    expect(await engine.inspectImage(web?.reference ?? '')).toMatchObject({
      id: web?.id,
      labels: ownedLabels('test', 'slug', { [APP_LABEL]: APP }),
    });
  });

  test('the same files make the same image under the same name', async () => {
    const files = { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: DOCKERFILE };
    const first = await build(files);
    const second = await build(files);
    expect(second.images).toEqual(first.images);
    expect(second.checksum).toBe(first.checksum);
  });

  test('bases without what slugs need are made once, and again for another version', async () => {
    const files = { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: DOCKERFILE };
    await build(files);
    const base = await engine.inspectImage('dynodock/heroku:24');
    expect(await engine.imageConfig('dynodock/heroku:24')).toMatchObject({ user: 'root', entrypoint: [] });
    await build(files);
    expect(await engine.inspectImage('dynodock/heroku:24')).toEqual(base);
  });

  test('.dockerignore keeps files out of the context', async () => {
    const error = await failure({
      'heroku.yml': 'build: {docker: {web: Dockerfile}}',
      '.dockerignore': '*',
      Dockerfile: 'FROM run\nCOPY secret.txt /secret.txt\nCMD ["x"]\n',
      'secret.txt': 'x',
    });
    expect(error.message).toContain('COPY failed: secret.txt');
  });

  test('long names come through', async () => {
    const name = `${'long/'.repeat(40)}file-${'n'.repeat(90)}.txt`;
    const built = await build({
      'heroku.yml': 'build: {docker: {web: deploy/Dockerfile}}',
      'deploy/Dockerfile': `FROM run\nCOPY ${name} /app/long\nCMD ["x"]\n`,
      [`deploy/${name}`]: 'long',
    });
    expect(built.images?.['web']).toBeDefined();
  });

  test.each([
    ['no heroku.yml', { Dockerfile: DOCKERFILE }, 'does not include a heroku.yml build manifest'],
    ['a heroku.yml that is none', { 'heroku.yml': '[' }, 'heroku.yml is not valid: not valid YAML'],
    [
      'a Dockerfile that is not there',
      { 'heroku.yml': 'build: {docker: {web: Nowhere}}' },
      'build.docker.web: there is no Nowhere in the app',
    ],
    [
      'an image that says nothing of what to run',
      { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: 'FROM build\n' },
      'neither a CMD nor an ENTRYPOINT',
    ],
    [
      'an image to start from that is nowhere',
      { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: 'FROM nowhere\n' },
      'starts from is not there',
    ],
    [
      'a step that fails',
      { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: 'FROM run\nRUN exit 4\n' },
      'returned a non-zero code: 4',
    ],
    [
      'a step that is killed',
      { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: 'FROM run\nRUN exit 137\n' },
      'for want of memory',
    ],
  ])('%s is a failure in words', async (_, files: TestFiles, message) => {
    const error = await failure(files);
    expect(error.message).toContain(message);
    expect(error.lines.some((line) => line.startsWith('=!= '))).toBe(true);
  });

  test('what failed and what earlier stages have left is kept under a name, for the next build', async () => {
    const error = await failure({
      'heroku.yml': 'build: {docker: {web: Dockerfile}}',
      Dockerfile: 'FROM run\nENV A=1\nFROM build\nRUN exit 1\n',
    });
    expect(error.kind).toBe('dockerfile');
    const layers = await engine.listImages(ownedLabels('test', 'layers', { [APP_LABEL]: APP }));
    expect(layers.map(({ references }) => references)).toEqual([[`dynodock/layers:aaaaaaaa-web-0`]]);
    await builder.removeApp(APP);
    expect(await engine.listImages(ownedLabels('test', 'layers'))).toEqual([]);
  });

  test('one that is called off ends', async () => {
    const calledOff = new AbortController();
    const building = build(
      { 'heroku.yml': 'build: {docker: {web: Dockerfile}}', Dockerfile: 'FROM run\nRUN sleep 600\n' },
      calledOff.signal,
    );
    building.catch(() => undefined);
    while (!output.includes('RUN sleep')) await new Promise((resolve) => setImmediate(resolve));
    calledOff.abort();
    await expect(building).rejects.toMatchObject({ kind: 'canceled' });
  });

  test('an engine that goes away is said in words', async () => {
    engine.failNext('buildImage', new EngineError('unreachable', 'gone'));
    const error = await failure({
      'heroku.yml': 'build: {docker: {web: Dockerfile}}',
      Dockerfile: DOCKERFILE,
    });
    expect(error.kind).toBe('engine');
  });
});
