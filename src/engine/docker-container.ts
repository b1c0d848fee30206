import {
  EngineError,
  type ContainerId,
  type ContainerInfo,
  type ContainerSpec,
  type EngineInfo,
  type Labels,
  type MemoryUse,
  type Mount,
} from './engine';

/**
 * Remembers which port was exposed: the engine's own list of ports also has what the image declares. It is kept
 * from the labels that callers see.
 */
export const EXPOSED_PORT_LABEL = 'dynodock.engine.exposed-port';

/** The host address for published ports: nothing but this machine reaches it. */
const LOOPBACK = '127.0.0.1';

/** The body of `POST /containers/create`. */
export function toCreateBody(
  spec: ContainerSpec,
  reachability: EngineInfo['reachability'],
): Record<string, unknown> {
  const port = spec.exposePort;
  const published = port !== undefined && reachability === 'published-port';
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {
    ...(published ? { [`${port}/tcp`]: [{ HostIp: LOOPBACK, HostPort: '' }] } : {}),
  };
  for (const { containerPort, hostAddress, hostPort } of spec.publish ?? []) {
    (bindings[`${containerPort}/tcp`] ??= []).push({ HostIp: hostAddress, HostPort: String(hostPort) });
  }
  const exposed = [...(port === undefined ? [] : [`${port}/tcp`]), ...Object.keys(bindings)];
  return {
    Image: spec.image,
    // An entrypoint makes the engine ignore the image's command, so that this is the whole command line.
    ...(spec.command === undefined ? {} : { Entrypoint: [...spec.command], Cmd: [] }),
    Env: Object.entries(spec.env).map(([name, value]) => `${name}=${value}`),
    Labels: { ...spec.labels, ...(port === undefined ? {} : { [EXPOSED_PORT_LABEL]: String(port) }) },
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
    ...(spec.hostname === undefined ? {} : { Hostname: spec.hostname }),
    ...(spec.stopSignal === undefined ? {} : { StopSignal: spec.stopSignal }),
    Tty: spec.tty ?? false,
    OpenStdin: spec.openStdin ?? false,
    // The end of the attached client's input is then the end of the container's.
    StdinOnce: spec.openStdin ?? false,
    ...(exposed.length === 0 ? {} : { ExposedPorts: Object.fromEntries(exposed.map((name) => [name, {}])) }),
    HostConfig: {
      NetworkMode: spec.network,
      Init: spec.init ?? false,
      ...(Object.keys(bindings).length === 0 ? {} : { PortBindings: bindings }),
      // The same for both: no swap, else the engine allows as much again.
      ...(spec.limits?.memoryBytes === undefined
        ? {}
        : { Memory: spec.limits.memoryBytes, MemorySwap: spec.limits.memoryBytes }),
      ...(spec.limits?.cpuShares === undefined ? {} : { CpuShares: spec.limits.cpuShares }),
      ...(spec.limits?.pids === undefined ? {} : { PidsLimit: spec.limits.pids }),
      Mounts: (spec.mounts ?? []).map(toMountBody),
      ...((spec.unprivileged ?? true) ? { CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'] } : {}),
      // Bounded, so that a chatty dyno does not fill the disk.
      LogConfig: spec.discardLog
        ? { Type: 'none', Config: {} }
        : { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '2' } },
    },
  };
}

function toMountBody(mount: Mount): Record<string, unknown> {
  switch (mount.kind) {
    case 'bind':
    case 'volume':
      return { Type: mount.kind, Source: mount.source, Target: mount.target, ReadOnly: mount.readOnly };
    case 'tmpfs':
      return {
        Type: 'tmpfs',
        Target: mount.target,
        ...(mount.sizeBytes === undefined ? {} : { TmpfsOptions: { SizeBytes: mount.sizeBytes } }),
      };
  }
}

interface Networks {
  Networks?: Record<string, { IPAddress?: string } | null> | null;
}

/** `GET /containers/{id}/json`, as far as it is read. */
export interface InspectReply {
  Id: string;
  Name: string;
  Created: string;
  Config: { Image: string; Labels: Labels | null; Tty: boolean };
  State: { Status: string; ExitCode: number; OOMKilled: boolean; StartedAt: string; FinishedAt: string };
  NetworkSettings?: Networks & {
    Ports?: Record<string, { HostIp: string; HostPort: string }[] | null> | null;
  };
}

/** One element of `GET /containers/json`, as far as it is read. */
export interface ListReply {
  Id: string;
  Names: string[];
  /** Seconds since 1970. */
  Created: number;
  Image: string;
  Labels: Labels | null;
  State: string;
  Ports?: { PrivatePort: number; PublicPort?: number; Type: string }[] | null;
  NetworkSettings?: Networks | null;
}

export function fromInspect(reply: InspectReply, reachability: EngineInfo['reachability']): ContainerInfo {
  const state = toState(reply.State.Status);
  const port = exposedPort(reply.Config.Labels);
  const published = reply.NetworkSettings?.Ports?.[`${port ?? 0}/tcp`]?.[0]?.HostPort;
  const endpoint = endpointOf({
    state,
    port,
    publishedPort: published === undefined || published === '' ? undefined : Number(published),
    networks: reply.NetworkSettings,
    reachability,
  });
  const startedAt = toDate(reply.State.StartedAt);
  const finishedAt = state === 'exited' ? toDate(reply.State.FinishedAt) : undefined;
  return {
    id: reply.Id as ContainerId,
    name: bareName(reply.Name),
    labels: visibleLabels(reply.Config.Labels),
    image: reply.Config.Image,
    state,
    createdAt: new Date(reply.Created),
    ...(state === 'exited' ? { exitCode: reply.State.ExitCode, oomKilled: reply.State.OOMKilled } : {}),
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(finishedAt === undefined ? {} : { finishedAt }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

/** For containers that have not ended: the list says nothing of exit codes. */
export function fromList(reply: ListReply, reachability: EngineInfo['reachability']): ContainerInfo {
  const state = toState(reply.State);
  const port = exposedPort(reply.Labels);
  const published = reply.Ports?.find((entry) => entry.PrivatePort === port && entry.Type === 'tcp');
  const endpoint = endpointOf({
    state,
    port,
    publishedPort: published?.PublicPort,
    networks: reply.NetworkSettings,
    reachability,
  });
  return {
    id: reply.Id as ContainerId,
    name: bareName(reply.Names[0] ?? ''),
    labels: visibleLabels(reply.Labels),
    image: reply.Image,
    state,
    createdAt: new Date(reply.Created * 1000),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
}

/** Docker also knows restarting (never with our containers), removing and dead. */
export function toState(status: string): ContainerInfo['state'] {
  switch (status) {
    case 'created':
    case 'running':
    case 'paused':
      return status;
    case 'restarting':
      return 'running';
    // Podman's words for created and exited.
    case 'configured':
    case 'initialized':
      return 'created';
    default:
      return 'exited';
  }
}

/** Labels as callers gave them. */
export function visibleLabels(labels: Labels | null | undefined): Labels {
  return Object.fromEntries(Object.entries(labels ?? {}).filter(([name]) => name !== EXPOSED_PORT_LABEL));
}

function exposedPort(labels: Labels | null): number | undefined {
  const port = labels?.[EXPOSED_PORT_LABEL];
  return port === undefined ? undefined : Number(port);
}

/** A published port is used where there is one, whatever the strategy is now: it was made with another. */
function endpointOf(found: {
  state: ContainerInfo['state'];
  port: number | undefined;
  publishedPort: number | undefined;
  networks: Networks | null | undefined;
  reachability: EngineInfo['reachability'];
}): ContainerInfo['endpoint'] {
  if ((found.state !== 'running' && found.state !== 'paused') || found.port === undefined) return undefined;
  if (found.publishedPort !== undefined) return { host: LOOPBACK, port: found.publishedPort };
  if (found.reachability !== 'container-address') return undefined;
  const addresses = Object.values(found.networks?.Networks ?? {}).map((network) => network?.IPAddress);
  const host = addresses.find((address) => address !== undefined && address !== '');
  return host === undefined ? undefined : { host, port: found.port };
}

function bareName(name: string): string {
  return name.startsWith('/') ? name.slice(1) : name;
}

/** The engine writes year 1 for "never". */
function toDate(text: string): Date | undefined {
  return text.startsWith('0001-') || text === '' ? undefined : new Date(text);
}

/** `GET /containers/{id}/stats`, as far as it is read. Empty for a container that does not run. */
export interface StatsReply {
  memory_stats: { stats?: Record<string, number> };
}

/** cgroup v1 names it rss, cache and swap, v2 anon and file (and keeps swap elsewhere, where Docker does not look). */
export function toMemoryUse(reply: StatsReply, doing: string): MemoryUse {
  const { stats } = reply.memory_stats;
  if (stats === undefined) throw new EngineError('not_running', `cannot ${doing}: it does not run`);
  return {
    rssBytes: (stats.total_rss ?? stats.anon ?? 0) + (stats.total_shmem ?? stats.shmem ?? 0),
    cacheBytes: stats.total_cache ?? stats.file ?? 0,
    swapBytes: stats.total_swap ?? stats.swap ?? 0,
  };
}
