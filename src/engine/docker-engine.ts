import { isIPv4 } from 'node:net';
import { release } from 'node:os';
import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { Writable, type Duplex, type Readable } from 'node:stream';
import { inspect } from 'node:util';
import Docker from 'dockerode';
import {
  fromInspect,
  fromList,
  toCreateBody,
  toMemoryUse,
  toState,
  visibleLabels,
  type InspectReply,
  type ListReply,
  type StatsReply,
} from './docker-container';
import { statusOf, toEngineError } from './docker-errors';
import {
  EngineError,
  ignoring,
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
} from './engine';
import type { EngineAddress } from './engine-location';
import { demultiplex, framesOf, undivided } from './frames';
import {
  buildContext,
  deriveImage,
  loadArchive,
  measureLayer,
  mergeConfig,
  toInstructions,
  type BaseImage,
  type HistoryEntry,
  type NewLayer,
} from './image-archive';
import { BuildProgress, type BuildMessage } from './image-build';
import { jsonLines } from './json-stream';
import { formatPosition, lastExcluded, linesOf, unframed } from './log-lines';

export interface DockerEngineOptions {
  /** Overrides what `info()` would find out. */
  reachability?: EngineInfo['reachability'];
  /**
   * How addLayer makes its image. `load`: hands the engine the finished image with the one new layer; fast, and the
   * same inputs give the same id. `build`: a Dockerfile, which every engine understands. Absent: load, and build
   * once the engine has refused that.
   */
  layerStrategy?: 'load' | 'build';
  /** For calls that neither move data nor wait for a container. */
  callTimeoutMs?: number;
  /** This process's own host, to compare the engine's with. */
  host?: { platform: string; kernelRelease: string };
}

const CALL_TIMEOUT_MS = 60_000;
/** For calls that move whole images, over slow disks or networks. */
const TRANSFER_TIMEOUT_MS = 30 * 60_000;
const EXEC_OUTPUT_BYTES = 1024 * 1024;
const CONCURRENT_INSPECTIONS = 8;
const REMOVAL_POLL_MS = 100;

/** What Docker adds to a container's labels in an event's attributes. */
const EVENT_ATTRIBUTES = new Set(['image', 'name', 'exitCode', 'signal', 'execID', 'execDuration']);

/** A connection to the engine that has answered: a response, or a raw socket after an upgrade. */
type Connection = Duplex | IncomingMessage;

/**
 * Docker's API (https://docs.docker.com/reference/api/engine/) through dockerode; Podman's service, which imitates
 * it, works as well. Holds no connection between calls, so there is nothing to close.
 */
export class DockerEngine implements ContainerEngine {
  readonly #docker: Docker;
  readonly #options: DockerEngineOptions;
  readonly #callTimeoutMs: number;
  readonly #isLocalSocket: boolean;
  readonly #networkCalls = new Map<string, Promise<void>>();
  #reachability: EngineInfo['reachability'] | undefined;
  #layerStrategy: 'load' | 'build' | undefined;

  constructor(address: EngineAddress, options: DockerEngineOptions = {}) {
    this.#docker = connect(address);
    this.#options = options;
    this.#callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    this.#reachability = options.reachability;
    this.#layerStrategy = options.layerStrategy;
    this.#isLocalSocket = 'socketPath' in address;
  }

