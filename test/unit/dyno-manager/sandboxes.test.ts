import { dynoName } from '../../../src/domain/dyno';
import { EngineError } from '../../../src/engine/engine';
import { DYNO_LABEL, ownedLabels, ROLE_LABEL, SANDBOX_PORT_LABEL } from '../../../src/engine/labels';
import { Attachments } from '../../../src/platform/dynos/attachments';
import { OneOffService } from '../../../src/platform/dynos/one-offs';
import { Store } from '../../../src/store/store';
import { DynoWorld, INSTALLATION } from '../../support/dyno-world';

describe('Sandboxes', () => {
  let world: DynoWorld;
  beforeEach(async () => {
    world = new DynoWorld(Store.open(':memory:'), 2);
    await world.start();
    world.behave((spec) => spec.labels[ROLE_LABEL] === 'sandbox', { endpoint: world.endpoint });
    for (const name of sandboxes()) world.engine.vanish(name);
    await world.advance(1000);
  });
  afterEach(() => world.stop());

  const running = (role: string): string[] =>
    world.engine
      .containers()
      .filter(({ state, labels }) => state === 'running' && labels[ROLE_LABEL] === role)
      .map(({ name }) => name);
  const sandboxes = (): string[] => running('sandbox');

  test('are kept ready, and made up for after a start has taken one', async () => {
    expect(sandboxes()).toHaveLength(2);
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(sandboxes()).toHaveLength(2);
    await world.advance(1000);
    expect(sandboxes()).toHaveLength(3);
  });

  test('give a dyno their network and port', async () => {
    const app = await world.createApp({ web: 'x' });
    const dyno = world.store.dynos.of(app.id)[0];
    const container = world.engine.containers().find(({ labels }) => labels[ROLE_LABEL] === 'dyno');
    expect(container?.spec.network).toBe(`container:${dyno?.sandbox}`);
    expect(container?.spec.hostname).toBeUndefined();
    const holder = world.engine.containers().find(({ id }) => id === dyno?.sandbox);
    expect(container?.spec.env.PORT).toBe(String(holder?.spec.exposePort));
    expect(dyno?.endpoint).toEqual(world.endpoint);
  });

  test('are used once: they go with their dyno', async () => {
    const app = await world.createApp({ web: 'x' });
    const first = world.store.dynos.of(app.id)[0]?.sandbox;
    world.dynos.restart(world.account, app, { all: true });
    await world.advance(1000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.sandbox).not.toBe(first);
    expect(world.engine.containers().map(({ id }) => id)).not.toContain(first);
  });

  test('are not waited for: a dyno starts without one when there is none', async () => {
    const app = await world.createApp({ web: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 5 }]);
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
    await world.settle();
    expect(world.states(app)).toHaveLength(5);
    const without = world.store.dynos.of(app.id).filter(({ sandbox }) => sandbox === null);
    expect(without).toHaveLength(3);
    await world.advance(1000);
    expect(sandboxes()).toHaveLength(4);
  });

  test('survive a restart of the daemon, those in use and those that wait', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.advance(1000);
    const before = sandboxes().sort();
    await world.restartManager();
    await world.advance(1000);
    expect(sandboxes().sort()).toEqual(before);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(running('dyno')).toHaveLength(1);
  });

  test('that are refused are done without', async () => {
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
    // As when somebody removes it in that moment.
    world.engine.failNext('start', new EngineError('not_found', 'no such container'));
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.sandbox).toBeNull();
    expect(world.log(app).filter((line) => line.includes('R99'))).toEqual([]);
    await world.advance(1000);
    expect(world.engine.containers()).toHaveLength(3);
  });

  test('are swept when nobody needs them any more', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.advance(1000);
    await world.apps.destroy(world.account, app.name);
    await world.manager.resync();
    await world.settle();
    expect(sandboxes()).toHaveLength(2);
  });

  test('take their dyno along when they end', async () => {
    const app = await world.createApp({ web: 'x' });
    const { id, sandbox } = world.store.dynos.of(app.id)[0] ?? {};
    const holder = world.engine.containers().find((container) => container.id === sandbox);
    world.engine.vanish(holder?.name ?? '');
    await world.advance(1000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.id).not.toBe(id);
    expect(running('dyno')).toHaveLength(1);
  });

  test('take a one-off dyno along when they end, which is not started again', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.advance(1000);
    const oneOffs = new OneOffService(world.context, new Attachments(world.clock));
    const { dyno } = oneOffs.create(world.account, app, { command: 'migrate', attach: false });
    await world.settle();
    const holder = world.store.dynos.get(dyno.id)?.sandbox;
    world.engine.exit(world.engine.containers().find(({ id }) => id === holder)?.name ?? '', 137);
    await world.advance(1000);
    const name = dynoName(dyno);
    expect(world.log(app).slice(-4)).toEqual([
      `heroku[${name}]: Error R99 (Platform error) -> The dyno lost its network`,
      `heroku[${name}]: Stopping all processes with SIGTERM`,
      `heroku[${name}]: Process exited with status 143`,
      `heroku[${name}]: State changed from up to complete`,
    ]);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('of whose making the answer was lost are not left behind', async () => {
    const create = world.engine.create.bind(world.engine);
    let lost = 1;
    world.engine.create = async (spec) => {
      const id = await create(spec);
      if (spec.labels[ROLE_LABEL] === 'sandbox' && lost-- > 0) {
        throw new EngineError('unreachable', 'socket hang up');
      }
      return id;
    };
    for (const name of sandboxes()) world.engine.vanish(name);
    await world.advance(1000);
    await world.advance(11_000);
    expect(sandboxes()).toHaveLength(2);
    expect(world.engine.containers()).toHaveLength(2);
  });

  test('that are killed while they wait are replaced and cleared away', async () => {
    const [killed = ''] = sandboxes();
    world.engine.exit(killed, 137);
    await world.advance(1000);
    expect(sandboxes()).toHaveLength(2);
    expect(world.engine.containers()).toHaveLength(2);
  });

  test('that can not be made keep no dyno from starting', async () => {
    for (const name of sandboxes()) world.engine.vanish(name);
    world.engine.failNext('create', new EngineError('other', 'no more addresses'));
    await world.advance(1000);
    expect(sandboxes()).toEqual([]);
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 up v3']);
    await world.advance(11_000);
    expect(sandboxes()).toHaveLength(2);
  });

  test('lead to their dyno also where the daemon was killed before it knew of the start', async () => {
    const app = await world.createApp();
    world.mortal.killAtCall(1, true); // Create, start.
    await world.deploy(app, { web: 'x' });
    expect(running('dyno')).toHaveLength(1);
    await world.replaceManager();
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.endpoint).toEqual(world.endpoint);
    expect(running('dyno')).toHaveLength(1);
  });

  test('of a dyno that was being made when the daemon was killed are still its own', async () => {
    const app = await world.createApp();
    world.mortal.killAtCall(0, true); // Create.
    await world.deploy(app, { web: 'x' });
    const { sandbox } = world.store.dynos.of(app.id)[0] ?? {};
    world.mortal.kill();
    world.engine.delay('list', 1000);
    const replaced = world.replaceManager();
    world.manager.kick(app.id); // A request that comes before stock has been taken.
    await replaced;
    await world.advance(10_000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.sandbox).toBe(sandbox);
    expect(sandboxes()).toHaveLength(3);
  });

  test('are never given to a second dyno, also not those of an app that is destroyed', async () => {
    const app = await world.createApp({ web: 'x' });
    const used = world.store.dynos.of(app.id)[0]?.sandbox;
    for (const { name, id, labels } of world.engine.containers()) {
      if (labels[ROLE_LABEL] === 'sandbox' && id !== used) world.engine.vanish(name);
    }
    await world.apps.destroy(world.account, app.name);
    await world.manager.resync();
    await world.advance(1000);
    expect(world.engine.containers().map(({ id }) => id)).not.toContain(used);
    expect(sandboxes()).toHaveLength(2);
  });

  test('that are being removed are not taken for ready ones', async () => {
    const app = await world.createApp({ web: 'x' });
    const used = world.store.dynos.of(app.id)[0]?.sandbox;
    world.engine.delay('remove', 500);
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
    await world.advance(600); // The dyno's container is gone, its sandbox is going.
    await world.manager.resync();
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 2 }]);
    await world.settle();
    expect(world.store.dynos.of(app.id).map(({ sandbox }) => sandbox)).not.toContain(used);
    await world.advance(5000);
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3']);
  });

  test('that can not be removed are removed a little later', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.advance(1000);
    world.engine.failNext('remove', new EngineError('other', 'device or resource busy'), 3);
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
    await world.advance(20_000);
    expect(world.engine.containers()).toHaveLength(2);
  });

  test('are not lost when stock is taken while they are made', async () => {
    for (const name of sandboxes()) world.engine.vanish(name);
    world.engine.delay('start', 200);
    await world.advance(400);
    void world.manager.resync();
    world.engine.delay('list', 300);
    await world.advance(5000);
    expect(sandboxes()).toHaveLength(2);
    expect(world.engine.containers()).toHaveLength(2);
  });

  test('are not mistaken for the place of a container that was made without one before the daemon was killed', async () => {
    const app = await world.createApp({ web: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 2 }]);
    await world.settle();
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3']);
    world.mortal.killAtCall(1, true); // List, create.
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 3 }]);
    await world.settle();
    expect(world.store.dynos.of(app.id)[2]).toMatchObject({ state: 'starting', sandbox: null });
    await world.engine.start(
      await world.engine.create({
        name: 'ready',
        image: 'slug:1',
        env: {},
        network: 'net',
        exposePort: 4711,
        labels: ownedLabels(INSTALLATION, 'sandbox', { [SANDBOX_PORT_LABEL]: '4711' }),
      }),
    );
    await world.replaceManager();
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3', 'web.3 up v3']);
    for (const { sandbox, id } of world.store.dynos.of(app.id)) {
      const container = world.engine.containers().find(({ labels }) => labels[DYNO_LABEL] === id);
      expect(container?.spec.network).toBe(sandbox === null ? 'net' : `container:${sandbox}`);
    }
  });
});
