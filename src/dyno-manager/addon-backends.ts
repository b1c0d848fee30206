import type { BackendCommand } from '../addons/provider';
import type { AddOn } from '../domain/addon';
import { appRestOf, mayAddOnSleep, type AddOnSleepPolicy } from '../domain/addon-sleep';
import { notFound, PlatformError } from '../domain/errors';
import type { AddOnId, AppId } from '../domain/ids';
import {
  EngineError,
  type AttachedCommand,
  type ContainerId,
  type ContainerInfo,
  type ExecResult,
} from '../engine/engine';
import { ADDON_LABEL, ADDON_SPEC_LABEL, ownedLabels } from '../engine/labels';
import { sleep } from '../lib/clock';
import { Signal } from '../lib/signal';
import { SingleFlight } from '../lib/single-flight';
import type { Logplex } from '../logplex/logplex';
import type { AddOnGate } from './addon-gate';
import type { AddOnManager, Delay } from './addon-manager';
import {
  nextAddOnDeadline,
  planAddOn,
  type AddOnPlanInput,
  type ObservedBackend,
  type Rest,
} from './addon-plan';
import { AddOnLogs } from './addon-logs';
import { AddOnSteps, execOptions, type AddOnStepsOptions } from './addon-steps';

export interface AddOnBackendsOptions extends AddOnStepsOptions {
  /** Add-ons that are worked on at once. */
  concurrency: number;
  sleep: AddOnSleepPolicy;
  logplex: Logplex;
}

const MAX_ROUNDS = 30;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
const LONGEST_WATCH_RETRY_MS = 5_000;

/**
 * Keeps the containers of add-ons in line with the store, as `Reconciler` does for dynos: kicks carry no facts, each
 * pass reads the whole state of one add-on, plans, acts, and looks again until there is nothing left to do.
 */
export class AddOnBackends implements AddOnManager, AddOnGate {
  readonly #options: AddOnBackendsOptions;
  readonly #steps: AddOnSteps;
  readonly #logs: AddOnLogs;
  readonly #flights: SingleFlight<AddOnId>;
  readonly #timers = new Map<AddOnId, () => void>();
  readonly #retryMs = new Map<AddOnId, number>();
  readonly #stopped = new AbortController();
  readonly #served = new Signal<AddOnId>();
  /** Until when it stays awake since somebody has asked for it. */
  readonly #awakeUntil = new Map<AddOnId, Date>();
  /** Commands under way inside of it, e.g. a dump. */
  readonly #commands = new Map<AddOnId, number>();
  /** What of the above an earlier run of the daemon knew is lost: what ran then stays awake for a while. */
  readonly #managingSince: Date;
  #watching: Promise<void> = Promise.resolve();

