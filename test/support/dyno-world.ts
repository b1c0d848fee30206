import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import type { Account } from '../../src/domain/account';
import type { App } from '../../src/domain/app';
import { dynoName } from '../../src/domain/dyno';
import { parseDynoSize } from '../../src/domain/dyno-size';
import type { AppId, SlugId } from '../../src/domain/ids';
import type { ProcessTypes } from '../../src/domain/procfile';
import type { Release } from '../../src/domain/release';
import type { SleepPolicy } from '../../src/domain/sleep';
import type { Slug } from '../../src/domain/slug';
import type { AddOnGate } from '../../src/dyno-manager/addon-gate';
import { Reconciler } from '../../src/dyno-manager/reconciler';
import { silentLogger } from '../../src/lib/logger';
import { Logplex } from '../../src/logplex/logplex';
import { AccountService } from '../../src/platform/account/account';
import { Apps } from '../../src/platform/apps/apps';
import { ConfigVarsService } from '../../src/platform/config-vars/config-vars';
import type { PlatformContext } from '../../src/platform/context';
import { Dynos } from '../../src/platform/dynos/dynos';
import { FormationService } from '../../src/platform/formation/formation';
import { ReleasePhase } from '../../src/platform/releases/release-phase';
import { Releases } from '../../src/platform/releases/releases';
import { Store } from '../../src/store/store';
import { FakeClock, settled } from './fake-clock';
import { FakeEngine, type ContainerScript } from './fake-engine';
import { Mortal } from './mortal';
import { EngineError, type ContainerSpec } from '../../src/engine/engine';

export const INSTALLATION = 'installation-under-test';
const IMAGE = 'slug:1';
export const SLEEP: SleepPolicy = { idleAfterMs: 1_800_000, depth: 'stopped', frozenMs: 600_000 };

/** The dyno manager and the platform's services over a store in memory, a fake engine and a clock turned by hand. */
export class DynoWorld {
  readonly clock = new FakeClock();
  readonly engine = new FakeEngine(this.clock);
  readonly store: Store;
  readonly logplex = new Logplex(this.clock);
  readonly phase: ReleasePhase;
  readonly releases: Releases;
  readonly apps: Apps;
  readonly configVars: ConfigVarsService;
  readonly formation: FormationService;
  readonly dynos: Dynos;
  readonly account: Account;
  /** What dynos listen with, as far as a test lets them: accepts connections. */
  readonly listener: Server = createServer((socket) => socket.destroy());
  /** Rounds of the event loop that `settle` gives to what goes on: fewer leave more of it under way. */
  patience = 20;
  /** Of the next manager; 0 = dynos run for ever. */
  cycleMs = 20 * 60_000;
  manager: Reconciler;
  readonly context: PlatformContext;
  /** What `manager` has of engine and clock. */
  mortal: Mortal;
  readonly outputDir = mkdtempSync(path.join(tmpdir(), 'dynodock-world-'));
  /** Makes an image that the engine has lost. */
  restoreImage: (slug: Slug) => Promise<string> = () =>
    Promise.reject(new EngineError('not_found', 'no archive'));
  onChange: (appId: AppId) => void = () => undefined;
  /** Add-ons that the apps have and that do not serve. */
  missingAddOns: readonly string[] = [];
  readonly neededFor: AppId[] = [];
  addons: AddOnGate = {
    missing: () => this.missingAddOns,
    need: (appId) => void this.neededFor.push(appId),
  };

  constructor(
    store = Store.open(':memory:'),
    readonly readySandboxes = 0,
  ) {
    this.store = store;
    this.engine.addImage(IMAGE);
    this.behave(() => true, {});
    this.mortal = new Mortal(this.engine, this.clock);
    this.manager = this.#newManager();
    this.context = {
      store,
      clock: this.clock,
      logplex: this.logplex,
      // Late bound: a test may replace the manager, as a restart of the daemon does.
      dynoManager: {
        kick: (appId) => this.manager.kick(appId),
        restart: (appId, selection) => this.manager.restart(appId, selection),
        idle: (appId, depth) => this.manager.idle(appId, depth),
        wake: (appId) => this.manager.wake(appId),
        discard: (appId) => this.manager.discard(appId),
        attach: (dynoId, client) => this.manager.attach(dynoId, client),
        runInside: (dynoId, command, client) => this.manager.runInside(dynoId, command, client),
      },
      newId: randomUUID,
      random: Math.random,
      settings: {
        defaultDynoSize: parseDynoSize('eco'),
        appDomain: 'localhost',
        routerHttpPort: 80,
        apiPort: 1,
        herokuLimits: false,
      },
      changed: (appId) => this.onChange(appId),
    };
    this.phase = new ReleasePhase(this.context, { outputDir: this.outputDir, logger: silentLogger });
    this.releases = new Releases(this.context, this.phase);
    this.apps = new Apps(this.context, this.releases, [this.phase]);
    this.configVars = new ConfigVarsService(this.context, this.releases, { namesToCome: () => new Set() });
    this.formation = new FormationService(this.context);
    this.dynos = new Dynos(this.context);
    this.account = new AccountService(this.context).ensure('user@example.com');
  }

