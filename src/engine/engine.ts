import type { Readable, Writable } from 'node:stream';

/**
 * The narrow interface through which dynodock uses a container engine. `DockerEngine` implements it over
 * dockerode, `FakeEngine` (test/support) in memory; test/contract holds one suite that both must pass.
 *
 * Every method rejects with `EngineError` and with nothing else.
 */
export interface ContainerEngine {
  /** Fails with `unreachable` when no engine answers. */
  info(): Promise<EngineInfo>;

  /** Creates the bridge if no network of that name exists; an existing one is taken as it is. */
  ensureNetwork(spec: NetworkSpec): Promise<void>;
  /** The host's own address on a bridge, which containers on it reach. `not_found` if there is no such network. */
  networkGateway(name: string): Promise<string>;
  /** A network that is already gone is success. `conflict` while containers are attached. */
  removeNetwork(name: string): Promise<void>;

  /** `conflict` if the name is taken, `not_found` if the image does not exist. The container is not started. */
  create(spec: ContainerSpec): Promise<ContainerId>;
  /** Starting a running container is success. `port_taken` if somebody else has a port that it publishes. */
  start(id: ContainerId): Promise<void>;
  /** SIGTERM, then SIGKILL after `timeoutMs`; returns when it has ended. A stopped container is success. */
  stop(id: ContainerId, options: { timeoutMs: number }): Promise<void>;
  /**
   * Sends a signal to the container's first process. `not_running` if it has ended. To a paused container only SIGKILL
   * may be sent: what becomes of other signals is up to the engine.
   */
  kill(id: ContainerId, signal: string): Promise<void>;
  /** Freezes all its processes where they are; memory stays. Paused already is success, `not_running` if it has ended. */
  pause(id: ContainerId): Promise<void>;
  /** Lets them go on. A container that is not paused is success; `not_running` if it has ended. */
  unpause(id: ContainerId): Promise<void>;
  /** Removes the container, killing it first if need be, with its anonymous volumes. Gone already is success. */
  remove(id: ContainerId): Promise<void>;
  /** By id or name. `not_found` if there is none. */
  inspect(idOrName: string): Promise<ContainerInfo>;
  /** All containers, in any state, that bear all of `labels`. `startedAt` may be absent here. */
  list(labels: Labels): Promise<ContainerInfo[]>;
  /** Resolves once the container has ended (at once if it has already), rejects with `other` when aborted. */
  wait(id: ContainerId, options?: { signal?: AbortSignal }): Promise<{ exitCode: number }>;

  /** What a running container uses now. `not_running` if it has ended. */
  memory(id: ContainerId): Promise<MemoryUse>;

  /**
   * Runs a command in a running container and collects what it prints (at most 1 MiB of each stream). `not_running`
   * if the container is not, or is paused; `other` after `timeoutMs` (default 60 s), which leaves the command running.
   */
  exec(id: ContainerId, argv: readonly string[], options?: ExecOptions): Promise<ExecResult>;
  /**
   * Runs a command in a running container with its streams in the caller's hands; both outputs must be read. Closing
   * lets the command run on without them: an engine cannot end one. `not_running` if the container is not.
   */
  execAttached(
    id: ContainerId,
    argv: readonly string[],
    options: AttachedExecOptions,
  ): Promise<AttachedCommand>;

  /**
   * The container's output so far and, with `follow`, what comes until it ends. Lines, without the line end; a
   * line longer than 10,000 bytes arrives in pieces of that size, less where a character would be torn (Heroku
   * does the same, Dev Center "Limits"). Aborting the signal ends the iteration without an error. `other` for a
   * container created with `discardLog`.
   */
  logs(id: ContainerId, options: LogOptions): AsyncIterable<ContainerLogLine>;
  /**
   * Byte streams of a container, to be called between create and start so that nothing is missed. Both outputs
   * must be read (or `resume()`d): the container is held up while either is full.
   */
  attach(id: ContainerId, options: { stdin: boolean }): Promise<Attachment>;
  /** Sets the size of a running container's terminal. `not_running` if it has not started yet or has ended. */
  resize(id: ContainerId, size: TerminalSize): Promise<void>;
  /** Unpacks a tar stream below `path` inside the container, which need not be running. */
  putArchive(id: ContainerId, path: string, tar: Readable | Buffer): Promise<void>;

  /**
   * What the engine reports from now on (the call itself subscribes) about containers with all of `labels`. Ends
   * when the engine goes away or the signal is aborted; the first step fails with `unreachable` if there is none.
   */
  events(labels: Labels, options: { signal: AbortSignal }): AsyncIterable<EngineEvent>;

