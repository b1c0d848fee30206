import fc from 'fast-check';
import { redis } from '../../../src/addons/redis';
import { BUILT_IN_PROVIDERS } from '../../../src/addons/built-in';
import { ProviderRegistry } from '../../../src/addons/registry';
import { NO_BACKEND } from '../../../src/domain/addon';
import type { AddOnSleepDepth } from '../../../src/domain/addon-sleep';
import type { App } from '../../../src/domain/app';
import type { AddOnId, AttachmentId, DynoId } from '../../../src/domain/ids';
import { AddOnBackends } from '../../../src/dyno-manager/addon-backends';
import type { ExecResult } from '../../../src/engine/engine';
import { ADDON_LABEL, DYNO_LABEL } from '../../../src/engine/labels';
import { silentLogger } from '../../../src/lib/logger';
import { ADDON_HOST, ADDON_NETWORK } from '../../support/addon-backends';
import { DynoWorld, INSTALLATION } from '../../support/dyno-world';

const ID = 'cd3485ca-e2a7-415a-bc59-024487e063ed' as AddOnId;
jest.setTimeout(60_000);

const LINGER_MS = 120_000;
const BOOT_MS = 3_000;
/** Of the long property; each takes about a second. */
const RUNS = 4;
const OK: ExecResult = { exitCode: 0, stdout: '', stderr: '' };

/** Dynos and one Redis add-on on the same engine, each with its own reconciler, joined as the daemon joins them. */
class SleepWorld extends DynoWorld {
  backends!: AddOnBackends;
  /** What /proc/net/tcp says inside of it. */
  sockets = '';
  /** Starts of dynos that did not find the add-on ready, and sleeps beside a dyno that ran. */
  readonly violations: string[] = [];
  #startedAt = new Map<string, number>();
  readonly #answered = new Set<string>();

  constructor(readonly depth: AddOnSleepDepth) {
    super();
    this.patience = 8;
    this.addons = {
      missing: (appId) => this.backends.missing(appId),
      need: (appId) => this.backends.need(appId),
    };
    this.onChange = (appId) => this.backends.appChanged(appId);
    this.behave(() => true, { endpoint: this.endpointLater });
    this.#behaveAddOn();
    this.#watch();
  }

  get endpointLater(): { host: string; port: number } {
    return { host: '127.0.0.1', port: 1 };
  }

  async begin(): Promise<void> {
    await this.engine.ensureNetwork({ name: ADDON_NETWORK, labels: {}, interContainerTraffic: false });
    this.startBackends();
    await this.start();
    this.behave((spec) => spec.labels[DYNO_LABEL] !== undefined, { endpoint: this.endpoint });
    this.#behaveAddOn();
  }

  startBackends(): void {
    this.backends = new AddOnBackends({
      store: this.store,
      engine: this.mortal.engine,
      providers: new ProviderRegistry(BUILT_IN_PROVIDERS),
      images: {
        reference: () => 'redis:1',
        isThere: async () => true,
        ensure: async () => void this.engine.addImage('redis:1'),
      },
      clock: this.mortal.clock,
      logger: silentLogger,
      installationId: INSTALLATION,
      network: ADDON_NETWORK,
      publishOn: ADDON_HOST,
      hostNetwork: false,
      isPortFree: async () => true,
      ports: { first: 20_000, count: 400 },
      random: Math.random,
      issueCertificate: async () => ({ certificateChain: 'a certificate', privateKey: 'a key' }),
      onReady: () => undefined,
      onFailed: () => undefined,
      onProgress: () => undefined,
      onServing: () => {
        for (const { appId } of this.store.attachments.ofAddOn(ID)) this.manager.kick(appId);
      },
      concurrency: 4,
      logplex: this.logplex,
      sleep: { depth: this.depth, lingerMs: LINGER_MS },
    });
    this.backends.start();
  }

  /** As with SIGKILL, and a daemon that is started again. */
  async crash(): Promise<void> {
    this.mortal.kill();
    // Both are to have the new view of the engine.
    const restarted = this.replaceManager();
    this.startBackends();
    await restarted;
  }

  attach(app: App, name = 'REDIS'): void {
    const now = this.clock.now();
    this.store.attachments.insert({
      id: `attachment-${app.id}` as AttachmentId,
      addonId: ID,
      appId: app.id,
      name,
      namespace: null,
      createdAt: now,
      updatedAt: now,
    });
  }

