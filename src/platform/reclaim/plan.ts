import type { Stored, StorageView } from '../../build/storage';
import type { Build } from '../../domain/build';
import type { AppId, ReleaseId, SlugId } from '../../domain/ids';
import type { Release } from '../../domain/release';
import { imagesOf, type Slug } from '../../domain/slug';
import type { SlugUpload } from '../../domain/slug-upload';
import { SOURCE_TTL_MS } from '../sources/sources';

/** What is kept, by number and size. */
export interface ReclaimLimits {
  /** Of so many slugs per app besides the current release's, the image stays: rolling back to them is quick. */
  keptReleases: number;
  /** Of so many the archive stays, from which the image is made again. */
  keptSlugs: number;
  /** For all build caches together. */
  cacheBudgetBytes: number;
  /** For all buildpacks that were fetched from elsewhere. */
  buildpackBudgetBytes: number;
}

export interface AppState {
  id: AppId;
  releases: readonly Release[];
  slugs: readonly Slug[];
  /** Announced, and not released yet. */
  slugUploads: readonly SlugUpload[];
  builds: readonly Build[];
  /** Releases of dynos that run, or are to. */
  dynoReleases: ReadonlySet<ReleaseId>;
  /** Is a build of it under way? */
  building: boolean;
}

export interface ReclaimState extends Omit<StorageView, 'imagesBytes' | 'things'> {
  things: readonly Stored[];
  now: Date;
  /** Of those apps that `things` belong to and that there still are. */
  apps: ReadonlyMap<AppId, AppState>;
  /** Slugs with an archive. */
  archives: ReadonlySet<SlugId>;
  /** When each image was first seen by this daemon: the engine only knows when its content was made. */
  seenSince: ReadonlyMap<string, Date>;
  /** References of the images that this version of dynodock works with. */
  stackImages: ReadonlySet<string>;
  limits: ReclaimLimits;
}

export interface ReclaimItem {
  thing: Stored;
  action: 'keep' | 'remove';
  /** Why, for people. */
  reason: string;
  /** Slugs that nothing is left of once it is removed: their releases expire. */
  expires: readonly SlugId[];
}

/** Whatever is used no more may be about to be: it is left alone for so long. */
export const GRACE_MS = 30_000;
/** What no row speaks of yet may belong to something that is just being made. */
export const ORPHAN_GRACE_MS = 10 * 60_000;
/** Longer than any build or image takes. */
export const WORK_GRACE_MS = 24 * 3_600_000;
/** An uploaded slug that nobody has released by then is given up. */
export const UPLOAD_TTL_MS = 7 * 24 * 3_600_000;
export const KEPT_OUTPUTS = 50;
/** What builds of Dockerfiles leave behind, after the last one. */
export const LAYERS_KEPT_MS = 7 * 86_400_000;
const LATEST_DAEMON_IMAGE = 'dynodock/daemon:latest';

type Verdict = Omit<ReclaimItem, 'thing' | 'expires'> & { expires?: readonly SlugId[] };

/**
 * Mark and sweep, in data: says of each thing whether it stays, and why. What is marked is what releases, dynos, builds
 * and containers need; of the rest, what is beyond the limits goes.
 */
export function planReclaim(state: ReclaimState): ReclaimItem[] {
  const evicted = new Set([...evictCaches(state), ...evictBuildpacks(state)]);
  return state.things.map((thing) => ({ thing, expires: [], ...judge(state, thing, evicted) }));
}

