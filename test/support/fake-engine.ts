import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { PassThrough, Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import {
  EngineError,
  type AttachedCommand,
  type AttachedExecOptions,
  type Attachment,
  type ContainerEngine,
  type ContainerId,
  type ContainerInfo,
  type ContainerLogLine,
  type ContainerSpec,
  type DiskUsage,
  type EngineEvent,
  type EngineInfo,
  type ExecOptions,
  type ExecResult,
  type ImageBuildOptions,
  type ImageBuildResult,
  type ImageBuildSpec,
  type ImageConfig,
  type ImageInfo,
  type Labels,
  type LayerSpec,
  type LogOptions,
  type MemoryUse,
  type NetworkSpec,
  type TerminalSize,
} from '../../src/engine/engine';
import { formatPosition, lastExcluded, LineSplitter } from '../../src/engine/log-lines';
import type { Clock } from '../../src/lib/clock';
import { sleep } from '../../src/lib/clock';

/** What a container does. Nothing given: it runs, silently, until it is stopped. */
export interface ContainerScript {
  /** Starting it fails with this. */
  startError?: EngineError;
  /** Ends by itself this long after its start. */
  exitAfterMs?: number;
  /** How it ends by itself. Default 0. */
  exitCode?: number;
  /** It ends by itself because it took too much memory. */
  oomKilled?: boolean;
  prints?: readonly Printed[] | ((container: ContainerView) => readonly Printed[]);
  /** Only SIGKILL ends it. */
  ignoresSigterm?: boolean;
  /** Repeats its input and exits with 0 at the end of it, as `cat` does. */
  echoesInput?: boolean;
  /** Runs at its start. */
  onStart?: (container: ContainerView) => void;
  /** What it uses. Default: 1 MiB. */
  memory?: Partial<MemoryUse>;
  exec?: (
    argv: readonly string[],
    options: ExecOptions,
    container: ContainerView,
  ) => ExecResult | Promise<ExecResult>;
  /** What a command does that is run inside with its streams; the answer is its exit code. Default: `cat`. */
  command?: (
    argv: readonly string[],
    options: AttachedExecOptions,
    streams: { stdin: Readable; stdout: Writable; stderr: Writable },
  ) => Promise<number>;
  /** Where its exposed port is reached, e.g. a server of the test's own. Default: an address that leads nowhere. */
  endpoint?: { host: string; port: number };
}

export type Printed =
  | string
  | {
      text: string | ((container: ContainerView) => string);
      stream?: 'stdout' | 'stderr';
      afterMs?: number;
    };

/** A container from the inside. */
export interface ContainerView {
  readonly spec: ContainerSpec;
  /** The image's env with the container's over it. */
  readonly env: Readonly<Record<string, string>>;
  /** The size of its terminal, once it was given one. */
  readonly terminal: () => TerminalSize | undefined;
  /** A file's content by its absolute path; undefined if there is none. */
  readonly read: (path: string) => string | undefined;
  readonly write: (path: string, content: string | Buffer) => void;
}

type Method = keyof ContainerEngine;
type Files = Map<string, Buffer>;

interface FakeImage {
  id: string;
  references: Set<string>;
  config: ImageConfig;
  files: Files;
  createdAt: Date;
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGTERM: 15,
};
const BUILT_IN_NETWORKS = new Set(['none', 'bridge', 'host']);

/**
 * A container engine in memory, for tests of everything above it. Containers do what `behave` says; time is the
 * given clock's. It passes the same contract as the real one (test/contract).
 */
export class FakeEngine implements ContainerEngine {
  readonly #clock: Clock;
  readonly #reachability: EngineInfo['reachability'];
  readonly #behaviours: { matches: (spec: ContainerSpec) => boolean; script: ContainerScript }[] = [];
  readonly #containers = new Map<string, FakeContainer>();
  readonly #images: FakeImage[] = [];
  readonly #networks = new Map<string, NetworkSpec>();
  readonly #volumes = new Map<string, { labels: Labels; files: Files }>();
  readonly #failures = new Map<Method, Error[]>();
  readonly #delays = new Map<Method, number>();
  readonly #channels = new Set<Channel>();
  #unreachable = false;
  #lastId = 0;
  #lastNanoseconds = 0n;

  constructor(clock: Clock, options: { reachability?: EngineInfo['reachability'] } = {}) {
    this.#clock = clock;
    this.#reachability = options.reachability ?? 'container-address';
  }

  // For tests: what containers do, and what goes wrong

  /** From now on for containers of this image or name, or which the predicate accepts; the latest match counts. */
  behave(which: string | ((spec: ContainerSpec) => boolean), script: ContainerScript): void {
    const matches =
      typeof which === 'string'
        ? (spec: ContainerSpec) => spec.name === which || qualified(spec.image) === qualified(which)
        : which;
    this.#behaviours.unshift({ matches, script });
  }

  /** The next call (or the next `times`) of this method rejects with `error` and does nothing. */
  failNext(method: Method, error: Error, times = 1): void {
    const queued = this.#failures.get(method) ?? [];
    this.#failures.set(method, [...queued, ...Array.from({ length: times }, () => error)]);
  }

  /** Calls of this method take so long from now on. */
  delay(method: Method, ms: number): void {
    this.#delays.set(method, ms);
  }

  /** While true every call fails, and whatever waits or follows is cut off. Containers go on. */
  get unreachable(): boolean {
    return this.#unreachable;
  }
  set unreachable(value: boolean) {
    this.#unreachable = value;
    if (!value) return;
    for (const channel of this.#channels) channel.cutOff();
    for (const container of this.#containers.values()) container.failWaiting(hungUp());
  }

  /** Ends what `failNext`, `delay` and `unreachable` began. */
  heal(): void {
    this.#failures.clear();
    this.#delays.clear();
    this.unreachable = false;
  }

  /** Addresses with ports, `198.19.0.1:20000`, that somebody outside of the engine has. */
  readonly takenPorts = new Set<string>();

  #isTaken(address: string): boolean {
    const published = [...this.#containers.values()].flatMap(({ state, spec }) =>
      state === 'running' ? (spec.publish ?? []) : [],
    );
    const ours = published.map(({ hostAddress, hostPort }) => `${hostAddress}:${hostPort}`);
    return this.takenPorts.has(address) || ours.includes(address);
  }

  /** An image out of nothing. */
  addImage(reference: string, config: ImageConfig = {}): ImageInfo {
    return toImageInfo(this.#putImage(reference, config, new Map(), this.#clock.now(), reference));
  }

  /** The container ends, as if by itself. */
  exit(name: string, exitCode: number, options: { oomKilled?: boolean } = {}): void {
    this.#end(this.#get(name), exitCode, options.oomKilled ?? false);
  }

  /** The container prints a line. */
  print(name: string, text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
    this.#get(name).print(`${text}\n`, stream, () => this.#nextNanoseconds());
  }

  /** Someone else removed the container: no more than the engine's own event tells of it. */
  vanish(name: string): void {
    this.#remove(this.#get(name));
  }

  /** Names of the running containers, sorted. */
  running(): string[] {
    return this.containers()
      .filter(({ state }) => state === 'running')
      .map(({ name }) => name)
      .sort();
  }

  /** All containers as they were specified and as they are, oldest first. */
  containers(): (ContainerInfo & { spec: ContainerSpec })[] {
    return [...this.#containers.values()].map((container) => ({
      ...this.#toInfo(container),
      spec: container.spec,
    }));
  }

  networks(): NetworkSpec[] {
    return [...this.#networks.values()];
  }

  volumes(): string[] {
    return [...this.#volumes.keys()].sort();
  }

  /** What was written to the container's input so far. */
  input(name: string): string {
    return Buffer.concat(this.#get(name).input).toString('utf8');
  }

  // ContainerEngine

  async info(): Promise<EngineInfo> {
    await this.#enter('info');
    return {
      name: 'Fake 1.0',
      operatingSystem: 'none',
      architecture: 'x86_64',
      rootDir: '/nonexistent',
      reachability: this.#reachability,
      sharesHostNetwork: this.#reachability === 'container-address',
    };
  }

  async ensureNetwork(spec: NetworkSpec): Promise<void> {
    await this.#enter('ensureNetwork');
    if (!this.#networks.has(spec.name)) this.#networks.set(spec.name, spec);
  }

  async networkGateway(name: string): Promise<string> {
    await this.#enter('networkGateway');
    if (!this.#networks.has(name)) throw new EngineError('not_found', `network ${name} not found`);
    return `198.19.${[...this.#networks.keys()].indexOf(name) % 256}.1`;
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#enter('removeNetwork');
    if (this.containers().some(({ state, spec }) => state === 'running' && spec.network === name)) {
      throw new EngineError('conflict', `network ${name} has active endpoints`);
    }
    this.#networks.delete(name);
  }

  async create(spec: ContainerSpec): Promise<ContainerId> {
    await this.#enter('create');
    const image = this.#findImage(spec.image);
    if (image === undefined) throw new EngineError('not_found', `no such image: ${spec.image}`);
    if (this.#find(spec.name) !== undefined) {
      throw new EngineError('conflict', `the container name ${spec.name} is in use`);
    }
    for (const mount of spec.mounts ?? []) {
      if (mount.kind === 'volume' && !this.#volumes.has(mount.source)) {
        this.#volumes.set(mount.source, { labels: {}, files: new Map() });
      }
    }
    const id = createHash('sha256').update(String(++this.#lastId)).digest('hex') as ContainerId;
    const script = this.#behaviours.find(({ matches }) => matches(spec))?.script ?? {};
    const container = new FakeContainer(id, spec, image.id, script, this.#clock.now());
    container.env = { ...image.config.env, ...spec.env };
    container.files = new Map(image.files);
    this.#containers.set(id, container);
    return id;
  }

  async start(id: ContainerId): Promise<void> {
    await this.#enter('start');
    const container = this.#get(id);
    if (container.state === 'running') return;
    const { script, spec } = container;
    if (script.startError !== undefined) throw script.startError;
    if (spec.network.startsWith('container:')) {
      const holder = this.#get(spec.network.slice('container:'.length));
      if (holder.state !== 'running')
        throw new EngineError('not_running', 'the joined container does not run');
    } else if (!BUILT_IN_NETWORKS.has(spec.network) && !this.#networks.has(spec.network)) {
      throw new EngineError('not_found', `network ${spec.network} not found`);
    }
    for (const { hostAddress, hostPort } of spec.publish ?? []) {
      if (this.#isTaken(`${hostAddress}:${hostPort}`)) {
        throw new EngineError('port_taken', `${hostAddress}:${hostPort}: port is already allocated`);
      }
    }
    container.begin(this.#clock.now());
    this.#emit(container, 'start');
    const view = this.#view(container);
    script.onStart?.(view);
    const prints = typeof script.prints === 'function' ? script.prints(view) : (script.prints ?? []);
    for (const printed of prints) {
      const {
        text,
        stream = 'stdout',
        afterMs = 0,
      } = typeof printed === 'string' ? { text: printed } : printed;
      const print = (): void => {
        if (container.paused) {
          container.whenThawed(print);
          return;
        }
        const line = typeof text === 'string' ? text : text(view);
        container.print(`${line}\n`, stream, () => this.#nextNanoseconds());
      };
      if (afterMs === 0) print();
      else container.timers.push(this.#clock.after(afterMs, print));
    }
    if (script.exitAfterMs !== undefined) {
      const end = (): void => {
        if (container.paused) container.whenThawed(end);
        else this.#end(container, script.exitCode ?? 0, script.oomKilled ?? false);
      };
      container.timers.push(this.#clock.after(script.exitAfterMs, end));
    }
    if (script.echoesInput) container.onInput((ended) => this.#echo(container, ended));
  }

  async stop(id: ContainerId, options: { timeoutMs: number }): Promise<void> {
    await this.#enter('stop');
    const container = this.#get(id);
    if (container.state !== 'running') return;
    this.#signal(container, container.spec.stopSignal ?? 'SIGTERM');
    if (!this.#isRunning(container)) return;
    const ended = container.untilEnded();
    const cancel = this.#clock.after(options.timeoutMs, () => this.#signal(container, 'SIGKILL'));
    await ended.finally(cancel);
  }

  async kill(id: ContainerId, signal: string): Promise<void> {
    await this.#enter('kill');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    this.#signal(container, signal);
  }

  async pause(id: ContainerId): Promise<void> {
    await this.#enter('pause');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    if (container.paused) return;
    container.paused = true;
    this.#emit(container, 'pause');
  }

  async unpause(id: ContainerId): Promise<void> {
    await this.#enter('unpause');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    if (!container.paused) return;
    container.paused = false;
    this.#emit(container, 'unpause');
    container.thaw();
  }

  async remove(id: ContainerId): Promise<void> {
    await this.#enter('remove');
    const container = this.#find(id);
    if (container !== undefined) this.#remove(container);
  }

  async inspect(idOrName: string): Promise<ContainerInfo> {
    await this.#enter('inspect');
    return this.#toInfo(this.#get(idOrName));
  }

  async list(labels: Labels): Promise<ContainerInfo[]> {
    await this.#enter('list');
    return [...this.#containers.values()]
      .filter((container) => bears(container.spec.labels, labels))
      .map((container) => this.#toInfo(container))
      .reverse();
  }

  async wait(id: ContainerId, options: { signal?: AbortSignal } = {}): Promise<{ exitCode: number }> {
    await this.#enter('wait');
    const container = this.#get(id);
    if (container.state === 'exited') return { exitCode: container.exitCode };
    const { signal } = options;
    if (signal === undefined) return { exitCode: await container.untilEnded() };
    let calledOff = (): void => undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      calledOff = () => reject(new EngineError('other', 'called off'));
      if (signal.aborted) calledOff();
      signal.addEventListener('abort', calledOff, { once: true });
    });
    try {
      return { exitCode: await Promise.race([container.untilEnded(), aborted]) };
    } finally {
      signal.removeEventListener('abort', calledOff);
    }
  }

  async memory(id: ContainerId): Promise<MemoryUse> {
    await this.#enter('memory');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    return { rssBytes: 1024 * 1024, cacheBytes: 0, swapBytes: 0, ...container.script.memory };
  }

  async exec(id: ContainerId, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    await this.#enter('exec');
    const container = this.#get(id);
    if (container.state !== 'running' || container.paused) throw notRunning(container);
    const result = container.script.exec?.(argv, options, this.#view(container));
    if (!(result instanceof Promise)) return result ?? { exitCode: 0, stdout: '', stderr: '' };
    let cancel = (): void => undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const expire = (): void => reject(new EngineError('other', 'the command is not done in time'));
      cancel = this.#clock.after(options.timeoutMs ?? 60_000, expire);
    });
    return Promise.race([result, late]).finally(() => cancel());
  }

  async execAttached(
    id: ContainerId,
    argv: readonly string[],
    options: AttachedExecOptions,
  ): Promise<AttachedCommand> {
    await this.#enter('execAttached');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    return container.run(argv, options);
  }

  async resize(id: ContainerId, size: TerminalSize): Promise<void> {
    await this.#enter('resize');
    const container = this.#get(id);
    if (container.state !== 'running') throw notRunning(container);
    container.terminal = size;
  }

  async *logs(id: ContainerId, options: LogOptions): AsyncGenerator<ContainerLogLine> {
    const { signal } = options;
    await this.#enter('logs');
    const after = lastExcluded(options.since);
    const container = this.#get(id);
    if (container.spec.discardLog) throw new EngineError('other', 'the container keeps no log');
    const channel = this.#open(signal);
    const wake = container.onOutput(() => channel.wake());
    try {
      for (let next = 0; !channel.aborted;) {
        const line = container.log[next++];
        if (line !== undefined) {
          if (lastExcluded(line.position) > after) yield line;
          continue;
        }
        next--;
        if (!options.follow || container.state === 'exited' || container.removed) return;
        await channel.more();
        if (channel.cut) throw hungUp();
      }
    } finally {
      wake();
      this.#channels.delete(channel);
      channel.close();
    }
  }

  async attach(id: ContainerId, options: { stdin: boolean }): Promise<Attachment> {
    await this.#enter('attach');
    return this.#get(id).attach(options.stdin);
  }

  async putArchive(id: ContainerId, path: string, tar: Readable | Buffer): Promise<void> {
    await this.#enter('putArchive');
    const container = this.#get(id);
    const view = this.#view(container);
    for (const [name, content] of await unpack(tar)) {
      view.write(`${path.replace(/\/$/, '')}${name}`, content);
    }
  }

  events(labels: Labels, options: { signal: AbortSignal }): AsyncIterable<EngineEvent> {
    const channel = this.#open(options.signal);
    channel.wants = (event) => bears(event.labels, labels);
    const entering = this.#enter('events');
    entering.catch(() => undefined);
    return this.#follow(channel, entering);
  }

  async *#follow(channel: Channel, entering: Promise<void>): AsyncGenerator<EngineEvent> {
    try {
      await entering;
      while (!channel.aborted) {
        const event = channel.events.shift();
        if (event !== undefined) yield event;
        else if (channel.cut) return;
        else await channel.more();
      }
    } finally {
      this.#channels.delete(channel);
      channel.close();
    }
  }

  async inspectImage(reference: string): Promise<ImageInfo | undefined> {
    await this.#enter('inspectImage');
    const image = this.#findImage(reference);
    return image === undefined ? undefined : toImageInfo(image);
  }

  async listImages(labels: Labels): Promise<ImageInfo[]> {
    await this.#enter('listImages');
    return this.#images.filter((image) => bears(image.config.labels ?? {}, labels)).map(toImageInfo);
  }

  async tagImage(reference: string, newReference: string): Promise<void> {
    await this.#enter('tagImage');
    const image = this.#findImage(reference);
    if (image === undefined) throw new EngineError('not_found', `no such image: ${reference}`);
    this.#name(image, newReference);
  }

  async pullImage(reference: string): Promise<void> {
    await this.#enter('pullImage');
    throw new EngineError('other', `no registry has ${reference}`);
  }

  async imageConfig(reference: string): Promise<ImageConfig | undefined> {
    await this.#enter('imageConfig');
    const config = this.#findImage(reference)?.config;
    if (config === undefined) return undefined;
    const nothing = { env: {}, labels: {}, user: '', workingDir: '', entrypoint: [], command: [] };
    return { ...nothing, ...config };
  }

  async buildImage(
    spec: ImageBuildSpec,
    context: Readable,
    { onOutput, signal }: ImageBuildOptions,
  ): Promise<ImageBuildResult> {
    await this.#enter('buildImage');
    const files = await unpack(context).catch((cause: unknown) => {
      throw new EngineError('other', 'the context cannot be read', { cause });
    });
    const text = files.get(`/${spec.dockerfile}`);
    if (text === undefined) {
      const reason = `Cannot locate specified Dockerfile: ${spec.dockerfile}`;
      return { outcome: 'failed', reason, step: null, stages: [] };
    }
    const build = new FakeImageBuild(spec, files, (name) => this.#findImage(name));
    const keep = (labels: Labels): string => {
      const config = { ...build.config, labels: { ...build.config.labels, ...labels } };
      const seed = JSON.stringify([build.seed, labels]);
      return this.#putImage(undefined, config, build.files, this.#clock.now(), seed).id;
    };
    const stages: string[] = [];
    const failure = await build.run(text.toString(), onOutput, signal, () => stages.push(keep({})));
    if (signal.aborted) return { outcome: 'called-off', stages };
    if (failure !== undefined) return { outcome: 'failed', ...failure, stages };
    const imageId = keep(spec.labels);
    await onOutput(`Successfully built ${imageId.slice(7, 19)}\n`);
    return { outcome: 'built', imageId, stages };
  }

  async importImage(tar: Readable, reference: string, config: ImageConfig): Promise<void> {
    await this.#enter('importImage');
    const files = await unpack(tar);
    this.#putImage(reference, config, files, this.#clock.now(), String(++this.#lastId));
  }

  async commit(id: ContainerId, reference: string, config: ImageConfig): Promise<void> {
    await this.#enter('commit');
    const { spec, files, env } = this.#get(id);
    const merged = mergeConfig({ env, labels: spec.labels }, config);
    this.#putImage(reference, merged, new Map(files), this.#clock.now(), String(++this.#lastId));
  }

  async addLayer(spec: LayerSpec): Promise<ImageInfo> {
    await this.#enter('addLayer');
    const base = this.#findImage(spec.base);
    if (base === undefined) throw new EngineError('not_found', `no such image: ${spec.base}`);
    const tar = await readFile(spec.layerTarPath).catch((cause: unknown) => {
      throw new EngineError('other', 'the layer’s file cannot be read', { cause });
    });
    const config = mergeConfig(base.config, spec.config);
    const content = createHash('sha256').update(tar).digest('hex');
    const seed = JSON.stringify([base.id, content, config, spec.createdAt]);
    const files = new Map([...base.files, ...(await unpack(tar))]);
    return toImageInfo(this.#putImage(spec.reference, config, files, spec.createdAt, seed));
  }

  async removeImage(reference: string): Promise<void> {
    await this.#enter('removeImage');
    const image = this.#findImage(reference);
    if (image === undefined) return;
    const byName = image.references.has(qualified(reference));
    if (image.references.size > 1) {
      if (!byName) throw new EngineError('conflict', 'the image has several names');
      image.references.delete(qualified(reference));
      return;
    }
    if ([...this.#containers.values()].some((container) => container.imageId === image.id)) {
      throw new EngineError('conflict', 'a container uses the image');
    }
    this.#images.splice(this.#images.indexOf(image), 1);
  }

  async ensureVolume(name: string, labels: Labels): Promise<void> {
    await this.#enter('ensureVolume');
    if (!this.#volumes.has(name)) this.#volumes.set(name, { labels, files: new Map() });
  }

  async removeVolume(name: string): Promise<void> {
    await this.#enter('removeVolume');
    const used = [...this.#containers.values()].some(({ spec }) =>
      (spec.mounts ?? []).some((mount) => mount.kind === 'volume' && mount.source === name),
    );
    if (used) throw new EngineError('conflict', `volume ${name} is in use`);
    this.#volumes.delete(name);
  }

  async listVolumes(labels: Labels): Promise<{ name: string; labels: Labels }[]> {
    await this.#enter('listVolumes');
    return [...this.#volumes]
      .filter(([, volume]) => bears(volume.labels, labels))
      .map(([name, volume]) => ({ name, labels: volume.labels }));
  }

  async diskUsage(): Promise<DiskUsage> {
    await this.#enter('diskUsage');
    // An image made of another one holds the very same contents, and not copies.
    const holders = new Map<Buffer, number>();
    for (const { files } of this.#images) {
      for (const content of new Set(files.values())) holders.set(content, (holders.get(content) ?? 0) + 1);
    }
    const own = (files: Files): number =>
      sizeOf([...new Set(files.values())].filter((content) => holders.get(content) === 1));
    return {
      imagesBytes: sizeOf([...holders.keys()]),
      images: new Map(this.#images.map(({ id, files }) => [id, own(files)])),
      volumes: new Map([...this.#volumes].map(([name, { files }]) => [name, sizeOf([...files.values()])])),
    };
  }

  // Inside

  async #enter(method: Method): Promise<void> {
    const delay = this.#delays.get(method) ?? 0;
    if (delay > 0) await sleep(this.#clock, delay);
    if (this.#unreachable) throw new EngineError('unreachable', 'the engine does not answer');
    const failure = this.#failures.get(method)?.shift();
    if (failure !== undefined) throw failure;
  }

  #open(signal: AbortSignal | undefined): Channel {
    const channel = new Channel(signal);
    this.#channels.add(channel);
    return channel;
  }

  #find(idOrName: string): FakeContainer | undefined {
    const byId = this.#containers.get(idOrName);
    return byId ?? [...this.#containers.values()].find(({ spec }) => spec.name === idOrName);
  }

  #get(idOrName: string): FakeContainer {
    const container = this.#find(idOrName);
    if (container === undefined) throw new EngineError('not_found', `no such container: ${idOrName}`);
    return container;
  }

  /** A function, so that the compiler does not take an earlier check of the state for lasting. */
  #isRunning(container: FakeContainer): boolean {
    return container.state === 'running';
  }

  #signal(container: FakeContainer, signal: string): void {
    const number = SIGNAL_NUMBERS[signal.startsWith('SIG') ? signal : `SIG${signal}`];
    if (number === undefined || !this.#isRunning(container)) return;
    if (number !== 9 && container.script.ignoresSigterm) return;
    if (number !== 9 && container.paused) {
      container.whenThawed(() => this.#end(container, 128 + number, false));
      return;
    }
    this.#end(container, 128 + number, false);
  }

  #end(container: FakeContainer, exitCode: number, oomKilled: boolean): void {
    if (container.state !== 'running') return;
    container.end(exitCode, oomKilled, this.#clock.now());
    if (oomKilled) this.#emit(container, 'oom');
    this.#emit(container, 'die');
    container.settle();
  }

  #remove(container: FakeContainer): void {
    this.#end(container, 137, false);
    this.#containers.delete(container.id);
    container.removed = true;
    container.settle();
    this.#emit(container, 'destroy');
  }

  #emit(container: FakeContainer, kind: EngineEvent['kind']): void {
    const event: EngineEvent = {
      kind,
      containerId: container.id,
      labels: container.spec.labels,
      at: this.#clock.now(),
      ...(kind === 'die' ? { exitCode: container.exitCode } : {}),
    };
    for (const channel of this.#channels) channel.offer(event);
  }

  #echo(container: FakeContainer, ended: boolean): void {
    if (ended) {
      this.#end(container, 0, false);
      return;
    }
    const bytes = Buffer.concat(container.input).subarray(container.echoedBytes);
    container.echoedBytes += bytes.length;
    container.print(bytes, 'stdout', () => this.#nextNanoseconds());
  }

  /** Times in logs never repeat, although the clock may stand still. */
  #nextNanoseconds(): bigint {
    const now = BigInt(this.#clock.now().getTime()) * 1_000_000n;
    this.#lastNanoseconds = now > this.#lastNanoseconds ? now : this.#lastNanoseconds + 1n;
    return this.#lastNanoseconds;
  }

  #view(container: FakeContainer): ContainerView {
    const place = (path: string): { files: Files; path: string } => {
      for (const mount of container.spec.mounts ?? []) {
        if (mount.kind !== 'volume' || !path.startsWith(`${mount.target}/`)) continue;
        const volume = this.#volumes.get(mount.source);
        if (volume !== undefined) return { files: volume.files, path: path.slice(mount.target.length) };
      }
      return { files: container.files, path };
    };
    return {
      spec: container.spec,
      env: container.env,
      terminal: () => container.terminal,
      read: (path) => {
        const at = place(path);
        return at.files.get(at.path)?.toString('utf8');
      },
      write: (path, content) => {
        const at = place(path);
        at.files.set(at.path, Buffer.from(content));
      },
    };
  }

  #toInfo(container: FakeContainer): ContainerInfo {
    const { id, spec, startedAt, finishedAt } = container;
    const state = container.state === 'running' && container.paused ? 'paused' : container.state;
    const ended = state === 'exited';
    const port = container.state === 'running' ? spec.exposePort : undefined;
    return {
      id,
      name: spec.name,
      labels: spec.labels,
      image: spec.image,
      state,
      createdAt: container.createdAt,
      ...(ended ? { exitCode: container.exitCode, oomKilled: container.oomKilled } : {}),
      ...(startedAt === undefined ? {} : { startedAt }),
      ...(ended && finishedAt !== undefined ? { finishedAt } : {}),
      ...(port === undefined
        ? {}
        : { endpoint: container.script.endpoint ?? this.#endpointOf(container, port) }),
    };
  }

  #endpointOf(container: FakeContainer, port: number): { host: string; port: number } {
    const number = parseInt(container.id.slice(0, 8), 16);
    return this.#reachability === 'published-port'
      ? { host: '127.0.0.1', port: 32_768 + (number % 28_000) }
      : { host: `198.18.${number % 256}.${(number >> 8) & 255}`, port };
  }

  #findImage(reference: string): FakeImage | undefined {
    return this.#images.find((image) => image.id === reference || image.references.has(qualified(reference)));
  }

  #putImage(
    reference: string | undefined,
    config: ImageConfig,
    files: Files,
    createdAt: Date,
    seed: string,
  ): FakeImage {
    const id = `sha256:${createHash('sha256').update(seed).digest('hex')}`;
    let image = this.#images.find((existing) => existing.id === id);
    if (image === undefined) {
      image = { id, references: new Set(), config, files, createdAt };
      this.#images.push(image);
    }
    if (reference !== undefined) this.#name(image, reference);
    return image;
  }

  #name(image: FakeImage, reference: string): void {
    for (const other of this.#images) other.references.delete(qualified(reference));
    image.references.add(qualified(reference));
  }
}

/** As much of a Dockerfile as tests need. */
class FakeImageBuild {
  config: ImageConfig = {};
  files: Files = new Map();
  /** What makes another image of it. */
  readonly seed: string[] = [];

  constructor(
    private readonly spec: ImageBuildSpec,
    private readonly context: Files,
    private readonly find: (reference: string) => FakeImage | undefined,
  ) {}

  /** Answers why it failed. */
  async run(
    dockerfile: string,
    onOutput: (text: string) => Promise<void>,
    signal: AbortSignal,
    onStageEnd: () => void,
  ): Promise<{ reason: string; step: string } | undefined> {
    const lines = dockerfile.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
    for (const [index, line] of lines.entries()) {
      if (line.startsWith('FROM') && index > 0) onStageEnd();
      await onOutput(`Step ${index + 1}/${lines.length} : ${line}\n`);
      const reason = await this.#step(line, onOutput, signal);
      if (reason !== undefined) return { reason, step: line };
      this.seed.push(line);
    }
    return undefined;
  }

  async #step(
    line: string,
    onOutput: (text: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const [, instruction = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    switch (instruction) {
      case 'FROM': {
        const [name = ''] = rest.split(' ');
        const base = this.find(name);
        if (base === undefined) return 'pull access denied, repository does not exist';
        this.config = base.config;
        this.files = new Map(base.files);
        this.seed.push(base.id);
        return undefined;
      }
      case 'COPY': {
        const [source = '', target = ''] = rest.split(' ');
        const content = this.context.get(`/${source}`);
        if (content === undefined) return `COPY failed: ${source}: no such file or directory`;
        this.files.set(target, content);
        this.seed.push(createHash('sha256').update(content).digest('hex'));
        return undefined;
      }
      case 'RUN':
        return this.#runCommand(rest, onOutput, signal);
      case 'ENV': {
        const [name = '', value = ''] = rest.split('=');
        const env = { ...this.config.env, [name]: this.#expand(value) };
        this.config = { ...this.config, env };
        this.seed.push(JSON.stringify(env));
        return undefined;
      }
      case 'USER':
        this.config = { ...this.config, user: rest };
        return undefined;
      case 'WORKDIR':
        this.config = { ...this.config, workingDir: rest };
        return undefined;
      case 'CMD':
        this.config = { ...this.config, command: words(rest) };
        return undefined;
      case 'ENTRYPOINT':
        this.config = { ...this.config, entrypoint: words(rest), command: [] };
        return undefined;
      case 'ARG':
        return undefined;
      default:
        return `dockerfile parse error: unknown instruction: ${instruction}`;
    }
  }

  /** Knows `echo`, `exit` and `sleep`. */
  async #runCommand(
    command: string,
    onOutput: (text: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    for (const part of command.split(/\s*(?:&&|;)\s*/)) {
      const [program, argument = ''] = /^(\w+)\s*(.*)$/.exec(part)?.slice(1) ?? [];
      if (program === 'echo') await onOutput(`${this.#expand(argument)}\n`);
      else if (program === 'exit') {
        return `The command '/bin/sh -c ${command}' returned a non-zero code: ${argument}`;
      } else if (program === 'sleep') {
        if (!signal.aborted)
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        return 'called off';
      }
    }
    return undefined;
  }

  #expand(text: string): string {
    return text.replace(
      /\$(\w+)/g,
      (_, name: string) => this.spec.buildArgs[name] ?? this.config.env?.[name] ?? '',
    );
  }
}

/** The exec form, or the shell's. */
function words(text: string): string[] {
  return text.startsWith('[') ? (JSON.parse(text) as string[]) : ['/bin/sh', '-c', text];
}

class FakeContainer {
  state: 'created' | 'running' | 'exited' = 'created';
  /** Counts only while it runs. */
  paused = false;
  removed = false;
  exitCode = 0;
  oomKilled = false;
  startedAt: Date | undefined;
  finishedAt: Date | undefined;
  env: Readonly<Record<string, string>> = {};
  files: Files = new Map();
  readonly log: ContainerLogLine[] = [];
  readonly timers: (() => void)[] = [];
  readonly input: Buffer[] = [];
  echoedBytes = 0;
  terminal: TerminalSize | undefined;
  readonly #splitters = { stdout: new LineSplitter(), stderr: new LineSplitter() };
  readonly #outputListeners = new Set<() => void>();
  readonly #attached = new Set<{ stdout: PassThrough; stderr: PassThrough }>();
  #inputEnded = false;
  #onInput: ((ended: boolean) => void) | undefined;
  #waiting: { resolve: (exitCode: number) => void; reject: (error: Error) => void }[] = [];
  #lastPrinted = 0n;
  #frozen: (() => void)[] = [];

  constructor(
    readonly id: ContainerId,
    readonly spec: ContainerSpec,
    readonly imageId: string,
    readonly script: ContainerScript,
    readonly createdAt: Date,
  ) {}

  begin(now: Date): void {
    this.state = 'running';
    this.startedAt = now;
  }

  /** What a paused container would have done comes once it goes on. */
  whenThawed(work: () => void): void {
    this.#frozen.push(work);
  }

  thaw(): void {
    for (const work of this.#frozen.splice(0)) work();
  }

  end(exitCode: number, oomKilled: boolean, now: Date): void {
    this.#frozen = [];
    this.paused = false;
    for (const cancel of this.timers.splice(0)) cancel();
    this.state = 'exited';
    this.exitCode = exitCode;
    this.oomKilled = oomKilled;
    this.finishedAt = now;
    for (const stream of ['stdout', 'stderr'] as const) {
      this.#record(this.#splitters[stream].flush(), stream, this.#lastPrinted);
    }
  }

  run(argv: readonly string[], options: AttachedExecOptions): AttachedCommand {
    const stdin = new PassThrough();
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    for (const stream of [stdin, streams.stdout, streams.stderr]) stream.on('error', () => undefined);
    const command = this.script.command ?? repeatInput;
    const shown = options.terminal === null ? streams : { stdout: streams.stdout, stderr: streams.stdout };
    // Commands end with their container, as if killed.
    const ended = Promise.race([
      command(argv, options, { stdin, ...shown }),
      this.untilEnded().catch(() => 137),
    ]).then((exitCode) => {
      streams.stdout.end();
      streams.stderr.end();
      return exitCode;
    });
    return {
      stdin,
      ...streams,
      exitCode: () => ended,
      close: () => {
        streams.stdout.destroy();
        streams.stderr.destroy();
      },
    };
  }

  /** Tells everyone who waits for the end. */
  settle(): void {
    for (const { stdout, stderr } of this.#attached) {
      stdout.end();
      stderr.end();
    }
    this.#attached.clear();
    if (this.state === 'exited') for (const { resolve } of this.#waiting.splice(0)) resolve(this.exitCode);
    for (const listener of this.#outputListeners) listener();
  }

  untilEnded(): Promise<number> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  failWaiting(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    for (const { stdout, stderr } of this.#attached) {
      stdout.destroy(error);
      stderr.destroy(error);
    }
    this.#attached.clear();
  }

  print(bytes: string | Buffer, stream: 'stdout' | 'stderr', nextNanoseconds: () => bigint): void {
    const chunk = Buffer.from(bytes);
    // A terminal has one output.
    const shown = this.spec.tty ? 'stdout' : stream;
    for (const attached of this.#attached) attached[shown].write(chunk);
    this.#lastPrinted = nextNanoseconds();
    this.#record(this.#splitters[shown].push(chunk), shown, this.#lastPrinted);
  }

  #record(lines: string[], stream: 'stdout' | 'stderr', nanoseconds: bigint): void {
    const at = new Date(Number(nanoseconds / 1_000_000n));
    for (const text of lines) this.log.push({ at, position: formatPosition(nanoseconds), stream, text });
    if (lines.length > 0) for (const listener of this.#outputListeners) listener();
  }

  onOutput(listener: () => void): () => void {
    this.#outputListeners.add(listener);
    return () => void this.#outputListeners.delete(listener);
  }

  attach(withStdin: boolean): Attachment {
    const streams = { stdout: new PassThrough(), stderr: new PassThrough() };
    streams.stdout.on('error', () => undefined);
    streams.stderr.on('error', () => undefined);
    if (this.state === 'exited') {
      streams.stdout.end();
      streams.stderr.end();
    } else this.#attached.add(streams);
    return {
      ...streams,
      ...(withStdin ? { stdin: this.#inputStream() } : {}),
      close: () => {
        this.#attached.delete(streams);
        streams.stdout.destroy();
        streams.stderr.destroy();
      },
    };
  }

  #inputStream(): Writable {
    const input = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (this.state === 'exited') {
          done(new EngineError('not_running', 'the container takes no more input'));
          return;
        }
        this.input.push(chunk);
        this.#onInput?.(false);
        done();
      },
      final: (done) => {
        this.#inputEnded = true;
        this.#onInput?.(true);
        done();
      },
    });
    input.on('error', () => undefined);
    return input;
  }

  /** `listener(false)` when there is input, `listener(true)` at its end; at once for what came before. */
  onInput(listener: (ended: boolean) => void): void {
    this.#onInput = listener;
    if (this.input.length > 0) listener(false);
    if (this.#inputEnded) listener(true);
  }
}

async function repeatInput(
  _argv: readonly string[],
  _options: AttachedExecOptions,
  { stdin, stdout }: { stdin: Readable; stdout: Writable },
): Promise<number> {
  for await (const chunk of stdin) stdout.write(chunk);
  return 0;
}

/** What one reader of logs or events has coming to it. */
class Channel {
  readonly events: EngineEvent[] = [];
  wants: (event: EngineEvent) => boolean = () => false;
  cut = false;
  readonly #signal: AbortSignal | undefined;
  #woken = false;
  #wake: (() => void) | undefined;
  readonly #onAbort = (): void => this.wake();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get aborted(): boolean {
    return this.#signal?.aborted ?? false;
  }

  offer(event: EngineEvent): void {
    if (!this.wants(event)) return;
    this.events.push(event);
    this.wake();
  }

  cutOff(): void {
    this.cut = true;
    this.wake();
  }

  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }

  /** Resolves once there may be something new. */
  async more(): Promise<void> {
    if (!this.#woken) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#woken = false;
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}

function hungUp(): EngineError {
  return new EngineError('unreachable', 'the engine hung up');
}

function notRunning(container: FakeContainer): EngineError {
  return new EngineError('not_running', `container ${container.spec.name} is not running`);
}

function bears(labels: Labels, wanted: Labels): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function qualified(reference: string): string {
  return reference.lastIndexOf(':') > reference.lastIndexOf('/') ? reference : `${reference}:latest`;
}

function mergeConfig(base: ImageConfig, config: ImageConfig): ImageConfig {
  return {
    ...base,
    ...config,
    env: { ...base.env, ...config.env },
    labels: { ...base.labels, ...config.labels },
  };
}

function sizeOf(contents: readonly Buffer[]): number {
  return contents.reduce((sum, content) => sum + content.length, 0);
}

function toImageInfo(image: FakeImage): ImageInfo {
  return {
    id: image.id,
    references: [...image.references],
    labels: image.config.labels ?? {},
    sizeBytes: sizeOf([...image.files.values()]),
    createdAt: image.createdAt,
  };
}

/** A tar's files by absolute path. */
async function unpack(tar: Readable | Buffer): Promise<Files> {
  const files: Files = new Map();
  const entries = extract();
  const source = Buffer.isBuffer(tar) ? Readable.from([tar]) : tar;
  source.once('error', (error) => entries.destroy(error));
  source.pipe(entries);
  try {
    for await (const entry of entries) {
      const content = await buffer(entry);
      if (entry.header.type === 'file') files.set(`/${entry.header.name.replace(/^(\.?\/)+/, '')}`, content);
    }
  } catch (cause) {
    throw new EngineError('other', 'not a tar', { cause });
  }
  return files;
}
