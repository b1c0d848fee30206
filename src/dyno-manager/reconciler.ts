import { dynoName, type Dyno } from '../domain/dyno';
import type { AppId, DynoId } from '../domain/ids';
import { sleepPolicy, type SleepPolicy } from '../domain/sleep';
import { EngineError, type EngineEvent } from '../engine/engine';
import { APP_LABEL, DYNO_LABEL, INSTALLATION_LABEL, ownedLabels, ROLE_LABEL } from '../engine/labels';
import { sleep } from '../lib/clock';
import { SingleFlight } from '../lib/single-flight';
import { desiredDynos } from './desired';
import type { DynoManager, DynoSelection } from './dyno-manager';
import { InsideCommands, type InsideCommand } from './inside';
import { observeAll, observeApp, type ObservedContainer } from './observe';
import { changesRowsOnly, nextDeadline, planDynos, type PlanInput, type Step } from './plan';
import type { ProcessClient } from './process-client';
import { SandboxPool } from './sandboxes';
import { MemoryWatch } from './memory-watch';
import { Steps, type StepsOptions } from './steps';

export interface ReconcilerOptions extends Omit<StepsOptions, 'kick' | 'sandboxes'> {
  /** Network sandboxes that are kept ready for fast starts, made of `sandboxImage`. */
  readySandboxes: number;
  sandboxImage: string;
  /** How long a dyno runs before it is replaced by a fresh one; 0 = for ever. */
  cycleMs: number;
  /** How an app sleeps that has no settings of its own. */
  sleep: SleepPolicy;
  /** Apps that are worked on at once. */
  concurrency: number;
}

/** A plan that is not done after so many rounds is not converging: better say so than spin. */
const MAX_ROUNDS = 30;
/** Launches of one app at once: 20 dynos must not take 20 times as long as one. */
const LAUNCHES_AT_ONCE = 8;
/** Later than any exit: nothing that ends now is seen as it happens. */
const NOT_WATCHING = new Date(8.64e15);
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
/** An engine that is away is asked for at least this often: that costs next to nothing. */
const LONGEST_WATCH_RETRY_MS = 5_000;

/**
 * Keeps every app's containers in line with what the store says. Kicks carry no facts: each pass reads the whole
 * state of one app from store and engine, plans, acts, and looks again until there is nothing left to do.
 */