function judge(state: ReclaimState, thing: Stored, evicted: ReadonlySet<Stored>): Verdict {
  if (thing.kind === 'work-file') {
    return isYoung(state, thing.modifiedAt, WORK_GRACE_MS)
      ? keep('may be in use')
      : remove('left behind by work that was cut off');
  }
  if (thing.kind === 'buildpack') {
    if (isYoung(state, thing.modifiedAt, ORPHAN_GRACE_MS)) return keep('just used');
    if (!thing.current) return remove('there is a newer revision of it');
    return evicted.has(thing)
      ? remove('fetched buildpacks take more than their budget, and others were used later')
      : keep('for builds without a network');
  }
  if (thing.kind === 'source-blob') {
    return isYoung(state, thing.modifiedAt, SOURCE_TTL_MS)
      ? keep('may still be built')
      : remove('its URLs have expired');
  }
  if (thing.kind === 'stack-image') return judgeStackImage(state, thing);
  const app = state.apps.get(thing.appId);
  if (app === undefined) return remove('its app is gone');
  switch (thing.kind) {
    case 'slug-image':
      return judgeSlugImage(state, thing, app);
    case 'slug-archive':
      return judgeArchive(state, thing, app);
    case 'build-layers':
      return judgeLayers(state, thing, app);
    case 'build-output':
      return judgeOutput(state, thing, app);
    case 'slug-upload':
      return judgeUpload(state, thing, app);
    case 'build-cache':
      if (app.building) return keep('its app is being built');
      if (thing.bytes === null) return keep('the engine does not tell its size');
      return evicted.has(thing)
        ? remove('caches take more than their budget, and those of other apps were used later')
        : keep('within the budget of all caches');
  }
}

function judgeSlugImage(
  state: ReclaimState,
  image: Extract<Stored, { kind: 'slug-image' }>,
  app: AppState,
): Verdict {
  if (isInUse(state, image)) return keep('a container uses it');
  const slugs = app.slugs.filter((slug) =>
    imagesOf(slug).some((reference) => image.references.includes(reference)),
  );
  if (slugs.length === 0) return judgeOrphan(state, app, state.seenSince.get(image.id));
  const { limits, archives } = state;
  for (const slug of slugs) {
    const why = needOf(state, app, slug) ?? placeOf(app, slug, limits.keptReleases, 'rollback targets');
    if (why !== undefined) return keep(why);
  }
  // Without an archive it can't be made again: then it stays as long as an archive would. Images of the container stack
  // have none, and may be large.
  const irreplaceable = slugs.filter((slug) => !archives.has(slug.id));
  for (const slug of irreplaceable) {
    if (slug.images !== undefined) continue;
    const why = placeOf(app, slug, limits.keptSlugs, 'slugs, and there is no archive of it');
    if (why !== undefined) return keep(why);
  }
  const beyond = `beyond the last ${limits.keptReleases} rollback targets`;
  if (slugs.every((slug) => slug.images !== undefined)) {
    return remove(
      `${namesOf(app, slugs)}: ${beyond}; nobody can roll back to it any more`,
      irreplaceable.map(idOf),
    );
  }
  return irreplaceable.length === slugs.length
    ? remove(`${namesOf(app, slugs)}: ${beyond}, and too old for a slug`, irreplaceable.map(idOf))
    : remove(
        `${namesOf(app, slugs)}: ${beyond}; its archive makes it again`,
        // Where another slug of the same content has one, that is of no use to these.
        irreplaceable.map(idOf),
      );
}

/** Only the next build of a Dockerfile is quicker with them. */
function judgeLayers(
  state: ReclaimState,
  layers: Extract<Stored, { kind: 'build-layers' }>,
  app: AppState,
): Verdict {
  if (app.building) return keep('its app is being built');
  if (layers.references.length === 0) return remove('those of a later build took their place');
  return state.now.getTime() - lastUse(app, layers.createdAt) < LAYERS_KEPT_MS
    ? keep('the next build may use them')
    : remove(`not built for ${LAYERS_KEPT_MS / 86_400_000} days`);
}

