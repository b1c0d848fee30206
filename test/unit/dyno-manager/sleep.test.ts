import type { App } from '../../../src/domain/app';
import { EngineError } from '../../../src/engine/engine';
import { deferred } from '../../../src/lib/deferred';
import { DynoWorld } from '../../support/dyno-world';

let world: DynoWorld;
let app: App;

beforeEach(async () => {
  world = new DynoWorld();
  await world.start();
  world.behave(() => true, { endpoint: world.endpoint });
  app = await world.createApp({ web: 'serve', worker: 'work' });
  world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
  await world.settle();
});

afterEach(() => world.stop());

const containers = (): string[] =>
  world.engine
    .containers()
    .map(({ name, state }) => `${/demo-(\w+\.\d)/.exec(name)?.[1] ?? name} ${state}`)
    .sort();

const RUNNING = ['web.1 running', 'worker.1 running'];

test('sleeping stopped ends all dynos and leaves idle ones, to the log line', async () => {
  const [before] = world.store.dynos.of(app.id);
  const seen = world.log(app).length;
  expect(world.manager.idle(app.id, 'stopped')).toBe(true);
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 idle v3', 'worker.1 idle v3']);
  expect(containers()).toEqual([]);
  expect(world.store.dynos.of(app.id)[0]?.id).not.toBe(before?.id);
  expect(
    world
      .log(app)
      .slice(seen)
      .filter((line) => line.includes('web.1')),
  ).toEqual([
    'heroku[web.1]: Idling',
    'heroku[web.1]: State changed from up to down',
    'heroku[web.1]: Stopping all processes with SIGTERM',
    'heroku[web.1]: Process exited with status 143',
  ]);
});

test('a dyno that ends while the engine is being looked at is told to stop only once', async () => {
  world.behave((spec) => spec.name.includes('web'), { endpoint: world.endpoint, ignoresSigterm: true });
  world.dynos.restart(world.account, app, { type: 'web' });
  await world.settle();
  const seen = world.log(app).length;
  world.manager.idle(app.id, 'stopped');
  await world.settle();
  // From now on what is seen is old when it is told.
  const list = world.engine.list.bind(world.engine);
  const told = deferred<undefined>();
  world.engine.list = async (labels) => {
    const found = await list(labels);
    await told.promise;
    return found;
  };
  world.manager.kick(app.id);
  await world.settle();
  const leaving = world.engine.containers().find(({ name }) => name.includes('web.1'));
  world.engine.exit(leaving?.name ?? '', 143);
  await world.settle();
  world.engine.list = list;
  told.resolve(undefined);
  await world.settle();
  expect(containers()).toEqual([]);
  const since = world.log(app).slice(seen);
  const orders = since.filter((line) => /web\.1.*(Stopping all|exited)/.test(line));
  expect(orders).toEqual([
    'heroku[web.1]: Stopping all processes with SIGTERM',
    'heroku[web.1]: Process exited with status 143',
  ]);
});

test('waking from it starts fresh dynos, to the log line', async () => {
  world.manager.idle(app.id, 'stopped');
  await world.settle();
  const seen = world.log(app).length;
  expect(world.manager.wake(app.id)).toBe('stopped');
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
  expect(containers()).toEqual(RUNNING);
  expect(
    world
      .log(app)
      .slice(seen)
      .filter((line) => line.includes('web.1')),
  ).toEqual([
    'heroku[web.1]: Unidling',
    'heroku[web.1]: State changed from down to starting',
    'heroku[web.1]: Starting process with command `serve`',
    'heroku[web.1]: State changed from starting to up',
  ]);
  expect(world.manager.wake(app.id)).toBeNull();
});

test('sleeping frozen pauses all dynos, and waking lets the very same go on', async () => {
  const before = world.store.dynos.of(app.id).map(({ id }) => id);
  const seen = world.log(app).length;
  expect(world.manager.idle(app.id, 'frozen')).toBe(true);
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 idle v3', 'worker.1 idle v3']);
  expect(containers()).toEqual(['web.1 paused', 'worker.1 paused']);
  expect(world.manager.wake(app.id)).toBe('frozen');
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
  expect(containers()).toEqual(RUNNING);
  expect(world.store.dynos.of(app.id).map(({ id }) => id)).toEqual(before);
  expect(
    world
      .log(app)
      .slice(seen)
      .filter((line) => line.includes('web.1')),
  ).toEqual([
    'heroku[web.1]: Idling',
    'heroku[web.1]: State changed from up to down',
    'heroku[web.1]: Unidling',
    'heroku[web.1]: State changed from down to starting',
    'heroku[web.1]: State changed from starting to up',
  ]);
});

test.each(['stopped', 'frozen'] as const)(
  'from %s it wakes without a look at the engine first',
  async (depth) => {
    world.manager.idle(app.id, depth);
    await world.settle();
    const seen = world.log(app).length;
    world.engine.delay('list', 1_000);
    world.manager.wake(app.id);
    await world.settle();
    expect(containers()).toEqual(RUNNING);
    expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
    await world.advance(5_000);
    expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
    // Once: what the plan comes to afterwards is nothing more.
    const starts = world
      .log(app)
      .slice(seen)
      .filter((line) => /web.*Starting process/.test(line));
    expect(starts).toHaveLength(depth === 'stopped' ? 1 : 0);
  },
);

