import type { BackendCommand } from '../addons/provider';
import type { AddOn } from '../domain/addon';
import { notFound, PlatformError } from '../domain/errors';
import type { AddOnId } from '../domain/ids';
import {
  EngineError,
  type AttachedCommand,
  type ContainerId,
  type ContainerInfo,
  type ExecResult,
} from '../engine/engine';
import { ADDON_LABEL, ADDON_SPEC_LABEL, ownedLabels } from '../engine/labels';
import { sleep } from '../lib/clock';
import { SingleFlight } from '../lib/single-flight';
import type { AddOnManager, Delay } from './addon-manager';
import { nextAddOnDeadline, planAddOn, type AddOnPlanInput, type ObservedBackend } from './addon-plan';
import { AddOnSteps, execOptions, type AddOnStepsOptions } from './addon-steps';

export interface AddOnBackendsOptions extends AddOnStepsOptions {
  /** Add-ons that are worked on at once. */
  concurrency: number;
}

const MAX_ROUNDS = 30;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;
const LONGEST_WATCH_RETRY_MS = 5_000;

/**
 * Keeps the containers of add-ons in line with the store, as `Reconciler` does for dynos: kicks carry no facts, each
 * pass reads the whole state of one add-on, plans, acts, and looks again until there is nothing left to do.
 */
export class AddOnBackends implements AddOnManager {
  readonly #options: AddOnBackendsOptions;
  readonly #steps: AddOnSteps;
  readonly #flights: SingleFlight<AddOnId>;
  readonly #timers = new Map<AddOnId, () => void>();
  readonly #retryMs = new Map<AddOnId, number>();
  readonly #stopped = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  constructor(options: AddOnBackendsOptions) {
    this.#options = options;
    this.#steps = new AddOnSteps(options);
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

  async exec(
    id: AddOnId,
    command: BackendCommand,
    options: { timeoutMs?: number } = {},
  ): Promise<ExecResult> {
    const { engine } = this.#options;
    const container = this.#running(id);
    return available(async () => {
      await this.#steps.putFiles(container, command.files ?? []);
      return engine.exec(container, command.argv, { ...execOptions(command), ...options });
    });
  }

  async execAttached(id: AddOnId, command: BackendCommand): Promise<AttachedCommand> {
    const { engine } = this.#options;
    const container = this.#running(id);
    return available(async () => {
      await this.#steps.putFiles(container, command.files ?? []);
      return engine.execAttached(container, command.argv, { ...execOptions(command), terminal: null });
    });
  }

  async setUp(id: AddOnId): Promise<void> {
    const addon = this.#options.store.addons.get(id);
    if (addon === undefined) throw notFound('add_on');
    const container = this.#running(id);
    await available(() => this.#steps.setUp(addon, container));
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
      else this.#kickAtDeadline(id, input);
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
      now: clock.now(),
    };
  }

  #wanted(addon: AddOn): string | null {
    return this.#steps.specOf(addon)?.container.labels[ADDON_SPEC_LABEL] ?? null;
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
    const deadline = nextAddOnDeadline(input);
    if (deadline !== null) {
      this.#kickAfter(id, Math.max(deadline.getTime() - this.#options.clock.now().getTime(), 0));
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