  addAddOn(app: App): void {
    const now = this.clock.now();
    this.store.addons.insert({
      id: ID,
      appId: app.id,
      appName: app.name,
      name: 'cache',
      service: 'heroku-redis',
      plan: 'mini',
      state: 'provisioned',
      config: redis.newConfig({ plan: redis.plans[0]!, options: {}, secret: (length) => 'x'.repeat(length) }),
      options: {},
      provisionMessage: null,
      failure: null,
      announced: false,
      attachAs: null,
      backend: NO_BACKEND,
      createdAt: now,
      updatedAt: now,
      provisionedAt: now,
      deprovisionedAt: null,
    });
  }

  state(): string {
    return this.engine.containers().find(({ spec }) => spec.labels[ADDON_LABEL] === ID)?.state ?? 'none';
  }

  runningDynos(): number {
    return this.engine
      .containers()
      .filter(({ spec, state }) => spec.labels[DYNO_LABEL] && state === 'running').length;
  }

  #behaveAddOn(): void {
    this.engine.behave((spec) => spec.labels[ADDON_LABEL] !== undefined, {
      onStart: ({ spec }) => {
        this.#answered.delete(spec.name);
        this.#startedAt.set(spec.name, this.clock.now().getTime());
      },
      exec: (argv, _options, { spec }) => {
        if (argv[0] === 'cat') return { ...OK, stdout: this.sockets };
        if (!argv.join(' ').includes('ping')) return OK;
        // It takes its time to boot.
        if (this.clock.now().getTime() < (this.#startedAt.get(spec.name) ?? 0) + BOOT_MS) {
          return { ...OK, exitCode: 1 };
        }
        this.#answered.add(spec.name);
        return OK;
      },
    });
  }

  /** Looks over the shoulders of both reconcilers. */
  #watch(): void {
    const { engine } = this;
    const start = engine.start.bind(engine);
    const unpause = engine.unpause.bind(engine);
    const pause = engine.pause.bind(engine);
    const stop = engine.stop.bind(engine);
    const of = (id: string): { isDyno: boolean; isAddOn: boolean } => {
      const labels = engine.containers().find((container) => container.id === id)?.spec.labels ?? {};
      // A frozen one that is told to stop is unpaused too, for its end.
      const dyno = this.store.dynos.get(labels[DYNO_LABEL] as DynoId);
      return { isDyno: dyno?.state === 'starting', isAddOn: labels[ADDON_LABEL] !== undefined };
    };
    const checkStart = (id: string, how: string): void => {
      if (!of(id).isDyno) return;
      const container = engine.containers().find(({ spec }) => spec.labels[ADDON_LABEL] === ID);
      if (container?.state !== 'running' || !this.#answered.has(container.spec.name)) {
        this.violations.push(`a dyno was ${how} while the add-on was ${container?.state ?? 'none'}`);
      }
    };
    const checkSleep = (id: string, how: string): void => {
      if (of(id).isAddOn && this.runningDynos() > 0 && this.store.addons.get(ID)?.state === 'provisioned') {
        this.violations.push(`the add-on was ${how} beside ${this.runningDynos()} dynos`);
      }
    };
    engine.start = (id) => {
      checkStart(id, 'started');
      return start(id);
    };
    engine.unpause = (id) => {
      checkStart(id, 'thawed');
      return unpause(id);
    };
    engine.pause = (id) => {
      checkSleep(id, 'paused');
      return pause(id);
    };
    engine.stop = (id, options) => {
      checkSleep(id, 'stopped');
      return stop(id, options);
    };
  }
}

let world: SleepWorld;
let app: App;

async function make(depth: AddOnSleepDepth): Promise<void> {
  world = new SleepWorld(depth);
  await world.begin();
  app = await world.createApp();
  world.addAddOn(app);
  world.attach(app);
  await world.deploy(app, { web: 'serve' });
  for (let second = 0; second < 5; second += 1) await world.advance(1000);
  expect(world.states(app)).toEqual(['web.1 up v3']);
  // What was known to somebody before this daemon's start is forgotten by now.
  await world.advance(LINGER_MS);
}

