import type { WakeNews } from '../../../src/router/gate';
import { WakeRelay } from '../../../src/router/wake-relay';
import { FakeClock } from '../../support/fake-clock';

const wake = (app_id: string): WakeNews => ({
  type: 'wake',
  app_id,
  request_id: 'r',
  method: 'GET',
  path: '/',
  fwd: '127.0.0.1',
  at: '2026-01-02T03:04:05.678Z',
});
const woken = (app_id: string, held: number, at = 'first'): WakeNews => ({ type: 'woken', app_id, held, at });

let clock: FakeClock;
let heard: WakeNews[];
let connected: boolean;
let relay: WakeRelay;
beforeEach(() => {
  clock = new FakeClock();
  heard = [];
  connected = true;
  relay = new WakeRelay({
    clock,
    send: (message) => {
      if (connected) heard.push(message);
      return connected;
    },
  });
});
afterEach(() => relay.stop());

describe('wakes of several workers', () => {
  test('are told once per app', () => {
    for (const worker of [0, 1, 2]) {
      for (const app of ['a', 'b']) expect(relay.relay(worker, wake(app))).toBe(true);
    }
    expect(heard).toEqual([wake('a'), wake('b')]);
  });

  test('are told again when one of them speaks again: its app sleeps anew', () => {
    for (const worker of [0, 1, 1, 0]) relay.relay(worker, wake('a'));
    expect(heard).toHaveLength(2);
  });

  test('are told again after a new table', () => {
    relay.relay(0, wake('a'));
    relay.clear();
    relay.relay(1, wake('a'));
    expect(heard).toHaveLength(2);
  });

  test('count only if a daemon heard them', () => {
    connected = false;
    expect(relay.relay(0, wake('a'))).toBe(false);
    connected = true;
    expect(relay.relay(1, wake('a'))).toBe(true);
    expect(heard).toHaveLength(1);
  });
});

describe('the end of a wake', () => {
  test('is told at once if one worker waited', () => {
    relay.relay(1, wake('a'));
    relay.relay(1, woken('a', 3));
    expect(heard).toEqual([wake('a'), woken('a', 3)]);
  });

  test('is told when all have their first byte, with the time of the first and all that were held', () => {
    for (const worker of [0, 1, 2]) relay.relay(worker, wake('a'));
    relay.clear();
    for (const worker of [2, 0]) relay.relay(worker, woken('a', 2, worker === 2 ? 'first' : 'later'));
    expect(heard).toEqual([wake('a')]);
    relay.relay(1, woken('a', 3, 'later'));
    expect(heard).toEqual([wake('a'), woken('a', 7)]);
    expect(clock.pending).toBe(0);
  });

  test('does not wait for long for a worker whose requests have gone, and is told once', async () => {
    for (const worker of [0, 1]) relay.relay(worker, wake('a'));
    relay.relay(0, woken('a', 2));
    await clock.advance(249);
    expect(heard).toHaveLength(1);
    await clock.advance(1);
    expect(heard).toEqual([wake('a'), woken('a', 2)]);
    relay.relay(1, woken('a', 1));
    expect(heard).toHaveLength(2);
  });
});
