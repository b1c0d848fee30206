import * as fc from 'fast-check';
import type { Stored } from '../../../../src/build/storage';
import type { Build } from '../../../../src/domain/build';
import type { AccountId, AppId, BuildId, ReleaseId, SlugId } from '../../../../src/domain/ids';
import type { Release, ReleaseStatus } from '../../../../src/domain/release';
import type { Slug } from '../../../../src/domain/slug';
import {
  GRACE_MS,
  KEPT_OUTPUTS,
  ORPHAN_GRACE_MS,
  planReclaim,
  UPLOAD_TTL_MS,
  WORK_GRACE_MS,
  type AppState,
  type ReclaimState,
} from '../../../../src/platform/reclaim/plan';
import { SOURCE_TTL_MS } from '../../../../src/platform/sources/sources';

const NOW = new Date('2025-06-01T12:00:00Z');
const LONG_AGO = new Date('2025-01-01T00:00:00Z');
const APP = 'app-1' as AppId;
const USER = { id: 'user' as AccountId, email: 'user@example.com' };

function aSlug(number: number, more: Partial<Slug> = {}): Slug {
  return {
    id: `slug-${number}` as SlugId,
    appId: APP,
    stack: 'heroku-24',
    commit: null,
    commitDescription: null,
    processTypes: {},
    buildpackProvidedDescription: null,
    checksum: `SHA256:${number}`,
    size: 1,
    image: `dynodock/slug:${number}`,
    createdAt: LONG_AGO,
    updatedAt: LONG_AGO,
    ...more,
  };
}

function aRelease(version: number, slug: Slug | null, more: Partial<Release> = {}): Release {
  return {
    id: `release-${version}` as ReleaseId,
    appId: APP,
    version,
    description: 'Deploy',
    status: 'succeeded',
    command: null,
    slugId: slug?.id ?? null,
    configVars: {},
    addonPlanNames: [],
    attachmentVars: [],
    user: USER,
    current: false,
    createdAt: LONG_AGO,
    updatedAt: LONG_AGO,
    ...more,
  };
}

function aBuild(number: number, more: Partial<Build> = {}): Build {
  return {
    id: `build-${number}` as BuildId,
    appId: APP,
    status: 'succeeded',
    stack: 'heroku-24',
    version: null,
    versionDescription: null,
    buildpacks: [],
    buildpackRevisions: [],
    user: USER,
    slugId: null,
    releaseId: null,
    failure: null,
    createdAt: LONG_AGO,
    updatedAt: LONG_AGO,
    ...more,
  };
}

function anApp(more: Partial<AppState> = {}): AppState {
  return {
    id: APP,
    releases: [],
    slugs: [],
    slugUploads: [],
    builds: [],
    dynoReleases: new Set(),
    building: false,
    ...more,
  };
}

/** An app with that many deploys, the last of which is current. */
function deployed(count: number, more: Partial<AppState> = {}): AppState {
  const slugs = Array.from({ length: count }, (_, index) => aSlug(index + 1));
  const releases = slugs.map((slug, index) => aRelease(index + 1, slug, { current: index + 1 === count }));
  return anApp({ slugs, releases, ...more });
}

const image = (number: number, more: Partial<Extract<Stored, { kind: 'slug-image' }>> = {}): Stored => ({
  kind: 'slug-image',
  appId: APP,
  id: `sha256:${number}`,
  references: [`dynodock/slug:${number}`],
  bytes: 1,
  ...more,
});
const archive = (number: number, modifiedAt = LONG_AGO): Stored => ({
  kind: 'slug-archive',
  appId: APP,
  slugId: `slug-${number}` as SlugId,
  path: `/slugs/${number}.tgz`,
  bytes: 1,
  modifiedAt,
});
const stackImage = (name: string, more: Partial<Extract<Stored, { kind: 'stack-image' }>> = {}): Stored => ({
  kind: 'stack-image',
  id: `sha256:${name}`,
  references: [`dynodock/${name}`],
  bytes: 1,
  createdAt: LONG_AGO,
  ...more,
});
const cache = (appId: string, bytes: number | null): Stored => ({
  kind: 'build-cache',
  appId: appId as AppId,
  name: `cache-${appId}`,
  bytes,
});

