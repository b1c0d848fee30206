import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { EngineError } from './engine';

/** Where an engine listens. */
export type EngineAddress =
  { socketPath: string } | { host: string; port: number; tls?: { ca?: Buffer; cert?: Buffer; key?: Buffer } };

export interface LocationOptions {
  /** This process's environment: DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_CONTEXT, DOCKER_CONFIG, XDG_RUNTIME_DIR. */
  environment: Readonly<Record<string, string | undefined>>;
  homeDir: string;
  /** For each candidate. Default 5 s. */
  timeoutMs?: number;
  /** Where engines listen that serve the whole system. */
  systemSockets?: { docker: string; podman: string };
}

export interface EngineLocation {
  address: EngineAddress;
  /** What it was found by, for people: `DOCKER_HOST`, `Docker context "desktop-linux"`, `/var/run/docker.sock`. */
  foundBy: string;
}

interface Candidate {
  foundBy: string;
  resolve(): Promise<EngineAddress>;
}

const PING_TIMEOUT_MS = 5_000;
const SYSTEM_SOCKETS = { docker: '/var/run/docker.sock', podman: '/run/podman/podman.sock' };

/**
 * Finds the engine like Docker's own command line does, and where that would find none, in the places where Docker
 * (rootless, Desktop) and Podman listen by default: the first that answers. What DOCKER_HOST or DOCKER_CONTEXT say is
 * an order, with no other engine in place of the one that was asked for. `unreachable`, with everything that was
 * tried, when none answers.
 */
export async function locateEngine(options: LocationOptions): Promise<EngineLocation> {
  const failures: { what: string; reason: unknown }[] = [];
  for (const candidate of await candidatesOf(options)) {
    try {
      const address = await candidate.resolve();
      await ping(address, options.timeoutMs ?? PING_TIMEOUT_MS);
      return { address, foundBy: candidate.foundBy };
    } catch (reason) {
      failures.push({ what: candidate.foundBy, reason });
    }
  }
  const tried = failures.map(({ what, reason }) => `${what} (${reasonText(reason)})`);
  throw new EngineError('unreachable', `no container engine answers; tried ${tried.join(', ')}`, {
    cause: new AggregateError(failures.map(({ reason }) => reason)),
  });
}

async function candidatesOf(options: LocationOptions): Promise<Candidate[]> {
  const { environment, homeDir } = options;
  const configDir = environment['DOCKER_CONFIG'] || join(homeDir, '.docker');
  const dockerHost = environment['DOCKER_HOST'];
  if (dockerHost) {
    return [{ foundBy: 'DOCKER_HOST', resolve: () => fromDockerHost(dockerHost, environment, configDir) }];
  }
  const context = environment['DOCKER_CONTEXT'];
  if (context && context !== 'default') return [contextCandidate(context, configDir)];
  const system = options.systemSockets ?? SYSTEM_SOCKETS;
  const runtimeDir = environment['XDG_RUNTIME_DIR'];
  const current = context ? undefined : await currentContext(configDir);
  return [
    ...(current === undefined ? [] : [current]),
    ...[
      system.docker,
      ...(runtimeDir ? [join(runtimeDir, 'docker.sock')] : []),
      join(homeDir, '.docker', 'run', 'docker.sock'),
      ...(runtimeDir ? [join(runtimeDir, 'podman', 'podman.sock')] : []),
      system.podman,
    ].map((socketPath) => ({ foundBy: socketPath, resolve: () => Promise.resolve({ socketPath }) })),
  ];
}

async function fromDockerHost(
  host: string,
  environment: LocationOptions['environment'],
  configDir: string,
): Promise<EngineAddress> {
  const verify = Boolean(environment['DOCKER_TLS_VERIFY']);
  const certDir = environment['DOCKER_CERT_PATH'];
  // Docker's tools take TLS to be wanted with either setting, and look for certificates beside their configuration.
  return parseHost(host, verify || certDir ? (certDir ?? configDir) : undefined);
}

