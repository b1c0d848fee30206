import { lookup } from 'node:dns/promises';
import { existsSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { stackImageReferences } from '../build/stack-images';
import { INSTALLATION_LABEL, ROLE_LABEL } from '../engine/labels';
import { findPortHolder, isFree, nextFreePort } from '../lib/port-holder';
import { run } from '../lib/process';
import type { Config } from './config';
import { connectEngine, type ConnectedEngine } from './engine-setup';
import { findInstance } from './instance';
import type { Paths } from './paths';

export interface Finding {
  what: string;
  /** `warning`: works, but something will be missing or slow. */
  result: 'ok' | 'warning' | 'problem';
  detail: string;
  /** With anything but ok: what to do. */
  advice?: string;
}

/** Checks every precondition of the platform; changes nothing. */
export async function examine(config: Config, paths: Paths, imagesDir: string): Promise<Finding[]> {
  const engine = await examineEngine(config);
  const { connected } = engine;
  const findings: (() => Promise<Finding | undefined> | Finding | undefined)[] = [
    examineNode,
    examineGit,
    () => engine.finding,
    () => (connected === undefined ? undefined : examineImages(connected, imagesDir)),
    () => examineDisk('data folder', config.dataDir, config.minFreeDiskBytes),
    () =>
      connected === undefined
        ? undefined
        : examineDisk('engine', connected.info.rootDir, config.minFreeDiskBytes),
    () => (connected === undefined ? undefined : examineLeftovers(connected, paths)),
    () => examineDataFolder(config.dataDir),
    () => examinePort(paths, 'API', 'DYNODOCK_API_PORT', config.apiPort),
    () => examinePort(paths, 'router', 'DYNODOCK_HTTP_PORT', config.routerHttpPort),
    () => examinePort(paths, 'router, https', 'DYNODOCK_HTTPS_PORT', config.routerHttpsPort),
    () => examineAppNames(config),
    examineIpv6,
    () => examineTrust(config),
    examineHerokuCli,
  ];
  const settled = await Promise.all(findings.map(async (examineOne) => examineOne()));
  return settled.filter((finding) => finding !== undefined);
}

function examineNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19))
    return { what: 'Node.js', result: 'ok', detail: process.version };
  return {
    what: 'Node.js',
    result: 'problem',
    detail: process.version,
    advice: 'Install Node.js 20.19 or newer.',
  };
}

async function examineGit(): Promise<Finding> {
  try {
    const { stdout } = await run('git', ['--version'], { timeoutMs: 10_000 });
    const version = /(\d+)\.(\d+)/.exec(stdout);
    const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
    if (major > 2 || (major === 2 && minor >= 31))
      return { what: 'git', result: 'ok', detail: stdout.trim() };
    return {
      what: 'git',
      result: 'warning',
      detail: stdout.trim(),
      advice:
        'Git 2.31 or newer reads its settings from `dynodock env`; older ones need `git config` by hand.',
    };
  } catch {
    return {
      what: 'git',
      result: 'problem',
      detail: 'not found',
      advice: 'Install git: apps are pushed with it.',
    };
  }
}

async function examineEngine(config: Config): Promise<{ finding: Finding; connected?: ConnectedEngine }> {
  const what = 'container engine';
  try {
    const connected = await connectEngine(config);
    const { info, foundBy } = connected;
    const detail = `${info.name} (${foundBy}), dynos reached by ${info.reachability.replace('-', ' ')}`;
    return { finding: { what, result: 'ok', detail }, connected };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return {
      finding: {
        what,
        result: 'problem',
        detail,
        advice:
          'Start Docker, or install it: on Debian `script/bootstrap` does, elsewhere see docs.docker.com.',
      },
    };
  }
}

async function examineImages({ engine, info }: ConnectedEngine, imagesDir: string): Promise<Finding> {
  const { stacks } = await stackImageReferences(imagesDir, info.architecture);
  const references = Object.values(stacks).flatMap(({ run, build }) => [run, build]);
  const present = await Promise.all(references.map((reference) => engine.inspectImage(reference)));
  const missing = present.filter((image) => image === undefined).length;
  if (missing === 0) return { what: 'stack images', result: 'ok', detail: `${references.length} present` };
  return {
    what: 'stack images',
    result: 'warning',
    detail: `${missing} of ${references.length} not built yet`,
    advice: '`dynodock up` builds them (some minutes, once).',
  };
}

/** Dynos of another data folder run on where that was removed without `dynodock down --all`: nobody else ends them. */
async function examineLeftovers({ engine }: ConnectedEngine, paths: Paths): Promise<Finding | undefined> {
  const what = 'other installations';
  const own = (await findInstance(paths))?.installationId;
  const roles = await Promise.all(
    [{ [ROLE_LABEL]: 'dyno' }, { [ROLE_LABEL]: 'sandbox' }].map((labels) => engine.list(labels)),
  );
  const others = roles
    .flat()
    .map(({ labels }) => labels[INSTALLATION_LABEL])
    .filter((id) => id !== own);
  const ids = [...new Set(others)].filter((id) => id !== undefined);
  if (own === undefined || ids.length === 0) return undefined;
  return {
    what,
    result: 'warning',
    detail: `${others.length} containers of ${ids.length} other ${ids.length === 1 ? 'installation' : 'installations'} on this engine`,
    advice: `They are never touched from here. If their data folder is gone: docker rm -f $(docker ps -aq --filter label=${INSTALLATION_LABEL}=${ids[0] ?? ''})`,
  };
}