afterEach(async () => {
  await world.backends.stop();
  await world.stop();
  expect(world.violations).toEqual([]);
});

async function seconds(count: number): Promise<void> {
  for (let second = 0; second < count; second += 1) await world.advance(1000);
}

async function fallAsleep(depth: 'stopped' | 'frozen' = 'stopped'): Promise<void> {
  expect(world.manager.idle(app.id, depth)).toBe(true);
  await world.settle();
  await seconds(2);
}

const ASLEEP = { stop: 'exited', freeze: 'paused' } as const;

describe.each(['stop', 'freeze'] as const)('with add-ons that sleep by %s', (depth) => {
  beforeEach(() => make(depth));

  test.each(['stopped', 'frozen'] as const)(
    'one sleeps with its app (%s) and wakes before it',
    async (how) => {
      expect(world.state()).toBe('running');
      await fallAsleep(how);
      expect(world.state()).toBe(ASLEEP[depth]);
      expect(world.backends.isAsleep(ID)).toBe(true);
      await seconds(120);
      expect(world.state()).toBe(ASLEEP[depth]);
      expect(world.store.addons.get(ID)?.backend).toMatchObject({ failures: 0, problem: null });
      world.manager.wake(app.id);
      await seconds(6);
      expect(world.state()).toBe('running');
      expect(world.states(app)).toEqual(['web.1 up v3']);
      expect(world.backends.isAsleep(ID)).toBe(false);
    },
  );

  test('one that other apps have sleeps only when all of them do', async () => {
    const other = world.apps.create(world.account, { name: 'other' });
    world.attach(other, 'SHARED');
    await world.deploy(other, { web: 'serve' });
    await seconds(1);
    await fallAsleep();
    expect(world.state()).toBe('running');
    world.manager.idle(other.id, 'stopped');
    await seconds(2);
    expect(world.state()).toBe(ASLEEP[depth]);
    world.manager.wake(other.id);
    await seconds(6);
    expect(world.state()).toBe('running');
    expect(world.states(app)).toEqual(['web.1 idle v3']);
  });

  test('asked for by hand it wakes while its app sleeps on, and falls asleep again after a while', async () => {
    await fallAsleep();
    let awake = false;
    void world.backends.awaken(ID, { timeoutMs: 20_000 }).then(() => (awake = true));
    await seconds(6);
    expect(awake).toBe(true);
    expect(world.backends.isServing(ID)).toBe(true);
    expect(world.states(app)).toEqual(['web.1 idle v3']);
    await world.advance(LINGER_MS);
    await seconds(1);
    expect(world.state()).toBe(ASLEEP[depth]);
  });

  test('a command that runs inside keeps it awake', async () => {
    const dump = await world.backends.execAttached(ID, { argv: ['dump'] });
    dump.stderr.resume();
    await fallAsleep();
    await world.advance(10 * 60_000);
    expect(world.state()).toBe('running');
    dump.stdin.end();
    dump.stdout.resume();
    await dump.exitCode();
    await world.settle();
    await world.backends.resync();
    await seconds(1);
    expect(world.state()).toBe(ASLEEP[depth]);
  });

  test('whoever is connected is not cut off, unless frozen dynos may be meant', async () => {
    //     sl  local_address rem_address   st: port 6379 of a client at 172.18.0.1
    world.sockets = '   0: 020012AC:18EB 010012AC:C350 01 00000000:00000000 00:00000000 00000000 999 0 1';
    await fallAsleep('stopped');
    await seconds(70);
    expect(world.state()).toBe('running');
    world.sockets = world.sockets.replace(' 01 ', ' 06 ');
    await seconds(61);
    expect(world.state()).toBe(ASLEEP[depth]);
    world.manager.wake(app.id);
    await seconds(6);
    world.sockets = world.sockets.replace(' 06 ', ' 01 ');
    await fallAsleep('frozen');
    expect(world.state()).toBe(ASLEEP[depth]);
  });

  test('a destroyed one goes as ever, and one with another plan comes back with it', async () => {
    await fallAsleep();
    const before = world.engine.containers().find(({ spec }) => spec.labels[ADDON_LABEL] === ID)?.id;
    world.store.addons.update({ ...world.store.addons.get(ID)!, plan: 'premium-0' });
    await world.backends.settle(ID);
    expect(world.state()).toBe('none');
    world.manager.wake(app.id);
    await seconds(6);
    const after = world.engine.containers().find(({ spec }) => spec.labels[ADDON_LABEL] === ID);
    expect(after?.id).not.toBe(before);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    await fallAsleep();
    const now = world.clock.now();
    world.store.addons.update({
      ...world.store.addons.get(ID)!,
      state: 'deprovisioned',
      deprovisionedAt: now,
    });
    await world.backends.settle(ID);
    expect(world.state()).toBe('none');
    expect(world.engine.volumes()).toHaveLength(1);
  });

  test('a daemon that is started again lets the sleeping sleep, and puts to sleep what was left awake', async () => {
    await fallAsleep();
    await world.crash();
    await seconds(5);
    expect(world.state()).toBe(ASLEEP[depth]);
    void world.backends.awaken(ID, { timeoutMs: 1000 });
    await seconds(6);
    await world.crash();
    await seconds(5);
    expect(world.state()).toBe('running');
    await world.advance(LINGER_MS);
    await seconds(1);
    expect(world.state()).toBe(ASLEEP[depth]);
  });

  test('whatever happens in whatever order, no dyno starts before it serves and it never sleeps beside one', async () => {
    type Act =
      'idle' | 'freeze' | 'wake' | 'run' | 'restart' | 'deploy' | 'ask' | 'crash' | 'die' | 'wait' | 'kill';
    const act = fc.record({
      kind: fc.constantFrom<Act>(
        'idle', 'idle', 'freeze', 'freeze', 'wake', 'wake', 'run', 'restart', 'deploy', 'ask', 'crash', 'die', 'wait', 'kill',
      ), // prettier-ignore
      afterMs: fc.constantFrom(0, 0, 1, 500, 4000, 70_000),
      call: fc.integer({ min: 0, max: 4 }),
      done: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 3, maxLength: 10 }), async (acts) => {
        world.violations.length = 0;
        for (const { kind, afterMs, call, done } of acts) {
          switch (kind) {
            case 'idle':
            case 'freeze':
              world.manager.idle(app.id, kind === 'idle' ? 'stopped' : 'frozen');
              break;
            case 'wake':
              world.manager.wake(app.id);
              break;
            case 'run':
              world.behave((spec) => spec.name.includes('run'), { exitAfterMs: 2000 });
              break;
            case 'restart':
              world.manager.restart(app.id, { all: true });
              break;
            case 'deploy':
              world.releases.create(world.account, app, { description: 'Set A config vars' });
              break;
            case 'ask':
              void world.backends.awaken(ID, { timeoutMs: 1000 });
              break;
            case 'die': {
              const container = world.engine.containers().find(({ spec }) => spec.labels[ADDON_LABEL] === ID);
              // Killed from outside, dynos that run are not held to account for it.
              if (container?.state === 'running') world.engine.exit(container.name, 137);
              break;
            }
            case 'crash':
              await world.crash();
              break;
            case 'kill':
              world.mortal.killAtCall(call, done);
              break;
            case 'wait':
              break;
          }
          if (afterMs > 0) await world.advance(afterMs);
          else await new Promise((resolve) => setImmediate(resolve));
          if (world.mortal.dead) await world.crash();
        }
        world.mortal.spare();
        if (world.mortal.dead) await world.crash();
        expect(world.violations).toEqual([]);
        // Left alone it comes to rest: awake with its app, or asleep with it.
        world.manager.wake(app.id);
        await seconds(80);
        expect(world.violations).toEqual([]);
        expect(world.state()).toBe('running');
        expect(world.states(app).filter((state) => state.includes(' up '))).toHaveLength(1);
        world.manager.idle(app.id, 'stopped');
        await seconds(2);
        await world.advance(LINGER_MS);
        await seconds(2);
        expect(world.state()).toBe(ASLEEP[depth]);
      }),
      { numRuns: RUNS },
    );
  }, 120_000);
});

test('without the setting no add-on ever sleeps', async () => {
  await make('off');
  await fallAsleep();
  await world.advance(60 * 60_000);
  expect(world.state()).toBe('running');
  expect(world.backends.isAsleep(ID)).toBe(false);
});
