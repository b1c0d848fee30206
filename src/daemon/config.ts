import { availableParallelism, homedir, userInfo } from 'node:os';
import path from 'node:path';
import { existsSync } from 'node:fs';
import { ADDON_SLEEP_DEPTHS, type AddOnSleepDepth, type AddOnSleepPolicy } from '../domain/addon-sleep';
import { parseDynoSize, type DynoSizeName } from '../domain/dyno-size';
import { SLEEP_DEPTHS, type SleepDepth, type SleepPolicy } from '../domain/sleep';
import type { LogLevel } from '../lib/logger';

/** All settings, as values. Only this file reads the environment. */
export interface Config {
  dataDir: string;
  apiPort: number;
  routerHttpPort: number;
  routerHttpsPort: number;
  /** Processes that serve requests. */
  routerWorkers: number;
  appDomain: string;
  email: string;
  logLevel: LogLevel;
  defaultDynoSize: DynoSizeName;
  /** `spawn`: the daemon starts the router if none runs. `external`: somebody else does (docker-compose). */
  router: 'spawn' | 'external';
  /** PEM bundle of what this host trusts; null = leave the images' own. */
  caBundle: string | null;
  buildMemoryMb: number;
  buildTimeoutMs: number;
  buildConcurrency: number;
  minFreeDiskBytes: number;
  /** Per app, besides the current release's: slugs whose images are kept, and whose archives. */
  keptReleases: number;
  keptSlugs: number;
  cacheBudgetBytes: number;
  /** How dynos are reached; `auto` decides by the engine. */
  reachability: 'auto' | 'container-address' | 'published-port';
  allowedHosts: readonly string[];
  /** Network sandboxes kept waiting, so that dynos start fast. */
  readySandboxes: number;
  /** 0 = never. */
  cycleMs: number;
  /** How apps sleep that have no settings of their own. */
  sleep: SleepPolicy;
  /** The monthly pool of all eco and free dynos; 0 = none. */
  dynoHoursMs: number;
  /** Heroku's limits of dynos per size. */
  herokuLimits: boolean;
  /** Ports of the host that add-ons may have: the first one, and how many. */
  addonPorts: { first: number; count: number };
  /** What becomes of add-ons whose apps are all asleep. */
  addonSleep: AddOnSleepPolicy;
  /** What dynos and the user's shell reach add-ons under; `auto` decides by the engine. */
  addonHost: string;
  /** As it was, for finding the engine and for child processes. */
  environment: Readonly<Record<string, string | undefined>>;
}

