import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createApiServer, PortInUseError, type ApiServer } from '../api/server';
import { Builder } from '../build/builder';
import type { StackImages } from '../build/stack-images';
import type { AppId } from '../domain/ids';
import { notSupported } from '../domain/errors';
import { Reconciler } from '../dyno-manager/reconciler';
import { GitEndpoint } from '../git/endpoint';
import { PushReceiver } from '../git/receive';
import { Repositories } from '../git/repositories';
import { systemClock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { Logplex } from '../logplex/logplex';
import { AccountService } from '../platform/account/account';
import { AppFeatures } from '../platform/app-features/app-features';
import { Apps } from '../platform/apps/apps';
import { BuildpackInstallations } from '../platform/buildpack-installations/buildpack-installations';
import { Builds } from '../platform/builds/builds';
import { ConfigVarsService } from '../platform/config-vars/config-vars';
import type { PlatformContext } from '../platform/context';
import { Domains } from '../platform/domains/domains';
import { Dynos } from '../platform/dynos/dynos';
import { FormationService } from '../platform/formation/formation';
import { LogSessions } from '../platform/log-sessions/log-sessions';
import { Releases } from '../platform/releases/releases';
import { Slugs } from '../platform/slugs/slugs';
import type { RouterLogLine } from '../router/protocol';
import { Store } from '../store/store';
import { bundledBuildpacks } from './bundled-buildpacks';
import { ensureCertificates } from './certificates';
import type { Config } from './config';
import { describeTakenPort } from './doctor';
import { connectEngine, copyTrustBundle, ensureNetwork } from './engine-setup';
import { prepareImages } from './images';
import { removeInstance, writeInstance } from './instance';
import { DataFolderLock, LockedError } from './lock';
import type { Paths } from './paths';
import { RoutePublisher } from './route-publisher';
import { RouterLink } from './router-link';
import { Scheduler } from './scheduler';
import { spawnRouter, StartError } from './up';

export interface DaemonOptions {
  config: Config;
  paths: Paths;
  /** Holds buildpacks/ and images/. */
  packageDir: string;
  /** Started again, with `router`, as the router's process. */
  mainScript: string;
  version: string;
  logger: Logger;
}

interface Part {
  name: string;
  start?: () => Promise<void> | void;
  stop?: () => Promise<void> | void;
}

const RECONCILED_AT_ONCE = 4;
/** A published port is held by Docker's proxy, which accepts before the dyno does; it closes again within this. */
const PUBLISHED_PORT_SETTLE_MS = 50;
const BUILD_PIDS = 4096;
const ROUTER_READY_MS = 15_000;

/** The whole platform but for the router: builds its parts, starts them in order and stops them in reverse. */
export class Daemon {
  readonly #options: DaemonOptions;
  #started: Part[] = [];
  #stopping: Promise<void> | undefined;

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  /** Resolves once requests are answered. Whatever was started is stopped again if a part can't start. */
  async start(): Promise<void> {
    const { logger, config } = this.#options;
    try {
      for (const part of await this.#build()) {
        await part.start?.();
        this.#started.push(part);
      }
    } catch (error) {
      await this.stop();
      throw await explainStartError(error, config);
    }
    logger.info('dynodock is up', { api: config.apiPort, http: config.routerHttpPort });
  }

  /** Dynos and the router go on running. */
  stop(): Promise<void> {
    this.#stopping ??= (async () => {
      for (const part of this.#started.reverse()) {
        try {
          await part.stop?.();
        } catch (error) {
          this.#options.logger.error('a part did not stop in order', { part: part.name, error });
        }
      }
      this.#started = [];
    })();
    return this.#stopping;
  }

  async #build(): Promise<Part[]> {
    const { config, paths, packageDir, mainScript, version, logger } = this.#options;
    const clock = systemClock;
    paths.create();
    const lock = new DataFolderLock(paths.lockSocket);
    await lock.acquire();
    this.#started.push({ name: 'lock', stop: () => lock.release() });
    // A killed daemon's file would be believed now that the lock is held again.
    removeInstance(paths);
    const store = Store.open(paths.database);
    this.#started.push({ name: 'store', stop: () => store.close() });
    const installationId = ensureInstallationId(store);

    const { engine, info, foundBy } = await connectEngine(config);
    logger.info('container engine found', { engine: info.name, foundBy, reachability: info.reachability });
    const caBundlePath = copyTrustBundle(config, paths);
    const stackImages = await prepareImages({
      config,
      paths,
      imagesDir: path.join(packageDir, 'images'),
      onProgress: (line) => logger.info('building images', { line }),
    });
    const network = await ensureNetwork(engine, installationId);
    const tls = await ensureCertificates(paths.tls, clock.now());
    const trust = caBundlePath === undefined ? {} : { caBundlePath };

    const logplex = new Logplex(clock);
    const link = new RouterLink({
      socketPath: paths.routerSocket,
      spawnRouter: () => {
        if (config.router === 'spawn') spawnRouter(paths, mainScript);
      },
      onLogLines: (lines) => appendRouterLines(logplex, lines),
      // Nothing sleeps yet, so that nothing has to be woken: see docs/adr.
      onWake: (wake) =>
        logger.warn('the router asks to wake an app that does not sleep', { app: wake.app_id }),
      clock,
      logger: logger.child({ component: 'router-link' }),
    });
    const routes = new RoutePublisher({ store, clock, publish: (table) => link.publish(table) });
    const changed = (): void => routes.changed();

    const newId = (): string => randomUUID();
    const reconciler = new Reconciler({
      store,
      engine,
      logplex,
      clock,
      logger: logger.child({ component: 'dyno-manager' }),
      installationId,
      network,
      settleMs: info.reachability === 'published-port' ? PUBLISHED_PORT_SETTLE_MS : 0,
      newId,
      random: Math.random,
      changed,
      concurrency: RECONCILED_AT_ONCE,
      readySandboxes: config.readySandboxes,
      cycleMs: config.cycleMs,
      sandboxImage: stackImages['heroku-24'].run,
      ...trust,
    });
    const context: PlatformContext = {
      store,
      clock,
      logplex,
      dynoManager: reconciler,
      newId,
      random: Math.random,
      settings: {
        defaultDynoSize: config.defaultDynoSize,
        appDomain: config.appDomain,
        routerHttpPort: config.routerHttpPort,
        apiPort: config.apiPort,
        herokuLimits: config.herokuLimits,
      },
      changed,
    };
    const account = new AccountService(context);
    ensureToken(account, paths, config);

    const builder = new Builder({
      engine,
      installationId,
      imagesFor: (stack) => imagesFor(stackImages, stack),
      buildpacksDir: path.join(packageDir, 'buildpacks'),
      slugsDir: paths.slugs,
      workDir: paths.work,
      network,
      clock,
      logger: logger.child({ component: 'build' }),
      limits: {
        memoryBytes: config.buildMemoryMb * 1024 * 1024,
        pids: BUILD_PIDS,
        timeoutMs: config.buildTimeoutMs,
        minFreeBytes: config.minFreeDiskBytes,
      },
      ...trust,
    });
    const releases = new Releases(context);
    const repositories = new Repositories(paths.repositories);
    const builds: Builds = new Builds(context, {
      builder,
      releases,
      outputDir: paths.buildOutput,
      webUrl: (app) => apps.webUrl(app),
      outputUrl: (app, buildId) => `http://localhost:${config.apiPort}/apps/${app.id}/builds/${buildId}`,
      logger: logger.child({ component: 'builds' }),
      maxConcurrent: config.buildConcurrency,
    });
    const apps = new Apps(context, releases, [builds, repositories]);
    const receiver = new PushReceiver({
      socketPath: paths.hookSocket,
      hooksDir: paths.hooks,
      nodePath: process.execPath,
      builds,
      logger: logger.child({ component: 'git' }),
    });
    const git = new GitEndpoint({
      repositories,
      receiver,
      authenticate: (token) => account.authenticate(token),
      findApp: (name) => store.apps.findByName(name),
      onPushed: (app, repoSize) => apps.setRepoSize(app, repoSize),
      logger: logger.child({ component: 'git' }),
    });
    const api: ApiServer = createApiServer({
      services: {
        account,
        apps,
        appFeatures: new AppFeatures(context),
        builds,
        buildpackInstallations: new BuildpackInstallations(context),
        configVars: new ConfigVarsService(context, releases),
        domains: new Domains(context),
        dynos: new Dynos(context),
        formation: new FormationService(context),
        logSessions: new LogSessions(context),
        releases,
        slugs: new Slugs(context),
      },
      tls,
      listen: { port: config.apiPort },
      allowedHosts: config.allowedHosts,
      git: (req, res) => void git.handle(req, res),
      bundledBuildpacks: bundledBuildpacks(path.join(packageDir, 'buildpacks')),
      requestsPerHour: null,
      logger: logger.child({ component: 'api' }),
      clock,
    });
    const scheduler = new Scheduler(
      [{ name: 'resync', cron: '30 * * * * *', run: () => reconciler.resync() }],
      logger.child({ component: 'scheduler' }),
    );

    return [
      { name: 'git repositories', start: () => repositories.sweep() },
      { name: 'git hooks', start: () => receiver.start(), stop: () => receiver.stop() },
      { name: 'builds', start: () => builds.start() },
      { name: 'git', stop: () => git.stop() },
      {
        name: 'router link',
        start: () => {
          link.start();
          routes.changed();
          return this.#untilRouted(link);
        },
        stop: () => {
          routes.stop();
          return link.stop();
        },
      },
      { name: 'dyno manager', start: () => reconciler.start(), stop: () => reconciler.stop() },
      { name: 'api', start: () => api.start(), stop: () => api.stop() },
      { name: 'scheduler', start: () => scheduler.start(), stop: () => scheduler.stop() },
      {
        name: 'instance file',
        start: () =>
          writeInstance(paths, {
            pid: process.pid,
            apiPort: config.apiPort,
            routerHttpPort: config.routerHttpPort,
            startedAt: clock.now().toISOString(),
            version,
          }),
        stop: () => removeInstance(paths),
      },
      // First of all, while those who push can still be told that their build was called off.
      { name: 'running builds', stop: () => builds.stop() },
    ];
  }

  /** The router may be another process's business, but without one no app can be reached. */
  async #untilRouted(link: RouterLink): Promise<void> {
    const { config, paths } = this.#options;
    try {
      await link.settled(AbortSignal.timeout(ROUTER_READY_MS));
    } catch (cause) {
      const { detail, advice } = await describeTakenPort(config.routerHttpPort, 'DYNODOCK_HTTP_PORT');
      throw new StartError(
        `The router does not start on port ${config.routerHttpPort} (${detail}). ${advice}\nIts log: ${paths.routerLog}`,
        { cause },
      );
    }
    const port = link.router?.httpPort;
    if (port !== undefined && port !== config.routerHttpPort && config.routerHttpPort !== 0) {
      throw new StartError(
        `A router of this installation already serves port ${port}, not ${config.routerHttpPort}. Run \`dynodock down\` first to change the port.`,
      );
    }
  }
}

