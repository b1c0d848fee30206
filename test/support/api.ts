import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { AddOnProvider } from '../../src/addons/provider';
import { createApiServer, type ApiServer, type ApiServerOptions } from '../../src/api/server';
import type { ApiServices } from '../../src/api/services';
import { BuildFailure } from '../../src/build/build-failure';
import { ensureApiCertificate, type ServerCertificate } from '../../src/daemon/api-certificate';
import { LocalAuthority } from '../../src/daemon/local-authority';
import type { AddOnSleepPolicy } from '../../src/domain/addon-sleep';
import type { Account } from '../../src/domain/account';
import type { App } from '../../src/domain/app';
import type { Build } from '../../src/domain/build';
import type { Dyno } from '../../src/domain/dyno';
import { parseDynoSize } from '../../src/domain/dyno-size';
import type { AppId, BuildId, DynoId, SlugId } from '../../src/domain/ids';
import type { ProcessTypes } from '../../src/domain/procfile';
import type { Release } from '../../src/domain/release';
import type { DynoManager, DynoSelection } from '../../src/dyno-manager/dyno-manager';
import { systemClock, type Clock } from '../../src/lib/clock';
import { silentLogger, type Logger } from '../../src/lib/logger';
import { ContainerBuilder } from '../../src/build/container-builder';
import { ContainerImages } from '../../src/build/container-images';
import { FakeEngine } from './fake-engine';
import { Logplex } from '../../src/logplex/logplex';
import { AccountService } from '../../src/platform/account/account';
import { AddOns } from '../../src/platform/addons/addons';
import { PageSessions } from '../../src/platform/addons/page-sessions';
import { Partners } from '../../src/platform/addons/partners/partners';
import type { PartnerClient } from '../../src/addons/partner-client';
import { AppFeatures } from '../../src/platform/app-features/app-features';
import { AppSetups } from '../../src/platform/app-setups/app-setups';
import { Apps } from '../../src/platform/apps/apps';
import { Authorizations } from '../../src/platform/authorizations/authorizations';
import { BlobUrls } from '../../src/platform/blobs/blob-urls';
import { BuildpackInstallations } from '../../src/platform/buildpack-installations/buildpack-installations';
import { Builds, type BuildsOptions } from '../../src/platform/builds/builds';
import { ConfigVarsService } from '../../src/platform/config-vars/config-vars';
import type { PlatformContext } from '../../src/platform/context';
import { Domains } from '../../src/platform/domains/domains';
import { Attachments } from '../../src/platform/dynos/attachments';
import { DynoHours } from '../../src/platform/dyno-hours/dyno-hours';
import { Dynos } from '../../src/platform/dynos/dynos';
import { OneOffService } from '../../src/platform/dynos/one-offs';
import { ContainerReleases } from '../../src/platform/container-releases/container-releases';
import { FormationService } from '../../src/platform/formation/formation';
import { LogSessions } from '../../src/platform/log-sessions/log-sessions';
import { ReleasePhase } from '../../src/platform/releases/release-phase';
import { Redis } from '../../src/platform/redis/redis';
import { Postgres } from '../../src/platform/postgres/postgres';
import { Releases } from '../../src/platform/releases/releases';
import { ScheduledJobs } from '../../src/platform/scheduler/scheduled-jobs';
import { Sleep } from '../../src/platform/sleep/sleep';
import { Slugs, type SlugsOptions } from '../../src/platform/slugs/slugs';
import { Sources } from '../../src/platform/sources/sources';
import { SniEndpoints } from '../../src/platform/sni-endpoints/sni-endpoints';
import { Store } from '../../src/store/store';
import { ADDON_HOST, TestBackends } from './addon-backends';
import { SLEEP } from './dyno-world';

export interface Answer {
  status: number;
  headers: Headers;
  /** Parsed when it is JSON. */
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- whatever the server says
  text: string;
}

