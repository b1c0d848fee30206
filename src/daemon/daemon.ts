import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { BUILT_IN_PROVIDERS } from '../addons/built-in';
import { readProviderFiles } from '../addons/provider-file';
import { ProviderRegistry } from '../addons/registry';
import { createApiServer, PortInUseError, type ApiServer } from '../api/server';
import { Builder } from '../build/builder';
import { BASE_NAMES } from '../build/container-images';
import { SourceFetcher } from '../build/source-fetcher';
import { Storage } from '../build/storage';
import { stackImageReferences, type StackImages } from '../build/stack-images';
import type { AppId } from '../domain/ids';
import { AddOnBackends } from '../dyno-manager/addon-backends';
import { Reconciler } from '../dyno-manager/reconciler';
import { GitEndpoint } from '../git/endpoint';
import { PushReceiver } from '../git/receive';
import { Repositories } from '../git/repositories';
import { systemClock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { Signal } from '../lib/signal';
import { isFree, isFreeOn } from '../lib/port-holder';
import { Logplex } from '../logplex/logplex';
import { AccountService } from '../platform/account/account';
import { AddOns } from '../platform/addons/addons';
import { AppFeatures } from '../platform/app-features/app-features';
import { MetricsLog } from '../platform/addons/metrics-log';
import { Partners } from '../platform/addons/partners/partners';
import { PageSessions } from '../platform/addons/page-sessions';
import { AppSetups } from '../platform/app-setups/app-setups';
import { Apps } from '../platform/apps/apps';
import { Authorizations } from '../platform/authorizations/authorizations';
import { BlobUrls } from '../platform/blobs/blob-urls';
import { BuildpackInstallations } from '../platform/buildpack-installations/buildpack-installations';
import { Builds } from '../platform/builds/builds';
import { ConfigVarsService } from '../platform/config-vars/config-vars';
import type { PlatformContext } from '../platform/context';
import { Domains } from '../platform/domains/domains';
import { Attachments } from '../platform/dynos/attachments';
import { ContainerReleases } from '../platform/container-releases/container-releases';
import { DeployWatch } from '../platform/dynos/deploy-watch';
import { DynoHours } from '../platform/dyno-hours/dyno-hours';
import { Dynos } from '../platform/dynos/dynos';
import { OneOffService } from '../platform/dynos/one-offs';
import { FormationService } from '../platform/formation/formation';
import { LogSessions } from '../platform/log-sessions/log-sessions';
import { Redis } from '../platform/redis/redis';
import { Postgres } from '../platform/postgres/postgres';
import { ReleasePhase } from '../platform/releases/release-phase';
import { Reclaim } from '../platform/reclaim/reclaim';
import { Releases } from '../platform/releases/releases';
import { ScheduledJobs } from '../platform/scheduler/scheduled-jobs';
import { Sleep } from '../platform/sleep/sleep';
import { Slugs } from '../platform/slugs/slugs';
import { Sources } from '../platform/sources/sources';
import { SniEndpoints } from '../platform/sni-endpoints/sni-endpoints';
import { Rendezvous } from '../rendezvous/rendezvous';
import type { RouterLogLine } from '../router/protocol';
import { Store } from '../store/store';
import { findAddOnHost, issueAddOnCertificate, randomSecret } from './addon-host';
import { ensureApiCertificate } from './api-certificate';
import { AppCertificates } from './app-certificates';
import { bundledBuildpacks } from './bundled-buildpacks';

import type { Config } from './config';
import { describeTakenPort } from './doctor';
import { connectEngine, copyTrustBundle, ensureNetwork } from './engine-setup';
import { BUILD_PIDS } from './folder-build';
import { openAddOnImages, prepareImages, proxySettings } from './images';
import { ownPidNamespace, removeInstance, writeInstance } from './instance';
import { LocalAuthority } from './local-authority';
import { DataFolderLock, LockedError } from './lock';
import { answers } from '../lib/private-socket';
import type { Paths } from './paths';
import { RoutePublisher } from './route-publisher';
import { RouterLink } from './router-link';
import { Scheduler } from './scheduler';
import { endRouter, spawnRouter, StartError } from './up';

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
/** Most apps that crash at boot do so within this. */
const DEPLOY_PATIENCE_MS = 3_000;
/** Of buildpacks that were fetched; the ones in use are a few megabytes each. */
const BUILDPACK_BUDGET_BYTES = 1024 ** 3;
/** Of an uploaded archive. */
const MAX_BLOB_BYTES = 1024 ** 3;
const ROUTER_READY_MS = 15_000;

/** The whole platform but for the router: builds its parts, starts them in order and stops them in reverse. */
export class Daemon {
  readonly #options: DaemonOptions;
  #started: Part[] = [];
  #stopping: Promise<void> | undefined;
  /** Started by this daemon, and of use only once it is up. */
  #router: ChildProcess | undefined;
  readonly #routerEnded = new AbortController();

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  /** Resolves once requests are answered. Whatever was started is stopped again if a part can't start. */
  async start(): Promise<void> {
    const { logger, config } = this.#options;
    try {
      for (const part of await this.#build()) {
        // Before, because a part that fails halfway has something to stop as well.
        this.#started.push(part);
        await part.start?.();
      }
    } catch (error) {
      await this.stop();
      if (this.#router !== undefined) await endRouter(this.#router);
      throw await explainStartError(error, config);
    }
    logger.info('dynodock is up', {
      api: config.apiPort,
      http: config.routerHttpPort,
      https: config.routerHttpsPort,
    });
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
    await this.#assertPortsFree();
    const store = Store.open(paths.database);
    this.#started.push({ name: 'store', stop: () => store.close() });
    const installationId = ensureInstallationId(store);

    const { engine, info, foundBy } = await connectEngine(config);
    logger.info('container engine found', { engine: info.name, foundBy, reachability: info.reachability });
    const authority = await LocalAuthority.open(paths.tls, clock.now());
    const caBundlePath = copyTrustBundle(config, paths);
    const imageOptions = {
      config,
      paths,
      imagesDir: path.join(packageDir, 'images'),
      onProgress: (line: string) => logger.info('building images', { line }),
    };
    const stackImages = await prepareImages(imageOptions);
    const addonImages = await openAddOnImages(imageOptions);
    const network = await ensureNetwork(engine, installationId);
    const addonHost = await findAddOnHost(engine, {
      network,
      info,
      setting: config.addonHost,
    });
    const tls = await ensureApiCertificate(paths.tls, authority, clock.now());
    const trust = caBundlePath === undefined ? {} : { caBundlePath };

    const logplex = new Logplex(clock);
    const link = new RouterLink({
      socketPath: paths.routerSocket,
      spawnRouter: () => {
        if (config.router !== 'spawn') return;
        this.#router = spawnRouter(paths, mainScript);
        this.#router.once('exit', () => this.#routerEnded.abort());
      },
      onLogLines: (lines) => appendRouterLines(logplex, lines),
      onWake: ({ app_id, method, path, request_id: requestId, fwd, at }) =>
        sleep.wakeFor(app_id as AppId, { method, path, requestId, fwd }, new Date(at)),
      onWoken: ({ appId, at, held }) => sleep.ledger.answered(appId as AppId, at, held),
      onIdle: (appId) => sleep.quiet(appId as AppId),
      clock,
      logger: logger.child({ component: 'router-link' }),
    });
    const certificates: AppCertificates = new AppCertificates({
      folder: paths.appCertificates,
      authority,
      clock,
      logger: logger.child({ component: 'certificates' }),
      onIssued: () => routes.changed(),
    });
    const routes = new RoutePublisher({
      store,
      clock,
      certificates,
      sleep: config.sleep,
      quotaExhausted: () => dynoHours.exhausted,
      publish: (table) => link.publish(table),
    });
    const changes = new Signal<AppId>();
    changes.subscribe(() => routes.changed());
    const changed = (appId: AppId): void => changes.emit(appId);

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
      oneOffEnded: (dyno, end) => {
        releasePhase.dynoEnded(dyno, end);
        appSetups.dynoEnded(dyno, end);
        scheduledJobs.dynoEnded(dyno, end);
      },
      oneOffPrinted: (dyno, line) => {
        appSetups.printed(dyno, line);
        return releasePhase.printed(dyno, line);
      },
      concurrency: RECONCILED_AT_ONCE,
      readySandboxes: config.readySandboxes,
      cycleMs: config.cycleMs,
      sleep: config.sleep,
      addons: {
        missing: (appId) => backends.missing(appId),
        need: (appId) => backends.need(appId),
      },
      sandboxImage: stackImages['heroku-24'].run,
      restoreImage: (slug) => builder.slugImages.restore(slug),
      ...trust,
    });
    const providers = await openProviders(paths, logger);
    const backends: AddOnBackends = new AddOnBackends({
      store,
      engine,
      providers,
      images: addonImages,
      clock,
      logger: logger.child({ component: 'add-ons' }),
      installationId,
      network,
      publishOn: addonHost.publishOn,
      hostNetwork: addonHost.hostNetwork,
      isPortFree: isFreeOn,
      ports: config.addonPorts,
      random: Math.random,
      issueCertificate: () => issueAddOnCertificate(authority, addonHost, clock.now()),
      onReady: (id) => postgres.forks.ready(id),
      onFailed: (id, reason) => addons.provisioning.fail(id, reason),
      onProgress: (id, line) => addons.provisioning.progress(id, line),
      sleep: config.addonSleep,
      logplex,
      onServing: (id) => {
        // Their dynos may wait for it.
        for (const { appId } of store.attachments.ofAddOn(id)) reconciler.kick(appId);
      },
      concurrency: RECONCILED_AT_ONCE,
    });
    changes.subscribe((appId) => backends.appChanged(appId));
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
    const releasePhase: ReleasePhase = new ReleasePhase(context, {
      outputDir: paths.releaseOutput,
      logger: logger.child({ component: 'release-phase' }),
    });
    const sleep: Sleep = new Sleep(context, { policy: config.sleep, router: link });
    changes.subscribe((appId) => sleep.ledger.changed(appId));
    const dynoHours: DynoHours = new DynoHours(context, { poolMs: config.dynoHoursMs });
    changes.subscribe((appId) => dynoHours.changed(appId));
    const account = new AccountService(context);
    ensureToken(account, paths, config);

    const builder: Builder = new Builder({
      engine,
      installationId,
      imagesFor: (stack) => imagesFor(stackImages, stack),
      buildpacksDir: path.join(packageDir, 'buildpacks'),
      buildpackCacheDir: paths.buildpacks,
      authoritiesFile: caBundlePath,
      slugsDir: paths.slugs,
      workDir: paths.work,
      network,
      buildEnv: proxySettings(config.environment),
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
    const releases = new Releases(context, releasePhase);
    const partners: Partners = new Partners(context, {
      providers,
      addons: () => addons,
      folder: paths.addons,
      logger: logger.child({ component: 'partners' }),
    });
    const addons: AddOns = new AddOns(context, {
      releases,
      providers,
      manager: backends,
      host: () => addonHost.host,
      publishedOn: () => addonHost.publishOn,
      secret: randomSecret,
      logger: logger.child({ component: 'add-ons' }),
      provisioners: { partner: partners.resources },
    });
    const blobUrls = new BlobUrls(store.settings, clock);
    const postgres: Postgres = new Postgres(context, {
      addons,
      secret: randomSecret,
      backups: { directory: paths.backups, minFreeBytes: config.minFreeDiskBytes },
      urls: blobUrls,
      logger: logger.child({ component: 'postgres' }),
    });
    const blobLimits = { maxBytes: MAX_BLOB_BYTES, minFreeBytes: config.minFreeDiskBytes };
    const sources = new Sources(context, { directory: paths.sources, urls: blobUrls, limits: blobLimits });
    const slugs = new Slugs(context, {
      uploadsDir: paths.slugUploads,
      urls: blobUrls,
      limits: blobLimits,
      images: builder.slugImages,
      releases,
    });
    const repositories = new Repositories(paths.repositories);
    const fetcher = new SourceFetcher({
      workDir: paths.work,
      localFile: (url) => sources.localFile(url),
      clock,
      maxBytes: MAX_BLOB_BYTES,
      minFreeBytes: config.minFreeDiskBytes,
    });
    const builds: Builds = new Builds(context, {
      builder,
      releases,
      sources: fetcher,
      addons,
      outputDir: paths.buildOutput,
      webUrl: (app) => apps.webUrl(app),
      outputUrl: (app, buildId) => `http://localhost:${config.apiPort}/apps/${app.id}/builds/${buildId}`,
      logger: logger.child({ component: 'builds' }),
      onDeployed: (appId) => reclaim.deployed(appId),
      maxConcurrent: config.buildConcurrency,
    });
    const reclaim: Reclaim = new Reclaim(context, {
      storage: new Storage({
        engine,
        installationId,
        slugsDir: paths.slugs,
        outputDir: paths.buildOutput,
        workDir: paths.work,
        buildpackCacheDir: paths.buildpacks,
        sourcesDir: paths.sources,
        uploadsDir: paths.slugUploads,
      }),
      builds,
      limits: {
        keptReleases: config.keptReleases,
        keptSlugs: Math.max(config.keptSlugs, config.keptReleases),
        cacheBudgetBytes: config.cacheBudgetBytes,
        buildpackBudgetBytes: BUILDPACK_BUDGET_BYTES,
      },
      stackImages: [
        ...(await ownImages(imageOptions.imagesDir, info.architecture)),
        ...BASE_NAMES,
        ...addonImages.references,
      ],
      logger: logger.child({ component: 'reclaim' }),
    });
    const configVars = new ConfigVarsService(context, releases, addons.attachments);
    const buildpackInstallations = new BuildpackInstallations(context);
    const formation = new FormationService(context);
    const attachments = new Attachments(clock);
    const oneOffs = new OneOffService(context, attachments);
    const scheduledJobs: ScheduledJobs = new ScheduledJobs(context, {
      oneOffs,
      logger: logger.child({ component: 'scheduled-jobs' }),
    });
    const appSetups: AppSetups = new AppSetups(context, {
      apps: {
        create: (actor, input) => apps.create(actor, input),
        update: (actor, id, changes) => apps.update(actor, id, changes),
        destroy: (actor, id) => apps.destroy(actor, id),
        webUrl: (app) => apps.webUrl(app),
      },
      configVars,
      addons,
      buildpackInstallations,
      builds,
      releases: releasePhase,
      formation,
      oneOffs,
      sources: fetcher,
      secret: () => randomBytes(32).toString('hex'),
      logger: logger.child({ component: 'app-setups' }),
    });
    // Set-ups first, whose end is to be on record while what they wait for is there.
    const apps = new Apps(context, releases, [appSetups, builds, releasePhase, slugs, repositories, addons]);
    const receiver = new PushReceiver({
      socketPath: paths.hookSocket,
      hooksDir: paths.hooks,
      nodePath: process.execPath,
      builds,
      releases: releasePhase,
      deploys: new DeployWatch({ store, clock, changes, patienceMs: DEPLOY_PATIENCE_MS }),
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
    const rendezvous = new Rendezvous({
      claim: (secret) => attachments.claim(secret),
      clock,
      logger: logger.child({ component: 'rendezvous' }),
    });
    const sniEndpoints = new SniEndpoints(context);
    const api: ApiServer = createApiServer({
      services: {
        account,
        addons,
        apps,
        appFeatures: new AppFeatures(context),
        appSetups,
        authorizations: new Authorizations(context),
        blobUrls,
        builds,
        buildpackInstallations,
        configVars,
        domains: new Domains(context, sniEndpoints),
        dynoHours,
        dynos: new Dynos(context),
        formation,
        containerReleases: new ContainerReleases(context, {
          images: builder.containerImages,
          builder: builder.containerBuilder,
          releases,
          formation,
          buildTimeoutMs: config.buildTimeoutMs,
          onDeployed: (appId) => reclaim.deployed(appId),
        }),
        logSessions: new LogSessions(context),
        oneOffs,
        pageSessions: new PageSessions(store.settings, clock),
        partners,
        postgres,
        reclaim,
        redis: new Redis(context, { addons, secret: randomSecret }),
        releases,
        scheduledJobs,
        sleep,
        slugs,
        sources,
        sniEndpoints,
      },
      tls,
      listen: { port: config.apiPort },
      allowedHosts: config.allowedHosts,
      git: (req, res) => void git.handle(req, res),
      rendezvous: (socket, secret) => rendezvous.accept(socket, secret),
      bundledBuildpacks: await bundledBuildpacks(path.join(packageDir, 'buildpacks')),
      requestsPerHour: null,
      logger: logger.child({ component: 'api' }),
      clock,
    });
    const metricsLog = new MetricsLog(context, {
      addons,
      logger: logger.child({ component: 'add-ons' }),
    });
    const scheduler = new Scheduler(
      [
        { name: 'resync', cron: '30 * * * * *', run: () => reconciler.resync() },
        { name: 'add-ons', cron: '45 * * * * *', run: () => backends.resync() },
        { name: 'manifests of partners', cron: '*/5 * * * * *', run: () => partners.services.readFiles() },
        { name: 'scheduled jobs', cron: '0 * * * * *', run: () => scheduledJobs.runDue() },
        { name: 'metrics of add-ons', cron: '5 * * * * *', run: () => metricsLog.write() },
        {
          // A new table asks for certificates in place of those that end soon.
          name: 'certificates',
          cron: '15 */10 * * * *',
          run: () => {
            certificates.sweep(routes.certificateIds);
            routes.changed();
          },
        },
        { name: 'backups of databases', cron: '20 * * * * *', run: () => postgres.runScheduled() },
        { name: 'dyno hours', cron: '*/10 * * * * *', run: () => dynoHours.look() },
        { name: 'reclaim', cron: '0 17 * * * *', run: () => reclaim.runScheduled() },
        { name: 'leftover builds', cron: '*/5 * * * * *', run: () => builder.removeLeftovers() },
      ],
      logger.child({ component: 'scheduler' }),
    );

    return [
      { name: 'git repositories', start: () => repositories.sweep() },
      { name: 'git hooks', start: () => receiver.start(), stop: () => receiver.stop() },
      { name: 'sources', start: () => sources.start() },
      { name: 'slugs', start: () => slugs.start() },
      { name: 'builds', start: () => builds.start() },
      { name: 'git', stop: () => git.stop() },
      { name: 'certificates', start: () => certificates.start(), stop: () => certificates.stop() },
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
      { name: 'dyno hours', start: () => dynoHours.start(), stop: () => dynoHours.stop() },
      { name: 'wake ledger', stop: () => sleep.ledger.stop() },
      // Ends after the dyno manager, which tells it what release commands print.
      { name: 'release phase', start: () => releasePhase.start(), stop: () => releasePhase.stop() },
      { name: 'dyno manager', start: () => reconciler.start(), stop: () => reconciler.stop() },
      // Before databases are looked at: what is on record as running then was cut off.
      { name: 'transfers of databases', start: () => postgres.start() },
      { name: 'add-on backends', start: () => backends.start(), stop: () => backends.stop() },
      { name: 'services of partners', start: () => partners.services.start() },
      { name: 'add-ons', start: () => addons.start() },
      // Before anybody can bring a destroyed one back: what it missed is not to be made up for.
      { name: 'scheduled jobs', start: () => scheduledJobs.runDue() },
      { name: 'running transfers of databases', stop: () => postgres.stop() },
      { name: 'api', start: () => api.start(), stop: () => api.stop() },
      // After the API, which partners call back, and stopped before it, since requests wait for them.
      { name: 'partners', start: () => partners.resources.start(), stop: () => partners.resources.stop() },
      { name: 'scheduler', start: () => scheduler.start(), stop: () => scheduler.stop() },
      // Before the scheduler and the API, which would wait for the end of a whole run.
      { name: 'reclaim', stop: () => reclaim.stop() },
      {
        name: 'instance file',
        start: () =>
          writeInstance(paths, {
            pid: process.pid,
            installationId,
            pidNamespace: ownPidNamespace(),
            apiPort: config.apiPort,
            routerHttpPort: config.routerHttpPort,
            routerHttpsPort: config.routerHttpsPort,
            startedAt: clock.now().toISOString(),
            version,
          }),
        stop: () => removeInstance(paths),
      },
      // First of all but set-ups, while those who push can still be told that their build was called off.
      { name: 'running builds', stop: () => builds.stop() },
      // Before builds are called off: a set-up goes on, or fails, at the next start.
      { name: 'app set-ups', start: () => appSetups.start(), stop: () => appSetups.stop() },
    ];
  }

  /** Known before images are built and a router is started for nothing; what is taken later fails where it is used. */
  async #assertPortsFree(): Promise<void> {
    const { config, paths } = this.#options;
    if (config.apiPort !== 0 && !(await isFree(config.apiPort))) throw await apiPortTaken(config);
    // A router that went on while the daemon was away has its ports.
    if (config.router === 'external' || (await answers(paths.routerSocket))) return;
    const taken = await takenRouterPort(config);
    if (taken !== undefined) throw await routerPortTaken(taken);
  }

  /** The router may be another process's business, but without one no app can be reached. */
  async #untilRouted(link: RouterLink): Promise<void> {
    const { config, paths, logger } = this.#options;
    try {
      await link.settled(AbortSignal.any([AbortSignal.timeout(ROUTER_READY_MS), this.#routerEnded.signal]));
    } catch (cause) {
      const taken = await takenRouterPort(config);
      if (taken !== undefined) throw await routerPortTaken(taken, { cause });
      const advice =
        config.router === 'external' ? 'Start it: dynodock router.' : `Its log: ${paths.routerLog}`;
      throw new StartError(`The router does not start. ${advice}`, { cause });
    }
    const [http, https] = routerPorts(config);
    for (const [wanted, port] of [
      [http.port, link.router?.httpPort],
      [https.port, link.router?.httpsPort],
    ]) {
      if (port == null || port === wanted || wanted === 0) continue;
      throw new StartError(
        `A router of this installation already serves port ${port}, not ${wanted}. Run \`dynodock down\` first to change the port.`,
      );
    }
    if (link.router?.httpsPort === null) {
      logger.warn('the running router was started by an older version and does not serve https', {
        advice: 'dynodock down, then dynodock up',
      });
    }
  }
}

/** Those that come with dynodock and the user's own; a file of theirs that can't be used is no reason not to start. */
async function openProviders(paths: Paths, logger: Logger): Promise<ProviderRegistry> {
  const { providers, problems } = await readProviderFiles(paths.addons);
  for (const { file, reason } of problems) {
    logger.error('a file of an add-on service cannot be used', { file, reason });
  }
  return new ProviderRegistry([...BUILT_IN_PROVIDERS, ...providers]);
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

/** References of all images that this version of dynodock makes for builds and dynos. */
async function ownImages(imagesDir: string, architecture: string): Promise<string[]> {
  const { base, stacks } = await stackImageReferences(imagesDir, architecture);
  return [base, ...Object.values(stacks).flatMap(({ run, build }) => [run, build])];
}

function imagesFor(images: StackImages, stack: string): { run: string; build: string } {
  if (stack === 'heroku-24' || stack === 'heroku-22') return images[stack];
  throw new Error(`stack ${stack} has no images`);
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
  return error instanceof PortInUseError ? await apiPortTaken(config, { cause: error }) : error;
}

async function apiPortTaken(config: Config, options?: ErrorOptions): Promise<StartError> {
  const { detail, advice } = await describeTakenPort(config.apiPort, 'DYNODOCK_API_PORT');
  return new StartError(`Port ${config.apiPort} of the API is ${detail}. ${advice}`, options);
}

interface RouterPort {
  who: string;
  variable: string;
  port: number;
}

function routerPorts(config: Config): [http: RouterPort, https: RouterPort] {
  return [
    { who: 'router', variable: 'DYNODOCK_HTTP_PORT', port: config.routerHttpPort },
    { who: 'router (https)', variable: 'DYNODOCK_HTTPS_PORT', port: config.routerHttpsPort },
  ];
}

async function takenRouterPort(config: Config): Promise<RouterPort | undefined> {
  for (const wanted of routerPorts(config)) {
    if (wanted.port !== 0 && !(await isFree(wanted.port))) return wanted;
  }
  return undefined;
}

async function routerPortTaken(
  { who, variable, port }: RouterPort,
  options?: ErrorOptions,
): Promise<StartError> {
  const { detail, advice } = await describeTakenPort(port, variable);
  return new StartError(`Port ${port} of the ${who} is ${detail}. ${advice}`, options);
}
