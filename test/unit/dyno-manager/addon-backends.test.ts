import { redis } from '../../../src/addons/redis';
import { NO_BACKEND, UNDELETE_MS, type AddOn } from '../../../src/domain/addon';
import type { AddOnId, AppId } from '../../../src/domain/ids';
import { EngineError } from '../../../src/engine/engine';
import { ownedLabels } from '../../../src/engine/labels';
import { Store } from '../../../src/store/store';
import { ADDON_HOST, ADDON_NETWORK, INSTALLATION, TestBackends } from '../../support/addon-backends';
import { FakeClock, settled } from '../../support/fake-clock';

const ID = 'cd3485ca-e2a7-415a-bc59-024487e063ed' as AddOnId;
const NAME = `dynodock-11111111-add-on-${ID}`;

let clock: FakeClock;
let store: Store;
let world: TestBackends;
let ready: AddOnId[];
let failed: string[];

function makeWorld(engine?: TestBackends['engine'], hostNetwork = false): TestBackends {
  return new TestBackends({
    ...(engine === undefined ? {} : { engine }),
    hostNetwork,
    store,
    clock,
    random: () => 0,
    addons: () => ({
      provisioning: {
        complete: (id) => {
          ready.push(id);
          change({ state: 'provisioned', provisionedAt: clock.now() });
        },
        fail: (_id, reason) => {
          failed.push(reason);
          change({ state: 'deprovisioned', failure: reason, deprovisionedAt: clock.now() });
        },
      },
    }),
  });
}

beforeEach(async () => {
  clock = new FakeClock();
  store = Store.open(':memory:');
  ready = [];
  failed = [];
  world = makeWorld();
  await world.start();
  await settled();
});
afterEach(async () => {
  world.engine.heal();
  await world.backends.stop();
  store.close();
});

function addAddOn(): void {
  const now = clock.now();
  store.addons.insert({
    id: ID,
    appId: 'app' as AppId,
    appName: 'demo',
    name: 'cache',
    service: 'heroku-redis',
    plan: 'mini',
    state: 'provisioning',
    config: redis.newConfig({ plan: redis.plans[0]!, options: {}, secret: (length) => 'x'.repeat(length) }),
    options: {},
    provisionMessage: null,
    failure: null,
    announced: false,
    attachAs: null,
    backend: NO_BACKEND,
    createdAt: now,
    updatedAt: now,
    provisionedAt: null,
    deprovisionedAt: null,
  });
}
function change(more: Partial<AddOn>): void {
  store.addons.update({ ...store.addons.get(ID)!, ...more });
}
async function provisioned(): Promise<void> {
  addAddOn();
  await world.backends.settle(ID);
  expect(ready).toEqual([ID]);
}
const containers = (): ReturnType<TestBackends['engine']['containers']> => world.engine.containers();