function ensureInstallationId(store: Store): string {
  const existing = store.settings.get('installation_id');
  if (existing !== undefined) return existing;
  const created = randomUUID();
  store.settings.set('installation_id', created);
  return created;
}

/** The local user's token, readable by this user alone; made at first start, or when the file was removed. */
function ensureToken(account: AccountService, paths: Paths, config: Config): void {
  const user = account.ensure(config.email);
  if (
    existsSync(paths.token) &&
    account.authenticate(readFileSync(paths.token, 'utf8').trim()) !== undefined
  ) {
    return;
  }
  const token = account.issueToken(user, 'dynodock');
  const temporary = `${paths.token}.new`;
  writeFileSync(temporary, `${token}\n`, { mode: 0o600 });
  renameSync(temporary, paths.token);
}

function imagesFor(images: StackImages, stack: string): { run: string; build: string } {
  if (stack === 'heroku-24' || stack === 'heroku-22') return images[stack];
  throw notSupported(`Stack ${stack} has no buildpack builds: dynodock does not build heroku.yml apps yet.`);
}

function appendRouterLines(logplex: Logplex, lines: readonly RouterLogLine[]): void {
  for (const line of lines) {
    logplex.append(line.app_id as AppId, {
      at: new Date(line.at),
      source: 'heroku',
      process: 'router',
      text: line.text,
    });
  }
}

async function explainStartError(error: unknown, config: Config): Promise<unknown> {
  if (error instanceof LockedError) {
    return new StartError(`Another dynodock daemon is using ${config.dataDir}.`, { cause: error });
  }
  if (!(error instanceof PortInUseError)) return error;
  const { detail, advice } = await describeTakenPort(config.apiPort, 'DYNODOCK_API_PORT');
  return new StartError(`Port ${config.apiPort} of the API is ${detail}. ${advice}`, { cause: error });
}
