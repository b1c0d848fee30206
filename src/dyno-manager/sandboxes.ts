import { randomUUID } from 'node:crypto';
import { choosePort } from '../domain/dyno';
import { EngineError, type ContainerEngine, type ContainerId, type EngineEvent } from '../engine/engine';
import { isOwned, ownedLabels, ROLE_LABEL, SANDBOX_PORT_LABEL } from '../engine/labels';
import { sleep, type Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';

/** A network namespace with an address and a port of its own, held open by a container that does nothing. */
export interface Sandbox {
  containerId: ContainerId;
  endpoint: { host: string; port: number };
  /** What the dyno in it gets as $PORT. */
  port: number;
}

export interface SandboxPoolOptions {
  engine: ContainerEngine;
  installationId: string;
  network: string;
  /** Any image with /bin/sleep. */
  image: string;
  /** How many are kept ready; 0 = none, dynos then attach to the network themselves. */
  size: number;
  clock: Clock;
  logger: Logger;
  random: () => number;
  /** A sandbox ended, and with it the network of whatever is in it. */
  onLost: (containerId: ContainerId) => void;
}

const HOLDER_MEMORY_BYTES = 16 * 1024 * 1024;
const HOLDER_PIDS = 8;
/** Refilling waits for this long a lull in launches: it must not compete with the starts that emptied the pool. */
const REFILL_LULL_MS = 300;
const REFILL_RETRY_MS = 10_000;
const REMOVAL_RETRY_MS = 5_000;

/**
 * Ready-made network sandboxes. Attaching a container to a bridge is more than half of its start (addresses, veth
 * pair, firewall rules); a container that joins the namespace of a running one skips all of it. So a few holders are
 * kept waiting: a dyno's start takes one, for the dyno's life, and the pool refills behind it.
 *
 * A sandbox is *free* (in the pool), *taken* (a dyno's row names it) or *lost* (its container ended: the dyno in it
 * has no network any more and is replaced). Holders are found again after a restart of the daemon; those that neither
 * a row nor the pool wants are removed.
 *
 * Making new ones and taking stock take turns: neither sees what the other has done by half.
 */
export class SandboxPool {
  readonly #options: SandboxPoolOptions;
  readonly #known = new Map<ContainerId, Sandbox>();
  readonly #free: Sandbox[] = [];
  #turn: Promise<void> = Promise.resolve();
  #refilling = false;
  #cancelTimer: () => void = () => undefined;
  #takenNow: () => ReadonlySet<string> = () => new Set();
  /** There may be a sandbox that nobody here knows of. */
  #uncertain = false;
  /** On their way out, whatever the engine's list still says of them. */
  readonly #removals = new Map<ContainerId, Promise<void>>();
  #stocked = false;
  #launches = 0;
  readonly #stopped = new AbortController();

  constructor(options: SandboxPoolOptions) {
    this.#options = options;
  }

  /**
   * Takes stock. Called whenever the engine's events may have been interrupted. `takenNow` answers those that rows
   * name; it is asked last, since dynos may start meanwhile. Throws EngineError.
   */
  async resync(takenNow: () => ReadonlySet<string>): Promise<void> {
    this.#takenNow = takenNow;
    await this.#inTurn(() => this.#takeStock());
    this.#refillSoon(0);
  }

  async #takeStock(): Promise<void> {
    const { engine, installationId, size } = this.#options;
    const containers = await engine.list(ownedLabels(installationId, 'sandbox'));
    const taken = this.#takenNow();
    // Those that an earlier process left waiting are as good as new ones; later, only what is in the pool is.
    const unused = this.#stocked ? new Set(this.#free.map(({ containerId }) => containerId)) : undefined;
    this.#known.clear();
    this.#free.length = 0;
    for (const { id, state, endpoint, labels } of containers) {
      if (this.#removals.has(id)) continue;
      const port = Number(labels[SANDBOX_PORT_LABEL]);
      if (state === 'running' && endpoint !== undefined && Number.isInteger(port)) {
        const sandbox: Sandbox = { containerId: id, endpoint, port };
        if (taken.has(id)) {
          this.#known.set(id, sandbox);
          continue;
        }
        if (this.#free.length < size && (unused === undefined || unused.has(id))) {
          this.#known.set(id, sandbox);
          this.#free.push(sandbox);
          continue;
        }
      }
      this.#remove(id);
    }
    this.#stocked = true;
    this.#uncertain = false;
  }

  /** Lets go of those whose dynos' rows are gone, e.g. with their app. */
  sweep(taken: ReadonlySet<string>): void {
    const free = new Set(this.#free.map(({ containerId }) => containerId));
    for (const id of this.#known.keys()) if (!free.has(id) && !taken.has(id)) this.release(id);
  }

  /** Has stock been taken? Before, a sandbox that is not found may well be there. */
  get stocked(): boolean {
    return this.#stocked;
  }

  /** A ready sandbox, now the caller's until `release`; undefined if there is none. */
  take(): Sandbox | undefined {
    return this.#free.shift();
  }

  /** Around each launch: the pool is refilled in between. */
  async duringLaunch(launch: () => Promise<void>): Promise<void> {
    this.#launches += 1;
    try {
      await launch();
    } finally {
      this.#launches -= 1;
      this.#refillSoon(REFILL_LULL_MS);
    }
  }

  /** One that was taken earlier, if it still runs. */
  find(containerId: string): Sandbox | undefined {
    return this.#known.get(containerId as ContainerId);
  }

  /** The dyno in it is gone. A sandbox is never used twice: the next dyno must not inherit its connections. */
  release(containerId: string): void {
    this.#known.delete(containerId as ContainerId);
    this.#remove(containerId as ContainerId);
  }

  onEvent(event: EngineEvent): void {
    const { installationId, onLost } = this.#options;
    if (event.kind !== 'die' && event.kind !== 'destroy') return;
    if (!isOwned(event.labels, installationId) || event.labels[ROLE_LABEL] !== 'sandbox') return;
    if (!this.#known.delete(event.containerId)) return;
    const index = this.#free.findIndex((sandbox) => sandbox.containerId === event.containerId);
    if (index === -1) onLost(event.containerId);
    else {
      this.#free.splice(index, 1);
      // One that was killed is still there, as an ended container.
      this.#remove(event.containerId);
    }
    this.#refillSoon(REFILL_LULL_MS);
  }

  /** Leaves the sandboxes as they are for the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#cancelTimer();
    await this.#turn;
    await Promise.all(this.#removals.values());
  }

  #refillSoon(delayMs: number): void {
    if (this.#isStopped() || this.#launches > 0 || this.#free.length >= this.#options.size) return;
    this.#cancelTimer();
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      if (this.#refilling) return;
      this.#refilling = true;
      void this.#inTurn(() => this.#refill()).finally(() => (this.#refilling = false));
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined); // For whoever asked for it.
    return done;
  }

  async #refill(): Promise<void> {
    const { size, logger } = this.#options;
    try {
      if (this.#uncertain) await this.#takeStock();
      // Cut short by a launch, at whose end it is gone on with.
      while (!this.#isStopped() && this.#launches === 0 && this.#free.length < size) {
        this.#free.push(await this.#create());
      }
    } catch (error) {
      // Dynos start without a sandbox meanwhile, only slower. The engine may have made one all the same, and its answer
      // have been lost: what is there is counted before more are made.
      this.#uncertain = true;
      logger.warn('could not make a network sandbox', { error });
      if (!this.#isStopped())
        this.#cancelTimer = this.#options.clock.after(REFILL_RETRY_MS, () => this.#refillSoon(0));
    }
  }

  async #create(): Promise<Sandbox> {
    const { engine, installationId, network, image, random } = this.#options;
    const port = choosePort(random);
    const name = randomUUID();
    const containerId = await engine.create({
      name: `dynodock-${installationId.slice(0, 8)}-sandbox-${name.slice(0, 8)}`,
      image,
      command: ['/bin/sleep', 'infinity'],
      env: {},
      labels: ownedLabels(installationId, 'sandbox', { [SANDBOX_PORT_LABEL]: String(port) }),
      // Also the host name of the dyno in it.
      hostname: name,
      network,
      limits: { memoryBytes: HOLDER_MEMORY_BYTES, pids: HOLDER_PIDS },
      discardLog: true,
      exposePort: port,
    });
    try {
      await engine.start(containerId);
      const { endpoint } = await engine.inspect(containerId);
      if (endpoint === undefined) throw new EngineError('other', 'the sandbox has no address');
      const sandbox = { containerId, endpoint, port };
      this.#known.set(containerId, sandbox);
      return sandbox;
    } catch (error) {
      this.#remove(containerId);
      throw error;
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted;
  }

  #remove(containerId: ContainerId): void {
    if (this.#removals.has(containerId)) return;
    const removal = this.#removeForSure(containerId).finally(() => this.#removals.delete(containerId));
    this.#removals.set(containerId, removal);
  }

  async #removeForSure(containerId: ContainerId): Promise<void> {
    const { engine, logger, clock } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await engine.remove(containerId);
        return;
      } catch (error) {
        logger.warn('could not remove a network sandbox', { error });
      }
      await sleep(clock, REMOVAL_RETRY_MS, signal).catch(() => undefined); // Aborted: the next start sees to it.
    }
  }
}