function aState(apps: readonly AppState[], things: Stored[], more: Partial<ReclaimState> = {}): ReclaimState {
  return {
    things,
    imagesInUse: new Set(),
    otherInstallations: new Set(),
    now: NOW,
    apps: new Map(apps.map((app) => [app.id, app])),
    archives: new Set(things.flatMap((thing) => (thing.kind === 'slug-archive' ? [thing.slugId] : []))),
    seenSince: new Map(things.flatMap((thing) => ('id' in thing ? [[thing.id, LONG_AGO]] : []))),
    stackImages: new Set(['dynodock/run:new']),
    limits: { keptReleases: 2, keptSlugs: 4, cacheBudgetBytes: 100, buildpackBudgetBytes: 100 },
    ...more,
  };
}

/** `remove: why` of each. */
function verdicts(state: ReclaimState): string[] {
  return planReclaim(state).map(({ action, reason }) => `${action}: ${reason}`);
}

describe('planReclaim', () => {
  test('keeps the image of the current release and of the last rollback targets', () => {
    const numbers = [1, 2, 3, 4, 5, 6, 7];
    const state = aState([deployed(7)], [...numbers.map((n) => image(n)), ...numbers.map((n) => archive(n))]);
    expect(verdicts(state)).toEqual([
      'remove: v1: beyond the last 2 rollback targets; its archive makes it again',
      'remove: v2: beyond the last 2 rollback targets; its archive makes it again',
      'remove: v3: beyond the last 2 rollback targets; its archive makes it again',
      'remove: v4: beyond the last 2 rollback targets; its archive makes it again',
      'keep: v5: 2 of the last 2 rollback targets',
      'keep: v6: 1 of the last 2 rollback targets',
      'keep: v7 is the current release',
      'remove: v1: beyond the last 4 slugs; nobody can roll back to it any more',
      'remove: v2: beyond the last 4 slugs; nobody can roll back to it any more',
      'keep: v3: 4 of the last 4 slugs',
      'keep: v4: 3 of the last 4 slugs',
      'keep: v5: 2 of the last 4 slugs',
      'keep: v6: 1 of the last 4 slugs',
      'keep: v7 is the current release',
    ]);
    expect(planReclaim(state).flatMap(({ expires }) => expires)).toEqual(['slug-1', 'slug-2']);
  });

  test('after a rollback it is the old slug that is current, and releases of one slug count once', () => {
    const app = deployed(5);
    const [first] = app.slugs;
    const releases = [
      ...app.releases.map((release) => ({ ...release, current: false })),
      aRelease(6, app.slugs[4] ?? null),
      aRelease(7, app.slugs[4] ?? null),
      aRelease(8, first ?? null, { current: true }),
    ];
    const state = aState(
      [{ ...app, releases }],
      [1, 2, 3, 4, 5].map((n) => image(n)),
    );
    expect(
      planReclaim({ ...state, archives: new Set(app.slugs.map(({ id }) => id)) }).map(({ action }) => action),
    ).toEqual(['keep', 'remove', 'remove', 'keep', 'keep']);
  });

  test('an image without an archive stays as long as an archive would, and its releases expire with it', () => {
    const state = aState(
      [deployed(7)],
      [1, 2, 3, 4, 5, 6, 7].map((n) => image(n)),
    );
    const plan = planReclaim(state);
    expect(plan.map(({ action }) => action)).toEqual(['remove', 'remove', ...Array<string>(5).fill('keep')]);
    expect(plan.flatMap(({ expires }) => expires)).toEqual(['slug-1', 'slug-2']);
  });

  test('keeps what dynos, containers, pending releases and builds need, however old', () => {
    const app = deployed(9);
    const things = [image(1), archive(1)];
    const reasonsOf = (changed: AppState, more: Partial<ReclaimState> = {}): string[] =>
      verdicts(aState([changed], things, more));
    expect(reasonsOf({ ...app, dynoReleases: new Set(['release-1' as ReleaseId]) })).toEqual([
      'keep: dynos of v1 need it',
      'keep: dynos of v1 need it',
    ]);
    const pending = app.releases.map((release) =>
      release.version === 1 ? { ...release, status: 'pending' as const } : release,
    );
    expect(reasonsOf({ ...app, releases: pending })).toEqual(['keep: v1 is pending', 'keep: v1 is pending']);
    for (const used of ['dynodock/slug:1', 'sha256:1']) {
      expect(reasonsOf(app, { imagesInUse: new Set([used]) })[0]).toBe('keep: a container uses it');
    }
    const unreleased = { ...app, slugs: [...app.slugs, aSlug(20)] };
    expect(verdicts(aState([unreleased], [archive(20)]))).toEqual(['keep: not released yet']);
    const young = app.slugs.map((slug) => (slug.id === 'slug-1' ? { ...slug, createdAt: NOW } : slug));
    expect(reasonsOf({ ...app, slugs: young })).toEqual(['keep: just built', 'keep: just built']);
  });

  test('uploads stay until they are built or released, or too old', () => {
    const source = (ageMs: number): Stored => ({
      kind: 'source-blob',
      path: '/sources/1.tgz',
      bytes: 1,
      modifiedAt: new Date(NOW.getTime() - ageMs),
    });
    const upload = (ageMs: number): Stored => ({
      kind: 'slug-upload',
      appId: APP,
      slugId: 'slug-7' as SlugId,
      path: '/uploads/7.tgz',
      bytes: 1,
      modifiedAt: new Date(NOW.getTime() - ageMs),
    });
    const announced = anApp({ slugUploads: [{ ...aSlug(7), checksum: null, size: 1 }] });
    expect(verdicts(aState([], [source(SOURCE_TTL_MS - 1), source(SOURCE_TTL_MS)]))).toEqual([
      'keep: may still be built',
      'remove: its URLs have expired',
    ]);
    expect(verdicts(aState([announced], [upload(UPLOAD_TTL_MS - 1), upload(UPLOAD_TTL_MS)]))).toEqual([
      'keep: uploaded, and not released yet',
      'remove: not released within 7 days',
    ]);
    expect(verdicts(aState([anApp()], [upload(ORPHAN_GRACE_MS - 1), upload(ORPHAN_GRACE_MS)]))).toEqual([
      'keep: no slug has it; goes if that is so for 10 minutes',
      'remove: no slug has it',
    ]);
    expect(verdicts(aState([], [upload(0)]))).toEqual(['remove: its app is gone']);
  });

  test('what belongs to no slug goes after a while, and not while the app is being built', () => {
    const things = [image(50), archive(50)];
    const seen = (ago: number): Partial<ReclaimState> => ({
      seenSince: new Map([['sha256:50', new Date(NOW.getTime() - ago)]]),
    });
    expect(verdicts(aState([deployed(1)], things))).toEqual([
      'remove: no slug has it',
      'remove: no slug has it',
    ]);
    expect(verdicts(aState([deployed(1, { building: true })], things))).toEqual(
      Array(2).fill('keep: its app is being built'),
    );
    expect(verdicts(aState([deployed(1)], [image(50)], seen(ORPHAN_GRACE_MS - 1)))).toEqual([
      'keep: no slug has it; goes if that is so for 10 minutes',
    ]);
    expect(verdicts(aState([deployed(1)], [image(50)], seen(ORPHAN_GRACE_MS)))).toEqual([
      'remove: no slug has it',
    ]);
    expect(verdicts(aState([deployed(1)], [archive(50, NOW)]))[0]).toMatch(/^keep: no slug has it; goes if/);
  });

  test('what an app that is gone has left goes', () => {
    const things = [image(1), archive(1), cache(APP, null)];
    expect(verdicts(aState([], things))).toEqual(Array(3).fill('remove: its app is gone'));
  });

  test('caches go by their last use until the rest is within the budget', () => {
    const used = (id: string, minute: number, more: Partial<AppState> = {}): AppState =>
      anApp({
        id: id as AppId,
        builds: [aBuild(1, { updatedAt: new Date(LONG_AGO.getTime() + minute * 60_000) })],
        ...more,
      });
    const apps = [used('b', 2), used('a', 1), used('c', 3), used('d', 0, { building: true }), used('e', 0)];
    const things = [cache('b', 50), cache('a', 50), cache('c', 50), cache('d', 50), cache('e', null)];
    const removed = (budget: number): string[] =>
      planReclaim(
        aState(apps, things, {
          limits: { keptReleases: 1, keptSlugs: 1, cacheBudgetBytes: budget, buildpackBudgetBytes: 0 },
        }),
      ).flatMap(({ thing, action }) =>
        action === 'remove' && thing.kind === 'build-cache' ? [thing.appId] : [],
      );
    expect(removed(200)).toEqual([]);
    expect(removed(199)).toEqual(['a']);
    expect(removed(100)).toEqual(['b', 'a']);
    expect(removed(0)).toEqual(['b', 'a', 'c']);
  });

  test('superseded stack images go, unless somebody else may need them', () => {
    const things = [
      stackImage('run:old'),
      stackImage('run:new', { createdAt: new Date(LONG_AGO.getTime() + 1) }),
      stackImage('run:newer', { createdAt: new Date(LONG_AGO.getTime() + 2) }),
      stackImage('daemon:latest', { references: ['dynodock/daemon:abc', 'dynodock/daemon:latest'] }),
      stackImage('none', { references: [] }),
    ];
    expect(verdicts(aState([], things))).toEqual([
      'remove: superseded by those of this version',
      'keep: builds and dynos of this version are made of it',
      "keep: newer than this version's",
      'keep: the latest image of the daemon',
      'remove: superseded by those of this version',
    ]);
    expect(verdicts(aState([], things, { otherInstallations: new Set(['abc']) }))[0]).toBe(
      'keep: installation abc on this engine may need it',
    );
    expect(verdicts(aState([], things, { imagesInUse: new Set(['sha256:run:old']) }))[0]).toBe(
      'keep: a container uses it',
    );
    expect(verdicts(aState([], things, { seenSince: new Map() }))[0]).toBe(
      'keep: superseded; goes if that is so for 10 minutes',
    );
    // Without one of this version's there is nothing that could supersede it.
    expect(verdicts(aState([], [stackImage('run:old')]))[0]).toBe("keep: newer than this version's");
  });

  test('fetched buildpacks go when there is a newer revision, or oldest use first when they take too much', () => {
    const buildpack = (ageMs: number, bytes: number, current = true): Stored => ({
      kind: 'buildpack',
      current,
      path: '/b',
      bytes,
      modifiedAt: new Date(NOW.getTime() - ageMs),
    });
    const hour = 3_600_000;
    const things = [
      buildpack(3 * hour, 60),
      buildpack(2 * hour, 60),
      buildpack(hour, 30),
      buildpack(hour, 1000, false),
      buildpack(0, 1, false),
    ];
    expect(verdicts(aState([], things))).toEqual([
      'remove: fetched buildpacks take more than their budget, and others were used later',
      'keep: for builds without a network',
      'keep: for builds without a network',
      'remove: there is a newer revision of it',
      'keep: just used',
    ]);
  });

  test('outputs of the last builds stay, and files of work that was cut off go', () => {
    const count = KEPT_OUTPUTS + 2;
    const builds = Array.from({ length: count }, (_, index) =>
      aBuild(index, index === 0 ? { status: 'pending' } : {}),
    );
    const output = (buildId: string): Stored => ({
      kind: 'build-output',
      appId: APP,
      buildId: buildId as BuildId,
      path: '/x',
      bytes: 1,
      modifiedAt: LONG_AGO,
    });
    const work = (ageMs: number): Stored => ({
      kind: 'work-file',
      path: '/w',
      bytes: 1,
      modifiedAt: new Date(NOW.getTime() - ageMs),
    });
    const things = [
      output('build-0'),
      output('build-1'),
      output('build-2'),
      output('other'),
      work(WORK_GRACE_MS),
      work(0),
    ];
    expect(verdicts(aState([anApp({ builds })], things))).toEqual([
      'keep: its build is not done',
      'remove: beyond the last 50 builds',
      'keep: one of the last 50 builds',
      'keep: belongs to no build',
      'remove: left behind by work that was cut off',
      'keep: may be in use',
    ]);
  });

  describe('whatever there is', () => {
    const statuses: ReleaseStatus[] = ['succeeded', 'failed', 'pending', 'expired'];
    const world = fc
      .record({
        slugs: fc.array(
          fc.record({ image: fc.integer({ min: 0, max: 6 }), ageMs: fc.integer({ min: 0, max: 90_000 }) }),
          {
            maxLength: 8,
          },
        ),
        releases: fc.array(
          fc.record({
            slug: fc.option(fc.integer({ min: 0, max: 7 })),
            status: fc.constantFrom(...statuses),
            hasDyno: fc.boolean(),
          }),
          { maxLength: 12 },
        ),
        used: fc.uniqueArray(fc.integer({ min: 0, max: 8 })),
        archives: fc.uniqueArray(fc.integer({ min: 0, max: 9 })),
        keptReleases: fc.integer({ min: 0, max: 3 }),
        moreSlugs: fc.integer({ min: 0, max: 3 }),
        building: fc.boolean(),
        sizes: fc.array(fc.option(fc.integer({ min: 0, max: 100 })), { maxLength: 5 }),
        budget: fc.integer({ min: 0, max: 300 }),
      })
      .map((given) => {
        const slugs = given.slugs.map(({ image: number, ageMs }, index) =>
          aSlug(index, { image: `dynodock/slug:${number}`, createdAt: new Date(NOW.getTime() - ageMs) }),
        );
        const plain = given.releases.map(({ slug, status }, index) =>
          aRelease(index + 1, slug === null ? null : (slugs[slug] ?? null), { status }),
        );
        const currentVersion = Math.max(
          0,
          ...plain.flatMap((r) => (r.status === 'succeeded' ? [r.version] : [])),
        );
        const releases = plain.map((r) => ({ ...r, current: r.version === currentVersion }));
        const app = anApp({
          slugs,
          releases,
          building: given.building,
          dynoReleases: new Set(
            releases.filter((_, index) => given.releases[index]?.hasDyno === true).map(({ id }) => id),
          ),
        });
        const others = given.sizes.map((_, index) =>
          anApp({ id: `other-${index}` as AppId, building: index === 0, builds: [aBuild(index)] }),
        );
        const things = [
          ...Array.from({ length: 9 }, (_, number) => image(number)),
          ...given.archives.map((number) => archive(number)),
          ...given.sizes.map((bytes, index) => cache(`other-${index}`, bytes)),
        ];
        return aState([app, ...others], things, {
          imagesInUse: new Set(given.used.map((number) => `dynodock/slug:${number}`)),
          limits: {
            keptReleases: given.keptReleases,
            keptSlugs: given.keptReleases + given.moreSlugs,
            cacheBudgetBytes: given.budget,
            buildpackBudgetBytes: 0,
          },
        });
      });
    const check = (property: (state: ReclaimState, app: AppState, removed: Stored[]) => void): void => {
      fc.assert(
        fc.property(world, (state) => {
          const plan = planReclaim(state);
          expect(plan.map(({ thing }) => thing)).toEqual(state.things);
          const app = state.apps.get(APP);
          if (app === undefined) throw new Error('no app');
          property(
            state,
            app,
            plan.flatMap(({ thing, action }) => (action === 'remove' ? [thing] : [])),
          );
        }),
        { numRuns: 500 },
      );
    };
    const slugsOf = (app: AppState, thing: Stored): Slug[] =>
      app.slugs.filter(
        (slug) =>
          (thing.kind === 'slug-image' && thing.references.includes(slug.image)) ||
          (thing.kind === 'slug-archive' && thing.slugId === slug.id),
      );

    test('nothing goes of the current release, of dynos, of what is pending, or of what is young', () => {
      check((state, app, removed) => {
        for (const slug of removed.flatMap((thing) => slugsOf(app, thing))) {
          const releases = app.releases.filter(({ slugId }) => slugId === slug.id);
          expect(releases.some(({ current }) => current)).toBe(false);
          expect(releases.some(({ id }) => app.dynoReleases.has(id))).toBe(false);
          expect(releases.some(({ status }) => status === 'pending')).toBe(false);
          expect(state.now.getTime() - slug.createdAt.getTime()).toBeGreaterThanOrEqual(GRACE_MS);
        }
      });
    });

    test('no image goes that a container uses', () => {
      check((state, _app, removed) => {
        for (const thing of removed) {
          if (thing.kind !== 'slug-image') continue;
          expect(thing.references.some((reference) => state.imagesInUse.has(reference))).toBe(false);
        }
      });
    });

    test('of what stays to be rolled back to, the image or the archive stays', () => {
      check((state, app, removed) => {
        const expired = new Set(planReclaim(state).flatMap(({ expires }) => expires));
        const isLeft = (thing: Stored): boolean => !removed.includes(thing);
        for (const slug of app.slugs) {
          const things = state.things.filter((thing) => slugsOf(app, thing).includes(slug));
          if (things.length === 0 || expired.has(slug.id)) continue;
          expect(things.some(isLeft)).toBe(true);
        }
      });
    });

    test('no more is left of old releases than the limits say', () => {
      check((state, app, removed) => {
        const needed = (thing: Stored): boolean =>
          planReclaim({
            ...state,
            things: [thing],
            limits: { ...state.limits, keptReleases: 0, keptSlugs: 0 },
          })[0]?.action === 'keep';
        const left = state.things.filter((thing) => !removed.includes(thing) && !needed(thing));
        const archives = left.filter(({ kind }) => kind === 'slug-archive');
        const images = left.filter(({ kind }) => kind === 'slug-image');
        expect(archives.length).toBeLessThanOrEqual(state.limits.keptSlugs);
        expect(images.length).toBeLessThanOrEqual(state.limits.keptSlugs);
        const replaceable = images.filter((thing) =>
          slugsOf(app, thing).every(({ id }) => state.archives.has(id)),
        );
        expect(replaceable.length).toBeLessThanOrEqual(state.limits.keptReleases);
      });
    });

    test('caches are within the budget, but for those that may not go', () => {
      check((state, _app, removed) => {
        const free = state.things.filter(
          (thing) =>
            thing.kind === 'build-cache' &&
            thing.bytes !== null &&
            state.apps.get(thing.appId)?.building === false,
        );
        const bytesOf = (things: Stored[]): number =>
          things.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
        const all = state.things.filter(({ kind }) => kind === 'build-cache');
        const gone = removed.filter(({ kind }) => kind === 'build-cache');
        expect(gone.every((thing) => free.includes(thing))).toBe(true);
        const leftFree = free.filter((thing) => !gone.includes(thing));
        const left = bytesOf(all) - bytesOf(gone);
        if (left > state.limits.cacheBudgetBytes) expect(leftFree).toEqual([]);
      });
    });
  });
});

