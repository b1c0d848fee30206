import type { App } from '../../../src/domain/app';
import { Sleep } from '../../../src/platform/sleep/sleep';
import { DynoWorld, SLEEP } from '../../support/dyno-world';

let world: DynoWorld;
let app: App;
let sleep: Sleep;
/** What the router answers to `park`. */
let underWay: number | null;
let stayedAwake: string[];

beforeEach(async () => {
  underWay = 0;
  stayedAwake = [];
  world = new DynoWorld();
  await world.start();
  world.behave(() => true, { endpoint: world.endpoint });
  sleep = new Sleep(world.context, {
    policy: SLEEP,
    router: {
      park: () => Promise.resolve(underWay),
      stayAwake: (appId) => stayedAwake.push(appId),
    },
  });
  world.onChange = (appId) => sleep.ledger.changed(appId);
  app = await world.createApp({ web: 'serve' });
});

afterEach(async () => {
  sleep.ledger.stop();
  await world.stop();
});

const request = { method: 'GET', path: '/x?"', requestId: 'r-1', fwd: '10.0.0.1,10.0.0.2' };
const wakeLines = (): string[] => world.log(app).filter((line) => line.startsWith('heroku[router]'));

describe('settings of sleep', () => {
  test('are the installation’s until an app has its own, and again once those are taken back', () => {
    expect(sleep.get(app)).toEqual({
      state: 'awake',
      policy: SLEEP,
      overrides: { idleAfterMs: null, depth: null, frozenMs: null },
    });
    sleep.update(world.account, app, { idleAfterSeconds: 5, depth: 'tiered' });
    sleep.update(world.account, app, { frozenSeconds: 0.5 });
    expect(sleep.get(app).policy).toEqual({ idleAfterMs: 5000, depth: 'tiered', frozenMs: 500 });
    sleep.update(world.account, app, { idleAfterSeconds: null, depth: null });
    expect(sleep.get(app).policy).toEqual({ ...SLEEP, frozenMs: 500 });
    const events = world.store.events.of(app.id).filter(({ kind }) => kind === 'app.sleep');
    expect(events).toHaveLength(3);
  });

  test.each([
    [{ depth: 'coma' }, 'No such depth of sleep as coma: stopped, frozen, tiered.'],
    [{ idleAfterSeconds: -1 }, 'Invalid idle_after_seconds: -1.'],
    [{ frozenSeconds: Number.NaN }, 'Invalid frozen_seconds: NaN.'],
    [{ idleAfterSeconds: 1e12 }, 'It must be a number of seconds from 0 to 31536000.'],
  ])('refuse %j, and change nothing', (update, message) => {
    expect(() => sleep.update(world.account, app, { idleAfterSeconds: 7, ...update })).toThrow(message);
    expect(sleep.get(app).policy).toEqual(SLEEP);
  });
});

describe('putting an app to sleep', () => {
  test('takes the depth that is set', async () => {
    await sleep.idle(world.account, app);
    await world.settle();
    expect(world.engine.running()).toEqual([]);
    expect(sleep.get(app).state).toBe('asleep');
    sleep.wake(world.account, app);
    await world.settle();
    sleep.update(world.account, app, { depth: 'tiered' });
    await sleep.idle(world.account, app);
    await world.settle();
    expect(world.engine.containers().map(({ state }) => state)).toEqual(['paused']);
  });

  test('is refused with the reason', async () => {
    underWay = 2;
    await expect(sleep.idle(world.account, app)).rejects.toThrow(
      'Cannot put demo to sleep while 2 requests are under way.',
    );
    underWay = null;
    await expect(sleep.idle(world.account, app)).rejects.toThrow('The router does not answer');
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(() => sleep.wake(world.account, app)).toThrow('demo is not asleep.');
    world.formation.batchUpdate(world.account, app, [{ type: 'web', size: 'standard-1x' }]);
    await world.settle();
    await expect(sleep.idle(world.account, app)).rejects.toThrow('heroku ps:type web=eco -a demo');
  });

  test('lets the router go on when the dynos have changed while it was asked', async () => {
    const asking = sleep.idle(world.account, app);
    world.behave(() => true, { endpoint: { host: '127.0.0.1', port: 1 } });
    world.dynos.restart(world.account, app, { all: true });
    await expect(asking).rejects.toThrow('starting or being replaced');
    expect(stayedAwake).toEqual([app.id]);
  });

  test('happens once: a second time there is nothing to do', async () => {
    expect(sleep.quiet(app.id)).toBe(true);
    expect(sleep.quiet(app.id)).toBe(false);
    await world.settle();
    await expect(sleep.idle(world.account, app)).rejects.toThrow('demo is asleep already.');
  });
});