  async start(): Promise<void> {
    await this.engine.ensureNetwork({ name: 'net', labels: {}, interContainerTraffic: false });
    this.listener.listen(0, '127.0.0.1');
    await once(this.listener, 'listening');
    this.manager.start();
    await this.settle();
  }

  async stop(): Promise<void> {
    await this.manager.stop();
    await this.phase.stop();
    rmSync(this.outputDir, { recursive: true, force: true });
    if (this.listener.listening) await new Promise((resolve) => this.listener.close(resolve));
    this.store.close();
  }

  /** What containers do; a signal that is sent to all processes ends them, unless they ignore it. */
  behave(which: (spec: ContainerSpec) => boolean, script: ContainerScript): void {
    this.engine.behave(which, {
      exec: (argv, _options, container) => {
        if (/^kill -(TERM|HUP) -1$/.test(argv.at(-1) ?? '') && script.ignoresSigterm !== true)
          setImmediate(() => {
            const { name } = container.spec;
            // It may have been removed by somebody else meanwhile.
            if (this.engine.containers().some((other) => other.name === name)) this.engine.exit(name, 143);
          });
        return { exitCode: 0, stdout: '', stderr: '' };
      },
      ...script,
    });
  }

  /** As if the daemon were stopped and started again: what was in memory is gone. */
  async restartManager(): Promise<void> {
    await this.manager.stop();
    await this.replaceManager();
  }

  /** A new daemon in the place of one that was killed (`mortal`). */
  async replaceManager(): Promise<void> {
    this.mortal.kill();
    this.mortal = new Mortal(this.engine, this.clock);
    this.manager = this.#newManager();
    this.manager.start();
    await this.settle();
  }

  /** Where web dynos are reached in this world. */
  get endpoint(): { host: string; port: number } {
    return { host: '127.0.0.1', port: (this.listener.address() as { port: number }).port };
  }

  async createApp(processTypes?: ProcessTypes): Promise<App> {
    const app = this.apps.create(this.account, { name: 'demo' });
    if (processTypes !== undefined) await this.deploy(app, processTypes);
    return app;
  }

  async deploy(app: App, processTypes: ProcessTypes): Promise<Release> {
    const now = this.clock.now();
    const slug: Slug = {
      id: randomUUID() as SlugId,
      appId: app.id,
      stack: 'heroku-24',
      commit: 'a'.repeat(40),
      commitDescription: null,
      processTypes,
      buildpackProvidedDescription: 'Node.js',
      checksum: 'SHA256:00',
      size: 1,
      image: IMAGE,
      createdAt: now,
      updatedAt: now,
    };
    const release = this.releases.deploy(this.account, app, slug);
    await this.settle();
    return release;
  }

  /** Lets everything happen that needs no time, real sockets included. */
  async settle(): Promise<void> {
    for (let round = 0; round < this.patience; round += 1) {
      await settled();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  /** `web.1 up v3` of each dyno, those on their way out included. */
  states(app: App): string[] {
    return this.store.dynos
      .of(app.id)
      .map((dyno) => `${dynoName(dyno)} ${dyno.state} v${dyno.releaseVersion}`);
  }

  /** The log's lines without times, from the mark on. */
  log(app: App, from = ''): string[] {
    const lines = this.logplex
      .history(app.id, {}, 1500)
      .map(({ line }) => `${line.source}[${line.process}]: ${line.text.replace(/-p \d+/, '-p PORT')}`);
    const start = from === '' ? -1 : lines.lastIndexOf(from);
    return lines.slice(start + 1);
  }

  #newManager(): Reconciler {
    return new Reconciler({
      store: this.store,
      engine: this.mortal.engine,
      logplex: this.logplex,
      clock: this.mortal.clock,
      logger: silentLogger,
      addons: {
        missing: (appId) => this.addons.missing(appId),
        need: (appId) => this.addons.need(appId),
      },
      installationId: INSTALLATION,
      network: 'net',
      restoreImage: (slug) => this.restoreImage(slug),
      settleMs: 0,
      newId: randomUUID,
      random: Math.random,
      changed: (appId) => this.onChange(appId),
      oneOffEnded: (dyno, end) => this.phase.dynoEnded(dyno, end),
      oneOffPrinted: (dyno, line) => this.phase.printed(dyno, line),
      concurrency: 4,
      readySandboxes: this.readySandboxes,
      sandboxImage: IMAGE,
      cycleMs: this.cycleMs,
      sleep: SLEEP,
    });
  }
}