describe('a new add-on', () => {
  test('gets a volume, a container with bounded memory and ports on the one address, and is told ready once', async () => {
    await provisioned();
    const [container, ...others] = containers();
    expect(others).toEqual([]);
    expect(container).toMatchObject({
      name: NAME,
      state: 'running',
      spec: {
        network: ADDON_NETWORK,
        publish: [
          { containerPort: 6379, hostAddress: ADDON_HOST, hostPort: 20_000 },
          { containerPort: 6380, hostAddress: ADDON_HOST, hostPort: 20_001 },
        ],
        limits: { memoryBytes: 114 * 1024 * 1024 },
        mounts: [{ kind: 'volume', source: NAME, target: '/data', readOnly: false }],
      },
    });
    expect(world.backends.isServing(ID)).toBe(true);
    await world.backends.settle(ID);
    expect(ready).toEqual([ID]);
  });

  test('keeps its secrets out of what others are shown of its container', async () => {
    await provisioned();
    const { spec } = containers()[0]!;
    expect(JSON.stringify(spec)).not.toContain('xxxx');
    let config = '';
    world.engine.behave(NAME, {});
    world.engine.behave((candidate) => candidate.name === NAME, {
      onStart: ({ read }) => (config = read('/etc/dynodock/redis.conf') ?? ''),
    });
    world.engine.vanish(NAME);
    await world.backends.settle(ID);
    expect(config).toContain(`user default on >p${'x'.repeat(64)} `);
  });

  describe('that listens as told, where the engine is on this machine', () => {
    let config = '';
    beforeEach(async () => {
      await world.backends.stop();
      world = makeWorld(undefined, true);
      await world.start();
      await settled();
      world.engine.behave((candidate) => candidate.name === NAME, {
        onStart: ({ read }) => (config = read('/etc/dynodock/redis.conf') ?? ''),
      });
    });

    test('runs in the network of the host, on the one address and its own ports alone', async () => {
      await provisioned();
      expect(containers()[0]?.spec.network).toBe('host');
      expect(containers()[0]?.spec.publish).toBeUndefined();
      expect(config).toContain(`bind ${ADDON_HOST}\n`);
      expect(config).toContain('\nport 20000\ntls-port 20001\n');
    });

    test('takes another port if somebody listens on one of its own', async () => {
      world.engine.takenPorts.add(`${ADDON_HOST}:20001`);
      await provisioned();
      expect(store.addons.get(ID)?.backend.port).toBe(20_004);
      expect(config).toContain('\nport 20004\ntls-port 20005\n');
    });

    test('waits for its port once its URL is known', async () => {
      await provisioned();
      world.engine.takenPorts.add(`${ADDON_HOST}:20000`);
      world.engine.vanish(NAME);
      await world.backends.settle(ID);
      expect(store.addons.get(ID)?.backend).toMatchObject({
        port: 20_000,
        problem: 'port 20000 of this machine is in use by another program',
      });
      expect(containers().map(({ state }) => state)).toEqual(['created']);
      world.engine.takenPorts.clear();
      await clock.advance(60_000);
      await world.backends.idle();
      expect(world.backends.isServing(ID)).toBe(true);
    });

    test('moves between both networks on the same volume and port', async () => {
      await provisioned();
      const { engine } = world;
      await world.backends.stop();
      world = makeWorld(engine, false);
      await world.start();
      await world.backends.settle(ID);
      expect(containers()).toMatchObject([
        { state: 'running', spec: { network: ADDON_NETWORK, mounts: [{ source: NAME }] } },
      ]);
      expect(store.addons.get(ID)?.backend.port).toBe(20_000);
    });
  });

  test('takes another port if somebody has the first one', async () => {
    world.engine.takenPorts.add(`${ADDON_HOST}:20000`);
    await provisioned();
    expect(store.addons.get(ID)?.backend.port).toBe(20_004);
    expect(containers()[0]?.spec.publish?.[0]?.hostPort).toBe(20_004);
  });

  test('is given up when its image cannot be made, with nothing left', async () => {
    world.imageError = new Error('no packages');
    addAddOn();
    await world.backends.settle(ID);
    expect(failed).toEqual(['its image could not be made; the log of dynodock says why']);
    expect(containers()).toEqual([]);
    await clock.advance(10 * 60_000);
    await world.backends.idle();
    expect(store.addons.get(ID)).toBeUndefined();
    expect(world.engine.volumes()).toEqual([]);
  });

  test('is given up after several tries when there is no room', async () => {
    world.engine.failNext('create', new EngineError('no_space', 'no space left on device'), 100);
    addAddOn();
    await world.backends.settle(ID);
    for (let second = 0; second < 20; second += 1) {
      await clock.advance(1000);
      await world.backends.idle();
    }
    expect(failed).toEqual(['there is no space left on the disk']);
  });

  test('is tried again when its set-up fails, in a fresh container', async () => {
    addAddOn();
    change({
      service: 'heroku-postgresql',
      plan: 'essential-0',
      config: { credentials: { default: { user: 'u', password: 'p' } }, values: { database: 'd' } },
    });
    let tries = 0;
    world.engine.behave((spec) => spec.name === NAME, {
      exec: (argv) => ({
        exitCode: argv[0] === 'psql' && (tries += 1) === 1 ? 3 : 0,
        stdout: '',
        stderr: 'the password p is refused',
      }),
    });
    await world.backends.settle(ID);
    expect({ tries, ready }).toEqual({ tries: 1, ready: [] });
    expect(store.addons.get(ID)?.backend.problem).toBe('its set-up ended with status 3');
    await clock.advance(1000);
    await world.backends.idle();
    expect({ tries, ready }).toEqual({ tries: 2, ready: [ID] });
    expect(store.addons.get(ID)?.backend.problem).toBeNull();
  });
});

