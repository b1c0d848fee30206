import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BuildFailure } from '../../../src/build/build-failure';
import type { BuildRequest, BuiltSlug } from '../../../src/build/build-request';
import type { BuildOutput } from '../../../src/build/output';
import type { AddOn } from '../../../src/domain/addon';
import type { Account } from '../../../src/domain/account';
import type { App } from '../../../src/domain/app';
import type { DynoSizeName } from '../../../src/domain/dyno-size';
import type { AccountId, AppId, BuildId } from '../../../src/domain/ids';
import type { SourceFetcher } from '../../../src/build/source-fetcher';
import { PlatformError } from '../../../src/domain/errors';
import { EngineError } from '../../../src/engine/engine';
import { silentLogger, type Logger } from '../../../src/lib/logger';
import { Logplex } from '../../../src/logplex/logplex';
import { Builds, type NewBuild } from '../../../src/platform/builds/builds';
import type { PlatformContext } from '../../../src/platform/context';
import { ReleasePhase } from '../../../src/platform/releases/release-phase';
import { Releases } from '../../../src/platform/releases/releases';
import { Store } from '../../../src/store/store';
import { FakeClock } from '../../support/fake-clock';

const COMMIT = '2c3a0b2d'.padEnd(40, '0');
const BUILT: BuiltSlug = {
  checksum: 'SHA256:00',
  size: 1000,
  archivePath: '/nonexistent/slug.tgz',
  image: 'dynodock/slug:x',
  processTypes: { web: 'node .' },
  buildpackProvidedDescription: 'Node.js',
  buildpacks: [{ name: 'heroku/nodejs', revision: 'sha256:00' }],
  configVars: {},
  addons: [],
  timings: { containerMs: 1, sourceMs: 1, compileMs: 1, slugMs: 1, imageMs: 1 },
};

type Work = (output: BuildOutput, signal: AbortSignal) => Promise<BuiltSlug>;

/** Does what each test says, by app. */
class FakeBuilder {
  readonly requests: BuildRequest[] = [];
  readonly works = new Map<AppId, Work[]>();
  readonly removed: AppId[] = [];
  sweepError: Error | undefined;
  purgeError: Error | undefined;

  async build(request: BuildRequest, output: BuildOutput, signal: AbortSignal): Promise<BuiltSlug> {
    this.requests.push(request);
    const work = this.works.get(request.appId)?.shift();
    return work === undefined ? BUILT : work(output, signal);
  }
  async sweep(): Promise<{ containers: number }> {
    if (this.sweepError !== undefined) throw this.sweepError;
    return { containers: 0 };
  }
  async purgeCache(): Promise<void> {
    if (this.purgeError !== undefined) throw this.purgeError;
  }
  async removeApp(appId: AppId): Promise<void> {
    this.removed.push(appId);
  }
}

const untilCanceled: Work = (_output, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new BuildFailure('canceled', 'The build was canceled.')));
  });