  inspectImage(reference: string): Promise<ImageInfo | undefined>;
  listImages(labels: Labels): Promise<ImageInfo[]>;
  /** Pulls from a registry. `other` when there is none to be reached. */
  pullImage(reference: string): Promise<void>;
  /** Makes an image of one layer from a root file system's tar. */
  importImage(tar: Readable, reference: string, config: ImageConfig): Promise<void>;
  /**
   * Makes an image from a stopped container's file system. The engine keeps the container's own env and labels in
   * it, so a container that was given secrets must not be committed.
   */
  commit(id: ContainerId, reference: string, config: ImageConfig): Promise<void>;
  /** Makes an image that is `base` plus one layer. The same inputs give the same image id where the engine can. */
  addLayer(spec: LayerSpec): Promise<ImageInfo>;
  /**
   * Builds a Dockerfile. The image gets no name; its labels are those of `spec` besides what the Dockerfile says. What is
   * wrong with the build itself is its result, not an error. Aborting the signal ends it, whatever runs in it included.
   */
  buildImage(spec: ImageBuildSpec, context: Readable, options: ImageBuildOptions): Promise<ImageBuildResult>;
  /** How an image runs by itself; undefined without the image. */
  imageConfig(reference: string): Promise<ImageConfig | undefined>;
  /** Gives an image one more reference, which moves here if another image had it. `not_found` without the image. */
  tagImage(reference: string, newReference: string): Promise<void>;
  /** Gone already is success; `conflict` while a container uses it. */
  removeImage(reference: string): Promise<void>;

  /** Creates the named volume if there is none. */
  ensureVolume(name: string, labels: Labels): Promise<void>;
  /** Gone already is success; `conflict` while a container uses it. */
  removeVolume(name: string): Promise<void>;
  listVolumes(labels: Labels): Promise<{ name: string; labels: Labels }[]>;

  /**
   * What images and volumes take on the engine's disk. The engine counts file by file, which takes it seconds where
   * there is much. `conflict` while it counts for somebody else.
   */
  diskUsage(): Promise<DiskUsage>;
}

export type ContainerId = string & { readonly __container: true };
export type Labels = Readonly<Record<string, string>>;

export interface EngineInfo {
  /** e.g. `Docker 20.10.24` */
  name: string;
  operatingSystem: string;
  architecture: string;
  /** Where the engine keeps its data, on the engine's own host. */
  rootDir: string;
  /** Can this process reach a container by its address on a bridge? If not, ports are published on 127.0.0.1. */
  reachability: 'container-address' | 'published-port';
  /** Would a container in its host's network be in this process's own? */
  sharesHostNetwork: boolean;
}

export interface NetworkSpec {
  name: string;
  labels: Labels;
  /** false keeps containers on the bridge from reaching each other. */
  interContainerTraffic: boolean;
}

export interface ContainerSpec {
  name: string;
  image: string;
  /** Replaces the image's entrypoint and command. Absent: what the image says. */
  command?: readonly string[];
  env: Readonly<Record<string, string>>;
  labels: Labels;
  /** `uid:gid` or a user name of the image. */
  user?: string;
  workingDir?: string;
  hostname?: string;
  /**
   * A bridge's name, 'none', 'host', or `container:<id>` to share the network of a running container, its host name and
   * address included (then without `hostname` and `exposePort`).
   */
  network: string;
  /** Run an init as first process, which forwards signals and reaps orphans. */
  init?: boolean;
  tty?: boolean;
  openStdin?: boolean;
  limits?: { memoryBytes?: number; cpuShares?: number; pids?: number };
  mounts?: readonly Mount[];
  /** Drop every capability and forbid gaining privileges. Default true. */
  unprivileged?: boolean;
  /** Keep no log of the output: it is only seen through attach(). */
  discardLog?: boolean;
  /** A TCP port that must be reachable from this process, see ContainerInfo.endpoint. */
  exposePort?: number;
  /** TCP ports that are reached under an address of the engine's host as well. Only on a bridge. */
  publish?: readonly PublishedPort[];
  stopSignal?: string;
}

export interface PublishedPort {
  containerPort: number;
  /** `127.0.0.1`, or a bridge's gateway; never one that other machines reach. */
  hostAddress: string;
  hostPort: number;
}

export type Mount =
  | { kind: 'bind'; source: string; target: string; readOnly: boolean }
  | { kind: 'volume'; source: string; target: string; readOnly: boolean }
  | { kind: 'tmpfs'; target: string; sizeBytes?: number };

