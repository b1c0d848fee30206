import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { BuildFailure } from '../../../src/build/build-failure';
import type { BuildRequest, BuiltSlug } from '../../../src/build/build-request';
import { Builder, type BuildLimits } from '../../../src/build/builder';
import type { AppId, BuildId, SlugId } from '../../../src/domain/ids';
import { EngineError } from '../../../src/engine/engine';
import { silentLogger } from '../../../src/lib/logger';
import { FakeClock } from '../../support/fake-clock';
import { FakeEngine, type ContainerScript } from '../../support/fake-engine';
import { COMMIT_TIME, TestRepository, writeFiles } from '../../support/git-repository';

/** A tar with the file app/a, short of its last byte: padding, in whose place the fake prints a line end. */
async function aTar(): Promise<string> {
  const tar = pack();
  tar.entry({ name: 'app/a', mtime: new Date(0) }, 'content');
  tar.finalize();
  return (await buffer(tar)).subarray(0, 1023).toString();
}

const SLUG = { app: 'Node.js', buildpacks: ['heroku/nodejs'], procfile: 'web: x\n', release: '' };

describe('Builder', () => {
  let directory: string;
  let repository: TestRepository;
  let clock: FakeClock;
  let engine: FakeEngine;
  let output: string;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-builder-'));
    writeFiles(path.join(directory, 'buildpacks'), { 'nodejs/bin/detect': 'x', 'nodejs/bin/compile': 'x' });
    repository = new TestRepository();
    clock = new FakeClock();
    engine = new FakeEngine(clock);
    engine.addImage('run');
    engine.addImage('build');
    output = '';
  });
  afterEach(() => {
    repository.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function builder(limits: Partial<BuildLimits> = {}): Builder {
    return new Builder({
      engine,
      installationId: 'test',
      imagesFor: () => ({ run: 'run', build: 'build' }),
      buildpacksDir: path.join(directory, 'buildpacks'),
      buildpackCacheDir: path.join(directory, 'fetched'),
      slugsDir: path.join(directory, 'slugs'),
      workDir: path.join(directory, 'work'),
      network: 'bridge',
      clock,
      logger: silentLogger,
      limits: { memoryBytes: 1024 ** 3, pids: 100, minFreeBytes: 0, ...limits },
    });
  }

  function build(
    script: ContainerScript,
    more: { request?: Partial<BuildRequest>; limits?: Partial<BuildLimits>; signal?: AbortSignal } = {},
  ): Promise<BuiltSlug> {
    engine.behave('build', script);
    const commit = repository.commit({ 'a.txt': 'content' });
    const request: BuildRequest = {
      buildId: randomUUID() as BuildId,
      slugId: randomUUID() as SlugId,
      appId: randomUUID() as AppId,
      appName: 'demo',
      stack: 'heroku-24',
      source: {
        kind: 'git',
        repositoryDir: repository.directory,
        commit,
        environment: {},
        time: COMMIT_TIME,
      },
      buildpacks: ['heroku/nodejs'],
      configVars: { SECRET: 'hidden' },
      version: commit,
      ...more.request,
    };
    const write = async (chunk: string | Uint8Array): Promise<void> => {
      output += Buffer.from(chunk as Uint8Array).toString();
    };
    return builder(more.limits).build(request, { write }, more.signal ?? new AbortController().signal);
  }

  let tar: string;
  let succeeding: ContainerScript;
  beforeAll(async () => {
    tar = await aTar();
    succeeding = {
      prints: [{ text: 'compiling', stream: 'stderr' }, JSON.stringify({ slug: SLUG }), tar],
      exitAfterMs: 0,
    };
  });

  /** Drives the fake time that containers live by. */
  async function whileTimePasses<T>(work: Promise<T>, ms = 10): Promise<T> {
    const state = { settled: false };
    const finished = work.finally(() => (state.settled = true));
    finished.catch(() => undefined);
    while (!state.settled) {
      await clock.advance(ms);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return finished;
  }

  const failureOf = async (work: Promise<unknown>): Promise<BuildFailure> => {
    const error = await whileTimePasses(work).then(
      () => new Error('it succeeded'),
      (caught: unknown) => caught,
    );
    if (error instanceof BuildFailure) return error;
    throw error;
  };

  test('prints what happens, in order, and keeps the archive', async () => {
    const slug = await whileTimePasses(build(succeeding));
    expect(output).toBe(
      [
        '-----> Building on the Heroku-24 stack',
        '-----> Using buildpack: heroku/nodejs',
        'compiling',
        '-----> Discovering process types',
        '       Procfile declares types     -> web',
        '',
        '-----> Compressing...',
        `       Done: ${slug.size}B`,
        '',
      ].join('\n'),
    );
    expect(gunzipSync(readFileSync(slug.archivePath)).toString()).toBe(`${tar}\n`);
    expect(engine.containers()).toEqual([]);
    expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
  });

  test('confines the build container and tells it no config vars', async () => {
    let spec: ReturnType<FakeEngine['containers']>[number]['spec'] | undefined;
    let secret: string | undefined;
    const work = build({
      ...succeeding,
      onStart: (container) => {
        spec = container.spec;
        secret = container.read('/tmp/dynodock/env/SECRET');
      },
    });
    await whileTimePasses(work);
    expect(secret).toBe('hidden');
    expect(JSON.stringify(spec)).not.toContain('hidden');
    expect(spec).toMatchObject({
      user: '10001:10001',
      unprivileged: true,
      discardLog: true,
      limits: { memoryBytes: 1024 ** 3, pids: 100 },
      labels: { 'dynodock.installation': 'test', 'dynodock.role': 'build', 'dynodock.app-name': 'demo' },
    });
    expect(spec?.mounts).toEqual([expect.objectContaining({ kind: 'volume', target: '/cache' })]);
  });

  test('ends a build at its deadline', async () => {
    const failure = await failureOf(build({}, { limits: { timeoutMs: 120_000 } }));
    expect(failure.lines).toEqual([' !     Push rejected, the build took longer than 2 minutes.']);
    expect(engine.containers()).toEqual([]);
  }, 60_000);

  test('ends a build that is called off, and does not begin one that was before', async () => {
    const controller = new AbortController();
    const failed = failureOf(build({ onStart: () => controller.abort() }, { signal: controller.signal }));
    expect((await failed).kind).toBe('canceled');
    expect((await failureOf(build({}, { signal: controller.signal }))).kind).toBe('canceled');
    expect(engine.containers()).toEqual([]);
  });

  test('says so when the engine goes away', async () => {
    const failure = await failureOf(
      build({ onStart: () => void setImmediate(() => (engine.unreachable = true)) }),
    );
    expect(failure.message).toBe('The container engine went away during the build.');
    engine.unreachable = false;
    expect(await builder().sweep()).toEqual({ containers: 1 });
    expect(engine.containers()).toEqual([]);
  });

  test('notices that its container is gone, though nobody said so', async () => {
    const inspect = engine.inspect.bind(engine);
    engine.inspect = async (id) => {
      // The connection hangs, as after a laptop's sleep: no end of the streams, only an answer to who asks anew.
      if (clock.now().getTime() > new Date('2025-01-01T00:01:00Z').getTime()) {
        throw new EngineError('not_found', 'no such container');
      }
      return inspect(id);
    };
    const failure = await whileTimePasses(failureOf(build({})), 10_000);
    expect(failure).toMatchObject({ kind: 'container', message: 'The build container is gone.' });
  });

  test('does not wait for ever for an engine that hangs', async () => {
    const reached = new Promise<void>((resolve) => {
      engine.addLayer = () => {
        resolve();
        return new Promise<never>(() => undefined);
      };
    });
    const failure = failureOf(build(succeeding));
    // Up to there files are written, which takes real time: minutes must not pass meanwhile.
    await reached;
    expect(await whileTimePasses(failure, 60_000)).toMatchObject({ kind: 'timeout' });
  });

  test('says so when the disk of the engine is full', async () => {
    engine.failNext('putArchive', new EngineError('no_space', 'no space left on device'));
    expect((await failureOf(build(succeeding))).kind).toBe('disk');
    expect(engine.containers()).toEqual([]);
  });

  test('refuses to build on a disk that is nearly full', async () => {
    const failure = await failureOf(build(succeeding, { limits: { minFreeBytes: 1024 ** 5 } }));
    expect(failure.message).toMatch(
      /^The disk is nearly full: [\d.]+[MG] left where 1048576G are needed to build\.$/,
    );
  });

  test('explains a container that ends without a result', async () => {
    const failure = await failureOf(build({ exitAfterMs: 0, exitCode: 137 }));
    expect(failure.message).toBe('The build ended unexpectedly with status 137.');
    const outOfMemory = await failureOf(build({ exitAfterMs: 0, exitCode: 137, oomKilled: true }));
    expect(outOfMemory.message).toBe('Push rejected, the build needed more than its 1G of memory.');
  });

  test('does not take a slug whose packing failed', async () => {
    expect((await failureOf(build({ ...succeeding, exitCode: 2 }))).kind).toBe('container');
    mkdirSync(path.join(directory, 'slugs'), { recursive: true });
    const files = readdirSync(path.join(directory, 'slugs'), { recursive: true, withFileTypes: true });
    expect(files.filter((entry) => entry.isFile())).toEqual([]);
  });

  test('reports a commit that cannot be read', async () => {
    const source = {
      kind: 'git' as const,
      repositoryDir: repository.directory,
      commit: 'f'.repeat(40),
      environment: {},
      time: COMMIT_TIME,
    };
    expect((await failureOf(build(succeeding, { request: { source } }))).kind).toBe('source');
  });

  test('prefers BUILDPACK_URL to the buildpacks of the app', async () => {
    const failure = await failureOf(
      build(succeeding, { request: { configVars: { BUILDPACK_URL: 'file:///x' } } }),
    );
    expect(failure.message).toMatch(/^Buildpack file:\/\/\/x cannot be used/);
  });

  test('prefers buildpacks that are given for one build to BUILDPACK_URL', async () => {
    const request = { buildpacksGiven: true, configVars: { BUILDPACK_URL: 'heroku/other' } };
    await whileTimePasses(build(succeeding, { request }));
    expect(output).toContain('-----> Using buildpack: heroku/nodejs\n');
  });

  test('removes everything of an app', async () => {
    const request = { appId: randomUUID() as AppId };
    const slug = await whileTimePasses(build(succeeding, { request }));
    await builder().removeApp(request.appId);
    expect(existsSync(slug.archivePath)).toBe(false);
    expect(await engine.inspectImage(slug.image)).toBeUndefined();
    expect(await engine.listVolumes({})).toEqual([]);
  });
});
