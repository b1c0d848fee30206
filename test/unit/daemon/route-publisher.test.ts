import { RoutePublisher } from '../../../src/daemon/route-publisher';
import type { DomainId, SniEndpointId } from '../../../src/domain/ids';
import { EngineError } from '../../../src/engine/engine';
import type { RouteTable } from '../../../src/router/protocol';
import { DynoWorld, SLEEP } from '../../support/dyno-world';

describe('RoutePublisher', () => {
  const world = new DynoWorld();
  const tables: RouteTable[] = [];
  let exhausted = false;
  const routes = new RoutePublisher({
    store: world.store,
    clock: world.clock,
    certificates: {
      forHost: (host) => (host === 'new.example' ? null : `of ${host}`),
      forChain: (chain, read) => `of ${chain} with ${read().privateKey}`,
    },
    sleep: SLEEP,
    quotaExhausted: () => exhausted,
    publish: (table) => tables.push(table),
  });
  beforeAll(async () => {
    world.onChange = () => routes.changed();
    await world.start();
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
  });
  afterAll(() => world.stop());

  const states = (): string[] =>
    tables.at(-1)?.apps[0]?.dynos.map(({ name, state }) => `${name} ${state}`) ?? [];

  test('lets requests wait for a dyno that the engine refused, unlike for one that crashed', async () => {
    world.engine.failNext('create', new EngineError('other', 'broken'));
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    expect(states()).toEqual(['web.1 starting']);
    await world.advance(1000);
    expect(states()).toEqual(['web.1 up']);
    for (let crash = 1; crash <= 2; crash += 1) {
      world.engine.exit(world.engine.running()[0] ?? '', 1);
      await world.settle();
    }
    expect(states()).toEqual(['web.1 crashed']);
  });

  test('names the certificate of each host: its own, else one of the local CA', async () => {
    const [app] = world.store.apps.all();
    if (app === undefined) throw new Error('no app');
    const at = world.clock.now();
    const endpoint = {
      id: 'e' as SniEndpointId,
      appId: app.id,
      name: 'kyoto-1',
      certificateId: 'c',
      certificateChain: 'CHAIN',
      certificate: {
        domains: ['www.example.com'],
        startsAt: at,
        expiresAt: at,
        issuer: '',
        subject: '',
        selfSigned: false,
        caSigned: false,
      },
      createdAt: at,
      updatedAt: at,
    };
    world.store.sniEndpoints.insert(endpoint, 'KEY');
    const domain = { appId: app.id, kind: 'custom', createdAt: at, updatedAt: at } as const;
    const hosts = { 'www.example.com': endpoint.id, 'plain.example': null, 'new.example': null };
    for (const [hostname, sniEndpointId] of Object.entries(hosts)) {
      world.store.domainNames.insert({ ...domain, id: hostname as DomainId, hostname, sniEndpointId });
    }
    routes.changed();
    await new Promise(setImmediate);
    const table = tables.at(-1);
    expect(table?.default_certificate).toBe('of localhost');
    expect(table?.apps.find(({ app_id }) => app_id === app.id)?.certificates).toEqual({
      [`${app.name}.localhost`]: `of ${app.name}.localhost`,
      'www.example.com': 'of CHAIN with KEY',
      'plain.example': 'of plain.example',
    });
    expect([...routes.certificateIds]).toEqual(
      expect.arrayContaining(['of localhost', 'of CHAIN with KEY', 'of plain.example']),
    );
  });

  test('says after how long an app may sleep, where it may at all', async () => {
    const app = world.store.apps.findByName('demo')!;
    const idleAfter = (): number | null | undefined => tables.at(-1)?.apps[0]?.idle_after_ms;
    expect(idleAfter()).toBe(SLEEP.idleAfterMs);
    expect(tables.at(-1)?.apps[0]?.quota_exhausted).toBe(false);
    exhausted = true;
    routes.changed();
    await world.settle();
    expect(tables.at(-1)?.apps[0]?.quota_exhausted).toBe(true);
    world.store.appSleep.set(app.id, { idleAfterMs: 5000, depth: null, frozenMs: null }, new Date());
    routes.changed();
    await world.settle();
    expect(idleAfter()).toBe(5000);
    world.store.appSleep.set(app.id, { idleAfterMs: 0, depth: null, frozenMs: null }, new Date());
    routes.changed();
    await world.settle();
    expect(idleAfter()).toBeNull();
    world.store.appSleep.set(app.id, { idleAfterMs: null, depth: null, frozenMs: null }, new Date());
    world.formation.batchUpdate(world.account, app, [{ type: 'web', size: 'basic' }]);
    await world.settle();
    expect(idleAfter()).toBeNull();
    // What never sleeps takes no hours.
    expect(tables.at(-1)?.apps[0]?.quota_exhausted).toBe(false);
  });
});