  async info(): Promise<EngineInfo> {
    const [info, version] = await this.#bounded('ask the engine about itself', () =>
      Promise.all([
        this.#docker.info() as Promise<InfoReply>,
        this.#docker.version() as unknown as Promise<VersionReply>,
      ]),
    );
    this.#reachability ??= this.#findReachability(info);
    const isPodman = version.Components?.some((component) => component.Name.includes('Podman')) ?? false;
    return {
      name: `${isPodman ? 'Podman' : 'Docker'} ${version.Version}`,
      operatingSystem: info.OperatingSystem,
      architecture: info.Architecture,
      rootDir: info.DockerRootDir,
      reachability: this.#reachability,
      // Where user ids are mapped, the engine gives no container its host's network.
      sharesHostNetwork:
        this.#reachability === 'container-address' &&
        !(info.SecurityOptions ?? []).some((option) => option.includes('userns')),
    };
  }

  /**
   * A container's bridge address is routed in the network namespace of the engine's own host only. That is ours if
   * this is Linux, the engine answers on a local socket, and it runs neither in a virtual machine (Docker Desktop
   * names itself as the operating system; any other shows in its kernel) nor in a user's own network namespace
   * (rootless). In all other cases ports are published.
   */
  #findReachability(info: InfoReply): EngineInfo['reachability'] {
    const host = this.#options.host ?? { platform: process.platform, kernelRelease: release() };
    const sameHost =
      host.platform === 'linux' &&
      this.#isLocalSocket &&
      info.OperatingSystem !== 'Docker Desktop' &&
      info.KernelVersion === host.kernelRelease &&
      !(info.SecurityOptions ?? []).some((option) => option.includes('rootless'));
    return sameHost ? 'container-address' : 'published-port';
  }

  async #knownReachability(): Promise<EngineInfo['reachability']> {
    return this.#reachability ?? (await this.info()).reachability;
  }

  // Networks

  async ensureNetwork(spec: NetworkSpec): Promise<void> {
    // One at a time per name: the engine's own check for duplicates lets two simultaneous calls both pass.
    const running = this.#networkCalls.get(spec.name);
    if (running !== undefined) return running;
    const call = this.#createNetwork(spec).finally(() => this.#networkCalls.delete(spec.name));
    this.#networkCalls.set(spec.name, call);
    return call;
  }

  async #createNetwork(spec: NetworkSpec): Promise<void> {
    const doing = `create network ${spec.name}`;
    if ((await this.#networksNamed(spec.name)).length > 0) return;
    let ownId: string;
    try {
      const network = await this.#bounded(doing, (abortSignal) =>
        this.#docker.createNetwork({
          Name: spec.name,
          CheckDuplicate: true,
          Driver: 'bridge',
          Labels: { ...spec.labels },
          Options: { 'com.docker.network.bridge.enable_icc': String(spec.interContainerTraffic) },
          abortSignal,
        }),
      );
      ownId = network.id;
    } catch (error) {
      ignoring('conflict')(error);
      return;
    }
    // Another process may have made one in the same moment. A name borne by two networks is of no use to anybody,
    // so all but the oldest withdraw.
    const [oldest, ...others] = (await this.#networksNamed(spec.name)).sort(
      (a, b) => a.Created.localeCompare(b.Created) || a.Id.localeCompare(b.Id),
    );
    if (others.length > 0 && oldest?.Id !== ownId) await this.removeNetwork(ownId);
  }

  async #networksNamed(name: string): Promise<Docker.NetworkInspectInfo[]> {
    const found = await this.#bounded('list networks', (abortSignal) =>
      this.#docker.listNetworks({ filters: { name: [name] }, abortSignal }),
    );
    // The engine's filter also finds names that only contain this one.
    return found.filter((network) => network.Name === name);
  }

  async networkGateway(name: string): Promise<string> {
    const doing = `ask for the gateway of network ${name}`;
    const network = await this.#bounded(
      doing,
      () => this.#docker.getNetwork(name).inspect() as Promise<NetworkReply>,
    );
    const gateway = network.IPAM?.Config?.find(
      ({ Gateway }) => Gateway !== undefined && isIPv4(Gateway),
    )?.Gateway;
    if (gateway === undefined) throw new EngineError('other', `cannot ${doing}: the engine names none`);
    return gateway;
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#bounded(`remove network ${name}`, (abortSignal) =>
      this.#docker.getNetwork(name).remove({ abortSignal }),
    ).catch(ignoring('not_found'));
  }

  // Containers

  async create(spec: ContainerSpec): Promise<ContainerId> {
    const body = toCreateBody(spec, await this.#knownReachability());
    const container = await this.#bounded(`create container ${spec.name}`, (abortSignal) =>
      // The body apart from the query: otherwise dockerode repeats it, environment and all, in the URL.
      this.#docker.createContainer({
        _query: { name: spec.name },
        _body: body,
        abortSignal,
      } as Docker.ContainerCreateOptions),
    );
    return container.id as ContainerId;
  }

  async start(id: ContainerId): Promise<void> {
    await this.#bounded(`start container ${id}`, (abortSignal) =>
      this.#docker.getContainer(id).start({ abortSignal }).catch(ifAlreadySo),
    );
  }

  async stop(id: ContainerId, options: { timeoutMs: number }): Promise<void> {
    const seconds = Math.ceil(options.timeoutMs / 1000);
    await this.#bounded(
      `stop container ${id}`,
      (abortSignal) => this.#docker.getContainer(id).stop({ t: seconds, abortSignal }).catch(ifAlreadySo),
      seconds * 1000 + this.#callTimeoutMs,
    );
  }

  async kill(id: ContainerId, signal: string): Promise<void> {
    await this.#bounded(`send ${signal} to container ${id}`, (abortSignal) =>
      this.#docker.getContainer(id).kill({ signal, abortSignal }),
    );
  }

  async pause(id: ContainerId): Promise<void> {
    await this.#bounded(`pause container ${id}`, (abortSignal) =>
      this.#docker.getContainer(id).pause({ abortSignal }),
    ).catch(async (error: unknown) => this.#acceptIf('paused', id, error));
  }

  async unpause(id: ContainerId): Promise<void> {
    await this.#bounded(`unpause container ${id}`, (abortSignal) =>
      this.#docker.getContainer(id).unpause({ abortSignal }),
    ).catch(async (error: unknown) => this.#acceptIf('running', id, error));
  }

  /** Engines say in many words that nothing was to be done (Docker with status 500): its state says it for sure. */
  async #acceptIf(wanted: ContainerInfo['state'], id: ContainerId, error: unknown): Promise<void> {
    if (error instanceof EngineError && (error.kind === 'not_found' || error.kind === 'unreachable'))
      throw error;
    const { state } = await this.inspect(id);
    if (state === wanted) return;
    if (state === 'exited' || state === 'created') {
      throw new EngineError('not_running', `container ${id} is not running`, { cause: error });
    }
    throw error;
  }

  async remove(id: ContainerId): Promise<void> {
    try {
      await this.#bounded(`remove container ${id}`, (abortSignal) =>
        this.#docker.getContainer(id).remove({ force: true, v: true, abortSignal }),
      );
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'not_found') return;
      if (!(error instanceof EngineError && /already in progress/.test(error.message))) throw error;
      await this.#untilGone(id);
    }
  }

  /** Someone else is removing it: its name is free only when that is done. */
  async #untilGone(id: ContainerId): Promise<void> {
    await this.#bounded(`remove container ${id}`, async (abortSignal) => {
      while (!abortSignal.aborted) {
        try {
          await this.#docker.getContainer(id).inspect(abortable(abortSignal));
        } catch (error) {
          if (statusOf(error) === 404) return;
          throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, REMOVAL_POLL_MS));
      }
    });
  }

  async inspect(idOrName: string): Promise<ContainerInfo> {
    return fromInspect(await this.#inspectRaw(idOrName), await this.#knownReachability());
  }

  #inspectRaw(idOrName: string): Promise<InspectReply> {
    return this.#bounded(`inspect container ${idOrName}`, (abortSignal) =>
      this.#docker.getContainer(idOrName).inspect(abortable(abortSignal)),
    );
  }

  async list(labels: Labels): Promise<ContainerInfo[]> {
    const reachability = await this.#knownReachability();
    const replies = await this.#bounded('list containers', (abortSignal) =>
      this.#docker.listContainers({ all: true, filters: { label: labelFilter(labels) }, abortSignal }),
    );
    const infos = await mapConcurrently(replies as ListReply[], CONCURRENT_INSPECTIONS, async (reply) => {
      if (toState(reply.State) !== 'exited') return fromList(reply, reachability);
      // How it ended is only said one by one; one that has been removed meanwhile belongs to the list no more.
      try {
        return fromInspect(await this.#inspectRaw(reply.Id), reachability);
      } catch (error) {
        ignoring('not_found')(error);
        return undefined;
      }
    });
    return infos.filter((info) => info !== undefined);
  }

  async wait(id: ContainerId, options: { signal?: AbortSignal } = {}): Promise<{ exitCode: number }> {
    const doing = `wait for container ${id}`;
    const ended = (reply: InspectReply): boolean => toState(reply.State.Status) === 'exited';
    const before = await this.#inspectRaw(id);
    if (ended(before)) return { exitCode: before.State.ExitCode };
    // For the engine a container that never ran is "not running", which is not what is being waited for.
    const condition = toState(before.State.Status) === 'created' ? 'next-exit' : 'not-running';
    const connection = await this.#dial(doing, {
      method: 'POST',
      path: `/containers/${encodeURIComponent(id)}/wait?`,
      query: { condition },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    try {
      // It may have come and gone before the engine took note of our waiting.
      const now = await this.#inspectRaw(id);
      if (ended(now)) return { exitCode: now.State.ExitCode };
      for await (const reply of jsonLines(this.#read(doing, connection, options.signal))) {
        const { StatusCode: exitCode, Error: problem } = reply as WaitReply;
        if (problem?.Message) throw new EngineError('other', `cannot ${doing}: ${problem.Message}`);
        return { exitCode };
      }
    } catch (error) {
      throw toEngineError(doing, error);
    } finally {
      connection.destroy();
    }
    if (options.signal?.aborted) throw new EngineError('other', `${doing}: called off`);
    throw new EngineError('unreachable', `cannot ${doing}: the engine hung up`);
  }

  async memory(id: ContainerId): Promise<MemoryUse> {
    const doing = `measure container ${id}`;
    const stats = (await this.#bounded(doing, (abortSignal) =>
      // One shot: without it the engine waits a second for a second sample of the CPU.
      this.#docker.getContainer(id).stats({ stream: false, 'one-shot': true, ...abortable(abortSignal) }),
    )) as unknown as StatsReply;
    return toMemoryUse(stats, doing);
  }

  async exec(id: ContainerId, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const doing = `run ${argv[0] ?? ''} in container ${id}`;
    const exec = await this.#bounded(doing, (abortSignal) =>
      this.#docker.getContainer(id).exec({
        Cmd: [...argv],
        AttachStdout: true,
        AttachStderr: true,
        ...(options.user === undefined ? {} : { User: options.user }),
        Env: Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
        abortSignal,
      }),
    );
    const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
    const deadline = AbortSignal.timeout(timeoutMs);
    const output = { stdout: new CappedOutput(), stderr: new CappedOutput() };
    const connection = (await this.#bounded(doing, (abortSignal) =>
      exec.start({ Detach: false, Tty: false, abortSignal }),
    )) as Connection;
    for await (const frame of framesOf(this.#read(doing, connection, deadline))) {
      output[frame.stream].add(frame.payload);
    }
    if (deadline.aborted) throw new EngineError('other', `${doing}: not done after ${timeoutMs} ms`);
    const exitCode = await this.#exitCodeOf(exec, doing);
    return { exitCode, stdout: output.stdout.text(), stderr: output.stderr.text() };
  }

  async execAttached(
    id: ContainerId,
    argv: readonly string[],
    options: AttachedExecOptions,
  ): Promise<AttachedCommand> {
    const doing = `run ${argv[0] ?? ''} in container ${id}`;
    const tty = options.terminal !== null;
    const exec = await this.#bounded(doing, (abortSignal) =>
      this.#docker.getContainer(id).exec({
        Cmd: [...argv],
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        Tty: tty,
        ...(options.user === undefined ? {} : { User: options.user }),
        Env: Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
        abortSignal,
      }),
    );
    const connection = await this.#bounded(doing, (abortSignal) =>
      exec.start({ Detach: false, Tty: tty, hijack: true, stdin: true, abortSignal }),
    );
    if (options.terminal !== null) {
      const { columns, rows } = options.terminal;
      // One that has ended by now needs no size any more.
      await this.#bounded(doing, (abortSignal) => exec.resize({ w: columns, h: rows, abortSignal })).catch(
        ignoring('not_found', 'not_running'),
      );
    }
    return {
      ...this.#attachment(connection, { tty, stdin: false }),
      stdin: inputTo(connection),
      exitCode: () => this.#exitCodeOf(exec, doing),
    };
  }

  async resize(id: ContainerId, size: TerminalSize): Promise<void> {
    await this.#bounded(`resize the terminal of container ${id}`, (abortSignal) =>
      this.#docker.getContainer(id).resize({ w: size.columns, h: size.rows, abortSignal }),
    );
  }

  /** The output ends a moment before the engine has recorded the exit code. */
  async #exitCodeOf(exec: Docker.Exec, doing: string): Promise<number> {
    return this.#bounded(doing, async (abortSignal) => {
      for (;;) {
        abortSignal.throwIfAborted();
        const { Running, ExitCode } = await exec.inspect({ abortSignal });
        if (!Running && ExitCode !== null) return ExitCode;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
  }

  async *logs(id: ContainerId, options: LogOptions): AsyncGenerator<ContainerLogLine> {
    const { signal } = options;
    const doing = `read the logs of container ${id}`;
    try {
      let last = lastExcluded(options.since);
      const tty = (await this.#inspectRaw(id)).Config.Tty;
      for await (const line of this.#logLines(doing, id, { ...options, tty, after: last })) {
        const position = lastExcluded(line.position);
        if (position > last) last = position;
        yield line;
      }
      if (!options.follow || signal?.aborted) return;
      // Docker before 23 may end a followed log without its very last lines. Once the container counts as ended, the
      // log is complete, and the rest is read in a second go.
      try {
        await this.wait(id, signal === undefined ? {} : { signal });
        yield* this.#logLines(doing, id, { ...options, follow: false, tty, after: last });
      } catch (error) {
        // Removed while it was followed, and its log with it.
        ignoring('not_found')(error);
      }
    } catch (error) {
      if (signal?.aborted) return;
      throw toEngineError(doing, error);
    }
  }

  async *#logLines(
    doing: string,
    id: ContainerId,
    options: { after: bigint; follow: boolean; tty: boolean; signal?: AbortSignal },
  ): AsyncGenerator<ContainerLogLine> {
    const { after, follow, signal } = options;
    if (signal?.aborted) return;
    const connection = await this.#dial(doing, {
      method: 'GET',
      path: `/containers/${encodeURIComponent(id)}/logs?`,
      query: {
        stdout: true,
        stderr: true,
        timestamps: true,
        follow,
        // Inclusive at the engine's side; linesOf leaves out what must not be repeated.
        ...(after < 0n ? {} : { since: formatPosition(after) }),
      },
      ...(signal === undefined ? {} : { signal }),
    });
    const bytes = this.#read(doing, connection, signal);
    yield* linesOf(options.tty ? unframed(bytes) : framesOf(bytes), after);
  }

  async attach(id: ContainerId, options: { stdin: boolean }): Promise<Attachment> {
    const doing = `attach to container ${id}`;
    const { Config } = await this.#inspectRaw(id);
    const connection = await this.#dial(doing, {
      method: 'POST',
      path: `/containers/${encodeURIComponent(id)}/attach?`,
      query: { stream: true, stdin: options.stdin, stdout: true, stderr: true },
      hijack: true,
      openStdin: options.stdin,
    });
    return this.#attachment(connection, { tty: Config.Tty, stdin: options.stdin });
  }

  #attachment(connection: Connection, options: { tty: boolean; stdin: boolean }): Attachment {
    // Failures reach the outputs; this listener only keeps the same error from being thrown on the socket itself.
    connection.on('error', () => undefined);
    const outputs = options.tty ? undivided(connection) : demultiplex(connection);
    return {
      ...outputs,
      ...(options.stdin ? { stdin: inputTo(connection as Duplex) } : {}),
      close: () => {
        outputs.stdout.destroy();
        outputs.stderr.destroy();
        connection.destroy();
      },
    };
  }

  async putArchive(id: ContainerId, path: string, tar: Readable | Buffer): Promise<void> {
    await this.#uploading(`unpack files in container ${id}`, tar, (abortSignal) =>
      this.#docker.getContainer(id).putArchive(tar, { path, abortSignal }),
    );
  }

  events(labels: Labels, options: { signal: AbortSignal }): AsyncIterable<EngineEvent> {
    const doing = 'follow the engine’s events';
    const connecting = this.#dial(doing, {
      method: 'GET',
      path: '/events?',
      query: {
        filters: {
          type: ['container'],
          event: ['start', 'die', 'destroy', 'oom', 'pause', 'unpause'],
          label: labelFilter(labels),
        },
      },
      signal: options.signal,
    });
    // A failure is thrown at whoever iterates, which may be later than it happens.
    connecting.catch(() => undefined);
    return this.#events(doing, connecting, options.signal);
  }

  async *#events(
    doing: string,
    connecting: Promise<Connection>,
    signal: AbortSignal,
  ): AsyncGenerator<EngineEvent> {
    let connection: Connection;
    try {
      connection = await connecting;
    } catch (error) {
      if (signal.aborted) return;
      throw toEngineError(doing, error);
    }
    try {
      for await (const reply of jsonLines(this.#read(doing, connection, signal))) {
        const event = toEvent(reply as EventReply);
        if (event !== undefined) yield event;
      }
    } catch (error) {
      // The engine went away, perhaps in the middle of a line: the end of its events, as promised.
      if (error instanceof SyntaxError) return;
      ignoring('unreachable')(error);
    }
  }

  // Images

  async inspectImage(reference: string): Promise<ImageInfo | undefined> {
    try {
      const image = await this.#bounded(`inspect image ${reference}`, () =>
        this.#docker.getImage(reference).inspect(),
      );
      return {
        id: image.Id,
        references: realReferences(image.RepoTags),
        // An image without a configuration of its own has null here, whatever the type says.
        labels: visibleLabels((image.Config as typeof image.Config | null)?.Labels),
        sizeBytes: image.Size,
        createdAt: new Date(image.Created),
      };
    } catch (error) {
      ignoring('not_found')(error);
      return undefined;
    }
  }

  async listImages(labels: Labels): Promise<ImageInfo[]> {
    const images = await this.#bounded('list images', (abortSignal) =>
      this.#docker.listImages({ filters: { label: labelFilter(labels) }, abortSignal }),
    );
    return images.map((image) => ({
      id: image.Id,
      references: realReferences(image.RepoTags),
      labels: visibleLabels(image.Labels),
      sizeBytes: image.Size,
      createdAt: new Date(image.Created * 1000),
    }));
  }

  async tagImage(reference: string, newReference: string): Promise<void> {
    const { repo, tag } = splitReference(newReference);
    await this.#bounded(`tag image ${reference}`, (abortSignal) =>
      this.#docker.getImage(reference).tag({ repo, tag, abortSignal }),
    );
  }

  async pullImage(reference: string): Promise<void> {
    await this.#progress(`pull image ${reference}`, (abortSignal) =>
      this.#docker.pull(reference, { abortSignal }),
    );
  }

  async imageConfig(reference: string): Promise<ImageConfig | undefined> {
    try {
      const { Config } = await this.#bounded(`inspect image ${reference}`, () =>
        this.#docker.getImage(reference).inspect(),
      );
      return toImageConfig(Config as ConfigReply | null);
    } catch (error) {
      ignoring('not_found')(error);
      return undefined;
    }
  }

  async buildImage(
    spec: ImageBuildSpec,
    context: Readable,
    { onOutput, signal }: ImageBuildOptions,
  ): Promise<ImageBuildResult> {
    const doing = 'build an image';
    let connection: NodeJS.ReadableStream;
    // dockerode sends what it is given and would wait for the rest of a context that broke off.
    const broken = new AbortController();
    context.once('error', () => broken.abort());
    try {
      connection = await this.#docker.buildImage(context, {
        dockerfile: spec.dockerfile,
        buildargs: { ...spec.buildArgs },
        labels: { ...spec.labels },
        networkmode: spec.network,
        ...(spec.memoryBytes === undefined ? {} : { memory: spec.memoryBytes, memswap: spec.memoryBytes }),
        rm: true,
        forcerm: true,
        abortSignal: AbortSignal.any([signal, broken.signal]),
      });
    } catch (error) {
      if (signal.aborted) return { outcome: 'called-off', stages: [] };
      const { errored } = context;
      context.destroy();
      if (errored) throw new EngineError('other', `cannot ${doing}: ${errored.message}`, { cause: errored });
      // What it says of the request itself: a Dockerfile that is none, or is not there.
      const status = statusOf(error);
      const failure = toEngineError(doing, error);
      if (failure.kind === 'other' && (status === 400 || status === 500)) {
        const reason = failure.message.replace(/^.*?\(HTTP code \d+\).*? - /s, '').trim();
        return { outcome: 'failed', reason, step: null, stages: [] };
      }
      throw failure;
    }
    const progress = new BuildProgress(spec.labels);
    for await (const message of jsonLines(this.#read(doing, connection as Connection, signal))) {
      const text = progress.take(message as BuildMessage);
      if (text !== '') await onOutput(text);
    }
    if (signal.aborted) return { outcome: 'called-off', stages: progress.stages };
    const result = progress.result();
    if (result === undefined) throw new EngineError('unreachable', `cannot ${doing}: the engine hung up`);
    if (result.outcome === 'failed' && /no space left on device/i.test(result.reason)) {
      throw new EngineError('no_space', `cannot ${doing}: ${result.reason}`);
    }
    return result;
  }

  async importImage(tar: Readable, reference: string, config: ImageConfig): Promise<void> {
    const doing = `import image ${reference}`;
    await this.#uploading(doing, tar, async (abortSignal) => {
      const { repo, tag } = splitReference(reference);
      const changes = toInstructions(config);
      await drainProgress(
        doing,
        await this.#docker.importImage(tar, { repo, tag, changes, abortSignal }),
        abortSignal,
      );
    });
  }

  async commit(id: ContainerId, reference: string, config: ImageConfig): Promise<void> {
    const { repo, tag } = splitReference(reference);
    await this.#bounded(
      `commit container ${id}`,
      (abortSignal) =>
        this.#docker.getContainer(id).commit({
          _query: { container: id, repo, tag },
          _body: mergeConfig({}, config),
          abortSignal,
        }),
      TRANSFER_TIMEOUT_MS,
    );
  }

  async addLayer(spec: LayerSpec): Promise<ImageInfo> {
    const doing = `add a layer to image ${spec.base}`;
    const base = await this.#bounded(doing, () => this.#docker.getImage(spec.base).inspect());
    const layer = await measureLayer(spec.layerTarPath, spec.layer).catch((cause: unknown) => {
      // Said here, because a file that is missing on our side is no sign of a missing engine.
      throw new EngineError('other', `cannot ${doing}: its file cannot be read`, { cause });
    });
    if (this.#layerStrategy === 'build') return this.#buildLayer(doing, base.Id, layer, spec);
    try {
      return await this.#loadLayer(doing, base as unknown as BaseImage, layer, spec);
    } catch (refusal) {
      const refused = refusal instanceof EngineError && refusal.kind === 'other';
      if (!refused || this.#layerStrategy === 'load') throw refusal;
      const image = await this.#buildLayer(doing, base.Id, layer, spec).catch((error: unknown) => {
        const failure = toEngineError(doing, error);
        throw new EngineError(failure.kind, failure.message, {
          cause: new AggregateError([refusal, failure], 'neither load nor build'),
        });
      });
      this.#layerStrategy = 'build';
      return image;
    }
  }

  async #loadLayer(doing: string, base: BaseImage, layer: NewLayer, spec: LayerSpec): Promise<ImageInfo> {
    const history = (await this.#bounded(doing, () =>
      this.#docker.getImage(base.Id).history(),
    )) as HistoryEntry[];
    const image = deriveImage(base, history, layer, spec.config, spec.createdAt);
    const { repo, tag } = splitReference(spec.reference);
    await this.#progress(doing, (abortSignal) =>
      this.#docker.loadImage(loadArchive(image, `${repo}:${tag}`, layer, spec.createdAt), {
        quiet: true,
        abortSignal,
      }),
    );
    const loaded = await this.inspectImage(spec.reference);
    if (loaded?.id !== image.id) {
      throw new EngineError('other', `cannot ${doing}: the engine made another image of what it loaded`);
    }
    return loaded;
  }

  async #buildLayer(doing: string, baseId: string, layer: NewLayer, spec: LayerSpec): Promise<ImageInfo> {
    let context: Readable;
    try {
      context = buildContext(baseId, layer, spec.config, spec.createdAt);
    } catch (error) {
      throw toEngineError(doing, error);
    }
    await this.#progress(doing, (abortSignal) =>
      this.#docker.buildImage(context, {
        t: spec.reference,
        rm: true,
        forcerm: true,
        networkmode: 'none',
        abortSignal,
      }),
    );
    const built = await this.inspectImage(spec.reference);
    if (built === undefined) throw new EngineError('other', `cannot ${doing}: the engine built nothing`);
    return built;
  }

  async removeImage(reference: string): Promise<void> {
    await this.#bounded(`remove image ${reference}`, (abortSignal) =>
      this.#docker.getImage(reference).remove({ abortSignal }),
    ).catch(ignoring('not_found'));
  }

  // Volumes

  async ensureVolume(name: string, labels: Labels): Promise<void> {
    await this.#bounded(`create volume ${name}`, (abortSignal) =>
      this.#docker.createVolume({ Name: name, Labels: { ...labels }, abortSignal }),
    );
  }

  async removeVolume(name: string): Promise<void> {
    await this.#bounded(`remove volume ${name}`, (abortSignal) =>
      this.#docker.getVolume(name).remove({ abortSignal }),
    ).catch(ignoring('not_found'));
  }

  async listVolumes(labels: Labels): Promise<{ name: string; labels: Labels }[]> {
    const { Volumes } = await this.#bounded('list volumes', (abortSignal) =>
      this.#docker.listVolumes({ filters: { label: labelFilter(labels) }, abortSignal }),
    );
    // null, not empty, from an engine that has none.
    const volumes = Volumes as typeof Volumes | null;
    return (volumes ?? []).map((volume) => ({ name: volume.Name, labels: visibleLabels(volume.Labels) }));
  }

  async diskUsage(): Promise<DiskUsage> {
    const { LayersSize, Images, Volumes } = await this.#bounded('measure disk usage', async (abortSignal) => {
      // dockerode takes options here too, which its types do not know.
      const docker = this.#docker as unknown as { df(options: object): Promise<DiskUsageReply> };
      return docker.df({ abortSignal });
    });
    return {
      imagesBytes: LayersSize ?? 0,
      images: new Map((Images ?? []).map(({ Id, Size, SharedSize }) => [Id, Size - Math.max(SharedSize, 0)])),
      volumes: new Map(
        (Volumes ?? []).flatMap(({ Name, UsageData }) =>
          // -1 where the volume's driver cannot tell.
          UsageData == null || UsageData.Size < 0 ? [] : [[Name, UsageData.Size]],
        ),
      ),
    };
  }

  // Calls

  /**
   * Runs one call, for at most `timeoutMs`; everything it throws becomes an EngineError. The race matters: not every
   * call of dockerode's settles when it is aborted.
   */
  async #bounded<T>(
    doing: string,
    call: (abortSignal: AbortSignal) => Promise<T>,
    timeoutMs = this.#callTimeoutMs,
  ): Promise<T> {
    const abort = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const expired = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new EngineError('unreachable', `cannot ${doing}: no answer in ${timeoutMs} ms`));
        abort.abort();
      }, timeoutMs);
    });
    try {
      return await Promise.race([call(abort.signal), expired]);
    } catch (error) {
      throw toEngineError(doing, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** As #bounded, for a call that sends `data`, which is given up when the call fails. */
  async #uploading(
    doing: string,
    data: Readable | Buffer,
    call: (abortSignal: AbortSignal) => Promise<unknown>,
  ): Promise<void> {
    try {
      await this.#bounded(doing, call, TRANSFER_TIMEOUT_MS);
    } catch (error) {
      if (Buffer.isBuffer(data)) throw error;
      const { errored } = data;
      data.destroy();
      // The source failed, not the engine, whatever its error's code looks like.
      if (errored) throw new EngineError('other', `cannot ${doing}: ${errored.message}`, { cause: errored });
      throw error;
    }
  }

  /** A call that answers with a stream of progress messages, one of which may be an error. */
  async #progress(
    doing: string,
    call: (abortSignal: AbortSignal) => Promise<NodeJS.ReadableStream>,
  ): Promise<void> {
    await this.#bounded(
      doing,
      async (abortSignal) => drainProgress(doing, await call(abortSignal), abortSignal),
      TRANSFER_TIMEOUT_MS,
    );
  }

  /**
   * A call whose answer is a stream. dockerode's own methods either buffer such an answer whole (logs without
   * follow) or hang when it is cut off (wait), so this goes to its transport, which does the same for both.
   */
  async #dial(doing: string, call: Dial): Promise<Connection> {
    return this.#bounded(
      doing,
      (abortSignal) =>
        new Promise<Connection>((resolve, reject) => {
          const giveUp = (): void => {
            call.signal?.removeEventListener('abort', giveUp);
            reject(new EngineError('other', `${doing}: called off`));
          };
          if (call.signal?.aborted) {
            giveUp();
            return;
          }
          call.signal?.addEventListener('abort', giveUp, { once: true });
          const settle = (error: unknown, connection: unknown): void => {
            call.signal?.removeEventListener('abort', giveUp);
            if (error !== null && error !== undefined) reject(toEngineError(doing, error));
            // Too late to be of use to anybody.
            else if (call.signal?.aborted || abortSignal.aborted) (connection as Connection).destroy();
            else resolve(connection as Connection);
          };
          this.#docker.modem.dial(
            {
              method: call.method,
              path: call.path,
              // For a POST also the body: without one the headers of an attach with input are never sent.
              options: call.query,
              isStream: true,
              hijack: call.hijack ?? false,
              openStdin: call.openStdin ?? false,
              statusCodes: { 101: true, 200: true },
            },
            settle,
          );
        }),
    );
  }

  /** The bytes of an answer, until it ends or `signal` is aborted; closes the connection when no longer iterated. */
  async *#read(doing: string, connection: Connection, signal?: AbortSignal): AsyncGenerator<Buffer> {
    const giveUp = (): void => {
      connection.destroy();
    };
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      yield* connection as AsyncIterable<Buffer>;
    } catch (error) {
      if (signal?.aborted) return;
      throw toEngineError(doing, error);
    } finally {
      signal?.removeEventListener('abort', giveUp);
      connection.destroy();
    }
  }
}