interface Setting<T> {
  name: string;
  /** As text, as it would be set. */
  fallback: (env: Environment) => string;
  parse: (text: string) => T;
  help: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Each takes some 45 MB, and the router has to share the machine with the apps. */
const MAX_DEFAULT_WORKERS = 4;

const SETTINGS = {
  dataDir: setting('DYNODOCK_HOME', () => path.join(homedir(), '.dynodock'), (text) => path.resolve(text), 'Data folder'),
  apiPort: setting('DYNODOCK_API_PORT', '5700', port, 'Port of the Platform API and of git'),
  routerHttpPort: setting('DYNODOCK_HTTP_PORT', '5780', port, 'Port on which apps answer HTTP'),
  routerHttpsPort: setting('DYNODOCK_HTTPS_PORT', '5743', port, 'Port on which apps answer HTTPS'),
  routerWorkers: setting('DYNODOCK_ROUTER_WORKERS', '0', workers, `Processes of the router; 0 = one per core, ${MAX_DEFAULT_WORKERS} at most`),
  appDomain: setting('DYNODOCK_DOMAIN', 'localhost', domain, 'Apps are reached as <app>.<domain>'),
  email: setting('DYNODOCK_EMAIL', () => `${userName()}@dynodock.localhost`, email, 'Who the local user is'),
  logLevel: setting('DYNODOCK_LOG_LEVEL', 'info', oneOf('error', 'warn', 'info', 'debug'), "The daemon's own log"),
  defaultDynoSize: setting('DYNODOCK_DYNO_SIZE', 'eco', parseDynoSize, 'Dyno size of new process types'),
  router: setting('DYNODOCK_ROUTER', 'spawn', oneOf('spawn', 'external'), 'Who starts the router process'),
  caBundle: setting('DYNODOCK_CA_BUNDLE', hostBundle, bundle, 'PEM file of CAs to trust in builds and dynos ("none": the image\'s own)'),
  buildMemoryMb: setting('DYNODOCK_BUILD_MEMORY_MB', '2048', positive, 'Memory limit of a build, MB'),
  buildTimeoutMs: setting('DYNODOCK_BUILD_TIMEOUT_SECONDS', '900', (text) => positive(text) * 1000, 'Deadline of a build, seconds'),
  buildConcurrency: setting('DYNODOCK_BUILD_CONCURRENCY', '2', positive, 'Builds that run at once'),
  minFreeDiskBytes: setting('DYNODOCK_MIN_FREE_DISK_MB', '1024', (text) => positive(text) * 1024 * 1024, 'Free disk below which builds are refused, MB'),
  keptReleases: setting('DYNODOCK_KEPT_RELEASES', '10', count, 'Rollback targets per app whose images are kept; those of older slugs are made again when needed'),
  keptSlugs: setting('DYNODOCK_KEPT_SLUGS', '50', count, 'Slugs per app whose archives are kept; to older ones nobody can roll back'),
  cacheBudgetBytes: setting('DYNODOCK_CACHE_BUDGET_MB', '5120', (text) => count(text) * 1024 * 1024, 'What all build caches may take together, MB; the least recently used go first'),
  reachability: setting('DYNODOCK_REACHABILITY', 'auto', oneOf('auto', 'container-address', 'published-port'), 'How the router reaches dynos'),
  readySandboxes: setting('DYNODOCK_READY_SANDBOXES', '3', count, 'Network sandboxes kept ready for fast dyno starts'),
  cycleMs: setting('DYNODOCK_CYCLE_HOURS', '24', (text) => (text === '0' ? 0 : positive(text) * 3_600_000), 'Dynos are replaced by fresh ones after so many hours and some more; 0 = never'),
  idleAfterMs: setting('DYNODOCK_IDLE_AFTER_SECONDS', '1800', seconds, 'Apps on eco and free dynos sleep after so long without web traffic; 0 = never'),
  sleepDepth: setting('DYNODOCK_SLEEP', 'stopped', oneOf(...SLEEP_DEPTHS), 'How they sleep: stopped as on Heroku, frozen (memory stays, wakes at once), tiered (frozen, later stopped)'),
  frozenMs: setting('DYNODOCK_FROZEN_SECONDS', '3600', seconds, 'With tiered sleep: stopped after so long frozen'),
  dynoHoursMs: setting('DYNODOCK_DYNO_HOURS', '0', (text) => (text === '0' ? 0 : positive(text) * 3_600_000), 'Dyno hours that all eco and free dynos share by the month (Heroku: 1000); 0 = no such limit'),
  herokuLimits: setting('DYNODOCK_HEROKU_LIMITS', 'off', (text) => oneOf('on', 'off')(text) === 'on', "Heroku's limits of dynos per size (one eco or basic dyno per process type ...)"),
  addonPorts: setting('DYNODOCK_ADDON_PORTS', '20000-28999', portRange, 'Ports of this machine that add-ons may have'),
  addonHost: setting('DYNODOCK_ADDON_HOST', 'auto', (text) => (text === 'auto' ? text : domain(text)), "Host in the URLs of add-ons; auto: the bridge's gateway, or host.docker.internal where the engine has no bridge here"),
  addonSleepDepth: setting('DYNODOCK_ADDON_SLEEP', 'off', oneOf(...ADDON_SLEEP_DEPTHS), 'What becomes of add-ons whose apps are all asleep: off (nothing), stop (shut down), freeze (paused, memory stays)'),
  addonLingerMs: setting('DYNODOCK_ADDON_LINGER_SECONDS', '900', seconds, 'Add-ons that sleep stay awake for so long once they were asked for by hand'),
  allowedHosts: setting('DYNODOCK_ALLOWED_HOSTS', '', list, 'Further Host headers that the API answers to, comma separated'),
}; // prettier-ignore

/** Throws ConfigError naming the variable for a value that does not fit. */
export function loadConfig(env: Environment): Config {
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([key, { name, fallback, parse }]) => {
      const text = env[name] ?? fallback(env);
      try {
        return [key, parse(text)];
      } catch (error) {
        throw new ConfigError(
          `${name}=${JSON.stringify(text)}: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    }),
  ) as unknown as Omit<Config, 'environment' | 'sleep' | 'addonSleep'> &
    Record<'idleAfterMs' | 'frozenMs' | 'addonLingerMs', number> & {
      sleepDepth: SleepDepth;
      addonSleepDepth: AddOnSleepDepth;
    };
  const { idleAfterMs, sleepDepth: depth, frozenMs, addonSleepDepth, addonLingerMs, ...rest } = values;
  return Object.freeze({
    ...rest,
    sleep: { idleAfterMs, depth, frozenMs },
    addonSleep: { depth: addonSleepDepth, lingerMs: addonLingerMs },
    environment: env,
  });
}

/** Name, default and meaning of each setting, for `dynodock help` and the documentation. */
export function describeSettings(env: Environment): { name: string; value: string; help: string }[] {
  return Object.values(SETTINGS).map(({ name, fallback, help }) => ({ name, value: fallback(env), help }));
}

/** The process's own environment; the only place that reads it. */
export function processEnvironment(): Environment {
  // eslint-disable-next-line no-restricted-properties -- this is the one reader
  return { ...process.env };
}

function setting<T>(
  name: string,
  fallback: string | ((env: Environment) => string),
  parse: (text: string) => T,
  help: string,
): Setting<T> {
  return { name, fallback: typeof fallback === 'string' ? () => fallback : fallback, parse, help };
}

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65_535) throw new Error('not a port number');
  return number;
}

function portRange(text: string): { first: number; count: number } {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const [first, last] = [port(from ?? ''), port(to ?? '')];
  if (from === undefined || first === 0 || last - first < 100) {
    throw new Error('not a range of at least 100 ports, like 20000-28999');
  }
  return { first, count: last - first + 1 };
}

function positive(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw new Error('not a number above 0');
  return number;
}

function seconds(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number < 0) throw new Error('not a number of seconds');
  return Math.round(number * 1000);
}

function count(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0) throw new Error('not a whole number');
  return number;
}

function workers(text: string): number {
  const number = count(text);
  if (number > 64) throw new Error('more than 64');
  return number === 0 ? Math.min(availableParallelism(), MAX_DEFAULT_WORKERS) : number;
}

function domain(text: string): string {
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(text)) throw new Error('not a domain name');
  return text;
}

function email(text: string): string {
  if (!/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(text)) throw new Error('not an e-mail address');
  return text;
}

function oneOf<T extends string>(...choices: T[]): (text: string) => T {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found === undefined) throw new Error(`not one of ${choices.join(', ')}`);
    return found;
  };
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim().toLowerCase())
    .filter((part) => part !== '');
}

function bundle(text: string): string | null {
  if (text === 'none') return null;
  if (!existsSync(text)) throw new Error('no such file');
  return path.resolve(text);
}

/** What OpenSSL's own variable says, else the bundle of the common Linux distributions. */
function hostBundle(env: Environment): string {
  const candidates = [
    env.SSL_CERT_FILE,
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/cert.pem',
  ];
  return candidates.find((file) => file !== undefined && existsSync(file)) ?? 'none';
}

function userName(): string {
  let name: string;
  try {
    name = userInfo().username;
  } catch {
    // A container may run with a user id that its image has no name for.
    name = '';
  }
  const safe = name.toLowerCase().replace(/[^a-z0-9._-]/g, '');
  return safe === '' ? 'user' : safe;
}