export interface ContainerInfo {
  id: ContainerId;
  name: string;
  labels: Labels;
  image: string;
  state: 'created' | 'running' | 'paused' | 'exited';
  /** Set when state is 'exited'. 137 = SIGKILL, 143 = SIGTERM. */
  exitCode?: number;
  oomKilled?: boolean;
  createdAt: Date;
  startedAt?: Date;
  finishedAt?: Date;
  /** Where this process reaches `exposePort`; set while running or paused, and only if a port was exposed. */
  endpoint?: { host: string; port: number };
}

export interface MemoryUse {
  /** Of its processes. */
  rssBytes: number;
  /** Page cache, which the kernel takes back at need. */
  cacheBytes: number;
  swapBytes: number;
}

export interface ExecOptions {
  user?: string;
  env?: Readonly<Record<string, string>>;
  timeoutMs?: number;
}
export interface ExecResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export interface TerminalSize {
  columns: number;
  rows: number;
}

export interface AttachedExecOptions {
  user?: string;
  env?: Readonly<Record<string, string>>;
  /** A terminal of this size; null: pipes. */
  terminal: TerminalSize | null;
}

export interface LogOptions {
  /**
   * Only what was printed after this. A Date counts in whole milliseconds: of the lines of that very millisecond
   * none comes. A line's `position` is exact, and what to resume with.
   */
  since?: Date | string;
  follow: boolean;
  signal?: AbortSignal;
}
export interface ContainerLogLine {
  at: Date;
  /** The engine's own time of the line, `<seconds>.<nanoseconds>` since 1970. */
  position: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

export interface Attachment {
  /** Present only when asked for. */
  stdin?: Writable;
  stdout: Readable;
  /** Empty with a TTY, whose output is all stdout. */
  stderr: Readable;
  close(): void;
}

export interface AttachedCommand extends Attachment {
  stdin: Writable;
  /** Resolves once the command has ended, which is soon after the end of its outputs. */
  exitCode(): Promise<number>;
}

export interface EngineEvent {
  kind: 'start' | 'die' | 'destroy' | 'oom' | 'pause' | 'unpause';
  containerId: ContainerId;
  labels: Labels;
  at: Date;
  /** With 'die'. */
  exitCode?: number;
}

export interface ImageInfo {
  id: string;
  references: string[];
  labels: Labels;
  sizeBytes: number;
  createdAt: Date;
}
export interface DiskUsage {
  /** All images together; what several of them share counts once. */
  imagesBytes: number;
  /** By id: what an image shares with no other one, and which goes with it. */
  images: ReadonlyMap<string, number>;
  /** By name, as far as the engine can tell. */
  volumes: ReadonlyMap<string, number>;
}
export interface ImageConfig {
  env?: Readonly<Record<string, string>>;
  labels?: Labels;
  user?: string;
  workingDir?: string;
  entrypoint?: readonly string[];
  command?: readonly string[];
}
export interface ImageBuildSpec {
  /** Path within the context. */
  dockerfile: string;
  buildArgs: Readonly<Record<string, string>>;
  labels: Labels;
  /** Of what runs while it is built. */
  network: string;
  memoryBytes?: number;
}
export interface ImageBuildOptions {
  /** What the builder and its commands print, as it comes. The build waits until it is taken. */
  onOutput: (text: string) => Promise<void>;
  signal: AbortSignal;
}
export type ImageBuildResult = {
  /** Images without a name that earlier stages have left, or the one that failed: they only speed up the next build. */
  stages: readonly string[];
} & (
  | { outcome: 'built'; imageId: string }
  /** `step`: the instruction that failed, if it came to one. */
  | { outcome: 'failed'; reason: string; step: string | null }
  | { outcome: 'called-off' }
);

export interface LayerSpec {
  /** Reference or id of an image the engine has. */
  base: string;
  reference: string;
  /** File with an uncompressed tar; its paths are relative to the image's root. */
  layerTarPath: string;
  /** Of that file, where it is known: `diffId` is `sha256:<hex>`. Absent: the file is read once more. */
  layer?: { diffId: string; sizeBytes: number };
  /** Added to the base's own configuration. */
  config: ImageConfig;
  /** Recorded as the image's creation time, so that it does not vary. */
  createdAt: Date;
}

export type EngineErrorKind =
  'not_found' | 'conflict' | 'not_running' | 'unreachable' | 'no_space' | 'port_taken' | 'other';

export class EngineError extends Error {
  override readonly name = 'EngineError';
  constructor(
    readonly kind: EngineErrorKind,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/**
 * For steps that only want an end state: swallows the named kinds, which say that it already holds.
 * `await engine.stop(id, { timeoutMs }).catch(ignoring('not_found'))`
 */
export function ignoring(...kinds: EngineErrorKind[]): (error: unknown) => void {
  return (error) => {
    if (error instanceof EngineError && kinds.includes(error.kind)) return;
    throw error;
  };
}