/** The context that `docker context use` has chosen; undefined where none was. */
async function currentContext(configDir: string): Promise<Candidate | undefined> {
  const path = join(configDir, 'config.json');
  const text = await readOptional(path);
  if (text === undefined) return undefined;
  let name: unknown;
  try {
    name = (JSON.parse(text.toString('utf8')) as { currentContext?: unknown } | null)?.currentContext;
  } catch (cause) {
    // Tried and failed like any other candidate, so that the message names the broken file.
    const problem = new Error('not valid JSON', { cause });
    return { foundBy: path, resolve: () => Promise.reject(problem) };
  }
  return typeof name === 'string' && name !== '' && name !== 'default'
    ? contextCandidate(name, configDir)
    : undefined;
}

function contextCandidate(name: string, configDir: string): Candidate {
  return { foundBy: `Docker context ${JSON.stringify(name)}`, resolve: () => fromContext(name, configDir) };
}

/** Docker keeps each context in folders named by its name's SHA-256 (docker/cli, cli/context/store). */
async function fromContext(name: string, configDir: string): Promise<EngineAddress> {
  const folder = createHash('sha256').update(name).digest('hex');
  const meta = JSON.parse(
    await readFile(join(configDir, 'contexts', 'meta', folder, 'meta.json'), 'utf8'),
  ) as { Endpoints?: { docker?: { Host?: unknown } } } | null;
  const host = meta?.Endpoints?.docker?.Host;
  if (typeof host !== 'string') throw new Error('the context names no Docker endpoint');
  const tlsDir = join(configDir, 'contexts', 'tls', folder, 'docker');
  const hasTls = (await readOptional(join(tlsDir, 'ca.pem'))) !== undefined;
  return parseHost(host, hasTls ? tlsDir : undefined);
}

async function parseHost(host: string, certDir: string | undefined): Promise<EngineAddress> {
  const url = URL.canParse(host) && host.includes('://') ? new URL(host) : new URL(`tcp://${host}`);
  switch (url.protocol) {
    case 'unix:':
      return { socketPath: url.pathname };
    case 'tcp:':
    case 'http:':
    case 'https:': {
      const address = {
        host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
        port: Number(url.port) || (certDir === undefined ? 2375 : 2376),
      };
      return certDir === undefined ? address : { ...address, tls: await readCertificates(certDir) };
    }
    default:
      throw new Error(`${url.protocol}// addresses are not supported, only unix:// and tcp://`);
  }
}

async function readCertificates(dir: string): Promise<{ ca?: Buffer; cert?: Buffer; key?: Buffer }> {
  const [ca, cert, key] = await Promise.all(
    ['ca.pem', 'cert.pem', 'key.pem'].map((name) => readOptional(join(dir, name))),
  );
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** `GET /_ping`, which every engine answers with 200 when it is ready. */
function ping(address: EngineAddress, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const tls = 'tls' in address ? address.tls : undefined;
    const options: RequestOptions = {
      ...('socketPath' in address
        ? { socketPath: address.socketPath }
        : { host: address.host, port: address.port, ...tls }),
      path: '/_ping',
      // Not kept: this may be the only call ever made here.
      agent: false,
      signal: AbortSignal.timeout(timeoutMs),
    };
    const request = (tls === undefined ? httpRequest : httpsRequest)(options, (response) => {
      response.resume();
      if (response.statusCode === 200) resolve();
      else reject(new Error(`answers ${response.statusCode ?? 0}`));
    });
    request.on('error', reject);
    request.end();
  });
}

function reasonText(reason: unknown): string {
  const { name, code, message } = reason as NodeJS.ErrnoException;
  if (name === 'AbortError' || name === 'TimeoutError') return 'no answer in time';
  switch (code) {
    case 'ENOENT':
      return 'not there';
    case 'ECONNREFUSED':
      return 'nothing listens';
    case 'EACCES':
      return 'permission denied';
    default:
      return message;
  }
}
