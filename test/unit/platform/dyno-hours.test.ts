import type { App } from '../../../src/domain/app';
import type { Clock } from '../../../src/lib/clock';
import { DynoHours } from '../../../src/platform/dyno-hours/dyno-hours';
import { DynoWorld } from '../../support/dyno-world';

let world: DynoWorld;
let hours: DynoHours;
let app: App;
let aheadMs: number;

beforeEach(async () => {
  world = new DynoWorld();
  await world.start();
  world.behave(() => true, { endpoint: world.endpoint });
  aheadMs = 0;
  // Turning the world's own clock by a month would take its time.
  const clock: Clock = {
    now: () => new Date(world.clock.now().getTime() + aheadMs),
    after: (delayMs, callback) => world.clock.after(delayMs, callback),
  };
  hours = new DynoHours({ ...world.context, clock }, { poolMs: 100_000 });
  world.onChange = (appId) => hours.changed(appId);
  app = await world.createApp({ web: 'serve', worker: 'work' });
});

afterEach(() => world.stop());

const used = (): number | undefined => hours.quota?.usedSeconds;

test('what runs takes hours by the second, each dyno its own', async () => {
  await world.advance(10_000);
  hours.look();
  expect(used()).toBe(10);
  world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 3 }]);
  await world.settle();
  await world.advance(5_500);
  hours.look();
  expect(used()).toBe(10 + 3 * 5.5 - 0.5);
  expect(hours.quota?.byApp.get(app.id)).toBe(26);
  await world.advance(500);
  hours.look();
  expect(used()).toBe(28);
});

test('what sleeps, and what is of a size that never does, takes none', async () => {
  world.manager.idle(app.id, 'frozen');
  await world.settle();
  await world.advance(50_000);
  hours.look();
  expect(used()).toBe(0);
  world.formation.batchUpdate(world.account, app, [{ type: 'web', size: 'basic' }]);
  await world.settle();
  await world.advance(50_000);
  hours.look();
  expect(used()).toBe(0);
  expect(hours.takesFrom(app)).toBe(true); // Its worker would.
});

test('once none are left all sleep, until the month is over', async () => {
  await world.advance(100_000);
  const told: string[] = [];
  world.onChange = (appId) => {
    hours.changed(appId);
    told.push(appId);
  };
  hours.look();
  await world.settle();
  expect(hours.exhausted).toBe(true);
  expect(used()).toBe(100);
  expect(told).toContain(app.id);
  expect(world.states(app)).toEqual(['web.1 idle v3']);
  // A deploy starts dynos, which do not run for long.
  await world.deploy(app, { web: 'serve' });
  expect(world.states(app)).toEqual(['web.1 up v4']);
  hours.look();
  await world.settle();
  expect(world.states(app)).toEqual(['web.1 idle v4']);
  aheadMs = 32 * 86_400_000;
  hours.look();
  expect(hours.exhausted).toBe(false);
  expect(used()).toBe(0);
  expect(world.manager.wake(app.id)).toBe('stopped');
});

test('the count survives the daemon, and an app that is destroyed', async () => {
  await world.advance(7_000);
  hours.stop();
  hours = new DynoHours(world.context, { poolMs: 100_000 });
  hours.start();
  expect(used()).toBe(7);
  await world.advance(3_000);
  hours.look();
  await world.apps.destroy(world.account, app.name);
  await world.settle();
  hours.look();
  expect(used()).toBe(10);
});

test('without a pool nothing is counted and nothing ends', async () => {
  const none = new DynoHours(world.context, { poolMs: 0 });
  await world.advance(200_000);
  none.look();
  expect(none.quota).toBeUndefined();
  expect(none.exhausted).toBe(false);
  expect(none.takesFrom(app)).toBe(false);
});