interface Dial {
  method: 'GET' | 'POST';
  path: string;
  query: Record<string, unknown>;
  hijack?: boolean;
  openStdin?: boolean;
  signal?: AbortSignal;
}

interface ConfigReply {
  Env?: string[] | null;
  Labels?: Labels | null;
  User?: string;
  WorkingDir?: string;
  Entrypoint?: string[] | null;
  Cmd?: string[] | null;
}

function toImageConfig(config: ConfigReply | null): ImageConfig {
  const env = (config?.Env ?? []).map((entry) => {
    const [name = '', ...value] = entry.split('=');
    return [name, value.join('=')] as const;
  });
  return {
    env: Object.fromEntries(env),
    labels: visibleLabels(config?.Labels),
    user: config?.User ?? '',
    workingDir: config?.WorkingDir ?? '',
    entrypoint: config?.Entrypoint ?? [],
    command: config?.Cmd ?? [],
  };
}

interface InfoReply {
  OperatingSystem: string;
  Architecture: string;
  DockerRootDir: string;
  KernelVersion: string;
  SecurityOptions?: string[] | null;
}
/** `GET /networks/{id}`, as far as it is read. */
interface NetworkReply {
  IPAM?: { Config?: { Gateway?: string }[] | null };
}

interface VersionReply {
  Version: string;
  Components?: { Name: string }[] | null;
}
/** `GET /system/df`, as far as it is read. */
interface DiskUsageReply {
  LayersSize?: number;
  Images?: { Id: string; Size: number; SharedSize: number }[] | null;
  Volumes?: { Name: string; UsageData?: { Size: number } | null }[] | null;
}
interface WaitReply {
  StatusCode: number;
  Error?: { Message?: string } | null;
}
interface EventReply {
  Action: string;
  Actor: { ID: string; Attributes?: Record<string, string> | null };
  /** Seconds since 1970. */
  time: number;
  /** The same in nanoseconds: more than a number holds exactly, enough for milliseconds. */
  timeNano?: number;
}