describe('an add-on that is usable', () => {
  beforeEach(provisioned);

  test('is started again at once when it is killed, with the same volume and port', async () => {
    const before = containers()[0]!;
    world.engine.exit(NAME, 137);
    await settled();
    await world.backends.idle();
    const [after] = containers();
    expect(after).toMatchObject({ id: before.id, state: 'running' });
    expect(after?.spec.publish).toEqual(before.spec.publish);
    expect(world.backends.isServing(ID)).toBe(true);
  });

  test('is started later and later when it goes on ending', async () => {
    world.engine.behave((spec) => spec.name === NAME, { exitAfterMs: 10, exitCode: 1 });
    world.engine.vanish(NAME);
    await settled();
    for (let second = 0; second < 20; second += 1) {
      await clock.advance(1000);
      await world.backends.idle();
    }
    expect(store.addons.get(ID)).toMatchObject({
      state: 'provisioned',
      backend: { failures: expect.any(Number), problem: 'it ended with status 1' },
    });
    expect(store.addons.get(ID)!.backend.failures).toBeGreaterThan(3);
    expect(store.addons.get(ID)!.backend.failures).toBeLessThan(8);
    expect(failed).toEqual([]);
  });

  test('says so, and goes on trying, when its port is taken later', async () => {
    world.engine.takenPorts.add(`${ADDON_HOST}:20000`);
    world.engine.exit(NAME, 137);
    await settled();
    await world.backends.idle();
    expect(store.addons.get(ID)?.backend).toMatchObject({
      port: 20_000,
      problem: 'port 20000 of this machine is in use by another program',
    });
    world.engine.takenPorts.clear();
    await clock.advance(5000);
    await world.backends.idle();
    expect(store.addons.get(ID)?.backend.problem).toBeNull();
    expect(world.backends.isServing(ID)).toBe(true);
  });

  test('gets a new container for another plan, on the same volume', async () => {
    const before = containers()[0]!;
    change({ plan: 'premium-2' });
    await world.backends.settle(ID);
    const [after, ...others] = containers();
    expect(others).toEqual([]);
    expect(after?.id).not.toBe(before.id);
    expect(after?.spec.limits?.memoryBytes).toBe(564 * 1024 * 1024);
    expect(after?.spec.mounts).toEqual(before.spec.mounts);
  });

  test('is found again by the next daemon, and not restarted', async () => {
    const before = containers()[0]!;
    await world.backends.stop();
    expect(world.engine.running()).toEqual([NAME]);
    world = makeWorld(world.engine);
    await world.start();
    await settled();
    await world.backends.idle();
    expect(containers()[0]).toMatchObject({ id: before.id, startedAt: before.startedAt });
    expect(world.backends.isServing(ID)).toBe(true);
    expect(ready).toEqual([ID]);
  });

  test('heals after the engine was away', async () => {
    world.engine.unreachable = true;
    world.backends.kick(ID);
    await settled();
    world.engine.unreachable = false;
    world.engine.vanish(NAME);
    await clock.advance(6000);
    await world.backends.idle();
    expect(world.engine.running()).toEqual([NAME]);
  });

  test('runs commands inside, and says when it can not', async () => {
    expect(await world.backends.exec(ID, { argv: ['true'] })).toMatchObject({ exitCode: 0 });
    change({ state: 'deprovisioned', deprovisionedAt: clock.now() });
    await world.backends.settle(ID);
    await expect(world.backends.exec(ID, { argv: ['true'] })).rejects.toMatchObject({
      id: 'service_unavailable',
    });
  });

  test('is restarted when asked, which counts as no failure', async () => {
    const startedAt = containers()[0]?.startedAt;
    await clock.advance(1000);
    await world.backends.restart(ID);
    expect(containers()[0]?.startedAt).not.toEqual(startedAt);
    expect(store.addons.get(ID)?.backend.failures).toBe(0);
  });
});

describe('a destroyed add-on', () => {
  test('loses its container, keeps its volume for a week, and can come back until then', async () => {
    await provisioned();
    change({ state: 'deprovisioned', deprovisionedAt: clock.now() });
    await world.backends.settle(ID);
    expect(containers()).toEqual([]);
    expect(world.engine.volumes()).toEqual([NAME]);
    change({ state: 'provisioning', deprovisionedAt: null, updatedAt: clock.now() });
    await world.backends.settle(ID);
    expect(ready).toEqual([ID, ID]);
    change({ state: 'deprovisioned', deprovisionedAt: clock.now() });
    await world.backends.settle(ID);
    await clock.advance(UNDELETE_MS - 1000);
    await world.backends.idle();
    expect(world.engine.volumes()).toEqual([NAME]);
    await clock.advance(1000);
    await world.backends.idle();
    expect(world.engine.volumes()).toEqual([]);
    expect(store.addons.get(ID)).toBeUndefined();
  });
});

describe('what is not ours', () => {
  test('is never touched; ours without a row goes when it is old', async () => {
    const { engine } = world;
    engine.addImage('some');
    const labels = ownedLabels('another installation', 'add-on', { 'dynodock.add-on': ID });
    await engine.create({ name: 'foreign', image: 'some', env: {}, labels, network: 'none' });
    const orphan = ownedLabels(INSTALLATION, 'add-on', { 'dynodock.add-on': 'unknown' });
    await engine.create({ name: 'orphan', image: 'some', env: {}, labels: orphan, network: 'none' });
    await world.backends.resync();
    await world.backends.idle();
    expect(containers().map(({ name }) => name)).toEqual(['foreign', 'orphan']);
    await clock.advance(31_000);
    await world.backends.resync();
    await world.backends.idle();
    expect(containers().map(({ name }) => name)).toEqual(['foreign']);
  });
});