describe('the wake ledger', () => {
  test('says what caused a wake and where the time went', async () => {
    await sleep.idle(world.account, app);
    await world.settle();
    const askedAt = world.clock.now();
    await world.clock.advance(3);
    world.engine.delay('start', 100);
    sleep.wakeFor(app.id, request, askedAt);
    await world.settle();
    expect(sleep.wakes(app)).toMatchObject([{ runningAt: null, upAt: null }]);
    await world.advance(100);
    await world.settle();
    const firstByte = new Date(world.clock.now().getTime() + 8);
    expect(wakeLines()).toEqual([]);
    sleep.ledger.answered(app.id, firstByte, 5);
    expect(wakeLines()).toEqual([
      'heroku[router]: at=info desc="Wake" depth=stopped dyno=web.1 cause=request method=GET path="/x?\\"" request_id=r-1 fwd="10.0.0.1,10.0.0.2" held=5 decision=3ms container=100ms boot=0ms first_byte=8ms total=111ms',
    ]);
    expect(sleep.wakes(app)).toMatchObject([
      { cause: { kind: 'request', request }, depth: 'stopped', firstByteAt: firstByte, held: 5 },
    ]);
  });

  test('closes a wake that nobody waits for any more without a first byte', async () => {
    await sleep.idle(world.account, app);
    await world.settle();
    sleep.wakeFor(app.id, request, world.clock.now());
    await world.settle();
    expect(wakeLines()).toEqual([]);
    await world.advance(10_000);
    expect(wakeLines()).toHaveLength(1);
    expect(wakeLines()[0]).toMatch(/held= decision=0ms container=0ms boot=0ms first_byte= total=0ms$/);
    sleep.ledger.answered(app.id, world.clock.now(), 1);
    expect(wakeLines()).toHaveLength(1);
  });

  test('has the wakes by command too, and of a frozen app', async () => {
    sleep.update(world.account, app, { depth: 'frozen' });
    await sleep.idle(world.account, app);
    await world.settle();
    sleep.wake(world.account, app);
    await world.settle();
    expect(wakeLines()).toEqual([
      'heroku[router]: at=info desc="Wake" depth=frozen dyno=web.1 cause=command held= decision=0ms container=0ms boot=0ms first_byte= total=0ms',
    ]);
  });

  test('counts a wake once, however often the router tells of it', async () => {
    await sleep.idle(world.account, app);
    await world.settle();
    for (let i = 0; i < 3; i += 1) sleep.wakeFor(app.id, request, world.clock.now());
    expect(sleep.wakes(app)).toHaveLength(1);
  });

  test('shows one under way as far as it is, and keeps that when the daemon stops', async () => {
    await sleep.idle(world.account, app);
    await world.settle();
    sleep.wakeFor(app.id, request, world.clock.now());
    await world.settle();
    const [wake] = sleep.wakes(app);
    expect(wake).toMatchObject({ runningAt: expect.any(Date), upAt: expect.any(Date), firstByteAt: null });
    sleep.ledger.stop();
    expect(sleep.wakes(app)).toEqual([wake]);
    expect(wakeLines()).toEqual([]);
  });

  test('keeps the newest hundred of an app', async () => {
    for (let i = 0; i < 103; i += 1) {
      sleep.ledger.begin(app.id, { kind: 'command' }, 'stopped', new Date(i));
    }
    const wakes = sleep.wakes(app);
    expect(wakes).toHaveLength(100);
    expect(wakes[0]!.askedAt).toEqual(new Date(102));
  });
});