test('a frozen app that wakes is not looked at before the engine has answered', async () => {
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  const unpause = world.engine.unpause.bind(world.engine);
  const list = world.engine.list.bind(world.engine);
  const answered = deferred<undefined>();
  let looks = 0;
  world.engine.unpause = async (id) => {
    await unpause(id);
    await answered.promise;
  };
  world.engine.list = (labels) => {
    looks += 1;
    return list(labels);
  };
  world.manager.wake(app.id);
  await world.settle();
  // Its events have told of it by now.
  expect(containers()).toEqual(RUNNING);
  expect(looks).toBe(0);
  answered.resolve(undefined);
  await world.settle();
  expect(looks).toBeGreaterThan(0);
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
});

test('a thaw that the engine refuses is tried again, and counts only once it is done', async () => {
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  world.engine.failNext('unpause', new EngineError('other', 'not now'), 2);
  world.engine.delay('list', 1_000);
  world.manager.wake(app.id);
  await world.settle();
  expect(containers()).toEqual(['web.1 paused', 'worker.1 paused']);
  expect(world.states(app)).toEqual(['web.1 starting v3', 'worker.1 starting v3']);
  world.engine.delay('list', 0);
  await world.advance(1_000);
  expect(containers()).toEqual(RUNNING);
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
});

test('a frozen app wakes after the daemon was restarted, and stays asleep until then', async () => {
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  await world.restartManager();
  expect(containers()).toEqual(['web.1 paused', 'worker.1 paused']);
  world.manager.wake(app.id);
  await world.settle();
  expect(containers()).toEqual(RUNNING);
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
});

test('an app can fall asleep and wake many times', async () => {
  for (const depth of ['frozen', 'stopped', 'frozen', 'frozen', 'stopped'] as const) {
    expect(world.manager.idle(app.id, depth)).toBe(true);
    await world.settle();
    expect(world.manager.wake(app.id)).toBe(depth);
    await world.settle();
    expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
  }
  expect(containers()).toEqual(RUNNING);
});

test('with tiered sleep a frozen app is stopped after its time', async () => {
  world.store.appSleep.set(app.id, { depth: 'tiered', frozenMs: 60_000, idleAfterMs: null }, new Date());
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  await world.advance(59_000);
  expect(containers()).toEqual(['web.1 paused', 'worker.1 paused']);
  await world.advance(1_000);
  expect(world.states(app)).toEqual(['web.1 idle v3', 'worker.1 idle v3']);
  expect(containers()).toEqual([]);
  expect(world.manager.wake(app.id)).toBe('stopped');
  await world.settle();
  expect(containers()).toEqual(RUNNING);
});

test('a wake that overtakes the freeze leaves nothing frozen', async () => {
  world.engine.delay('pause', 100);
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  world.manager.wake(app.id);
  await world.advance(1_000);
  await world.manager.resync();
  await world.settle();
  expect(containers()).toEqual(RUNNING);
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
});

test('a new release wakes a sleeping app', async () => {
  for (const depth of ['stopped', 'frozen'] as const) {
    world.manager.idle(app.id, depth);
    await world.settle();
    await world.deploy(app, { web: 'serve', worker: 'work' });
    expect(world.states(app).map((state) => state.split(' ')[1])).toEqual(['up', 'up']);
    expect(containers()).toEqual(RUNNING);
  }
});

test('scaling a sleeping app up wakes it, scaling its web to none wakes its workers', async () => {
  world.manager.idle(app.id, 'stopped');
  await world.settle();
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 2 }]);
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3', 'worker.1 up v3']);
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
  await world.settle();
  expect(world.states(app)).toEqual(['worker.1 up v3']);
  expect(containers()).toEqual(['worker.1 running']);
});

test('an app without a web dyno that sleeps is not put to sleep, nor one whose web dyno is starting', async () => {
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
  await world.settle();
  expect(world.manager.idle(app.id, 'stopped')).toBe(false);
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 1, size: 'basic' }]);
  await world.settle();
  expect(world.manager.idle(app.id, 'stopped')).toBe(false);
  world.behave(() => true, { endpoint: { host: '127.0.0.1', port: 1 } });
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 1, size: 'eco' }]);
  await world.settle();
  expect(world.states(app)).toContain('web.1 starting v3');
  expect(world.manager.idle(app.id, 'stopped')).toBe(false);
});

test('a crashed dyno sleeps along and is started with the others', async () => {
  world.behave((spec) => spec.name.includes('worker'), { exitAfterMs: 1_000, exitCode: 1 });
  world.dynos.restart(world.account, app, { type: 'worker' });
  await world.settle();
  for (let crash = 0; crash < 3; crash += 1) await world.advance(1_000);
  expect(world.states(app)).toContain('worker.1 crashed v3');
  world.behave((spec) => spec.name.includes('worker'), {});
  expect(world.manager.idle(app.id, 'frozen')).toBe(true);
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 idle v3', 'worker.1 idle v3']);
  world.manager.wake(app.id);
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 up v3', 'worker.1 up v3']);
});
