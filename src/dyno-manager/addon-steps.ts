import { pack } from 'tar-stream';
import { buffer } from 'node:stream/consumers';
import type { BackendCommand, BackendFile, BackendImage, BackendSpec } from '../addons/provider';
import type { ProviderRegistry } from '../addons/registry';
import type { AddOn, AddOnBackend } from '../domain/addon';
import type { AddOnId } from '../domain/ids';
import type { KeyPair } from '../domain/sni-endpoint';
import {
  EngineError,
  ignoring,
  type ContainerEngine,
  type ContainerId,
  type ContainerSpec,
} from '../engine/engine';
import { ADDON_LABEL, ADDON_NAME_LABEL, APP_LABEL, ownedLabels } from '../engine/labels';
import { sleep, type Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Store } from '../store/store';
import {
  backOffMs,
  judgeEnd,
  MAX_FAILURES_AT_FIRST,
  type AddOnStep,
  type ObservedBackend,
  type Rest,
} from './addon-plan';
import type { Delay } from './addon-manager';
import { imageProblem } from './addon-image-problem';
import { backendContainer, hostPorts, volumeName } from './addon-spec';
import { countClients } from './listening-sockets';

export interface AddOnStepsOptions {
  store: Store;
  engine: ContainerEngine;
  providers: ProviderRegistry;
  images: AddOnImages;
  clock: Clock;
  logger: Logger;
  installationId: string;
  network: string;
  /** The address of the host under which ports are published. */
  publishOn: string;
  /** May backends be in the network of this process's own host? */
  hostNetwork: boolean;
  /** Does nobody listen there? The engine does not know of what is in the host's network. */
  isPortFree: (address: string, port: number) => Promise<boolean>;
  /** The first port of the host that add-ons may have, and how many. */
  ports: { first: number; count: number };
  random: () => number;
  /** For the names under which the host is reached. */
  issueCertificate: () => Promise<KeyPair>;
  /**
   * It serves, and is not provisioned yet. Called once for each add-on, or again if the daemon or the server ended
   * meanwhile.
   */
  onReady: (id: AddOnId) => void;
  onFailed: (id: AddOnId, reason: string) => void;
  /** A line for users on what takes so long. */
  onProgress: (id: AddOnId, line: string) => void;
  /** It serves, after it did not. */
  onServing: (id: AddOnId) => void;
}

/** What only the one who plans knows. */
export interface AddOnRests {
  /** As it is now: null if it is to be awake. */
  restOf: (addon: AddOn) => Rest | null;
  /** Do dynos of its apps sleep frozen? These keep their connections. */
  hasFrozenClients: (id: AddOnId) => boolean;
  /** Not just now: it is looked at again after `forMs`. */
  putOff: (id: AddOnId, forMs: number) => void;
}

/** Where the images of backends come from. */
export interface AddOnImages {
  reference(image: BackendImage): string;
  isThere(image: BackendImage): Promise<boolean>;
  /** Makes or fetches it unless the engine has it; `onLine` is told what happens. */
  ensure(image: BackendImage, signal: AbortSignal, onLine: (line: string) => void): Promise<void>;
}

const PROBE_EVERY_MS = 100;
/** One probe step waits so long; the next pass goes on. */
const PROBE_STEP_MS = 5_000;
const PROBE_TIMEOUT_MS = 10_000;
const SETUP_TIMEOUT_MS = 120_000;
/** Of one that never served. */
const FIRST_SERVE_MS = 60_000;

/** Does what the plan says for one add-on. Each step is safe to repeat. */
export class AddOnSteps {
  readonly #options: AddOnStepsOptions;
  /** Containers that were seen to serve since they were started. */
  readonly #serving = new Map<AddOnId, ContainerId>();
  /** Those of which `onReady` has been told. */
  readonly #told = new Map<AddOnId, ContainerId>();
  /** Those that were serving when they were paused, with the credentials that they had: they need no other proof. */
  readonly #frozen = new Map<AddOnId, { containerId: ContainerId; config: string }>();
  readonly #rests: AddOnRests;

  constructor(options: AddOnStepsOptions, rests: AddOnRests) {
    this.#options = options;
    this.#rests = rests;
  }

  serving(id: AddOnId): ContainerId | null {
    return this.#serving.get(id) ?? null;
  }

  /** Was it told that the container serves? */
  told(id: AddOnId): boolean {
    const container = this.serving(id);
    return container !== null && this.#told.get(id) === container;
  }