function examineDisk(what: string, folder: string, minFreeBytes: number): Finding | undefined {
  const existing = nearestExisting(folder);
  // The engine may be on another machine: then there is nothing to look at here.
  if (existing === '/' && folder !== '/') return undefined;
  const { bavail, bsize } = statfsSync(existing);
  const freeBytes = bavail * bsize;
  const detail = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free at ${existing}`;
  if (freeBytes >= minFreeBytes) return { what: `disk of the ${what}`, result: 'ok', detail };
  return {
    what: `disk of the ${what}`,
    result: 'problem',
    detail,
    advice: `Builds are refused below ${Math.round(minFreeBytes / 1024 ** 2)} MB. Free some space, or lower DYNODOCK_MIN_FREE_DISK_MB.`,
  };
}

function nearestExisting(folder: string): string {
  let candidate = folder;
  while (!existsSync(candidate) && candidate !== path.dirname(candidate)) candidate = path.dirname(candidate);
  return candidate;
}

function examineDataFolder(dataDir: string): Finding {
  const what = 'data folder';
  if (!existsSync(dataDir)) return { what, result: 'ok', detail: `${dataDir} (made at first start)` };
  const mode = statSync(dataDir).mode & 0o777;
  if (mode === 0o700) return { what, result: 'ok', detail: dataDir };
  return {
    what,
    result: 'warning',
    detail: `${dataDir} has mode ${mode.toString(8)}`,
    advice: `It holds secrets: chmod 700 ${dataDir} (the daemon does so at its next start).`,
  };
}

async function examinePort(paths: Paths, who: string, variable: string, port: number): Promise<Finding> {
  const what = `port ${port} (${who})`;
  if (await isFree(port)) return { what, result: 'ok', detail: 'free' };
  if ((await findInstance(paths)) !== undefined) return { what, result: 'ok', detail: 'in use by dynodock' };
  return { what, result: 'problem', ...(await describeTakenPort(port, variable)) };
}

/** Who has the port, and how to use the next free one. */
export async function describeTakenPort(
  port: number,
  variable: string,
): Promise<{ detail: string; advice: string }> {
  const holder = await findPortHolder(port);
  const next = await nextFreePort(port + 1);
  return {
    detail:
      holder === undefined
        ? 'taken by another process'
        : `taken by process ${holder.pid} (${holder.command})`,
    advice: `Stop it, or use another port: ${variable}=${next ?? 'PORT'} dynodock up`,
  };
}

async function examineAppNames(config: Config): Promise<Finding> {
  const what = 'app host names';
  const name = `hello.${config.appDomain}`;
  try {
    const { address } = await lookup(name);
    if (address === '127.0.0.1' || address === '::1')
      return { what, result: 'ok', detail: `${name} is ${address}` };
    return {
      what,
      result: 'warning',
      detail: `${name} is ${address}`,
      advice: 'That is not this machine: let it point to 127.0.0.1, or choose another DYNODOCK_DOMAIN.',
    };
  } catch {
    return {
      what,
      result: 'warning',
      detail: `${name} does not resolve here`,
      advice: `Browsers and curl know *.localhost by themselves; for other programs add "127.0.0.1 <app>.${config.appDomain}" to the hosts file.`,
    };
  }
}

function examineIpv6(): Promise<Finding> {
  const what = 'IPv6 loopback';
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve({ what, result: 'ok', detail: 'none; 127.0.0.1 alone is used' }));
    server.listen({ port: 0, host: '::1' }, () =>
      server.close(() => resolve({ what, result: 'ok', detail: 'there' })),
    );
  });
}

function examineTrust(config: Config): Finding {
  const what = 'trusted CAs';
  if (config.caBundle !== null) {
    return { what, result: 'ok', detail: `builds and dynos trust ${config.caBundle}` };
  }
  return {
    what,
    result: 'warning',
    detail: "no bundle found on this host; builds use the images' own",
    advice: 'If a proxy here intercepts TLS, name its bundle in DYNODOCK_CA_BUNDLE.',
  };
}

async function examineHerokuCli(): Promise<Finding> {
  const what = 'heroku CLI';
  try {
    const { stdout } = await run('heroku', ['--version'], { timeoutMs: 30_000 });
    return { what, result: 'ok', detail: stdout.trim().split('\n').at(-1) ?? '' };
  } catch {
    return {
      what,
      result: 'warning',
      detail: 'not found',
      advice: 'It is the client of this platform: npm install --global heroku',
    };
  }
}