function toEvent(reply: EventReply): EngineEvent | undefined {
  const { Action: kind } = reply;
  switch (kind) {
    case 'start':
    case 'die':
    case 'destroy':
    case 'oom':
    case 'pause':
    case 'unpause':
      break;
    default:
      return undefined;
  }
  const attributes = reply.Actor.Attributes ?? {};
  const labels = Object.entries(attributes).filter(([name]) => !EVENT_ATTRIBUTES.has(name));
  return {
    kind,
    containerId: reply.Actor.ID as ContainerId,
    labels: visibleLabels(Object.fromEntries(labels)),
    at: new Date(reply.timeNano === undefined ? reply.time * 1000 : Math.floor(reply.timeNano / 1_000_000)),
    ...(kind === 'die' ? { exitCode: Number(attributes['exitCode'] ?? 0) } : {}),
  };
}

/**
 * docker-modem fills in every setting that it is not given from this process's environment, which must not decide
 * anything here: hence the explicit undefined.
 */
function connect(address: EngineAddress): Docker {
  const settings =
    'socketPath' in address
      ? { socketPath: address.socketPath, protocol: 'http' }
      : {
          host: address.host,
          port: address.port,
          protocol: address.tls === undefined ? 'http' : 'https',
          ...(address.tls?.ca === undefined ? {} : { ca: address.tls.ca }),
          ...(address.tls?.cert === undefined ? {} : { cert: address.tls.cert }),
          ...(address.tls?.key === undefined ? {} : { key: address.tls.key }),
        };
  const secure = !('socketPath' in address) && address.tls !== undefined;
  const blank = {
    agent: shownBriefly(failingWithAnswers(secure ? new https.Agent() : new http.Agent())),
    socketPath: undefined,
    host: undefined,
    port: undefined,
    ca: undefined,
    cert: undefined,
    key: undefined,
    timeout: undefined,
    pathPrefix: '/',
  };
  try {
    return new Docker({ ...blank, ...settings } as Docker.DockerOptions);
  } catch (error) {
    throw toEngineError('prepare the connection to the engine', error);
  }
}