describe('images of the container stack', () => {
  const ofImages = (number: number, ...references: string[]): Slug =>
    aSlug(number, {
      stack: 'container',
      image: references[0] ?? '',
      images: Object.fromEntries(
        references.map((reference, index) => [
          `type${index}`,
          { reference, id: `sha256:${number}`, argv: null, runsAsRoot: false },
        ]),
      ),
    });
  const boxed = (count: number, more: Partial<AppState> = {}): AppState => {
    const slugs = Array.from({ length: count }, (_, index) =>
      ofImages(
        index + 1,
        `dynodock/slug:${index + 1}`,
        `dynodock/slug:${index + 1}-worker`,
        'dynodock/slug:shared',
      ),
    );
    const releases = slugs.map((slug, index) => aRelease(index + 1, slug, { current: index + 1 === count }));
    return anApp({ slugs, releases, ...more });
  };
  const named = (name: string): Stored =>
    image(0, { id: `sha256:${name}`, references: [`dynodock/slug:${name}`] });
  const layers = (more: Partial<Extract<Stored, { kind: 'build-layers' }>> = {}): Stored => ({
    kind: 'build-layers',
    appId: APP,
    id: 'sha256:layers',
    references: ['dynodock/layers:app-1-web-0'],
    bytes: 1,
    createdAt: LONG_AGO,
    ...more,
  });

  test('every image of a release that can be rolled back to stays, and those of older ones expire with it', () => {
    const items = planReclaim(
      aState([boxed(5)], ['5', '5-worker', '3', '3-worker', '2', '2-worker', 'shared'].map(named), {
        limits: { keptReleases: 2, keptSlugs: 50, cacheBudgetBytes: 0, buildpackBudgetBytes: 0 },
      }),
    );
    expect(items.map(({ action }) => action)).toEqual([
      'keep',
      'keep',
      'keep',
      'keep',
      'remove',
      'remove',
      'keep',
    ]);
    expect(items.flatMap(({ expires }) => expires)).toEqual(['slug-2', 'slug-2']);
    expect(items[4]?.reason).toBe(
      'v2: beyond the last 2 rollback targets; nobody can roll back to it any more',
    );
  });

  test('layers stay for a week after a build, and go when a later build or nothing at all needs them', () => {
    const judge = (thing: Stored, more: Partial<AppState> = {}): string | undefined =>
      planReclaim(aState([boxed(1, more)], [thing]))[0]?.action;
    const recently = [aBuild(1, { updatedAt: new Date(NOW.getTime() - 86_400_000) })];
    expect(judge(layers(), { builds: recently })).toBe('keep');
    expect(judge(layers({ createdAt: NOW }))).toBe('keep');
    expect(judge(layers())).toBe('remove');
    expect(judge(layers(), { building: true })).toBe('keep');
    expect(judge(layers({ references: [], createdAt: NOW }))).toBe('remove');
    expect(planReclaim(aState([], [layers({ appId: 'gone' as AppId })]))[0]?.action).toBe('remove');
  });
});