export class Reconciler implements DynoManager {
  readonly #options: ReconcilerOptions;
  readonly #steps: Steps;
  readonly #inside: InsideCommands;
  readonly #sandboxes: SandboxPool;
  readonly #memory: MemoryWatch;
  readonly #flights: SingleFlight<AppId>;
  readonly #timers = new Map<AppId, () => void>();
  /** Apps whose last pass failed, and when they are next looked at if nothing happens meanwhile. */
  readonly #failures = new Map<AppId, { delayMs: number; retryAt: number }>();
  readonly #stopped = new AbortController();
  readonly #managingSince: Date;
  #watchingSince = NOT_WATCHING;
  #watching: Promise<void> = Promise.resolve();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#managingSince = options.clock.now();
    this.#sandboxes = new SandboxPool({
      ...options,
      size: options.readySandboxes,
      image: options.sandboxImage,
      onLost: (containerId) => this.#kickDynosIn(containerId),
    });
    this.#steps = new Steps({
      ...options,
      sandboxes: this.#sandboxes,
      kick: (appId) => this.kick(appId),
    });
    this.#inside = new InsideCommands({ ...options, stopping: this.#stopped.signal });
    this.#memory = new MemoryWatch({ ...options, running: () => this.#steps.running() });
    this.#flights = new SingleFlight((appId) => this.#pass(appId), options.concurrency);
  }

  /** Begins to watch the engine, adopts what runs and starts what is missing. */
  start(): void {
    this.#watching = this.#watch();
    this.#memory.start();
  }

  /** Stops deciding. Dynos go on running; the next start adopts them. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    await this.#inside.stop();
    await this.#memory.stop();
    await this.#steps.stop();
    await this.#flights.stop();
    await this.#sandboxes.stop();
    await this.#watching;
  }

  kick(appId: AppId): void {
    void this.#flights.kick(appId);
  }

  /** Resolves when no app is being worked on; for tests. */
  settle(): Promise<void> {
    return this.#flights.idle();
  }

  restart(appId: AppId, selection: DynoSelection): number {
    const { store } = this.#options;
    const chosen = store.dynos.of(appId).filter((dyno) => {
      if (dyno.state === 'down') return false;
      if ('name' in selection) return dynoName(dyno) === selection.name;
      if ('type' in selection) return dyno.type === selection.type;
      // One-off dynos ignore ps:restart.
      return dyno.oneOff === null;
    });
    store.transaction(() => {
      for (const dyno of chosen) this.#steps.retire(dyno, dyno.oneOff === null ? 'restart' : 'stop');
    });
    this.kick(appId);
    return chosen.length;
  }

  idle(appId: AppId, depth: 'stopped' | 'frozen'): boolean {
    return this.#steps.sleep.idle(appId, depth);
  }

  wake(appId: AppId): 'stopped' | 'frozen' | null {
    return this.#steps.sleep.wake(appId);
  }

  attach(dynoId: DynoId, client: ProcessClient): void {
    this.#steps.oneOffs.attach(dynoId, client);
  }

  runInside(dynoId: DynoId, command: InsideCommand, client: ProcessClient): void {
    this.#inside.run(dynoId, command, client);
  }

  async discard(appId: AppId): Promise<void> {
    await this.#flights.kick(appId);
  }

  /** Looks at every app, also at those that only the engine knows; called on a timer against missed events. */
  async resync(): Promise<void> {
    try {
      await this.#compare();
    } catch (error) {
      this.#options.logger.warn('resync failed', { error });
    }
  }

  /** One look at all containers tells which apps there is something to do for; those are kicked. */
  async #compare(): Promise<void> {
    const { store, engine, installationId, clock, logger } = this.#options;
    const began = clock.now().getTime();
    await this.#sandboxes.resync(() => this.#takenSandboxes());
    const containers = await observeAll(engine, installationId);
    const apps = store.apps.all();
    const known = new Set(apps.map((app) => app.id));
    const gone = [...containers.keys()].filter((appId) => !known.has(appId));
    const unsettled = apps.flatMap(({ id }) => (this.#isSettled(id, containers.get(id) ?? []) ? [] : [id]));
    for (const appId of [...unsettled, ...gone]) this.kick(appId);
    logger.debug('resync', {
      apps: apps.length,
      kicked: unsettled.length + gone.length,
      durationMs: clock.now().getTime() - began,
    });
  }

  /** Follows the engine's events; after each loss of the stream everything is looked at anew. */
  async #watch(): Promise<void> {
    const { engine, installationId, clock, logger } = this.#options;
    const { signal } = this.#stopped;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#isStopped()) {
      try {
        await engine.info();
        const events = engine.events({ [INSTALLATION_LABEL]: installationId }, { signal });
        this.#watchingSince = clock.now();
        await this.#compare();
        retryMs = FIRST_RETRY_MS;
        for await (const event of events) {
          this.#sandboxes.onEvent(event);
          this.#onDynoEvent(event);
        }
      } catch (error) {
        if (this.#isStopped()) return;
        logger.warn('the container engine is away', { error });
      }
      this.#watchingSince = NOT_WATCHING;
      if (this.#isStopped()) return;
      await sleep(clock, retryMs, signal).catch(() => undefined); // aborted: the loop's condition sees it
      retryMs = Math.min(retryMs * 2, LONGEST_WATCH_RETRY_MS);
    }
  }

  #onDynoEvent({ kind, labels }: EngineEvent): void {
    const appId = labels[APP_LABEL];
    if (appId === undefined || labels[ROLE_LABEL] !== 'dyno') return;
    // The engine tells of it before it answers: a look at all containers now would only hold the wake up, and follows.
    if (kind === 'unpause' && this.#steps.sleep.isThawing(labels[DYNO_LABEL] as DynoId)) return;
    this.kick(appId as AppId);
  }

  async #pass(appId: AppId): Promise<void> {
    // Before stock has been taken of the sandboxes, none would be found; that comes with a look at all apps.
    if (this.#isStopped() || !this.#sandboxes.stocked) return;
    this.#timers.get(appId)?.();
    this.#timers.delete(appId);
    try {
      await this.#converge(appId);
      this.#failures.delete(appId);
    } catch (error) {
      if (this.#isStopped()) return;
      const unreachable = error instanceof EngineError && error.kind === 'unreachable';
      this.#options.logger[unreachable ? 'warn' : 'error']('reconciling an app failed', {
        app: appId,
        error,
      });
      this.#kickAfterFailure(appId);
    }
  }

  /** Later and later; passes that something else asked for before that time came and failed as well do not count. */
  #kickAfterFailure(appId: AppId): void {
    const now = this.#options.clock.now().getTime();
    const last = this.#failures.get(appId);
    if (last === undefined || last.retryAt <= now) {
      const delayMs = Math.min((last?.delayMs ?? FIRST_RETRY_MS / 2) * 2, LONGEST_RETRY_MS);
      this.#failures.set(appId, { delayMs, retryAt: now + delayMs });
    }
    const { retryAt } = this.#failures.get(appId) ?? { retryAt: now };
    this.#kickAfter(appId, retryAt - now);
  }

  async #converge(appId: AppId): Promise<void> {
    const { store, engine, installationId, logger } = this.#options;
    const fresh = this.#steps.sleep.takeFresh(appId);
    if (store.apps.get(appId) === undefined) {
      await this.#removeAll(appId);
      return;
    }
    if (fresh.length > 0) await this.#execute(fresh.map((dyno) => ({ kind: 'launch', dyno })));
    let containers: readonly ObservedContainer[] | undefined;
    let stopping: ReadonlySet<DynoId> = new Set();
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      // The engine first: a row that is written meanwhile is then seen together with its missing container.
      if (containers === undefined) {
        // And before that, what is being stopped: its end, of which a look that began earlier knows nothing, kicks anew.
        stopping = this.#steps.stopping;
        containers = await observeApp(engine, installationId, appId);
      }
      const input = this.#inputOf(appId, containers, stopping);
      const steps = planDynos(input);
      if (input.missingAddOns.length > 0 && input.dynos.some(({ state }) => state === 'starting')) {
        this.#options.addons.need(appId);
      }
      if (steps.length === 0 || this.#isStopped()) {
        this.#kickAtDeadline(appId, input);
        return;
      }
      logger.debug('plan', { app: appId, steps: steps.map((step) => step.kind) });
      await this.#execute(steps);
      // What only changed rows need not be looked for at the engine.
      if (!steps.every(changesRowsOnly)) containers = undefined;
    }
    logger.error('an app does not settle', { app: appId });
    this.#kickAfter(appId, LONGEST_RETRY_MS);
  }

  #inputOf(appId: AppId, containers: readonly ObservedContainer[], stopping: ReadonlySet<DynoId>): PlanInput {
    const { store, clock } = this.#options;
    const release = store.releases.current(appId);
    const slug = store.slugs.ofRelease(release);
    const dynos = store.dynos.of(appId);
    return {
      desired: desiredDynos(release, slug, store.formations.of(appId)),
      dynos,
      cutOff: this.#cutOff(dynos),
      preboot: store.appFeatures.isEnabled(appId, 'preboot'),
      cycleMs: this.#options.cycleMs,
      frozenMs: this.#frozenMs(appId),
      containers,
      attended: this.#steps.attended,
      stopping: new Set([...stopping, ...this.#steps.stopping]),
      clients: this.#steps.oneOffs.clients,
      missingAddOns: this.#options.addons.missing(appId),
      managingSince: this.#managingSince,
      watchingSince: this.#watchingSince,
      now: clock.now(),
    };
  }

  #frozenMs(appId: AppId): number | null {
    const policy = sleepPolicy(this.#options.sleep, this.#options.store.appSleep.get(appId));
    return policy.depth === 'tiered' ? policy.frozenMs : null;
  }

  /** Answers whether there is nothing to do for it now, and then sees to it that it is looked at when there is. */
  #isSettled(appId: AppId, containers: readonly ObservedContainer[]): boolean {
    // That the look may be older than an end costs no more than a kick.
    const input = this.#inputOf(appId, containers, new Set());
    if (planDynos(input).length > 0) return false;
    this.#kickAtDeadline(appId, input);
    return true;
  }

  async #execute(steps: readonly Step[]): Promise<void> {
    const launches = steps.filter(isLaunch);
    for (const step of steps) {
      if (!isLaunch(step)) await this.#steps.run(step);
    }
    let failed = false;
    const launch = async (): Promise<void> => {
      for (let next = launches.shift(); next !== undefined && !failed; next = launches.shift()) {
        await this.#steps.run(next).catch((error: unknown) => {
          failed = true;
          throw error;
        });
      }
    };
    const workers = Array.from({ length: LAUNCHES_AT_ONCE }, launch);
    // All of them, also when one has failed: the next pass must find none still at it.
    await Promise.allSettled(workers);
    await Promise.all(workers);
  }

  async #removeAll(appId: AppId): Promise<void> {
    const { engine, installationId } = this.#options;
    for (const container of await engine.list(ownedLabels(installationId, 'dyno', { [APP_LABEL]: appId }))) {
      await engine.remove(container.id);
    }
    this.#sandboxes.sweep(this.#takenSandboxes());
  }

  #takenSandboxes(): ReadonlySet<string> {
    const dynos = this.#options.store.dynos.all();
    return new Set(dynos.flatMap(({ sandbox }) => (sandbox === null ? [] : [sandbox])));
  }

  #cutOff(dynos: readonly Dyno[]): ReadonlySet<DynoId> {
    const lost = dynos.filter(
      ({ sandbox }) => sandbox !== null && this.#sandboxes.find(sandbox) === undefined,
    );
    return new Set(lost.map((dyno) => dyno.id));
  }

  #kickDynosIn(sandbox: string): void {
    for (const dyno of this.#options.store.dynos.all()) {
      if (dyno.sandbox === sandbox) this.kick(dyno.appId);
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  #kickAtDeadline(appId: AppId, input: PlanInput): void {
    const deadline = nextDeadline(input);
    if (deadline === null) return;
    this.#kickAfter(appId, Math.max(deadline.getTime() - this.#options.clock.now().getTime(), 0));
  }

  #kickAfter(appId: AppId, delayMs: number): void {
    this.#timers.get(appId)?.();
    // setTimeout takes at most 2^31-1 ms; a longer wait is simply planned again.
    const cancel = this.#options.clock.after(Math.min(delayMs, 2 ** 31 - 1), () => {
      this.#timers.delete(appId);
      this.kick(appId);
    });
    this.#timers.set(appId, cancel);
  }
}

/** Steps that take the engine long and disturb no other. */
function isLaunch({ kind }: Step): boolean {
  return kind === 'launch' || kind === 'prepare' || kind === 'connect';
}