export type TestApiOptions = Partial<Omit<ApiServerOptions, 'services'>> & {
  services?: Partial<ApiServices>;
  /** Pool of dyno hours; default none. */
  dynoHoursMs?: number;
  /** How long a request waits for a new add-on. */
  addonPatienceMs?: number;
  addonProviders?: readonly AddOnProvider[];
  /** Default: one with Heroku's patience. */
  partnerClient?: Pick<PartnerClient, 'ask'>;
  /** Between requests to partners that came to nothing. */
  partnerDelayMs?: (attempts: number) => number;
  /** Default: add-ons never sleep. */
  addonSleep?: AddOnSleepPolicy;
  /** Default: nothing can be built. */
  building?: Pick<BuildsOptions, 'builder' | 'sources'>;
  /** Default: no image can be made. */
  slugImages?: SlugsOptions['images'];
  /** Of uploads. Default 1 MiB. */
  maxBlobBytes?: number;
  /** What backups have to leave on the disk. Default 0. */
  minFreeBackupBytes?: number;
};

export interface LoggedMessage {
  message: string;
  fields: Record<string, unknown>;
}

const NO_ENGINE = new BuildFailure('engine', 'There is no engine here.');
const NOTHING_BUILDS: Pick<BuildsOptions, 'builder' | 'sources'> = {
  builder: {
    build: () => Promise.reject(NO_ENGINE),
    sweep: () => Promise.resolve({ containers: 0 }),
    purgeCache: () => Promise.resolve(),
    removeApp: () => Promise.resolve(),
  },
  sources: { fetch: () => Promise.reject(NO_ENGINE) },
};

/** Once per test file, which saves a good part of its time. */
let certificates: Promise<ServerCertificate & { ca: string }> | undefined;