  /** It ended, or may have. */
  forget(id: AddOnId): void {
    this.#serving.delete(id);
    this.#told.delete(id);
    this.#frozen.delete(id);
  }

  /** undefined for an add-on without a container, or whose provider is gone. */
  specOf(addon: AddOn): { spec: BackendSpec; image: BackendImage; container: ContainerSpec } | undefined {
    const { providers, images, installationId, network, publishOn, hostNetwork } = this.#options;
    const found = providers.of(addon);
    if (found?.provider.kind !== 'container') return undefined;
    const { provider, plan } = found;
    const image = provider.image(addon.options);
    const published = provider.backend({ addon, plan });
    const inHostNetwork = hostNetwork && provider.listensAsTold === true;
    const listen = { address: publishOn, ports: hostPorts(addon, published) };
    // Before it has a port there is nothing to listen on, and nothing is made of this yet.
    const spec =
      inHostNetwork && listen.ports.length > 0 ? provider.backend({ addon, plan, listen }) : published;
    const container = backendContainer({
      installationId,
      network,
      publishOn,
      addon,
      spec,
      image: images.reference(image),
      inHostNetwork,
    });
    return { spec, image, container };
  }

  /** Why it will take longer than a start does; null: nothing is known that would. */
  async delayOf(addon: AddOn): Promise<Delay | null> {
    const found = this.specOf(addon);
    if (found === undefined) return null;
    try {
      return (await this.#options.images.isThere(found.image)) ? null : 'no-image';
    } catch (error) {
      // Whatever else it is, making the container meets it as well, and says so.
      return isUnreachable(error) ? 'no-engine' : null;
    }
  }

  async run(step: AddOnStep, id: AddOnId, signal: AbortSignal): Promise<void> {
    const { engine, store, onReady, onFailed, logger } = this.#options;
    if (step.kind === 'remove-orphan') {
      logger.warn('removing a container of an unknown add-on', { addon: id });
      await engine.remove(step.containerId);
      return;
    }
    // Read anew: a step before this one may have changed it.
    const addon = store.addons.get(id);
    if (addon === undefined) return;
    switch (step.kind) {
      case 'create':
        return this.#create(addon, signal);
      case 'start':
        return this.#start(addon, step.containerId);
      case 'count':
        this.#count(addon, step.container);
        return;
      case 'resume':
        return this.#resume(addon, step.containerId);
      case 'doze':
        return this.#doze(addon, step.containerId, step.depth);
      case 'note':
        this.forget(id);
        this.#setBackend(addon, { endedAt: step.container.finishedAt });
        return;
      case 'probe':
        return this.#probe(addon, step.containerId, signal);
      case 'ready': {
        const container = this.serving(id);
        if (container !== null) this.#told.set(id, container);
        onReady(id);
        return;
      }
      case 'fail':
        onFailed(id, step.reason);
        return;
      case 'replace':
      case 'remove':
        return this.#remove(addon, step.containerId, step.running);
      case 'purge':
        return this.#purge(addon);
    }
  }

  /** Also for credentials that have changed while it serves. */
  async setUp(addon: AddOn, containerId: ContainerId): Promise<void> {
    const found = this.specOf(addon);
    for (const command of found?.spec.setup ?? []) {
      await this.putFiles(containerId, command.files ?? []);
      const { exitCode, stderr } = await this.#options.engine.exec(containerId, command.argv, {
        ...execOptions(command),
        timeoutMs: SETUP_TIMEOUT_MS,
      });
      if (exitCode !== 0) {
        // What it printed may repeat a secret: only for those who look into the daemon's own debug log.
        this.#options.logger.debug('set-up of an add-on', { addon: addon.name, bytes: stderr.length });
        throw new SetUpError(`its set-up ended with status ${exitCode}`);
      }
    }
  }

  async putFiles(containerId: ContainerId, files: readonly BackendFile[]): Promise<void> {
    if (files.length > 0) await this.#options.engine.putArchive(containerId, '/', await tarOf(files));
  }

  async #create(before: AddOn, signal: AbortSignal): Promise<void> {
    const { engine, images, installationId, store } = this.#options;
    const addon = this.#withPort(before);
    const found = this.specOf(addon);
    if (found === undefined) return;
    try {
      await images.ensure(found.image, signal, (line) => this.#options.onProgress(addon.id, line));
    } catch (error) {
      if (signal.aborted || isUnreachable(error)) throw error;
      this.#options.logger.error('the image of an add-on could not be made', { addon: addon.name, error });
      const problem = imageProblem(error);
      this.#fail(addon, problem, addon.state === 'provisioning' ? MAX_FAILURES_AT_FIRST : undefined);
      return;
    }
    // Destroyed while the image was made.
    if (store.addons.get(addon.id)?.state !== addon.state) return;
    try {
      if (found.spec.volumeTarget !== undefined) {
        await engine.ensureVolume(
          volumeName(installationId, addon),
          ownedLabels(installationId, 'add-on', {
            [ADDON_LABEL]: addon.id,
            [ADDON_NAME_LABEL]: addon.name,
            [APP_LABEL]: addon.appId,
          }),
        );
      }
      // Somebody's own container of that name would be a conflict for ever: reported like any other refusal.
      await engine.create(found.container);
    } catch (error) {
      this.#refused(addon, error);
    }
  }

  /** Chooses where the host is to publish it, once. */
  #withPort(addon: AddOn): AddOn {
    const found = this.specOf(addon);
    if (found === undefined || found.spec.ports.length === 0 || addon.backend.port !== null) return addon;
    return this.#setBackend(addon, { port: this.#freePort(addon) });
  }

  /** In steps, so that an add-on's further ports lie between its own and the next one's. */
  #freePort({ backend }: AddOn): number {
    const { store, random, ports } = this.#options;
    const taken = store.addons.ports();
    const slots = Math.floor(ports.count / PORTS_EACH);
    const start = Math.floor(random() * slots);
    for (let tried = 0; tried < slots; tried += 1) {
      const port = ports.first + ((start + tried) % slots) * PORTS_EACH;
      if (!taken.has(port) && port !== backend.port) return port;
    }
    throw new Error('all ports for add-ons are in use');
  }

  async #start(addon: AddOn, containerId: ContainerId): Promise<void> {
    const { engine, issueCertificate } = this.#options;
    const found = this.specOf(addon);
    if (found === undefined) return;
    this.forget(addon.id);
    const { certificateDir, files } = found.spec;
    try {
      const tls =
        certificateDir === undefined ? [] : certificateFiles(certificateDir, await issueCertificate());
      await this.putFiles(containerId, [...files, ...tls]);
      await this.#assertPortsFree(addon, found);
      await engine.start(containerId);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      if (error.kind === 'not_found') {
        // The container, its network or its image is gone: made anew in the next round.
        await engine.remove(containerId);
        this.#refused(addon, error);
        return;
      }
      if (error.kind === 'port_taken' && addon.provisionedAt === null) {
        // Nobody knows its URL yet.
        this.#setBackend(addon, { port: this.#freePort(addon) });
        return;
      }
      this.#refused(addon, error);
    }
  }

  /** What the engine sees to itself for ports that it publishes. */
  async #assertPortsFree(
    addon: AddOn,
    { spec, container }: { spec: BackendSpec; container: ContainerSpec },
  ): Promise<void> {
    const { isPortFree, publishOn } = this.#options;
    if (container.publish !== undefined) return;
    for (const port of hostPorts(addon, spec)) {
      if (!(await isPortFree(publishOn, port))) {
        throw new EngineError('port_taken', `${publishOn}:${port} is in use`);
      }
    }
  }

  /** The engine would not have it: tried again later, and later. */
  #refused(addon: AddOn, error: unknown): void {
    if (!(error instanceof EngineError) || error.kind === 'unreachable') throw error;
    this.#options.logger.warn('an add-on could not be started', { addon: addon.name, error });
    this.#fail(addon, describeRefusal(error, addon));
  }

  #fail(addon: AddOn, problem: string, failures = addon.backend.failures + 1): void {
    const nextStartAt = new Date(this.#options.clock.now().getTime() + backOffMs(failures));
    this.#setBackend(addon, { failures, nextStartAt, problem });
  }

  #count(addon: AddOn, container: ObservedBackend): void {
    this.forget(addon.id);
    const { clock, logger } = this.#options;
    const { failures, delayMs } = judgeEnd(addon.backend.failures, container);
    const exitCode = container.exitCode ?? 0;
    logger.warn('an add-on ended', { addon: addon.name, exitCode, delayMs });
    this.#setBackend(addon, {
      failures,
      nextStartAt: delayMs === 0 ? null : new Date(clock.now().getTime() + delayMs),
      endedAt: container.finishedAt,
      problem: failures > 1 ? `it ended with status ${exitCode}` : addon.backend.problem,
    });
  }

  async #probe(addon: AddOn, containerId: ContainerId, signal: AbortSignal): Promise<void> {
    const { engine, clock } = this.#options;
    const found = this.specOf(addon);
    if (found === undefined) return;
    const until = clock.now().getTime() + PROBE_STEP_MS;
    for (;;) {
      const { health } = found.spec;
      try {
        await this.putFiles(containerId, health.files ?? []);
        const { exitCode } = await engine.exec(containerId, health.argv, {
          ...execOptions(health),
          timeoutMs: PROBE_TIMEOUT_MS,
        });
        if (exitCode === 0) break;
      } catch (error) {
        if (isGone(error)) return;
        if (!(error instanceof EngineError) || error.kind !== 'other') throw error;
      }
      if (clock.now().getTime() >= until) {
        await this.#unserving(addon, containerId);
        return;
      }
      await sleep(clock, PROBE_EVERY_MS, signal);
    }
    try {
      await this.setUp(addon, containerId);
    } catch (error) {
      if (isGone(error)) return;
      if (!(error instanceof SetUpError)) throw error;
      this.#options.logger.warn('an add-on could not be set up', { addon: addon.name, error });
      await this.#giveUpRun(addon, containerId, error.message);
      return;
    }
    this.#nowServing(addon, containerId);
  }

  #nowServing(addon: AddOn, containerId: ContainerId): void {
    this.#serving.set(addon.id, containerId);
    if (addon.backend.problem !== null) this.#setBackend(addon, { problem: null });
    this.#options.onServing(addon.id);
  }

  async #resume(addon: AddOn, containerId: ContainerId): Promise<void> {
    await this.#options.engine.unpause(containerId).catch(ignoring('not_running', 'not_found'));
    const frozen = this.#frozen.get(addon.id);
    if (frozen?.containerId !== containerId || frozen.config !== JSON.stringify(addon.config)) return;
    this.#frozen.delete(addon.id);
    this.#nowServing(addon, containerId);
  }

  /**
   * Between the last look at its apps and the moment from which on their dynos wait for it, nothing else happens: so no
   * dyno ever starts that takes it for awake.
   */
  async #doze(addon: AddOn, containerId: ContainerId, depth: Rest['depth']): Promise<void> {
    const { engine, clock, logger } = this.#options;
    if (await this.#hasRunningDynos(addon)) {
      this.#rests.putOff(addon.id, FREEZING_MS);
      return;
    }
    if (!this.#rests.hasFrozenClients(addon.id) && (await this.#hasClients(addon, containerId))) {
      this.#rests.putOff(addon.id, CLIENTS_EVERY_MS);
      return;
    }
    if (this.#rests.restOf(addon) === null) return;
    const wasServing = this.serving(addon.id) === containerId;
    this.forget(addon.id);
    if (depth === 'freeze') {
      await engine.pause(containerId).catch(ignoring('not_running', 'not_found'));
      if (wasServing) this.#frozen.set(addon.id, { containerId, config: JSON.stringify(addon.config) });
    } else {
      await this.#shutDown(addon, containerId);
      // Not a failure of its own.
      this.#setBackend(addon, { endedAt: clock.now(), problem: null });
    }
    logger.info('an add-on fell asleep', { addon: addon.name, depth });
  }

  /** A dyno that is to freeze runs on for the moment that this takes. */
  async #hasRunningDynos({ id }: AddOn): Promise<boolean> {
    const { engine, store, installationId } = this.#options;
    const apps = new Set(store.attachments.ofAddOn(id).map(({ appId }) => appId));
    const lists = await Promise.all(
      [...apps].map((appId) => engine.list(ownedLabels(installationId, 'dyno', { [APP_LABEL]: appId }))),
    );
    return lists.flat().some(({ state }) => state === 'running');
  }

  /** Whoever is connected from the user's shell is not cut off. */
  async #hasClients(addon: AddOn, containerId: ContainerId): Promise<boolean> {
    const found = this.specOf(addon);
    if (found === undefined) return false;
    const { spec, container } = found;
    // In the host's network it listens on what would be published elsewhere.
    const ports = container.publish === undefined ? hostPorts(addon, spec) : spec.ports;
    try {
      const argv = ['cat', '/proc/net/tcp', '/proc/net/tcp6'];
      const { stdout } = await this.#options.engine.exec(containerId, argv, { timeoutMs: LOOK_TIMEOUT_MS });
      return countClients(stdout, ports) > 0;
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind === 'unreachable') throw error;
      // It is paused, it has ended, or its image has no such command: then nobody is known to be there.
      return false;
    }
  }

  async #shutDown(addon: AddOn, containerId: ContainerId): Promise<void> {
    const { engine } = this.#options;
    const gone = ignoring('not_found', 'not_running');
    // A frozen server would not hear the signal.
    await engine.unpause(containerId).catch(gone);
    const timeoutMs = this.specOf(addon)?.spec.stopTimeoutMs ?? DEFAULT_STOP_MS;
    await engine.stop(containerId, { timeoutMs }).catch(gone);
  }

  /** One that never served is ended; one with data may be recovering, however long that takes. */
  async #unserving(addon: AddOn, containerId: ContainerId): Promise<void> {
    const { startedAt } = await this.#options.engine.inspect(containerId);
    const ranMs = this.#options.clock.now().getTime() - (startedAt?.getTime() ?? 0);
    if (addon.provisionedAt === null && ranMs > FIRST_SERVE_MS) {
      await this.#giveUpRun(addon, containerId, 'it does not answer');
    } else this.#setBackend(addon, { problem: 'it does not answer yet' });
  }

  /** A fresh container is a fresh try; what is in the volume stays. */
  async #giveUpRun(addon: AddOn, containerId: ContainerId, problem: string): Promise<void> {
    this.#fail(addon, problem);
    await this.#remove(addon, containerId, true);
  }

  async #remove(addon: AddOn, containerId: ContainerId, running: boolean): Promise<void> {
    const { engine } = this.#options;
    this.forget(addon.id);
    if (running) await this.#shutDown(addon, containerId);
    await engine.remove(containerId);
  }

  /** The volume before the row: killed in between, there is still a row that says so. */
  async #purge(addon: AddOn): Promise<void> {
    const { engine, store, installationId, logger, clock } = this.#options;
    await engine.removeVolume(volumeName(installationId, addon));
    store.transaction(() => {
      store.addons.delete(addon.id);
      store.events.append({
        appId: addon.appId,
        kind: 'addon.purge',
        payload: { addon: addon.name, service: addon.service },
        actor: 'dynodock',
        at: clock.now(),
      });
    });
    logger.info('the data of a destroyed add-on is gone', { addon: addon.name });
  }

  #setBackend(addon: AddOn, changes: Partial<AddOnBackend>): AddOn {
    const { store } = this.#options;
    const current = store.addons.get(addon.id) ?? addon;
    const next = { ...current, backend: { ...current.backend, ...changes } };
    store.addons.setBackend(addon.id, next.backend);
    return next;
  }
}

