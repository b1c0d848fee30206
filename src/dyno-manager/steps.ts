import type { Dyno } from '../domain/dyno';
import { choosePort, dynoName } from '../domain/dyno';
import type { AppId, DynoId } from '../domain/ids';
import type { OneOffEnd } from '../domain/one-off';
import type { Slug } from '../domain/slug';
import { EngineError, ignoring, type ContainerEngine, type ContainerId } from '../engine/engine';
import { sleep, type Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Logplex } from '../logplex/logplex';
import type { Store } from '../store/store';
import type { AddOnGate } from './addon-gate';
import { judgeCrash, refusalDelayMs, type CrashVerdict } from './back-off';
import { untilListening } from './boot-watch';
import type { DesiredDyno } from './desired';
import { DynoContainers } from './dyno-containers';
import { DynoRows } from './dyno-rows';
import { shownCommand } from './dyno-spec';
import { explainUnreachable, parseListeningSockets } from './listening-sockets';
import type { ObservedContainer } from './observe';
import { OneOffs } from './one-off';
import type { RetireReason, Step } from './plan';
import type { Sandbox, SandboxPool } from './sandboxes';
import { Sleep } from './sleep';

export interface StepsOptions {
  store: Store;
  engine: ContainerEngine;
  logplex: Logplex;
  clock: Clock;
  logger: Logger;
  installationId: string;
  network: string;
  sandboxes: SandboxPool;
  addons: AddOnGate;
  caBundlePath?: string;
  /** Makes the image of a slug again, where the engine has it no more; answers its reference. */
  restoreImage: (slug: Slug) => Promise<string>;
  /** How long a container behind a published port must hold a connection to count as listening; 0 = direct. */
  settleMs: number;
  newId: () => string;
  random: () => number;
  /** A dyno's state or endpoint is another one now. */
  changed: (appId: AppId) => void;
  /** A one-off dyno has ended: called in the transaction that removes its row. */
  oneOffEnded: (dyno: Dyno, end: OneOffEnd) => void;
  /** A detached one-off dyno has printed a line. Its output is read no faster than this resolves. */
  oneOffPrinted: (dyno: Dyno, line: string) => Promise<void>;
  /** Something that a plan depends on has happened. */
  kick: (appId: AppId) => void;
}

/** SIGTERM to SIGKILL (Dev Center "Dyno shutdown behavior"). */
export const SHUTDOWN_MS = 30_000;
/** How long an ended container's last lines are waited for. */
const LAST_LINES_MS = 2000;
/** Before the engine is asked again for what it has refused. */
const RETRY_MS = 1000;
const SIGTERM_EXIT = 143;
const SIGKILL_EXIT = 137;

interface Attention {
  containerId: ContainerId;
  /** Ends once all output has been read. */
  output: Promise<void>;
  boot: AbortController;
  /** Is it being waited for that it listens? */
  booting: boolean;
  follow: AbortController;
}

/**
 * Carries out the steps of a plan, one dyno at a time; each is safe to repeat. Long waits (a container's output,
 * its boot, its shutdown) run beside the plan and kick it when they end.
 */
export class Steps {
  readonly #options: StepsOptions;
  readonly #rows: DynoRows;
  readonly #containers: DynoContainers;
  readonly oneOffs: OneOffs;
  readonly sleep: Sleep;
  readonly #attended = new Map<DynoId, Attention>();
  /** Their end or their removal is under way. */
  readonly #stopping = new Map<DynoId, Promise<void>>();
  /** Position of the newest line read of each dyno, so that following again repeats none. */
  readonly #readUntil = new Map<DynoId, string>();
  /** Launches in a row that the engine has refused, by app and name. */
  readonly #refusals = new Map<string, number>();
  /** Started without add-ons that did not serve: what becomes of these is the app's affair. */
  readonly #startedWithout = new Set<DynoId>();
  readonly #stopped = new AbortController();

