import type { Storage, Stored, StorageView } from '../../build/storage';
import type { AppId, SlugId } from '../../domain/ids';
import { PlatformError } from '../../domain/errors';
import { EngineError } from '../../engine/engine';
import { describeError, type Logger } from '../../lib/logger';
import { SingleFlight } from '../../lib/single-flight';
import type { Builds } from '../builds/builds';
import type { PlatformContext } from '../context';
import { planReclaim, type AppState, type ReclaimItem, type ReclaimLimits, type ReclaimState } from './plan';

export interface ReclaimOptions {
  storage: Pick<Storage, 'look' | 'imagesBytes' | 'remove'>;
  builds: Pick<Builds, 'isBuilding' | 'whileNotBuilding'>;
  limits: ReclaimLimits;
  /** References of the images that this version of dynodock works with. */
  stackImages: readonly string[];
  logger: Logger;
}

export interface ReclaimedItem extends ReclaimItem {
  /** What became of it; `planned` where it was only asked for. `failed` says why in `reason`. */
  outcome: 'kept' | 'planned' | 'removed' | 'failed';
}

/** Bytes on the disk; null for what the engine could not tell. */
export interface DiskFigures {
  /** All images of the engine, others' included: what they share counts once. */
  images: number | null;
  /** Build caches. */
  caches: number | null;
  /** Archives of slugs, outputs of builds, buildpacks, temporary files. */
  files: number;
}

export interface ReclaimReport {
  items: ReclaimedItem[];
  before: DiskFigures;
  /** null where nothing was to be removed. */
  after: DiskFigures | null;
}

/** A deploy's own start comes first. */
const AFTER_DEPLOY_MS = 2_000;
const ACTOR = 'dynodock';
const EVERYTHING = 'everything';

/**
 * Keeps the disk from filling up with what deploys leave behind. After each deploy it goes through that app's slugs,
 * and every now and then through everything. One run at a time; what a run decides is looked at once more before each
 * removal, because apps are deployed and rolled back meanwhile.
 */
export class Reclaim {
  readonly #context: PlatformContext;
  readonly #options: ReclaimOptions;
  readonly #flights = new SingleFlight<AppId | typeof EVERYTHING>((scope) => this.#fly(scope), 1);
  readonly #timers = new Map<AppId, () => void>();
  #seenSince = new Map<string, Date>();
  #stopped = false;
  /** Of the last run over everything. */
  #last: { report: ReclaimReport } | { error: unknown } | undefined;

  constructor(context: PlatformContext, options: ReclaimOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** The app has one more slug: soon, one may be beyond the limits. */
  deployed(appId: AppId): void {
    if (this.#stopped || this.#timers.has(appId)) return;
    const cancel = this.#context.clock.after(AFTER_DEPLOY_MS, () => {
      this.#timers.delete(appId);
      void this.#flights.kick(appId);
    });
    this.#timers.set(appId, cancel);
  }