/**
 * docker-modem describes each request for its debug log before it asks whether anybody wants that, with all that can be
 * reached from the agent: every open connection. That is milliseconds for a few, and half of a busy daemon's time.
 */
function shownBriefly(agent: http.Agent): http.Agent {
  return Object.assign(agent, { [inspect.custom]: () => '[Agent]' });
}

/**
 * dockerode does not hear of an answer that breaks off and would wait for the rest of it for ever: it is told so as a
 * failure of the request. All agents have `addRequest`, although Node does not document it.
 */
function failingWithAnswers(agent: http.Agent): http.Agent {
  type AddRequest = (request: ClientRequest, ...more: unknown[]) => void;
  const extensible = agent as http.Agent & { addRequest: AddRequest };
  const addRequest = extensible.addRequest.bind(agent);
  extensible.addRequest = (request, ...more) => {
    request.once('response', (response: IncomingMessage) => {
      response.once('error', (error) => request.emit('error', error));
    });
    addRequest(request, ...more);
  };
  return agent;
}

/** dockerode takes a signal here too, which its types do not know. */
function abortable(abortSignal: AbortSignal): object {
  return { abortSignal };
}

/** dockerode throws 304, "already started" or "already stopped", like a failure. */
function ifAlreadySo(error: unknown): void {
  if (statusOf(error) !== 304) throw error;
}