describe('Builds', () => {
  let directory: string;
  let store: Store;
  let context: PlatformContext;
  let builder: FakeBuilder;
  let phase: ReleasePhase;
  let builds: Builds;
  let user: Account;
  let errors: unknown[];
  let deployed: AppId[];
  let fetchSource: SourceFetcher['fetch'];
  let createAddOn: (app: App, plan: string) => Promise<AddOn>;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-builds-'));
    store = Store.open(':memory:');
    const clock = new FakeClock();
    context = {
      store,
      clock,
      logplex: new Logplex(clock),
      dynoManager: {
        kick: () => undefined,
        restart: () => 0,
        idle: () => false,
        wake: () => null,
        discard: async () => undefined,
        attach: (_dynoId, client) => client.close(),
        runInside: (_dynoId, _command, client) => client.close(),
      },
      newId: () => randomUUID(),
      random: () => 0,
      settings: {
        defaultDynoSize: 'eco' as DynoSizeName,
        appDomain: 'localhost',
        routerHttpPort: 80,
        apiPort: 5700,
        herokuLimits: false,
      },
      changed: () => undefined,
    };
    user = { id: randomUUID() as AccountId, email: 'me@example.com', createdAt: clock.now() };
    store.accounts.insert(user);
    builder = new FakeBuilder();
    errors = [];
    phase = new ReleasePhase(context, {
      outputDir: path.join(directory, 'releases'),
      logger: silentLogger,
    });
    deployed = [];
    createAddOn = () => Promise.reject(new PlatformError('service_unavailable', 'There is none.'));
    fetchSource = () => Promise.reject(new Error('nothing is fetched'));
    builds = make();
  });
  afterEach(async () => {
    await builds.stop();
    await phase.stop();
    store.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function make(): Builds {
    const logger: Logger = { ...silentLogger, error: (_message, fields) => void errors.push(fields) };
    return new Builds(context, {
      builder,
      releases: new Releases(context, phase),
      addons: {
        createUsable: (_actor, of, { plan }) => createAddOn(of, plan),
        awakenOf: () => undefined,
      },
      sources: { fetch: (blob, signal) => fetchSource(blob, signal) },
      outputDir: path.join(directory, 'output'),
      webUrl: (app) => `http://${app.name}.localhost/`,
      outputUrl: (app, id) => `http://localhost/apps/${app.name}/builds/${id}`,
      onDeployed: (appId) => void deployed.push(appId),
      logger,
    });
  }

  function anApp(name = 'demo'): App {
    const app: App = {
      id: randomUUID() as AppId,
      name,
      ownerId: user.id,
      stack: 'heroku-22',
      buildStack: 'heroku-24',
      maintenance: false,
      buildpackProvidedDescription: null,
      slugSize: 0,
      repoSize: 0,
      createdAt: context.clock.now(),
      updatedAt: context.clock.now(),
      releasedAt: null,
    };
    store.apps.insert(app);
    return app;
  }

  function input(more: Partial<NewBuild> = {}): NewBuild {
    return {
      source: { kind: 'git', repositoryDir: '/repo', commit: COMMIT, environment: {}, time: new Date(0) },
      version: COMMIT,
      versionDescription: 'Subject',
      ...more,
    };
  }

  async function read(id: BuildId): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of builds.outputStream(id) ?? []) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  const logged = (app: App): string[] =>
    context.logplex.history(app.id, {}, 100).map(({ line }) => line.text);

  /** Queues what the app's next builds do. */
  function next(app: App, ...works: Work[]): void {
    builder.works.set(app.id, works);
  }

  test('releases what was built', async () => {
    const app = anApp();
    store.configVars.replace(app.id, { A: '1' });
    next(app, async (output) => {
      await output.write('building');
      return BUILT;
    });
    const { build, ended } = builds.create(user, app, input());
    expect(build).toMatchObject({ status: 'pending', stack: 'heroku-24', version: COMMIT, buildpacks: [] });
    const done = await ended;
    expect(await read(build.id)).toBe(
      'building\n-----> Launching...\n       Released v1\n       http://demo.localhost/ deployed to Heroku\n',
    );
    expect(builder.requests[0]).toMatchObject({ configVars: { A: '1' }, buildpacks: [], stack: 'heroku-24' });
    expect(done).toMatchObject({
      status: 'succeeded',
      buildpacks: ['heroku/nodejs'],
      buildpackRevisions: ['sha256:00'],
    });
    const release = store.releases.current(app.id);
    expect(release).toMatchObject({
      version: 1,
      id: done.releaseId,
      slugId: done.slugId,
      description: 'Deploy 2c3a0b2d',
    });
    expect(store.slugs.of(app.id)).toEqual([
      expect.objectContaining({
        id: builder.requests[0]?.slugId,
        commit: COMMIT,
        commitDescription: 'Subject',
      }),
    ]);
    expect(store.apps.get(app.id)).toMatchObject({ stack: 'heroku-24', slugSize: 1000 });
    expect(store.buildpackInstallations.get(app.id)).toEqual(['heroku/nodejs']);
    expect(logged(app)).toEqual(
      expect.arrayContaining([
        'Build started by user me@example.com',
        'Build succeeded',
        'Deploy 2c3a0b2d by user me@example.com',
      ]),
    );
    expect(store.events.of(app.id).map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['build.create', 'build.succeed', 'release.create']),
    );
  });

  test('announces a release command, whose end the build does not await', async () => {
    const app = anApp();
    next(app, async () => ({ ...BUILT, processTypes: { web: 'node .', release: 'migrate' } }));
    const { build, ended } = builds.create(user, app, input());
    expect(await ended).toMatchObject({ status: 'succeeded' });
    expect(await read(build.id)).toBe(
      [
        '-----> Launching...',
        ' !     Release command declared: this new release will not be available until the command succeeds.',
        '       Released v1',
        '       http://demo.localhost/ deployed to Heroku\n',
      ].join('\n'),
    );
    expect(store.releases.of(app.id)).toMatchObject([{ status: 'pending', command: 'migrate' }]);
    expect(store.apps.get(app.id)).toMatchObject({ stack: 'heroku-22', slugSize: 0 });
  });

  test('tells of each deploy, and of no build that failed', async () => {
    const app = anApp();
    next(app, async () => Promise.reject(new BuildFailure('compile', 'broken')));
    await builds.create(user, app, input()).ended;
    expect(deployed).toEqual([]);
    await builds.create(user, app, input()).ended;
    expect(deployed).toEqual([app.id]);
    expect(builds.isBuilding(app.id)).toBe(false);
  });

  test('a build waits for work on what builds use, which does not begin while one runs', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const canceled = new AbortController();
    const first = builds.create(user, app, input({ signal: canceled.signal }));
    expect(builds.isBuilding(app.id)).toBe(true);
    expect(await builds.whileNotBuilding(app.id, () => Promise.reject(new Error('it began')))).toBe(false);
    canceled.abort();
    await first.ended;

    let release: () => void = () => undefined;
    const held = builds.whileNotBuilding(app.id, () => new Promise<void>((resolve) => (release = resolve)));
    const second = builds.create(user, app, input());
    // Nobody else's.
    await builds.create(user, anApp('other'), input()).ended;
    expect(builder.requests.filter(({ appId }) => appId === app.id)).toHaveLength(1);
    release();
    expect(await held).toBe(true);
    expect((await second.ended).status).toBe('succeeded');
    expect(await read(second.build.id)).not.toContain('in progress');

    const failing = builds.whileNotBuilding(app.id, () => Promise.reject(new Error('no luck')));
    await expect(failing).rejects.toThrow('no luck');
    expect((await builds.create(user, app, input()).ended).status).toBe('succeeded');
  });

  test('warns when what failed is a version that was built before', async () => {
    const app = anApp();
    const failing: Work = async () => Promise.reject(new BuildFailure('compile', 'broken'));
    builder.works.set(app.id, [failing, failing, failing]);
    const first = builds.create(user, app, input());
    await first.ended;
    expect(await read(first.build.id)).not.toContain('Warning');
    const second = builds.create(user, app, input());
    await second.ended;
    expect(await read(second.build.id)).toContain(
      ` !     Push failed\n !\n ! ## Warning - The same version of this code has already been built: ${COMMIT}\n`,
    );
    const other = builds.create(user, app, input({ version: 'f'.repeat(40) }));
    await other.ended;
    expect(await read(other.build.id)).not.toContain('Warning');
  });

  test('tells the builder which stack the last slug was made for', async () => {
    const app = anApp();
    next(app, async () => Promise.reject(new BuildFailure('compile', 'broken')));
    for (let number = 0; number < 3; number += 1) await builds.create(user, app, input()).ended;
    expect(builder.requests.map(({ previousStack }) => previousStack)).toEqual([null, null, 'heroku-24']);
  });

  test('keeps no secrets of buildpack URLs with a build', async () => {
    const app = anApp();
    store.buildpackInstallations.replace(app.id, ['https://me:secret@example.com/x.git#v1']);
    const { build, ended } = builds.create(user, app, input());
    expect(build.buildpacks).toEqual(['https://example.com/x.git#v1']);
    await ended;
    expect(builder.requests[0]?.buildpacks).toEqual(['https://me:secret@example.com/x.git#v1']);
  });

  const BLOB = { kind: 'blob' as const, url: 'https://example.com/a.tgz?token=s3cret', checksum: null };

  test('builds from what it fetches, which is removed whatever becomes of the build', async () => {
    const app = anApp();
    store.configVars.replace(app.id, { BUILDPACK_URL: 'other' });
    let disposed = 0;
    const source = { kind: 'archive' as const, path: '/a', compression: 'gzip' as const, topFolder: '' };
    fetchSource = async () => ({
      source: { ...source, slugIgnore: '', time: new Date(0) },
      dispose: async () => void (disposed += 1),
    });
    next(
      app,
      async () => BUILT,
      () => Promise.reject(new BuildFailure('compile', 'no')),
    );
    const given = { source: BLOB, version: null, buildpacks: ['heroku/procfile'] };
    const { build, ended } = builds.create(user, app, input(given));
    expect(build).toMatchObject({ sourceBlob: { url: BLOB.url }, buildpacks: ['heroku/procfile'] });
    expect(await ended).toMatchObject({ status: 'succeeded', sourceBlob: { url: BLOB.url } });
    expect(builder.requests[0]).toMatchObject({
      source,
      version: '',
      buildpacks: ['heroku/procfile'],
      buildpacksGiven: true,
    });
    expect(store.releases.current(app.id)).toMatchObject({ description: 'Deploy' });
    expect(store.buildpackInstallations.get(app.id)).toEqual([]);
    expect(await builds.create(user, app, input(given)).ended).toMatchObject({ status: 'failed' });
    expect(disposed).toBe(2);
    expect(JSON.stringify(store.events.of(app.id))).not.toContain('s3cret');
  });

  test('says why nothing could be fetched', async () => {
    const app = anApp();
    fetchSource = () => Promise.reject(new BuildFailure('source', 'example.com answered with status 404.'));
    const { build, ended } = builds.create(user, app, input({ source: BLOB }));
    expect(await ended).toMatchObject({ status: 'failed', failure: 'example.com answered with status 404.' });
    expect(await read(build.id)).toBe(' !     example.com answered with status 404.\n\n !     Push failed\n');
  });

  test('calls a build off for somebody who asks, running or waiting, but not when it is over', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const running = builds.create(user, app, input());
    const waiting = builds.create(user, app, input());
    expect(await builds.cancel(user, app, waiting.build.id)).toMatchObject({ status: 'failed' });
    expect(await builds.cancel(user, app, running.build.id)).toMatchObject({
      status: 'failed',
      failure: 'The build was canceled.',
    });
    expect(builder.requests).toHaveLength(1);
    await expect(builds.cancel(user, app, running.build.id)).rejects.toMatchObject({
      id: 'invalid_params',
      message: `Can only cancel pending builds. Build ${running.build.id} has status 'failed'.`,
    });
    await expect(builds.cancel(user, anApp('other'), running.build.id)).rejects.toMatchObject({
      id: 'not_found',
    });
    const canceled = store.events.of(app.id).filter(({ kind }) => kind === 'build.cancel');
    expect(canceled.map(({ actor }) => actor)).toEqual([user.email, user.email]);
    expect(await builds.create(user, app, input()).ended).toMatchObject({ status: 'succeeded' });
  });

  test('is honest about a build that could not be called off any more', async () => {
    const app = anApp();
    let finish: () => void = () => undefined;
    next(app, () => new Promise((resolve) => (finish = () => resolve(BUILT))));
    const { build, ended } = builds.create(user, app, input());
    const released = store.releases;
    const insert = released.insert.bind(released);
    let answer: Promise<unknown> | undefined;
    released.insert = (release) => {
      answer = builds.cancel(user, app, build.id).catch((error: unknown) => error);
      return insert(release);
    };
    finish();
    expect(await ended).toMatchObject({ status: 'succeeded' });
    expect(await answer).toMatchObject({ id: 'conflict' });
  });

  test('whoever builds over and over does not keep others waiting', async () => {
    const [eager, ...others] = [anApp('eager'), anApp('b'), anApp('c'), anApp('d')] as [App, App, App, App];
    const made = [1, 2, 3].map(() => builds.create(user, eager, input()));
    made.push(...others.map((app) => builds.create(user, app, input())));
    await Promise.all(made.map(({ ended }) => ended));
    const order = builder.requests.map(({ appName }) => appName);
    expect(order.slice(0, 2)).toEqual(['eager', 'b']);
    // Of its other two, none comes before those who have not had a turn.
    expect(order.slice(-2)).toEqual(['eager', 'eager']);
  });

  test('says why a build failed and releases nothing', async () => {
    const app = anApp();
    next(app, async (output) => {
      await output.write('half a line');
      throw new BuildFailure('compile', 'Push rejected, failed to compile Node.js app.');
    });
    const { build, ended } = builds.create(user, app, input());
    expect(await ended).toMatchObject({
      status: 'failed',
      failure: 'Push rejected, failed to compile Node.js app.',
    });
    expect(await read(build.id)).toBe(
      'half a line\n !     Push rejected, failed to compile Node.js app.\n\n !     Push failed\n',
    );
    expect(store.releases.of(app.id)).toEqual([]);
    expect(logged(app).at(-1)).toBe(
      `Build failed -- check your build output: http://localhost/apps/demo/builds/${build.id}`,
    );
    expect(errors).toEqual([]);
  });

  test('tells a fault from a failure, and tells the client no details of it', async () => {
    const app = anApp();
    next(app, () => Promise.reject(new TypeError('secret detail')));
    const { build, ended } = builds.create(user, app, input());
    expect((await ended).status).toBe('failed');
    expect(await read(build.id)).toMatch(/Internal error in build/);
    expect(await read(build.id)).not.toContain('secret');
    expect(errors).toHaveLength(1);
  });

  test('runs one build of an app at a time, saying that the next one waits', async () => {
    const app = anApp();
    let finish: () => void = () => undefined;
    next(app, () => new Promise((resolve) => (finish = () => resolve(BUILT))));
    const first = builds.create(user, app, input());
    const second = builds.create(user, app, input());
    expect(builder.requests).toHaveLength(1);
    finish();
    await Promise.all([first.ended, second.ended]);
    expect(await read(second.build.id)).toMatch(
      /^ ! {5}Another build is in progress for this app; waiting for it to finish\.\.\.\n-----> Launching/,
    );
    expect(store.releases.of(app.id).map(({ version }) => version)).toEqual([1, 2]);
  });

  test('runs builds of two apps at once, and no third', async () => {
    const apps = [anApp('one'), anApp('two'), anApp('three')];
    let finish: () => void = () => undefined;
    next(apps[0]!, () => new Promise((resolve) => (finish = () => resolve(BUILT))));
    next(apps[1]!, untilCanceled);
    const started = apps.map((app) => builds.create(user, app, input()));
    expect(builder.requests).toHaveLength(2);
    finish();
    expect((await started[2]!.ended).status).toBe('succeeded');
    expect(builds.find(apps[1]!, started[1]!.build.id).status).toBe('pending');
  });

  test('calls off a build that runs and one that waits', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const canceled = [new AbortController(), new AbortController()];
    const [first, second] = canceled.map(({ signal }) => builds.create(user, app, input({ signal })));
    canceled[1]!.abort();
    expect(await second!.ended).toMatchObject({ status: 'failed', failure: 'The build was canceled.' });
    expect(builds.find(app, first!.build.id).status).toBe('pending');
    canceled[0]!.abort();
    expect((await first!.ended).status).toBe('failed');
    expect((await builds.create(user, app, input()).ended).status).toBe('succeeded');
  });

  test('makes no release when it is called off just before', async () => {
    const app = anApp();
    const controller = new AbortController();
    next(app, async () => {
      controller.abort();
      return BUILT;
    });
    expect((await builds.create(user, app, input({ signal: controller.signal })).ended).status).toBe(
      'failed',
    );
    expect(store.releases.of(app.id)).toEqual([]);
  });

  test('lets several readers follow from the start', async () => {
    const app = anApp();
    let write: (text: string) => Promise<void> = async () => undefined;
    let finish: () => void = () => undefined;
    next(app, async (output) => {
      write = (text) => output.write(text);
      await new Promise<void>((resolve) => (finish = resolve));
      return BUILT;
    });
    const { build, ended } = builds.create(user, app, input());
    const early = read(build.id);
    await write('one\n');
    const late = read(build.id);
    await write('two\n');
    finish();
    await ended;
    const all = await read(build.id);
    expect(all).toMatch(/^one\ntwo\n-----> Launching/);
    expect([await early, await late]).toEqual([all, all]);
    expect(builds.outputStream(randomUUID() as BuildId)).toBeUndefined();
  });

  test('sets what bin/release asks for with the first deploy only', async () => {
    const app = anApp();
    store.configVars.replace(app.id, { KEPT: 'mine' });
    const asking = {
      ...BUILT,
      configVars: { KEPT: 'theirs', RACK_ENV: 'production' },
      addons: ['heroku-postgresql'],
    };
    next(
      app,
      async () => asking,
      async () => ({ ...asking, configVars: { LATER: 'x' } }),
    );
    const first = builds.create(user, app, input());
    await first.ended;
    // An add-on that can't be had is told of, and the release made without.
    expect(await read(first.build.id)).toContain(
      '-----> Adding heroku-postgresql...\n !     heroku-postgresql could not be added: There is none.\n',
    );
    expect(store.releases.current(app.id)?.configVars).toEqual({ KEPT: 'mine', RACK_ENV: 'production' });
    await builds.create(user, app, input()).ended;
    expect(store.configVars.get(app.id)).toEqual({ KEPT: 'mine', RACK_ENV: 'production' });
  });

  test('adds what the buildpack asks for before the first release, which has its config vars', async () => {
    const app = anApp();
    const asked: string[] = [];
    createAddOn = async (of, plan) => {
      asked.push(plan);
      store.configVars.replace(of.id, { DATABASE_URL: 'postgres://x' });
      return { name: 'postgresql-calm-12345' } as AddOn;
    };
    const asking = { ...BUILT, addons: ['heroku-postgresql:essential-0'] };
    next(
      app,
      async () => asking,
      async () => asking,
    );
    const { build, ended } = builds.create(user, app, input());
    await ended;
    expect(await read(build.id)).toContain(
      '-----> Adding heroku-postgresql:essential-0...\n       Created postgresql-calm-12345\n-----> Launching...',
    );
    expect(store.releases.current(app.id)?.configVars).toEqual({ DATABASE_URL: 'postgres://x' });
    await builds.create(user, app, input()).ended;
    expect(asked).toEqual(['heroku-postgresql:essential-0']);
  });

  test('closes at start what an earlier run left open', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const { build } = builds.create(user, app, input());
    const later = make();
    builder.sweepError = new Error('no engine');
    await later.start();
    expect(later.find(app, build.id)).toMatchObject({
      status: 'failed',
      failure: 'The daemon was stopped during the build.',
    });
  });

  test('ends builds when it stops, and takes no more', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const { ended } = builds.create(user, app, input());
    await builds.stop();
    expect((await ended).status).toBe('failed');
    expect((await builds.create(user, app, input()).ended).status).toBe('failed');
    expect(builds.list(app).map(({ status }) => status)).toEqual(['failed', 'failed']);
  });

  test('purges the cache, unless a build is using it', async () => {
    const app = anApp();
    await builds.purgeCache(user, app);
    expect(store.events.of(app.id).map(({ kind }) => kind)).toEqual(['build-cache.purge']);
    builder.purgeError = new EngineError('conflict', 'volume is in use');
    await expect(builds.purgeCache(user, app)).rejects.toMatchObject({ id: 'conflict' });
  });

  test('survives that the app is destroyed during its build', async () => {
    const app = anApp();
    next(app, untilCanceled);
    const { build, ended } = builds.create(user, app, input());
    store.apps.delete(app.id);
    await builds.remove(app);
    expect((await ended).status).toBe('failed');
    expect(builder.removed).toEqual([app.id]);
    expect(builds.outputStream(build.id)).toBeUndefined();
    expect(errors).toEqual([]);
  });
});
