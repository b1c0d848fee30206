import type { ApiClient } from '../api-client';
import { CommandError } from '../terminal';

/** Where requests go, and what they say. */
export interface Target {
  /** null with `--any-host`. */
  app: { name: string } | null;
  /** What is connected to. */
  origin: string;
  /** The Host header. */
  host: string;
  path: string;
}

interface AppJson {
  name: string;
  web_url: string;
}
interface DomainJson {
  hostname: string;
}

/**
 * The app whose host that is. The router is connected to directly, whatever the name resolves to: not every resolver
 * knows `*.localhost`, and a custom domain may lead elsewhere. Throws CommandError when no app has it.
 */
export async function findApp(url: URL, api: ApiClient, routerHttpPort: number): Promise<Target> {
  const app = await appOf(url.hostname, api);
  if (app === undefined) {
    throw new CommandError(
      `No app of this installation answers to ${url.hostname}.`,
      'The apps and their URLs: dynodock status. Any server on this machine: --any-host',
    );
  }
  if (url.port !== '' && Number(url.port) !== routerHttpPort) {
    throw new CommandError(`Apps answer on port ${routerHttpPort}, not on ${url.port}.`);
  }
  return {
    app,
    origin: `http://127.0.0.1:${routerHttpPort}`,
    host: url.host,
    path: `${url.pathname}${url.search}`,
  };
}

/** Any server, as long as it is on this machine: a load test of somebody else's server is an attack. */
export function anyTarget(url: URL): Target {
  if (!isLoopback(url.hostname)) {
    throw new CommandError(`--any-host is for this machine only: ${url.hostname} is not a loopback address.`);
  }
  const name = url.hostname.endsWith('localhost') ? '127.0.0.1' : url.hostname;
  return {
    app: null,
    origin: `http://${name}:${url.port === '' ? '80' : url.port}`,
    host: url.host,
    path: `${url.pathname}${url.search}`,
  };
}

/** URL has written it in one way: lower case, numbers in full. */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

async function appOf(hostname: string, api: ApiClient): Promise<AppJson | undefined> {
  const apps = (await api.list('/apps')) as AppJson[];
  const byUrl = apps.find((app) => new URL(app.web_url).hostname === hostname);
  if (byUrl !== undefined) return byUrl;
  // As the router does: an exact name wins over a wildcard, which stands for one label.
  const wildcard = `*.${hostname.slice(hostname.indexOf('.') + 1)}`;
  let byWildcard: AppJson | undefined;
  for (const app of apps) {
    const domains = (await api.list(`/apps/${app.name}/domains`)) as DomainJson[];
    if (domains.some((domain) => domain.hostname === hostname)) return app;
    if (domains.some((domain) => domain.hostname === wildcard)) byWildcard ??= app;
  }
  return byWildcard;
}