  /** What a run would do now. */
  async plan(): Promise<ReclaimReport> {
    const view = await this.#look().catch((error: unknown) => {
      throw toPlatformError(error);
    });
    const items = this.#plan(view).map((item): ReclaimedItem => ({
      ...item,
      outcome: item.action === 'keep' ? 'kept' : 'planned',
    }));
    return { items, before: figuresOf(view.things, view.imagesBytes), after: null };
  }

  /** Goes through everything. Calls during a run share the next one. */
  async run(): Promise<ReclaimReport> {
    await this.#flights.kick(EVERYTHING);
    if (this.#stopped || this.#last === undefined) {
      throw new PlatformError('service_unavailable', 'The daemon is stopping.');
    }
    if ('error' in this.#last) throw toPlatformError(this.#last.error);
    return this.#last.report;
  }

  /** As `run`, for a timer: what went wrong is in the log, and the next time comes. */
  runScheduled(): Promise<void> {
    return this.#flights.kick(EVERYTHING);
  }

  /** Ends after the removal that is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    await this.#flights.stop();
  }

  async #fly(scope: AppId | typeof EVERYTHING): Promise<void> {
    const { logger } = this.#options;
    try {
      const report = await this.#reclaim(scope === EVERYTHING ? undefined : scope);
      if (scope === EVERYTHING) this.#last = { report };
    } catch (error) {
      if (scope === EVERYTHING) this.#last = { error };
      // The next run finds it all again.
      logger.warn('reclaiming failed', { scope, error: describeError(error) });
    }
  }

  async #reclaim(appId: AppId | undefined): Promise<ReclaimReport> {
    const { logger, storage } = this.#options;
    const view = await this.#look(appId);
    const items: ReclaimedItem[] = [];
    for (const item of this.#plan(view)) {
      if (item.action === 'keep' || this.#stopped) items.push({ ...item, outcome: 'kept' });
      else items.push(await this.#remove(item, view));
    }
    const removed = items.filter(({ outcome }) => outcome === 'removed');
    const before = figuresOf(view.things, view.imagesBytes);
    if (removed.length === 0) return { items, before, after: null };
    for (const { thing, reason } of removed) {
      logger.debug('reclaimed', { kind: thing.kind, name: nameOf(thing), reason });
    }
    const left = items.flatMap(({ thing, outcome }) => (outcome === 'removed' ? [] : [thing]));
    const after = figuresOf(left, appId === undefined ? await storage.imagesBytes() : null);
    logger.info('disk space reclaimed', { app: appId, removed: removed.length, before, after });
    return { items, before, after };
  }

  async #remove(item: ReclaimItem, view: StorageView): Promise<ReclaimedItem> {
    const { storage, builds } = this.#options;
    const { thing } = item;
    try {
      if (thing.kind === 'build-cache') {
        // Between the making of the volume and that of the container that mounts it, the engine would not object.
        const done = await builds.whileNotBuilding(thing.appId, () => storage.remove(thing));
        return done
          ? { ...item, outcome: 'removed' }
          : { ...item, action: 'keep', outcome: 'kept', reason: 'its app is being built' };
      }
      if (thing.kind === 'slug-image' || thing.kind === 'slug-archive') {
        const [now] = planReclaim(this.#state(view, [thing]));
        if (now?.action !== 'remove') return { ...item, ...now, outcome: 'kept' };
        // Before anything goes, so that nobody rolls back to what is half gone.
        this.#expire(thing.appId, now.expires);
      }
      if (thing.kind === 'slug-upload') {
        // Released, or uploaded anew, meanwhile? Its row goes first, so that nobody releases what is half gone.
        const [now] = planReclaim(this.#state(view, [thing]));
        if (now?.action !== 'remove') return { ...item, ...now, outcome: 'kept' };
        this.#context.store.slugUploads.delete(thing.slugId);
      }
      await storage.remove(thing);
      return { ...item, outcome: 'removed' };
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'conflict') {
        return { ...item, action: 'keep', outcome: 'kept', reason: 'the engine says that it is in use' };
      }
      // Asking an engine that is away for the rest would be one time-out after the other.
      if (error instanceof EngineError && error.kind === 'unreachable') throw error;
      const message = error instanceof Error ? error.message : String(error);
      this.#options.logger.warn('not reclaimed', { name: nameOf(thing), error: describeError(error) });
      return { ...item, outcome: 'failed', reason: message };
    }
  }

  /** Rolling back to their releases is refused from now on. */
  #expire(appId: AppId, slugs: readonly SlugId[]): void {
    const { store, clock, changed } = this.#context;
    store.transaction(() => {
      for (const { id, slugId, status, version } of store.releases.of(appId)) {
        if (slugId === null || !slugs.includes(slugId) || status !== 'succeeded') continue;
        store.releases.setStatus(id, 'expired', clock.now());
        const payload = { version, slug: slugId };
        store.events.append({ appId, kind: 'release.expire', payload, actor: ACTOR, at: clock.now() });
        store.afterCommit(() => changed(appId));
      }
    });
  }

  async #look(appId?: AppId): Promise<StorageView> {
    const view = await this.#options.storage.look(appId);
    const now = this.#context.clock.now();
    const images = view.things.flatMap((thing) => ('id' in thing ? [thing.id] : []));
    const seen = new Map(images.map((id) => [id, this.#seenSince.get(id) ?? now]));
    // A look at everything also forgets what is no more.
    this.#seenSince = appId === undefined ? seen : new Map([...this.#seenSince, ...seen]);
    return view;
  }

  #plan(view: StorageView): ReclaimItem[] {
    return planReclaim(this.#state(view));
  }

  /** With the store as it is at this moment. */
  #state(view: StorageView, things: readonly Stored[] = view.things): ReclaimState {
    const { store, clock } = this.#context;
    const { limits, stackImages } = this.#options;
    const ids = new Set(things.flatMap((thing) => ('appId' in thing ? [thing.appId] : [])));
    const existing = [...ids].filter((id) => store.apps.get(id) !== undefined);
    return {
      ...view,
      things,
      now: clock.now(),
      apps: new Map(existing.map((id) => [id, this.#appState(id)])),
      archives: new Set(
        view.things.flatMap((thing) => (thing.kind === 'slug-archive' ? [thing.slugId] : [])),
      ),
      seenSince: this.#seenSince,
      stackImages: new Set(stackImages),
      limits,
    };
  }

  #appState(id: AppId): AppState {
    const { store } = this.#context;
    const dynos = store.dynos.of(id).filter(({ state }) => state !== 'down');
    return {
      id,
      releases: store.releases.of(id),
      slugs: store.slugs.of(id),
      slugUploads: store.slugUploads.of(id),
      builds: store.builds.of(id),
      dynoReleases: new Set(dynos.map(({ releaseId }) => releaseId)),
      building: this.#options.builds.isBuilding(id),
    };
  }
}

function toPlatformError(error: unknown): unknown {
  return error instanceof EngineError && error.kind === 'unreachable'
    ? new PlatformError('service_unavailable', 'The container engine does not answer.', undefined, {
        cause: error,
      })
    : error;
}

/** As people know it. */
export function nameOf(thing: Stored): string {
  switch (thing.kind) {
    case 'slug-image':
    case 'build-layers':
    case 'stack-image':
      return thing.references.length === 0 ? thing.id : thing.references.join(' ');
    case 'build-cache':
      return thing.name;
    case 'slug-archive':
    case 'build-output':
    case 'buildpack':
    case 'slug-upload':
    case 'source-blob':
    case 'work-file':
      return thing.path;
  }
}

function figuresOf(things: readonly Stored[], images: number | null): DiskFigures {
  const figures: DiskFigures = { images, caches: images === null ? null : 0, files: 0 };
  for (const thing of things) {
    if (thing.kind === 'build-cache') {
      figures.caches = figures.caches === null || thing.bytes === null ? null : figures.caches + thing.bytes;
    } else if ('path' in thing) figures.files += thing.bytes;
  }
  return figures;
}