  constructor(options: StepsOptions) {
    this.#options = options;
    const stopping = this.#stopped.signal;
    this.#rows = new DynoRows({
      ...options,
      releaseSandbox: (sandbox) => options.sandboxes.release(sandbox),
    });
    this.#containers = new DynoContainers({ ...options, stopping });
    this.oneOffs = new OneOffs({ ...options, rows: this.#rows, containers: this.#containers, stopping });
    this.sleep = new Sleep({
      ...options,
      rows: this.#rows,
      insert: (dyno, crashCount) => this.#insert({ ...this.#newDyno(dyno, crashCount), state: 'idle' }),
      containerOf: (dynoId) => this.#attended.get(dynoId)?.containerId,
      attend: (dyno, containerId, endpoint) => this.#attend(dyno, containerId, endpoint),
      becomeUp: (dyno) => this.#becomeUp(dyno),
    });
  }

  get attended(): ReadonlySet<DynoId> {
    return new Set(this.#attended.keys());
  }

  get stopping(): ReadonlySet<DynoId> {
    return new Set([...this.#stopping.keys(), ...this.oneOffs.hangingUp]);
  }

  /** Dynos that are up, with their containers. */
  running(): { dyno: Dyno; containerId: ContainerId }[] {
    return [...this.#attended].flatMap(([dynoId, { containerId }]) => {
      const dyno = this.#options.store.dynos.get(dynoId);
      return dyno?.state === 'up' ? [{ dyno, containerId }] : [];
    });
  }

  async run(step: Step): Promise<void> {
    switch (step.kind) {
      case 'insert':
        this.#insert(this.#newDyno(step.desired, 0));
        return;
      case 'launch':
        return this.#options.sandboxes.duringLaunch(() => this.#launch(step.dyno));
      case 'attend':
        this.#attend(step.dyno, step.container.id, this.#endpointOf(step.dyno, step.container));
        return;
      case 'boot-timeout':
        return this.#bootTimeout(step.dyno, step.containerId);
      case 'crash':
        return this.#crash(step.dyno, step.container);
      case 'retry':
        this.#replace(step.dyno, step.desired);
        return;
      case 'recover':
        return this.#recover(step.dyno, step.desired, step.container);
      case 'supersede':
        this.#rows.supersede(step.dyno);
        this.#options.changed(step.dyno.appId);
        return;
      case 'unidle':
        this.sleep.unidle(step.dyno);
        return;
      case 'freeze':
        return this.sleep.freeze(step.dyno, step.containerId);
      case 'thaw':
        this.#sayWhatIsMissing(step.dyno);
        return this.sleep.thaw(step.dyno, step.container.id, this.#endpointOf(step.dyno, step.container));
      case 'deepen':
        this.sleep.deepen(step.dyno, step.desired);
        return;
      case 'retire':
        this.retire(step.dyno, step.reason);
        return;
      case 'terminate':
        this.#terminate(step.dyno, step.containerId, step.paused);
        return;
      case 'discard':
        this.#discard(step.dyno, step.container);
        return;
      case 'remove-orphan':
        this.#options.logger.warn('removing a container that belongs to no dyno', {
          container: step.containerId,
        });
        return this.#options.engine.remove(step.containerId);
      case 'prepare':
        this.#sayWhatIsMissing(step.dyno);
        return this.oneOffs.prepare(step.dyno);
      case 'connect':
        return this.oneOffs.connect(step.dyno, step.containerId);
      case 'attach-timeout':
        return this.oneOffs.endUnattended(step.dyno, step.container);
      case 'hang-up':
        this.oneOffs.hangUp(step.dyno, step.containerId);
        return;
      case 'conclude':
        return this.#conclude(step.dyno, step.container);
    }
  }

  /** The dyno is wanted no more, or not like this. Also what `ps:restart` and `ps:stop` do. */
  retire(dyno: Dyno, reason: RetireReason): void {
    const replaced = reason === 'restart' || reason === 'cycle';
    if (replaced && dyno.state !== 'crashed') {
      this.#rows.say(dyno, reason === 'cycle' ? 'Cycling' : 'Restarting');
    }
    if (reason === 'cut-off') this.#rows.say(dyno, 'Error R99 (Platform error) -> The dyno lost its network');
    this.#rows.move(dyno, 'down', shownRetirement(dyno, reason));
    this.#attended.get(dyno.id)?.boot.abort();
    this.oneOffs.callOffHangUp(dyno.id);
    this.#options.changed(dyno.appId);
  }

  /** Stops watching; containers go on. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const attention of this.#attended.values()) {
      attention.boot.abort();
      attention.follow.abort();
    }
    await this.oneOffs.stop();
    await Promise.all([...this.#attended.values()].map((attention) => attention.output));
    await Promise.all(this.#stopping.values());
  }

  // --- rows -------------------------------------------------------------------------------------------------

  #newDyno(desired: DesiredDyno, crashCount: number): Omit<Dyno, 'appId'> {
    const { clock, newId } = this.#options;
    const now = clock.now();
    return {
      id: newId() as DynoId,
      releaseId: desired.releaseId,
      releaseVersion: desired.releaseVersion,
      type: desired.type,
      number: desired.number,
      size: desired.size,
      command: desired.command,
      state: 'starting',
      superseded: false,
      port: desired.type === 'web' ? this.#freePort() : null,
      sandbox: null,
      endpoint: null,
      crashCount,
      nextStartAt: null,
      createdAt: now,
      updatedAt: now,
      startedAt: null,
      oneOff: null,
    };
  }

  #insert(dyno: Omit<Dyno, 'appId'>): void {
    const { store, changed } = this.#options;
    store.transaction(() => {
      // The release may have gone with its app since the plan was made: then there is nothing to start.
      const release = store.releases.get(dyno.releaseId);
      if (release === undefined) return;
      const row: Dyno = { ...dyno, appId: release.appId };
      store.dynos.save(row);
      this.#rows.record(row, 'dyno.create', {});
      store.afterCommit(() => changed(row.appId));
    });
  }

  #replace(dyno: Dyno, desired: DesiredDyno): void {
    const { store } = this.#options;
    store.transaction(() => {
      this.#rows.move(dyno, 'down', 'starting');
      this.#rows.delete(dyno);
      this.#insert(this.#newDyno(desired, dyno.crashCount));
    });
  }

  #freePort(): number {
    const taken = this.#options.store.dynos.ports();
    for (;;) {
      const port = choosePort(this.#options.random);
      if (!taken.has(port)) return port;
    }
  }

  // --- containers -------------------------------------------------------------------------------------------

  async #launch(planned: Dyno): Promise<void> {
    const { store, sandboxes, logger } = this.#options;
    // Told to stop, or gone with its app, while it waited for its turn.
    if (store.dynos.get(planned.id)?.state !== 'starting') return;
    const { dyno, sandbox } = this.#place(planned);
    this.#sayWhatIsMissing(dyno);
    this.#rows.say(dyno, `Starting process with command \`${shownCommand(dyno)}\``);
    let refusal = await this.#tryToLaunch(dyno, sandbox);
    if (refusal !== undefined && sandbox !== undefined) {
      logger.warn('launching a dyno without its sandbox', { dyno: dynoName(dyno), error: refusal });
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return;
      const bare: Dyno = { ...current, sandbox: null };
      store.dynos.save(bare);
      sandboxes.release(sandbox.containerId);
      refusal = await this.#tryToLaunch(bare, undefined);
    }
    if (refusal !== undefined) this.#failToLaunch(dyno, refusal);
  }

  /** Answers why the engine refused it, with nothing left of it then. Throws when the engine is away. */
  async #tryToLaunch(dyno: Dyno, sandbox: Sandbox | undefined): Promise<EngineError | undefined> {
    const { store, engine, clock, changed } = this.#options;
    let containerId: ContainerId | undefined;
    try {
      containerId = await this.#containers.create(dyno, sandbox);
      if (containerId === undefined) return undefined;
      await engine.start(containerId);
      this.#refusals.delete(slotOf(dyno));
      const endpoint = sandbox?.endpoint ?? (await engine.inspect(containerId)).endpoint ?? null;
      const current = store.dynos.get(dyno.id);
      if (current === undefined) return undefined;
      store.dynos.save({ ...current, startedAt: clock.now(), endpoint });
      changed(dyno.appId);
      this.#attend(current, containerId, endpoint);
      return undefined;
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind === 'unreachable') throw error;
      if (containerId !== undefined) await engine.remove(containerId);
      return error;
    }
  }

  /** It was waited for long enough. */
  #sayWhatIsMissing(dyno: Dyno): void {
    const missing = this.#options.addons.missing(dyno.appId);
    if (missing.length === 0) return;
    this.#startedWithout.add(dyno.id);
    const verb = missing.length === 1 ? 'does' : 'do';
    this.#rows.say(dyno, `Starting although ${missing.join(', ')} ${verb} not answer`);
  }

  /** Gives it a ready sandbox if there is one, on record before its container is made. */
  #place(dyno: Dyno): { dyno: Dyno; sandbox?: Sandbox } {
    const { store, sandboxes } = this.#options;
    const earlier = dyno.sandbox === null ? undefined : sandboxes.find(dyno.sandbox);
    const sandbox = earlier ?? sandboxes.take();
    const current = store.dynos.get(dyno.id) ?? dyno;
    const placed: Dyno = {
      ...current,
      sandbox: sandbox?.containerId ?? null,
      port: current.port === null ? null : (sandbox?.port ?? current.port),
    };
    store.dynos.save(placed);
    return sandbox === undefined ? { dyno: placed } : { dyno: placed, sandbox };
  }

  /** The engine refused the container, which is no crash of the app's: it is tried again, less and less often. */
  #failToLaunch(dyno: Dyno, error: EngineError): void {
    const { logger, changed } = this.#options;
    const refusals = (this.#refusals.get(slotOf(dyno)) ?? 0) + 1;
    this.#refusals.set(slotOf(dyno), refusals);
    logger.error('dyno could not be launched', { dyno: dynoName(dyno), app: dyno.appId, error });
    this.#rows.say(dyno, `Error R99 (Platform error) -> Failed to launch the dyno: ${error.message}`);
    if (dyno.oneOff === null)
      this.#moveToCrashed(dyno, { crashCount: dyno.crashCount, delayMs: refusalDelayMs(refusals) });
    else this.#rows.conclude(dyno, { how: 'refused', reason: error.message });
    changed(dyno.appId);
  }

  /** Inside a sandbox a container has no address of its own. */
  #endpointOf(dyno: Dyno, container: ObservedContainer): Dyno['endpoint'] {
    const sandbox = dyno.sandbox === null ? undefined : this.#options.sandboxes.find(dyno.sandbox);
    return sandbox?.endpoint ?? container.endpoint ?? dyno.endpoint;
  }

  #attend(dyno: Dyno, containerId: ContainerId, endpoint: Dyno['endpoint']): void {
    const { store, clock, changed, kick } = this.#options;
    const attention = this.#attended.get(dyno.id) ?? this.#beginToAttend(dyno, containerId);
    const current = store.dynos.get(dyno.id);
    if (current === undefined || current.state === 'down') return;
    // Its start was not recorded where the daemon was killed in that moment.
    const startedAt = current.startedAt ?? clock.now();
    if (current.startedAt === null || (endpoint !== null && !sameEndpoint(endpoint, current.endpoint))) {
      store.dynos.save({ ...current, startedAt, endpoint: endpoint ?? current.endpoint });
      changed(dyno.appId);
    }
    if (current.state !== 'starting') return;
    if (dyno.port === null) {
      // Only web dynos have a port to wait for.
      this.#becomeUp(dyno);
      return;
    }
    if (endpoint === null) {
      // A container has no address once it has ended, which may have been at once, or not yet: a later plan sees which.
      kick(dyno.appId);
      return;
    }
    if (attention.booting) return;
    attention.booting = true;
    const { signal } = attention.boot;
    untilListening(endpoint, { clock, signal, settleMs: this.#options.settleMs }).then(
      () => {
        // It may boot once more: when it thaws.
        attention.booting = false;
        this.#becomeUp(dyno);
      },
      // Aborted: the dyno ended or is to end, which a plan sees for itself.
      () => kick(dyno.appId),
    );
  }

  #beginToAttend(dyno: Dyno, containerId: ContainerId): Attention {
    const follow = new AbortController();
    const attention: Attention = {
      containerId,
      boot: new AbortController(),
      booting: false,
      follow,
      output: this.#follow(dyno, containerId, follow.signal),
    };
    this.#attended.set(dyno.id, attention);
    return attention;
  }

  #becomeUp(dyno: Dyno): void {
    const { store, changed, kick } = this.#options;
    if (store.dynos.get(dyno.id)?.state !== 'starting') return;
    this.#rows.move(dyno, 'up');
    changed(dyno.appId);
    kick(dyno.appId);
  }

  async #follow(dyno: Dyno, containerId: ContainerId, signal: AbortSignal): Promise<void> {
    const { engine, logplex, logger, clock, oneOffPrinted } = this.#options;
    const process = dynoName(dyno);
    try {
      const since = this.#readUntil.get(dyno.id);
      const lines = engine.logs(containerId, {
        follow: true,
        signal,
        ...(since === undefined ? {} : { since }),
      });
      for await (const line of lines) {
        this.#readUntil.set(dyno.id, line.position);
        logplex.append(dyno.appId, { at: line.at, source: 'app', process, text: line.text });
        if (dyno.oneOff !== null) await oneOffPrinted(dyno, line.text);
      }
    } catch (error) {
      // The output stays with the container; when the engine is back, the dyno is attended again.
      if (!signal.aborted) {
        logger.warn('lost the output of a dyno', { dyno: process, app: dyno.appId, error });
        const gone = error instanceof EngineError && error.kind === 'not_found';
        if (!gone) await sleep(clock, RETRY_MS, signal).catch(() => undefined); // Aborted: seen below.
      }
    } finally {
      if (!signal.aborted) {
        this.#attended.get(dyno.id)?.boot.abort();
        this.#attended.delete(dyno.id);
        this.#options.kick(dyno.appId);
      }
    }
  }

  async #bootTimeout(dyno: Dyno, containerId: ContainerId): Promise<void> {
    this.#rows.say(
      dyno,
      'Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch',
    );
    await this.#explainUnreachable(dyno, containerId);
    this.#rows.say(dyno, 'Stopping process with SIGKILL');
    await this.#containers.killAndWait(containerId);
  }

  /** Looks where the process listens instead; a line of our own beside Heroku's. */
  async #explainUnreachable(dyno: Dyno, containerId: ContainerId): Promise<void> {
    const { engine, logger } = this.#options;
    if (dyno.port === null) return;
    try {
      const { stdout } = await engine.exec(containerId, ['/bin/cat', '/proc/net/tcp', '/proc/net/tcp6'], {
        timeoutMs: 5000,
      });
      const explanation = explainUnreachable(parseListeningSockets(stdout), dyno.port);
      if (explanation !== undefined) this.#rows.say(dyno, explanation);
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'unreachable') throw error;
      logger.debug('could not look into a dyno', { dyno: dynoName(dyno), error });
    }
  }

  async #crash(dyno: Dyno, container: ObservedContainer): Promise<void> {
    await this.#settleOutput(dyno.id);
    if (container.oomKilled && container.exitCode === SIGKILL_EXIT) {
      this.#rows.say(dyno, 'Error R15 (Memory quota vastly exceeded)');
      this.#rows.say(dyno, 'Stopping process with SIGKILL');
    }
    this.#rows.say(dyno, `Process exited with status ${container.exitCode ?? 0}`);
    const ranMs =
      dyno.startedAt === null ? 0 : this.#options.clock.now().getTime() - dyno.startedAt.getTime();
    this.#moveToCrashed(
      dyno,
      this.#isExcused(dyno)
        ? { crashCount: dyno.crashCount, delayMs: 0 }
        : judgeCrash(dyno.crashCount, ranMs),
    );
    this.#startedWithout.delete(dyno.id);
    this.#options.changed(dyno.appId);
    await this.#options.engine.remove(container.id);
  }

  /**
   * It ended while an add-on of its app was away, which it may have missed: no reason for a cool-off. Its successor waits
   * for the add-on, or is started without it a minute later and excused no more.
   */
  #isExcused({ id, appId }: Dyno): boolean {
    return !this.#startedWithout.has(id) && this.#options.addons.missing(appId).length > 0;
  }

  #moveToCrashed(dyno: Dyno, verdict: CrashVerdict): void {
    const { store, sandboxes, clock } = this.#options;
    const sandbox = store.dynos.get(dyno.id)?.sandbox ?? null;
    this.#rows.move(dyno, 'crashed', 'crashed', {
      crashCount: verdict.crashCount,
      nextStartAt: new Date(clock.now().getTime() + verdict.delayMs),
      endpoint: null,
      sandbox: null,
    });
    if (sandbox !== null) sandboxes.release(sandbox);
  }

  async #recover(dyno: Dyno, desired: DesiredDyno, container: ObservedContainer | null): Promise<void> {
    this.#options.logger.warn('replacing a dyno whose container or network ended unobserved', {
      dyno: dynoName(dyno),
      app: dyno.appId,
    });
    // Without its network it runs on to no purpose.
    if (container?.state === 'running') await this.#containers.killAndWait(container.id);
    await this.#settleOutput(dyno.id);
    if (container !== null) {
      await this.#options.engine.remove(container.id);
      this.#rows.say(dyno, `Process exited with status ${container.exitCode ?? SIGKILL_EXIT}`);
    }
    this.#replace(dyno, desired);
  }

  #terminate(dyno: Dyno, containerId: ContainerId, paused: boolean): void {
    if (this.#stopping.has(dyno.id)) return;
    if (dyno.oneOff?.attached !== true) this.#attend(dyno, containerId, null);
    this.#besidePlan(dyno, async () => {
      // A frozen process would not hear the signal.
      if (paused) await this.#options.engine.unpause(containerId).catch(ignoring('not_running', 'not_found'));
      await this.#shutDown(dyno, containerId);
    });
  }

  /** An engine that takes its time to end or remove one dyno shall not keep others from starting. */
  #besidePlan(dyno: Dyno, work: () => Promise<void>): void {
    const done = work()
      .catch(async (error: unknown) => {
        const { signal } = this.#stopped;
        if (signal.aborted) return;
        this.#options.logger.warn('could not end a dyno, trying again', { dyno: dynoName(dyno), error });
        await sleep(this.#options.clock, RETRY_MS, signal).catch(() => undefined); // Aborted: done with.
      })
      .finally(() => {
        this.#stopping.delete(dyno.id);
        this.#options.kick(dyno.appId);
      });
    this.#stopping.set(dyno.id, done);
  }

  async #shutDown(dyno: Dyno, containerId: ContainerId): Promise<void> {
    this.#rows.say(dyno, 'Stopping all processes with SIGTERM');
    await this.#containers.signalAll(containerId, 'TERM');
    if (await this.#containers.hasEnded(containerId, SHUTDOWN_MS)) return;
    this.#rows.say(
      dyno,
      'Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM',
    );
    this.#rows.say(dyno, 'Stopping remaining processes with SIGKILL');
    await this.#containers.killAndWait(containerId);
  }

  #discard(dyno: Dyno, container: ObservedContainer | null): void {
    if (this.#stopping.has(dyno.id)) return;
    if (container === null && !this.#attended.has(dyno.id)) this.#forget(dyno);
    else this.#besidePlan(dyno, () => this.#remove(dyno, container));
  }

  async #remove(dyno: Dyno, container: ObservedContainer | null): Promise<void> {
    await this.#settleOutput(dyno.id);
    if (container !== null) await this.#options.engine.remove(container.id);
    if (container !== null && container.state !== 'created') {
      this.#rows.say(dyno, `Process exited with status ${container.exitCode ?? SIGTERM_EXIT}`);
    }
    this.#forget(dyno);
  }

  #forget(dyno: Dyno): void {
    this.#readUntil.delete(dyno.id);
    this.#startedWithout.delete(dyno.id);
    this.oneOffs.dismiss(dyno.id);
    if (dyno.oneOff === null) this.#rows.delete(dyno);
    else this.#rows.conclude(dyno, { how: 'stopped' });
    this.#options.changed(dyno.appId);
  }

  /** A one-off dyno has ended by itself. */
  async #conclude(dyno: Dyno, container: ObservedContainer | null): Promise<void> {
    if (container !== null) {
      // Also reads what it printed while no daemon was there.
      if (dyno.oneOff?.attached === false) this.#attend(dyno, container.id, null);
      await this.#settleOutput(dyno.id);
      this.#rows.say(dyno, `Process exited with status ${container.exitCode ?? 0}`);
      await this.#options.engine.remove(container.id);
    }
    this.oneOffs.dismiss(dyno.id);
    const status = container?.exitCode ?? null;
    this.#rows.conclude(dyno, status === null ? { how: 'vanished' } : { how: 'exited', status });
  }

  /** Lets an ended container's last lines come before what is said about its end. */
  async #settleOutput(dynoId: DynoId): Promise<void> {
    const attention = this.#attended.get(dynoId);
    if (attention === undefined) {
      this.#readUntil.delete(dynoId);
      return;
    }
    let cancel = (): void => undefined;
    const timeout = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(LAST_LINES_MS, resolve);
    });
    await Promise.race([attention.output, timeout]);
    cancel();
    attention.boot.abort();
    attention.follow.abort();
    this.#attended.delete(dynoId);
    this.#readUntil.delete(dynoId);
  }
}

function slotOf(dyno: Dyno): string {
  return `${dyno.appId} ${dynoName(dyno)}`;
}

function sameEndpoint(a: Dyno['endpoint'], b: Dyno['endpoint']): boolean {
  return a?.host === b?.host && a?.port === b?.port;
}

/** The state that the log names: of a one-off, which nothing follows, it is named only at its end. */
function shownRetirement(dyno: Dyno, reason: RetireReason): string {
  if (dyno.oneOff !== null) return dyno.state;
  switch (reason) {
    case 'restart':
    case 'cycle':
      return 'starting';
    case 'scale-down':
    case 'superseded':
      return 'down';
    case 'stop':
    case 'cut-off':
      return dyno.state;
  }
}