function judgeArchive(
  state: ReclaimState,
  archive: Extract<Stored, { kind: 'slug-archive' }>,
  app: AppState,
): Verdict {
  const slug = app.slugs.find(({ id }) => id === archive.slugId);
  if (slug === undefined) return judgeOrphan(state, app, archive.modifiedAt);
  const { keptSlugs } = state.limits;
  const why = needOf(state, app, slug) ?? placeOf(app, slug, keptSlugs, 'slugs');
  if (why !== undefined) return keep(why);
  return remove(
    `${namesOf(app, [slug])}: beyond the last ${keptSlugs} slugs; nobody can roll back to it any more`,
    [slug.id],
  );
}

function judgeUpload(
  state: ReclaimState,
  upload: Extract<Stored, { kind: 'slug-upload' }>,
  app: AppState,
): Verdict {
  if (!app.slugUploads.some(({ id }) => id === upload.slugId)) {
    return judgeOrphan(state, app, upload.modifiedAt);
  }
  return isYoung(state, upload.modifiedAt, UPLOAD_TTL_MS)
    ? keep('uploaded, and not released yet')
    : remove(`not released within ${UPLOAD_TTL_MS / 86_400_000} days`);
}

function judgeOutput(
  state: ReclaimState,
  output: Extract<Stored, { kind: 'build-output' }>,
  app: AppState,
): Verdict {
  const newestFirst = [...app.builds].reverse();
  const index = newestFirst.findIndex(({ id }) => id === output.buildId);
  const build = newestFirst[index];
  if (build === undefined) return keep('belongs to no build');
  if (build.status === 'pending') return keep('its build is not done');
  if (index < KEPT_OUTPUTS) return keep(`one of the last ${KEPT_OUTPUTS} builds`);
  if (isYoung(state, output.modifiedAt, GRACE_MS)) return keep('just used');
  return remove(`beyond the last ${KEPT_OUTPUTS} builds`);
}

function judgeStackImage(state: ReclaimState, image: Extract<Stored, { kind: 'stack-image' }>): Verdict {
  const { stackImages, otherInstallations, things } = state;
  if (isInUse(state, image)) return keep('a container uses it');
  if (image.references.some((reference) => stackImages.has(reference))) {
    return keep('builds and dynos of this version are made of it');
  }
  if (image.references.includes(LATEST_DAEMON_IMAGE)) return keep('the latest image of the daemon');
  const [other] = otherInstallations;
  if (other !== undefined) return keep(`installation ${other} on this engine may need it`);
  const ours = things.flatMap((thing) =>
    thing.kind === 'stack-image' && thing.references.some((reference) => stackImages.has(reference))
      ? [thing.createdAt.getTime()]
      : [],
  );
  // Made by a newer version, which may be about to be started.
  if (image.createdAt.getTime() > Math.max(...ours)) return keep("newer than this version's");
  return isYoung(state, state.seenSince.get(image.id), ORPHAN_GRACE_MS)
    ? keep(`superseded; goes if that is so for ${minutes(ORPHAN_GRACE_MS)}`)
    : remove('superseded by those of this version');
}

/** No row speaks of it. */
function judgeOrphan(state: ReclaimState, app: AppState, since: Date | undefined): Verdict {
  if (app.building) return keep('its app is being built');
  return isYoung(state, since, ORPHAN_GRACE_MS)
    ? keep(`no slug has it; goes if that is so for ${minutes(ORPHAN_GRACE_MS)}`)
    : remove('no slug has it');
}

/** Why this very slug is needed whatever its age; undefined if it is not. */
function needOf(state: ReclaimState, app: AppState, slug: Slug): string | undefined {
  const releases = app.releases.filter(({ slugId }) => slugId === slug.id);
  const current = releases.find((release) => release.current);
  if (current !== undefined) return `v${current.version} is the current release`;
  const wanted = releases.find(({ id }) => app.dynoReleases.has(id));
  if (wanted !== undefined) return `dynos of v${wanted.version} need it`;
  const pending = releases.find(({ status }) => status === 'pending');
  if (pending !== undefined) return `v${pending.version} is pending`;
  // Made through the API, to be released later.
  if (releases.length === 0) return 'not released yet';
  return isYoung(state, slug.createdAt, GRACE_MS) ? 'just built' : undefined;
}