function labelFilter(labels: Labels): string[] {
  return Object.entries(labels).map(([name, value]) => `${name}=${value}`);
}

function realReferences(references: string[] | null | undefined): string[] {
  return (references ?? []).filter((reference) => reference !== '<none>:<none>');
}

/** `host:5000/name:tag` → its two parts; a name without a tag is `latest`. */
function splitReference(reference: string): { repo: string; tag: string } {
  const colon = reference.lastIndexOf(':');
  if (colon <= reference.lastIndexOf('/')) return { repo: reference, tag: 'latest' };
  return { repo: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

async function drainProgress(
  doing: string,
  stream: NodeJS.ReadableStream,
  abortSignal: AbortSignal,
): Promise<void> {
  const response = stream as NodeJS.ReadableStream & { destroy(): void } & AsyncIterable<Buffer>;
  const giveUp = (): void => {
    response.destroy();
  };
  abortSignal.addEventListener('abort', giveUp, { once: true });
  try {
    for await (const message of jsonLines(response)) {
      const { error } = message as { error?: string };
      if (error !== undefined) throw toEngineError(doing, new Error(error));
    }
  } finally {
    abortSignal.removeEventListener('abort', giveUp);
  }
}

/** A container's standard input. Once the container has ended, writing fails with `not_running`. */
function inputTo(connection: Duplex): Writable {
  const failed = (error: Error | null | undefined): EngineError | null =>
    error ? new EngineError('not_running', 'the container takes no more input', { cause: error }) : null;
  const input = new Writable({
    write: (chunk: Buffer, _encoding, done) => connection.write(chunk, (error) => done(failed(error))),
    // Half-closes the connection: the container reads the end of its input while its output goes on.
    final: (done) => connection.end(() => done()),
  });
  // Input that comes too late is lost in any case; whoever wants to know listens as well.
  input.on('error', () => undefined);
  return input;
}

/** Keeps the beginning of what a command prints. */
class CappedOutput {
  readonly #chunks: Buffer[] = [];
  #room = EXEC_OUTPUT_BYTES;

  add(chunk: Buffer): void {
    if (this.#room === 0) return;
    const kept = chunk.subarray(0, this.#room);
    this.#chunks.push(kept);
    this.#room -= kept.length;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

async function mapConcurrently<T, R>(
  items: readonly T[],
  limit: number,
  map: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const entries = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of entries) results[index] = await map(item);
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}