  constructor(options: AddOnBackendsOptions) {
    this.#options = options;
    this.#managingSince = options.clock.now();
    this.#logs = new AddOnLogs(options);
    this.#steps = new AddOnSteps(
      {
        ...options,
        onServing: (id) => {
          options.onServing(id);
          this.#served.emit(id);
        },
      },
      {
        restOf: (addon) => this.#restOf(addon),
        hasFrozenClients: (id) => this.#hasFrozenClients(id),
        putOff: (id, forMs) => this.#stayAwake(id, forMs),
      },
    );
    this.#flights = new SingleFlight((id) => this.#pass(id), options.concurrency);
  }

  /** Begins to watch the engine, adopts what runs and starts what is missing. */
  start(): void {
    this.#watching = this.#watch();
  }

  /** Stops deciding. The backends go on running; the next start adopts them. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    await this.#flights.stop();
    await this.#logs.stop();
    await this.#watching;
  }

  kick(id: AddOnId): void {
    void this.#flights.kick(id);
  }

  settle(id: AddOnId): Promise<void> {
    return this.#flights.kick(id);
  }

  /** Resolves when none is being worked on; for tests. */
  idle(): Promise<void> {
    return this.#flights.idle();
  }

  isServing(id: AddOnId): boolean {
    return this.#steps.serving(id) !== null;
  }

  delayOf(addon: AddOn): Promise<Delay | null> {
    return this.#steps.delayOf(addon);
  }

  isAsleep(id: AddOnId): boolean {
    const addon = this.#options.store.addons.get(id);
    return addon !== undefined && !this.isServing(id) && this.#restOf(addon) !== null;
  }

  async awaken(id: AddOnId, { timeoutMs }: { timeoutMs: number }): Promise<void> {
    const { sleep: policy, clock } = this.#options;
    if (policy.depth === 'off') return;
    const end = this.#beginCommand(id);
    const patience = new AbortController();
    const unsubscribe = this.#served.subscribe((served) => {
      if (served === id) patience.abort();
    });
    try {
      const { problem = null } = this.#options.store.addons.get(id)?.backend ?? {};
      // One that is broken is not waited for.
      if (this.isServing(id) || problem !== null) return;
      this.kick(id);
      // Aborted: it serves, or nobody will see to it any more.
      await sleep(clock, timeoutMs, AbortSignal.any([patience.signal, this.#stopped.signal])).catch(
        () => undefined,
      );
    } finally {
      unsubscribe();
      end();
      this.#stayAwake(id, policy.lingerMs);
      this.kick(id);
    }
  }

  /** Something about the app's dynos has changed: its add-ons may fall asleep now, or have to wake. */
  appChanged(appId: AppId): void {
    if (this.#options.sleep.depth === 'off') return;
    for (const { id } of this.#attachedTo(appId)) this.kick(id);
  }

  missing(appId: AppId): string[] {
    return this.#attachedTo(appId)
      .filter(({ id, state }) => state === 'provisioned' && !this.isServing(id))
      .map(({ name }) => name);
  }

  need(appId: AppId): void {
    for (const { id } of this.#attachedTo(appId)) if (!this.isServing(id)) this.kick(id);
  }

  async exec(
    id: AddOnId,
    command: BackendCommand,
    options: { timeoutMs?: number } = {},
  ): Promise<ExecResult> {
    const { engine } = this.#options;
    const container = this.#running(id);
    return this.#whileAwake(id, () =>
      available(async () => {
        await this.#steps.putFiles(container, command.files ?? []);
        return engine.exec(container, command.argv, { ...execOptions(command), ...options });
      }),
    );
  }

  async execAttached(id: AddOnId, command: BackendCommand): Promise<AttachedCommand> {
    const { engine } = this.#options;
    const container = this.#running(id);
    const end = this.#beginCommand(id);
    try {
      const attached = await available(async () => {
        await this.#steps.putFiles(container, command.files ?? []);
        return engine.execAttached(container, command.argv, { ...execOptions(command), terminal: null });
      });
      // It ends with its outputs, whoever is told of its status.
      attached.stdout.once('close', end);
      return attached;
    } catch (error) {
      end();
      throw error;
    }
  }

  async setUp(id: AddOnId): Promise<void> {
    const addon = this.#options.store.addons.get(id);
    if (addon === undefined) throw notFound('add_on');
    const container = this.#running(id);
    await this.#whileAwake(id, () => available(() => this.#steps.setUp(addon, container)));
  }

  async restart(id: AddOnId): Promise<void> {
    const { engine, store } = this.#options;
    const addon = store.addons.get(id);
    if (addon === undefined) throw notFound('add_on');
    const container = this.#running(id);
    const timeoutMs = this.#steps.specOf(addon)?.spec.stopTimeoutMs ?? 0;
    await available(() => engine.stop(container, { timeoutMs }));
    this.#steps.forget(id);
    // Asked for, and so no failure.
    const { backend } = store.addons.get(id) ?? addon;
    const endedAt = this.#options.clock.now();
    store.addons.setBackend(id, { ...backend, failures: addon.backend.failures, nextStartAt: null, endedAt });
    await this.#flights.kick(id);
  }

  /** Looks at all of them, known or not; called on a timer against missed events. */
  async resync(): Promise<void> {
    try {
      await this.#compare();
    } catch (error) {
      this.#options.logger.warn('looking at the add-ons failed', { error });
    }
  }

  async #compare(): Promise<void> {
    const { engine, installationId, store } = this.#options;
    const containers = await engine.list(ownedLabels(installationId, 'add-on'));
    const ids = new Set(store.addons.all().map(({ id }) => id));
    for (const { labels } of containers) if (labels[ADDON_LABEL]) ids.add(labels[ADDON_LABEL] as AddOnId);
    for (const id of ids) {
      const own = containers.filter(({ labels }) => labels[ADDON_LABEL] === id).map(toObserved);
      const input = this.#inputOf(id, own);
      if (planAddOn(input).length > 0) this.kick(id);
      else {
        if (input.serving !== null) this.#logs.follow(id, input.serving);
        this.#kickAtDeadline(id, input);
      }
    }
  }

  /** Follows the engine's events; after each loss of the stream everything is looked at anew. */
  async #watch(): Promise<void> {
    const { engine, installationId, clock, logger } = this.#options;
    const { signal } = this.#stopped;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#isStopped()) {
      try {
        await engine.info();
        const events = engine.events(ownedLabels(installationId, 'add-on'), { signal });
        await this.#compare();
        retryMs = FIRST_RETRY_MS;
        for await (const { kind, labels } of events) {
          const id = labels[ADDON_LABEL] as AddOnId | undefined;
          if (id === undefined) continue;
          if (kind === 'die' || kind === 'destroy') this.#steps.forget(id);
          this.kick(id);
        }
      } catch (error) {
        if (this.#isStopped()) return;
        logger.warn('the container engine is away', { error });
      }
      if (this.#isStopped()) return;
      await sleep(clock, retryMs, signal).catch(() => undefined); // aborted: the loop's condition sees it
      retryMs = Math.min(retryMs * 2, LONGEST_WATCH_RETRY_MS);
    }
  }

  async #pass(id: AddOnId): Promise<void> {
    if (this.#isStopped()) return;
    this.#timers.get(id)?.();
    this.#timers.delete(id);
    try {
      await this.#converge(id);
      this.#retryMs.delete(id);
    } catch (error) {
      if (this.#isStopped()) return;
      const unreachable = error instanceof EngineError && error.kind === 'unreachable';
      this.#options.logger[unreachable ? 'warn' : 'error']('reconciling an add-on failed', {
        addon: id,
        error,
      });
      const delayMs = Math.min((this.#retryMs.get(id) ?? FIRST_RETRY_MS / 2) * 2, LONGEST_RETRY_MS);
      this.#retryMs.set(id, delayMs);
      this.#kickAfter(id, delayMs);
    }
  }

  async #converge(id: AddOnId): Promise<void> {
    const { engine, installationId, logger } = this.#options;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const containers = await engine.list(ownedLabels(installationId, 'add-on', { [ADDON_LABEL]: id }));
      const input = this.#inputOf(id, containers.map(toObserved));
      const steps = planAddOn(input);
      if (steps.length === 0 || this.#isStopped()) {
        // Each time: a stream that was lost is taken up again.
        if (input.serving !== null) this.#logs.follow(id, input.serving);
        if (input.addon === undefined) this.#logs.forget(id);
        this.#kickAtDeadline(id, input);
        return;
      }
      logger.debug('plan', { addon: id, steps: steps.map((step) => step.kind) });
      for (const step of steps) await this.#steps.run(step, id, this.#stopped.signal);
    }
    // One that takes long to serve is asked again and again; that is no error.
    this.#kickAfter(id, FIRST_RETRY_MS);
  }

  #inputOf(id: AddOnId, containers: ObservedBackend[]): AddOnPlanInput {
    const { store, clock } = this.#options;
    const addon = store.addons.get(id);
    return {
      addon,
      wanted: addon === undefined ? null : this.#wanted(addon),
      containers,
      serving: this.#steps.serving(id),
      told: this.#steps.told(id),
      rest: addon === undefined ? null : this.#restOf(addon),
      now: clock.now(),
    };
  }

  /** null: it is to be awake. Read off the store each time, so that a wake of an app needs nothing but its rows. */
  #restOf({ id, state }: AddOn): Rest | null {
    const { store, clock, sleep: policy } = this.#options;
    if (policy.depth === 'off' || state !== 'provisioned') return null;
    const until = this.#awakeUntil.get(id);
    if ((until !== undefined && until > clock.now()) || this.#commands.has(id)) return null;
    const building = new Set(store.builds.pending().map(({ appId }) => appId));
    const apps = [...new Set(store.attachments.ofAddOn(id).map(({ appId }) => appId))].map((appId) =>
      appRestOf(store.dynos.of(appId), building.has(appId) || store.releases.pending(appId).length > 0),
    );
    if (!mayAddOnSleep(apps)) return null;
    return { depth: policy.depth, dozeAt: new Date(this.#managingSince.getTime() + policy.lingerMs) };
  }

  #hasFrozenClients(id: AddOnId): boolean {
    const { store } = this.#options;
    return store.attachments
      .ofAddOn(id)
      .some(({ appId }) => store.dynos.of(appId).some(({ startedAt }) => startedAt !== null));
  }

  #stayAwake(id: AddOnId, forMs: number): void {
    const now = this.#options.clock.now().getTime();
    const until = Math.max(now + forMs, this.#awakeUntil.get(id)?.getTime() ?? 0);
    this.#awakeUntil.set(id, new Date(until));
  }

  #beginCommand(id: AddOnId): () => void {
    this.#commands.set(id, (this.#commands.get(id) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = (this.#commands.get(id) ?? 1) - 1;
      if (left > 0) this.#commands.set(id, left);
      else this.#commands.delete(id);
    };
  }

  async #whileAwake<T>(id: AddOnId, work: () => Promise<T>): Promise<T> {
    const end = this.#beginCommand(id);
    try {
      return await work();
    } finally {
      end();
    }
  }

  #wanted(addon: AddOn): string | null {
    return this.#steps.specOf(addon)?.container.labels[ADDON_SPEC_LABEL] ?? null;
  }

  /** Those with a container that somebody knows how to make. */
  #attachedTo(appId: AppId): AddOn[] {
    const { store, providers } = this.#options;
    const ids = new Set(store.attachments.of(appId).map(({ addonId }) => addonId));
    return [...ids].flatMap((id) => {
      const addon = store.addons.get(id);
      return addon !== undefined && providers.of(addon)?.provider.kind === 'container' ? [addon] : [];
    });
  }

  #running(id: AddOnId): ContainerId {
    const container = this.#steps.serving(id);
    if (container === null) throw unavailable();
    return container;
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  #kickAtDeadline(id: AddOnId, input: AddOnPlanInput): void {
    const awakeUntil = this.#awakeUntil.get(id);
    if (awakeUntil !== undefined && awakeUntil <= input.now) this.#awakeUntil.delete(id);
    const deadlines = [nextAddOnDeadline(input), this.#awakeUntil.get(id) ?? null].flatMap((at) =>
      at === null ? [] : [at.getTime()],
    );
    if (deadlines.length > 0) {
      this.#kickAfter(id, Math.max(Math.min(...deadlines) - this.#options.clock.now().getTime(), 0));
    }
  }

  #kickAfter(id: AddOnId, delayMs: number): void {
    if (this.#isStopped()) return;
    this.#timers.get(id)?.();
    // setTimeout takes at most 2^31-1 ms; a longer wait is simply planned again.
    const cancel = this.#options.clock.after(Math.min(delayMs, 2 ** 31 - 1), () => {
      this.#timers.delete(id);
      this.kick(id);
    });
    this.#timers.set(id, cancel);
  }
}

function toObserved(container: ContainerInfo): ObservedBackend {
  return {
    id: container.id,
    state: container.state,
    spec: container.labels[ADDON_SPEC_LABEL] ?? '',
    exitCode: container.exitCode ?? null,
    createdAt: container.createdAt,
    startedAt: container.startedAt ?? null,
    finishedAt: container.finishedAt ?? null,
  };
}

function unavailable(cause?: unknown): PlatformError {
  return new PlatformError('service_unavailable', 'The add-on is not running just now.', 'add_on', { cause });
}

/** The engine's words for "it ended meanwhile" become the platform's. */
async function available<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EngineError && error.kind !== 'other') throw unavailable(error);
    throw error;
  }
}