/** A backend has no more than this many ports. */
export const PORTS_EACH = 4;
const DEFAULT_STOP_MS = 30_000;
const LOOK_TIMEOUT_MS = 5_000;
const FREEZING_MS = 500;
/** While somebody is connected, one that could sleep is looked at so often. */
const CLIENTS_EVERY_MS = 60_000;

/** It runs, but could not be made what it should be. */
export class SetUpError extends Error {
  override readonly name = 'SetUpError';
}

function describeRefusal(error: EngineError, { backend }: AddOn): string {
  switch (error.kind) {
    case 'port_taken':
      return `port ${backend.port ?? 0} of this machine is in use by another program`;
    case 'no_space':
      return 'there is no space left on the disk';
    default:
      return 'the container engine refused to start it; the log of dynodock says why';
  }
}

export function execOptions({ user, env }: BackendCommand): {
  user?: string;
  env?: Readonly<Record<string, string>>;
} {
  return { ...(user === undefined ? {} : { user }), ...(env === undefined ? {} : { env }) };
}

function certificateFiles(directory: string, { certificateChain, privateKey }: KeyPair): BackendFile[] {
  return [
    { path: `${directory}/server.crt`, content: certificateChain },
    { path: `${directory}/server.key`, content: privateKey },
  ];
}

/** Everything belongs to root and can be read by the one user that a backend has. */
async function tarOf(files: readonly BackendFile[]): Promise<Buffer> {
  const tar = pack();
  const folders = new Set(files.map(({ path }) => path.slice(0, path.lastIndexOf('/'))));
  for (const folder of folders) tar.entry({ name: `${folder.slice(1)}/`, type: 'directory', mode: 0o755 });
  for (const { path, content, mode = 0o444 } of files) tar.entry({ name: path.slice(1), mode }, content);
  tar.finalize();
  return buffer(tar);
}

function isUnreachable(error: unknown): boolean {
  return error instanceof EngineError && error.kind === 'unreachable';
}

/** It ended while it was asked: the next pass sees to it. */
function isGone(error: unknown): boolean {
  return error instanceof EngineError && (error.kind === 'not_running' || error.kind === 'not_found');
}
