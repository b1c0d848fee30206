import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Storage } from '../../../../src/build/storage';
import type { App } from '../../../../src/domain/app';
import type { AppId, SlugId } from '../../../../src/domain/ids';
import type { Slug } from '../../../../src/domain/slug';
import { EngineError } from '../../../../src/engine/engine';
import { APP_LABEL, ownedLabels } from '../../../../src/engine/labels';
import { silentLogger } from '../../../../src/lib/logger';
import { UPLOAD_TTL_MS } from '../../../../src/platform/reclaim/plan';
import { nameOf, Reclaim, type ReclaimReport } from '../../../../src/platform/reclaim/reclaim';
import { DynoWorld, INSTALLATION } from '../../../support/dyno-world';

const MINUTE = 60_000;

describe('Reclaim', () => {
  let directory: string;
  let world: DynoWorld;
  let app: App;
  let reclaim: Reclaim;
  let building: Set<AppId>;
  let layers = 0;

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-reclaim-'));
    world = new DynoWorld();
    await world.start();
    app = await world.createApp();
    building = new Set();
    reclaim = new Reclaim(world.context, {
      storage: new Storage({
        engine: world.engine,
        installationId: INSTALLATION,
        slugsDir: path.join(directory, 'slugs'),
        outputDir: path.join(directory, 'output'),
        workDir: path.join(directory, 'work'),
        buildpackCacheDir: path.join(directory, 'buildpacks'),
        sourcesDir: path.join(directory, 'sources'),
        uploadsDir: path.join(directory, 'uploads'),
      }),
      builds: {
        isBuilding: (appId) => building.has(appId),
        whileNotBuilding: async (appId, work) => {
          if (building.has(appId)) return false;
          await work();
          return true;
        },
      },
      limits: { keptReleases: 1, keptSlugs: 2, cacheBudgetBytes: 0, buildpackBudgetBytes: 0 },
      stackImages: ['slug:1'],
      logger: silentLogger,
    });
  });
  afterEach(async () => {
    await reclaim.stop();
    await world.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const archiveOf = (slug: Slug): string => path.join(directory, 'slugs', slug.appId, `${slug.id}.tgz`);
  const imagesLeft = async (): Promise<string[]> =>
    (await world.engine.listImages(ownedLabels(INSTALLATION, 'slug')))
      .flatMap(({ references }) => references)
      .sort();
  const what = (report: ReclaimReport, outcome: string): string[] =>
    report.items.filter((item) => item.outcome === outcome).map(({ thing }) => path.basename(nameOf(thing)));

  /** With an image and an archive of its own. */
  async function deploy(): Promise<Slug> {
    const release = await world.deploy(app, { worker: 'x' });
    const image = `dynodock/slug:${++layers}`;
    world.engine.addImage(image, { labels: ownedLabels(INSTALLATION, 'slug', { [APP_LABEL]: app.id }) });
    world.store.slugs.setImage(release.slugId!, image, world.clock.now());
    const slug = world.store.slugs.get(release.slugId!)!;
    mkdirSync(path.dirname(archiveOf(slug)), { recursive: true });
    writeFileSync(archiveOf(slug), 'archive');
    return slug;
  }

  async function deployMany(count: number): Promise<Slug[]> {
    const made: Slug[] = [];
    for (let number = 0; number < count; number += 1) made.push(await deploy());
    await world.clock.advance(MINUTE);
    return made;
  }

  test('after a deploy the images and archives beyond the limits go, and their releases expire', async () => {
    const made = await deployMany(5);
    reclaim.deployed(app.id);
    await world.advance(2_000);
    expect(await imagesLeft()).toEqual([made[3]!.image, made[4]!.image].sort());
    expect(made.map((slug) => existsSync(archiveOf(slug)))).toEqual([false, false, true, true, true]);
    expect(world.releases.list(app).map(({ version, status }) => `v${version} ${status}`)).toEqual([
      'v1 succeeded',
      'v2 succeeded',
      'v3 expired',
      'v4 expired',
      'v5 succeeded',
      'v6 succeeded',
      'v7 succeeded',
    ]);
    expect(() => world.releases.rollback(world.account, app, 'v3')).toThrow('The slug of v3 has expired.');
    expect(() => world.releases.createFromSlug(world.account, app, made[0]!.id)).toThrow(
      'The slug of v3 has expired.',
    );
    expect(world.releases.rollback(world.account, app, 'v5').version).toBe(8);
  });

  test('a dry run says the same of everything, and removes nothing', async () => {
    await deployMany(4);
    const planned = await reclaim.plan();
    expect(await imagesLeft()).toHaveLength(4);
    expect(readdirSync(path.join(directory, 'slugs', app.id))).toHaveLength(4);
    expect(planned.after).toBeNull();
    expect(world.releases.list(app).some(({ status }) => status === 'expired')).toBe(false);
    const done = await reclaim.run();
    expect(what(done, 'removed')).toEqual(what(planned, 'planned'));
    expect(what(done, 'kept')).toEqual(what(planned, 'kept'));
    expect(done.before).toEqual(planned.before);
    expect(done.after?.files).toBe(done.before.files - 'archive'.length);
  });

  test('what is rolled back to between the look and the removal stays', async () => {
    const made = await deployMany(4);
    const removed: string[] = [];
    const removeImage = world.engine.removeImage.bind(world.engine);
    world.engine.removeImage = async (reference) => {
      if (removed.push(reference) === 1) world.releases.rollback(world.account, app, 'v4');
      return removeImage(reference);
    };
    const report = await reclaim.run();
    expect(removed).toEqual([made[0]!.image]);
    expect(report.items.find(({ thing }) => nameOf(thing) === made[1]!.image)).toMatchObject({
      outcome: 'kept',
      reason: 'v7 is the current release',
    });
    expect(await imagesLeft()).toContain(made[1]!.image);
  });

  test('an uploaded slug that nobody has released can be released no more once it is gone', async () => {
    const now = world.clock.now();
    const { stack, commit, commitDescription, processTypes, buildpackProvidedDescription } = await deploy();
    const fileOf = (id: string): string => path.join(directory, 'uploads', app.id, `${id}.tgz`);
    mkdirSync(path.dirname(fileOf('x')), { recursive: true });
    for (const id of ['upload', 'other'] as SlugId[]) {
      const content = { stack, commit, commitDescription, processTypes, buildpackProvidedDescription };
      const row = { ...content, id, appId: app.id, checksum: null, size: 7, createdAt: now, updatedAt: now };
      world.store.slugUploads.insert(row);
      writeFileSync(fileOf(id), 'archive');
    }
    const old = new Date(now.getTime() - UPLOAD_TTL_MS);
    utimesSync(fileOf('upload'), old, old);
    utimesSync(fileOf('other'), now, now);
    expect(what(await reclaim.run(), 'removed')).toEqual(['upload.tgz']);
    expect(world.store.slugUploads.of(app.id).map(({ id }) => id)).toEqual(['other']);
    expect([existsSync(fileOf('upload')), existsSync(fileOf('other'))]).toEqual([false, true]);
  });

  test('what the engine says is in use stays, and the rest goes nevertheless', async () => {
    const made = await deployMany(4);
    world.engine.failNext('removeImage', new EngineError('conflict', 'in use'));
    const report = await reclaim.run();
    expect(report.items.find(({ thing }) => nameOf(thing) === made[0]!.image)).toMatchObject({
      outcome: 'kept',
      reason: 'the engine says that it is in use',
    });
    expect(await imagesLeft()).toEqual([made[0]!.image, made[2]!.image, made[3]!.image].sort());
  });

  test('what cannot be removed is said, and the rest goes nevertheless', async () => {
    const made = await deployMany(4);
    world.engine.failNext('removeImage', new EngineError('other', 'broken'));
    const report = await reclaim.run();
    expect(report.items.find(({ thing }) => nameOf(thing) === made[0]!.image)).toMatchObject({
      outcome: 'failed',
      reason: 'broken',
    });
    expect(what(report, 'removed')).toContain(made[1]!.image.split('/')[1]);
  });

  test('an engine that is away ends the run; the next one finds the rest', async () => {
    await deployMany(4);
    world.engine.failNext('removeImage', new EngineError('unreachable', 'away'));
    await expect(reclaim.run()).rejects.toMatchObject({ id: 'service_unavailable' });
    expect(await imagesLeft()).toHaveLength(4);
    await reclaim.run();
    expect(await imagesLeft()).toHaveLength(2);
  });

  test('sizes that the engine cannot tell are no hindrance, but no cache goes without', async () => {
    await deployMany(4);
    await world.engine.ensureVolume('cache', ownedLabels(INSTALLATION, 'cache', { [APP_LABEL]: app.id }));
    world.engine.failNext(
      'diskUsage',
      new EngineError('conflict', 'a disk usage operation is already running'),
    );
    const report = await reclaim.run();
    expect(report.before).toMatchObject({ images: null, caches: null });
    expect(await imagesLeft()).toHaveLength(2);
    expect(await world.engine.listVolumes({})).toHaveLength(1);
  });

  test('a cache is left alone while its app is being built', async () => {
    await world.engine.ensureVolume('cache', ownedLabels(INSTALLATION, 'cache', { [APP_LABEL]: 'gone' }));
    building.add('gone' as AppId);
    const report = await reclaim.run();
    expect(report.items).toMatchObject([{ outcome: 'kept', reason: 'its app is being built' }]);
    building.clear();
    expect(what(await reclaim.run(), 'removed')).toEqual(['cache']);
  });

  test('nothing of others is seen, and what an app that is gone has left goes', async () => {
    world.engine.addImage('foreign:1');
    world.engine.addImage('other:1', { labels: ownedLabels('another', 'slug', { [APP_LABEL]: 'gone' }) });
    await world.engine.ensureVolume('theirs', ownedLabels('another', 'cache', { [APP_LABEL]: 'gone' }));
    world.engine.addImage('mine:1', { labels: ownedLabels(INSTALLATION, 'slug', { [APP_LABEL]: 'gone' }) });
    mkdirSync(path.join(directory, 'output', 'gone'), { recursive: true });
    writeFileSync(path.join(directory, 'output', 'gone', 'build.txt'), 'output');
    mkdirSync(path.join(directory, 'work', 'images-x'), { recursive: true });
    writeFileSync(path.join(directory, 'work', 'images-x', 'node.tgz'), 'x');
    writeFileSync(path.join(directory, 'work', 'slug-y.tar'), 'y');
    const old = new Date(world.clock.now().getTime() - 25 * 60 * MINUTE);
    utimesSync(path.join(directory, 'work', 'images-x'), old, old);
    const report = await reclaim.run();
    expect(what(report, 'removed').sort()).toEqual(['build.txt', 'images-x', 'mine:1']);
    expect(what(report, 'kept')).toEqual(['slug-y.tar']);
    for (const reference of ['foreign:1', 'other:1']) {
      expect(await world.engine.inspectImage(reference)).toBeDefined();
    }
    expect(await world.engine.listVolumes({})).toHaveLength(1);
  });

  test('an image that no slug has goes only once that has been so for a while', async () => {
    await deploy();
    world.engine.addImage('dynodock/slug:orphan', {
      labels: ownedLabels(INSTALLATION, 'slug', { [APP_LABEL]: app.id }),
    });
    expect(what(await reclaim.run(), 'removed')).toEqual([]);
    await world.clock.advance(10 * MINUTE);
    expect(what(await reclaim.run(), 'removed')).toEqual(['slug:orphan']);
  });

  test('calls during a run share the next one', async () => {
    await deployMany(3);
    const [one, two, three] = await Promise.all([reclaim.run(), reclaim.run(), reclaim.run()]);
    expect(what(one, 'removed')).toHaveLength(1);
    expect(what(two, 'removed')).toEqual([]);
    expect(three).toBe(two);
  });

  test('stopping waits for the removal under way, and for no more', async () => {
    await deployMany(4);
    const removeImage = world.engine.removeImage.bind(world.engine);
    let stopped: Promise<void> | undefined;
    world.engine.removeImage = async (reference) => {
      stopped = reclaim.stop();
      return removeImage(reference);
    };
    await expect(reclaim.run()).rejects.toMatchObject({ id: 'service_unavailable' });
    await stopped;
    expect(await imagesLeft()).toHaveLength(3);
  });

  test('once stopped it does nothing more', async () => {
    await deployMany(4);
    reclaim.deployed(app.id);
    await reclaim.stop();
    reclaim.deployed(app.id);
    await world.advance(MINUTE);
    expect(await imagesLeft()).toHaveLength(4);
    await expect(reclaim.run()).rejects.toMatchObject({ id: 'service_unavailable' });
  });

  test('finds fetched buildpacks, and what fetching has left behind', async () => {
    const folder = path.join(directory, 'buildpacks', 'place');
    const [newest, older] = ['a'.repeat(40), 'b'.repeat(40)];
    mkdirSync(path.join(folder, 'unfinished-1'), { recursive: true });
    for (const name of [newest, older]) writeFileSync(path.join(folder, `${name}.tgz`), 'archive');
    writeFileSync(path.join(folder, 'current.json'), JSON.stringify({ revision: newest, checkedAt: 0 }));
    for (const name of readdirSync(folder)) utimesSync(path.join(folder, name), 1, 1);
    expect(what(await reclaim.run(), 'removed').sort()).toEqual([
      `${newest}.tgz`,
      `${older}.tgz`,
      'unfinished-1',
    ]);
    expect(readdirSync(folder)).toEqual(['current.json']);
  });
});