async function makeCertificates(): Promise<ServerCertificate & { ca: string }> {
  const folder = mkdtempSync(path.join(tmpdir(), 'dynodock-api-'));
  try {
    const authority = await LocalAuthority.open(folder, new Date());
    const server = await ensureApiCertificate(folder, authority, new Date());
    return { ...server, ca: authority.certificate };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The API on a free port over the platform's own services and an empty store; only the dynos are pretended. */
export class TestApi {
  readonly store = Store.open(':memory:');
  readonly logplex: Logplex;
  readonly services: ApiServices;
  readonly account: Account;
  readonly token: string;
  readonly server: ApiServer;
  readonly errors: LoggedMessage[] = [];
  readonly restarts: DynoSelection[] = [];
  readonly gitRequests: string[] = [];
  readonly attachments: Attachments;
  readonly phase: ReleasePhase;
  readonly appSetups: AppSetups;
  /** Of apps on the container stack. */
  readonly engine: FakeEngine;
  readonly addons: TestBackends;
  readonly partners: Partners;
  readonly outputDir = mkdtempSync(path.join(tmpdir(), 'dynodock-api-'));
  readonly context: PlatformContext;
  readonly outputs = new Map<BuildId, AsyncIterable<Buffer>>();

  #secrets = 0;

  private constructor(
    readonly tls: ServerCertificate & { ca: string },
    clock: Clock,
    more: TestApiOptions,
  ) {
    this.logplex = new Logplex(clock);
    this.attachments = new Attachments(clock);
    const dynoManager: DynoManager = {
      kick: () => undefined,
      restart: (_appId, selection) => this.restarts.push(selection),
      idle: () => false,
      wake: () => null,
      discard: () => Promise.resolve(),
      attach: (_dynoId, client) => client.close(),
      runInside: (_dynoId, _command, client) => client.close(),
    };
    const context: PlatformContext = {
      store: this.store,
      clock,
      logplex: this.logplex,
      dynoManager,
      newId: randomUUID,
      random: Math.random,
      settings: {
        defaultDynoSize: parseDynoSize('basic'),
        appDomain: 'localhost',
        routerHttpPort: 8080,
        apiPort: 5050,
        herokuLimits: false,
      },
      changed: () => undefined,
    };
    this.context = context;
    this.phase = new ReleasePhase(context, { outputDir: this.outputDir, logger: silentLogger });
    const releases = new Releases(context, this.phase);
    this.addons = new TestBackends({
      store: this.store,
      logplex: this.logplex,
      clock,
      addons: () => this.services.addons,
      onReady: (id) => this.services.postgres.forks.ready(id),
      ...(more.addonProviders === undefined ? {} : { providers: more.addonProviders }),
      ...(more.addonSleep === undefined ? {} : { sleep: more.addonSleep }),
    });
    this.partners = new Partners(context, {
      providers: this.addons.providers,
      addons: () => this.services.addons,
      folder: path.join(this.outputDir, 'addons'),
      ...(more.partnerClient === undefined ? {} : { client: more.partnerClient }),
      ...(more.partnerDelayMs === undefined ? {} : { delayMs: more.partnerDelayMs }),
      logger: silentLogger,
    });
    mkdirSync(path.join(this.outputDir, 'addons'));
    const addons = new AddOns(context, {
      releases,
      providers: this.addons.providers,
      manager: this.addons.backends,
      host: () => ADDON_HOST,
      publishedOn: () => '127.0.0.1',
      secret: (length) => 's'.repeat(length),
      logger: silentLogger,
      provisioners: { partner: this.partners.resources },
      ...(more.addonPatienceMs === undefined ? {} : { patienceMs: more.addonPatienceMs }),
    });
    const blobUrls = new BlobUrls(this.store.settings, clock);
    const limits = { maxBytes: more.maxBlobBytes ?? 1024 ** 2, minFreeBytes: 0 };
    const noImage = (): Promise<never> => Promise.reject(new Error('there is no engine here'));
    const slugs = new Slugs(context, {
      uploadsDir: path.join(this.outputDir, 'uploads'),
      urls: blobUrls,
      limits,
      images: more.slugImages ?? { adopt: noImage, copy: noImage, archivePath: () => '/nonexistent' },
      releases,
    });
    const postgres = new Postgres(context, {
      addons,
      secret: (length) => String(++this.#secrets).padEnd(length, 'x'),
      backups: {
        directory: path.join(this.outputDir, 'backups'),
        minFreeBytes: more.minFreeBackupBytes ?? 0,
      },
      urls: blobUrls,
      logger: this.#logger(),
    });
    const sniEndpoints = new SniEndpoints(context);
    const formation = new FormationService(context);
    const builds = this.#builds(releases, more.building);
    const apps: Apps = new Apps(context, releases, [
      { appDestroyed: (...args) => this.appSetups.appDestroyed(...args) },
      slugs,
      addons,
    ]);
    const configVars = new ConfigVarsService(context, releases, addons.attachments);
    const buildpackInstallations = new BuildpackInstallations(context);
    const oneOffs = new OneOffService(context, this.attachments);
    this.appSetups = new AppSetups(context, {
      apps,
      configVars,
      addons,
      buildpackInstallations,
      builds,
      releases: this.phase,
      formation,
      oneOffs,
      sources: more.building?.sources ?? NOTHING_BUILDS.sources,
      secret: () => 'ab'.repeat(32),
      logger: this.#logger(),
    });
    this.engine = new FakeEngine(clock);
    const images = new ContainerImages({
      engine: this.engine,
      installationId: 'test',
      imagesFor: () => ({ run: 'test/run', build: 'test/build' }),
    });
    for (const name of ['test/run', 'test/build']) this.engine.addImage(name);
    this.services = {
      account: new AccountService(context),
      addons,
      apps,
      appFeatures: new AppFeatures(context),
      appSetups: this.appSetups,
      authorizations: new Authorizations(context),
      blobUrls,
      builds,
      buildpackInstallations,
      configVars,
      containerReleases: new ContainerReleases(context, {
        images,
        builder: new ContainerBuilder({
          engine: this.engine,
          images,
          network: 'none',
          memoryBytes: 1024 ** 3,
          newSourcePath: () => path.join(this.outputDir, randomUUID()),
          clock,
        }),
        releases,
        formation,
        buildTimeoutMs: 60_000,
        onDeployed: () => undefined,
      }),
      domains: new Domains(context, sniEndpoints),
      dynoHours: new DynoHours(context, { poolMs: more.dynoHoursMs ?? 0 }),
      dynos: new Dynos(context),
      formation,
      logSessions: new LogSessions(context),
      oneOffs,
      pageSessions: new PageSessions(this.store.settings, clock),
      partners: this.partners,
      postgres,
      redis: new Redis(context, {
        addons,
        secret: (length) => String(++this.#secrets).padEnd(length, 'x'),
      }),
      reclaim: {
        plan: async () => ({ items: [], before: { images: null, caches: null, files: 0 }, after: null }),
        run: () => Promise.reject(new Error('there is no disk here')),
      },
      releases,
      scheduledJobs: new ScheduledJobs(context, { oneOffs, logger: this.#logger() }),
      sleep: new Sleep(context, {
        policy: SLEEP,
        router: { park: async () => null, stayAwake: () => undefined },
      }),
      slugs,
      sources: new Sources(context, {
        directory: path.join(this.outputDir, 'sources'),
        urls: blobUrls,
        limits,
      }),
      sniEndpoints,
      ...more.services,
    };
    this.account = this.services.account.ensure('a@b.example');
    this.token = this.services.account.issueToken(this.account, 'tests');
    this.server = createApiServer({
      tls,
      listen: { port: 0 },
      allowedHosts: ['api.localhost'],
      git: (req, res) => this.#git(req, res),
      rendezvous: (socket) => socket.destroy(),
      bundledBuildpacks: [
        {
          name: 'heroku/nodejs',
          description: 'Node.js apps',
          readme: '# Node.js\n\nNode.js apps\n',
          revision: 'sha256:01',
          updatedAt: new Date('2026-02-03T04:05:06Z'),
        },
        {
          name: 'heroku/procfile',
          description: 'Apps of a Procfile only',
          readme: 'Apps of a Procfile only\n',
          revision: 'sha256:02',
          updatedAt: new Date('2026-02-03T04:05:06Z'),
        },
      ],
      requestsPerHour: null,
      logger: this.#logger(),
      clock,
      ...more,
      services: this.services,
    });
  }

  static async start(more: TestApiOptions = {}): Promise<TestApi> {
    certificates ??= makeCertificates();
    const api = new TestApi(await certificates, more.clock ?? systemClock, more);
    try {
      await api.services.postgres.start();
      await api.addons.start();
      await api.partners.services.start();
      api.partners.resources.start();
      await api.server.start();
    } catch (error) {
      api.store.close();
      throw error;
    }
    return api;
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await this.services.postgres.stop();
    await this.appSetups.stop();
    await this.partners.resources.stop();
    await this.addons.backends.stop();
    await this.#stopBuilds();
    await this.phase.stop();
    rmSync(this.outputDir, { recursive: true, force: true });
    this.store.close();
  }

  get url(): string {
    return `http://127.0.0.1:${this.server.port}`;
  }

  async request(
    method: string,
    target: string,
    options: { body?: unknown; headers?: Record<string, string>; anonymous?: boolean } = {},
  ): Promise<Answer> {
    const { body } = options;
    const response = await fetch(new URL(target, this.url), {
      method,
      headers: {
        Accept: 'application/vnd.heroku+json; version=3',
        ...(options.anonymous === true ? {} : { Authorization: `Bearer ${this.token}` }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...options.headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const json = response.headers.get('content-type')?.startsWith('application/json') === true && text !== '';
    return {
      status: response.status,
      headers: response.headers,
      body: json ? JSON.parse(text) : undefined,
      text,
    };
  }

  get(target: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('GET', target, { headers });
  }
  post(target: string, body?: unknown): Promise<Answer> {
    return this.request('POST', target, { body });
  }
  patch(target: string, body?: unknown): Promise<Answer> {
    return this.request('PATCH', target, { body });
  }
  put(target: string, body?: unknown): Promise<Answer> {
    return this.request('PUT', target, { body });
  }
  delete(target: string): Promise<Answer> {
    return this.request('DELETE', target);
  }

  anApp(name = 'demo'): App {
    return this.services.apps.create(this.account, { name });
  }

  /** As if it had been pushed and built. */
  deploy(app: App, processTypes: ProcessTypes = { web: 'node web.js', worker: 'node worker.js' }): Release {
    const now = new Date();
    return this.services.releases.deploy(this.account, app, {
      id: randomUUID() as SlugId,
      appId: app.id,
      stack: 'heroku-24',
      commit: '2c3a0b2d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f7',
      commitDescription: 'Add a page',
      processTypes,
      buildpackProvidedDescription: 'Node.js',
      checksum: `SHA256:${'0'.repeat(64)}`,
      size: 1234,
      image: 'slug:1',
      createdAt: now,
      updatedAt: now,
    });
  }

  aBuild(app: App, more: Partial<Build> = {}): Build {
    const now = new Date();
    const build: Build = {
      id: randomUUID() as BuildId,
      appId: app.id,
      status: 'pending',
      stack: 'heroku-24',
      version: '2c3a0b2d',
      versionDescription: null,
      buildpacks: ['heroku/nodejs'],
      buildpackRevisions: ['sha256:00'],
      user: { id: this.account.id, email: this.account.email },
      slugId: null,
      releaseId: null,
      failure: null,
      createdAt: now,
      updatedAt: now,
      ...more,
    };
    this.store.builds.insert(build);
    return build;
  }

  aDyno(app: App, release: Release, more: Partial<Dyno> = {}): Dyno {
    const now = new Date();
    const dyno: Dyno = {
      id: randomUUID() as DynoId,
      appId: app.id,
      releaseId: release.id,
      releaseVersion: release.version,
      type: 'web',
      number: 1,
      size: parseDynoSize('basic'),
      command: 'node web.js',
      state: 'up',
      port: 20_000,
      superseded: false,
      sandbox: null,
      endpoint: { host: '127.0.0.1', port: 20_000 },
      crashCount: 0,
      nextStartAt: null,
      createdAt: now,
      updatedAt: now,
      startedAt: now,
      oneOff: null,
      ...more,
    };
    this.store.dynos.save(dyno);
    return dyno;
  }

  log(appId: AppId, text: string): void {
    this.logplex.heroku(appId, 'web.1', text);
  }

  /** Their outputs are those that the test says, where it does. */
  #builds(releases: Releases, building: TestApiOptions['building']): ApiServices['builds'] {
    const builds = new Builds(this.context, {
      ...(building ?? NOTHING_BUILDS),
      releases,
      addons: {
        createUsable: (...args) => this.services.addons.createUsable(...args),
        awakenOf: (app) => this.services.addons.awakenOf(app),
      },
      outputDir: path.join(this.outputDir, 'builds'),
      webUrl: (app) => `http://${app.name}.localhost/`,
      outputUrl: (app, id) => `http://localhost/apps/${app.id}/builds/${id}`,
      logger: silentLogger,
    });
    this.#stopBuilds = () => builds.stop();
    return {
      list: (app) => builds.list(app),
      find: (app, id) => builds.find(app, id),
      create: (...args) => builds.create(...args),
      cancel: (...args) => builds.cancel(...args),
      purgeCache: (...args) => builds.purgeCache(...args),
      outputStream: (id) =>
        this.outputs.get(id) ?? (building === undefined ? undefined : builds.outputStream(id)),
    };
  }

  #stopBuilds: () => Promise<void> = () => Promise.resolve();

  #git(req: IncomingMessage, res: ServerResponse): void {
    let bytes = 0;
    req.on('data', (chunk: Buffer) => (bytes += chunk.length));
    req.on('end', () => {
      this.gitRequests.push(`${req.method} ${req.url} ${bytes}`);
      res.end(`git ${bytes}`);
    });
  }

  #logger(): Logger {
    const logger: Logger = {
      error: (message, fields = {}) => void this.errors.push({ message, fields }),
      warn: () => undefined,
      info: () => undefined,
      debug: () => undefined,
      child: () => logger,
    };
    return logger;
  }
}
