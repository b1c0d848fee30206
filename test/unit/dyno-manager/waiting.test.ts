import type { App } from '../../../src/domain/app';
import { ADDON_WAIT_MS } from '../../../src/dyno-manager/plan';
import { DynoWorld } from '../../support/dyno-world';

let world: DynoWorld;
let app: App;

beforeEach(async () => {
  world = new DynoWorld();
  await world.start();
  world.behave(() => true, { endpoint: world.endpoint });
  app = await world.createApp({ web: 'serve' });
});

afterEach(() => world.stop());

const running = (): string[] =>
  world.engine
    .containers()
    .filter(({ state }) => state === 'running')
    .map(({ name }) => /demo-(\w+\.\d+)/.exec(name)?.[1] ?? name);

/** As its own reconciler does. */
async function serve(): Promise<void> {
  world.missingAddOns = [];
  world.manager.kick(app.id);
  await world.settle();
}

test('a dyno whose container was lost waits for the add-on, which is asked for, and starts when it serves', async () => {
  world.missingAddOns = ['db'];
  world.engine.vanish(world.engine.containers()[0]?.name ?? '');
  await world.settle();
  await world.advance(ADDON_WAIT_MS / 2);
  expect(running()).toEqual([]);
  expect(world.states(app)).toEqual(['web.1 starting v3']);
  expect(world.neededFor).toContain(app.id);
  await serve();
  expect(running()).toEqual(['web.1']);
  expect(world.log(app).join('\n')).not.toContain('does not answer');
});

test('it starts without it after a minute, and says so', async () => {
  world.missingAddOns = ['db', 'cache'];
  world.engine.vanish(world.engine.containers()[0]?.name ?? '');
  await world.settle();
  await world.advance(ADDON_WAIT_MS);
  expect(running()).toEqual(['web.1']);
  expect(world.log(app)).toContain('heroku[web.1]: Starting although db, cache do not answer');
});

test('a crash while an add-on is away costs no cool-off, however often, and its successor waits', async () => {
  for (let time = 1; time <= 4; time += 1) {
    world.missingAddOns = ['db'];
    world.engine.exit(world.engine.containers().find(({ state }) => state === 'running')?.name ?? '', 1);
    await world.settle();
    expect(running()).toEqual([]);
    expect(world.states(app)).toEqual(['web.1 starting v3']);
    await serve();
    expect(running()).toEqual(['web.1']);
  }
  expect(world.store.dynos.of(app.id)[0]?.crashCount).toBe(0);
});

test('an app that ends without its add-on again and again cools off like any other', async () => {
  world.missingAddOns = ['db'];
  world.behave(() => true, { exitAfterMs: 10, exitCode: 1 });
  world.engine.exit(world.engine.containers()[0]?.name ?? '', 1);
  await world.settle();
  await world.advance(ADDON_WAIT_MS);
  await world.advance(1000);
  await world.advance(ADDON_WAIT_MS);
  await world.advance(1000);
  expect(world.states(app)).toEqual(['web.1 crashed v3']);
  expect(world.store.dynos.of(app.id)[0]?.crashCount).toBe(2);
});

test.each(['stopped', 'frozen'] as const)('one that slept %s wakes when the add-on serves', async (depth) => {
  world.manager.idle(app.id, depth);
  await world.settle();
  world.missingAddOns = ['db'];
  world.manager.wake(app.id);
  await world.settle();
  expect(running()).toEqual([]);
  await world.advance(ADDON_WAIT_MS - 1);
  expect(running()).toEqual([]);
  await serve();
  expect(running()).toEqual(['web.1']);
  expect(world.states(app)).toEqual(['web.1 up v3']);
});

test('one that slept frozen has its boot timeout from its late start on', async () => {
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  world.missingAddOns = ['db'];
  world.manager.wake(app.id);
  await world.settle();
  await world.advance(ADDON_WAIT_MS);
  expect(world.states(app)).toEqual(['web.1 up v3']);
  expect(world.log(app).join('\n')).not.toContain('R10');
});

test('a release command waits too', async () => {
  world.missingAddOns = ['db'];
  world.behave((spec) => spec.name.includes('release'), { exitAfterMs: 10 });
  await world.deploy(app, { web: 'serve', release: 'migrate' });
  await world.settle();
  await world.advance(1000);
  expect(running()).toEqual(['web.1']);
  expect(world.store.releases.pending(app.id)).toHaveLength(1);
  await serve();
  await world.advance(1000);
  expect(world.store.releases.pending(app.id)).toHaveLength(0);
  expect(world.store.releases.current(app.id)?.version).toBe(4);
});