/** Says which of the `limit` newest slugs besides the current one it is; undefined if it is older. */
function placeOf(app: AppState, slug: Slug, limit: number, what: string): string | undefined {
  const current = app.releases.find((release) => release.current)?.slugId;
  const seen = new Set<SlugId>();
  for (const { slugId } of [...app.releases].sort((a, b) => b.version - a.version)) {
    if (slugId === null || slugId === current || seen.has(slugId)) continue;
    seen.add(slugId);
    if (seen.size > limit) return undefined;
    if (slugId === slug.id) return `${namesOf(app, [slug])}: ${seen.size} of the last ${limit} ${what}`;
  }
  return undefined;
}

/** Those that go, oldest use first, until the rest fits. */
function evictCaches({ things, apps, limits, now }: ReclaimState): ReadonlySet<Stored> {
  const caches = things.flatMap((thing) => {
    const app = thing.kind === 'build-cache' ? apps.get(thing.appId) : undefined;
    if (thing.kind !== 'build-cache' || app === undefined) return [];
    return [
      { thing, bytes: thing.bytes ?? 0, usedAt: lastUse(app), fixed: app.building || thing.bytes === null },
    ];
  });
  let total = caches.reduce((sum, { bytes }) => sum + bytes, 0);
  const evicted = new Set<Stored>();
  for (const { thing, bytes, usedAt, fixed } of [...caches].sort((a, b) => a.usedAt - b.usedAt)) {
    if (total <= limits.cacheBudgetBytes) break;
    if (fixed || now.getTime() - usedAt < GRACE_MS) continue;
    evicted.add(thing);
    total -= bytes;
  }
  return evicted;
}

/** Likewise, among those that are not superseded anyway. */
function evictBuildpacks({ things, limits, now }: ReclaimState): ReadonlySet<Stored> {
  const current = things.filter((thing) => thing.kind === 'buildpack').filter((thing) => thing.current);
  let total = current.reduce((sum, { bytes }) => sum + bytes, 0);
  const evicted = new Set<Stored>();
  for (const thing of current.sort((a, b) => a.modifiedAt.getTime() - b.modifiedAt.getTime())) {
    if (total <= limits.buildpackBudgetBytes) break;
    if (now.getTime() - thing.modifiedAt.getTime() < ORPHAN_GRACE_MS) continue;
    evicted.add(thing);
    total -= thing.bytes;
  }
  return evicted;
}

function lastUse({ builds }: AppState, atLeast = new Date(0)): number {
  return Math.max(atLeast.getTime(), ...builds.map(({ updatedAt }) => updatedAt.getTime()));
}

function isInUse(
  { imagesInUse }: ReclaimState,
  { id, references }: { id: string; references: readonly string[] },
): boolean {
  return imagesInUse.has(id) || references.some((reference) => imagesInUse.has(reference));
}

function isYoung({ now }: ReclaimState, since: Date | undefined, graceMs: number): boolean {
  return since === undefined || now.getTime() - since.getTime() < graceMs;
}

/** `v3, v5`; of many only the newest. */
function namesOf(app: AppState, slugs: readonly Slug[]): string {
  const ids = new Set(slugs.map(idOf));
  const versions = app.releases
    .filter(({ slugId }) => slugId !== null && ids.has(slugId))
    .map(({ version }) => `v${version}`);
  return versions.length > 3 ? `${versions[0]} … ${versions.at(-1)}` : versions.join(', ');
}

function idOf({ id }: Slug): SlugId {
  return id;
}

function keep(reason: string): Verdict {
  return { action: 'keep', reason };
}
function remove(reason: string, expires: readonly SlugId[] = []): Verdict {
  return { action: 'remove', reason, expires };
}

function minutes(ms: number): string {
  return `${ms / 60_000} minutes`;
}
