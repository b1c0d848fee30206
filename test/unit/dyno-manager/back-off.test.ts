import { judgeCrash } from '../../../src/dyno-manager/back-off';

const MINUTE = 60_000;

describe('judgeCrash', () => {
  test('starts again at once after a first crash', () => {
    expect(judgeCrash(0, 5_000)).toEqual({ crashCount: 1, delayMs: 0 });
  });

  test('cools off for 10, 20, 40 … minutes after further crashes at boot', () => {
    expect([1, 2, 3].map((earlier) => judgeCrash(earlier, 5_000).delayMs / MINUTE)).toEqual([10, 20, 40]);
  });

  test('never waits longer than a day', () => {
    expect(judgeCrash(500, 0).delayMs).toBe(24 * 60 * MINUTE);
  });

  test('forgets earlier crashes after a run of ten minutes', () => {
    expect(judgeCrash(7, 10 * MINUTE)).toEqual({ crashCount: 0, delayMs: 0 });
  });
});
