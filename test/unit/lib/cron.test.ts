import fc from 'fast-check';
import { CronSchedule } from '../../../src/lib/cron';

const MINUTE_MS = 60_000;
const at = (text: string): Date => new Date(`${text}:00.000Z`);

test.each([
  ['*/10 * * * *', '2026-01-31T23:51', '2026-02-01T00:00'],
  ['20 * * * *', '2026-01-31T23:20', '2026-02-01T00:20'],
  ['30 8 * * *', '2026-01-31T08:29', '2026-01-31T08:30'],
  ['0 9 * * mon-fri', '2026-01-30T09:00', '2026-02-02T09:00'],
  ['0 0 29 feb *', '2026-01-01T00:00', '2028-02-29T00:00'],
  ['0 0 29 feb *', '2097-01-01T00:00', '2104-02-29T00:00'],
  ['0 0 29 2 */7', '2026-01-01T00:00', '2032-02-29T00:00'],
  ['0 0 29 2 */7', '2088-02-29T00:00', '2128-02-29T00:00'],
  ['0 12 13 * fri', '2026-01-10T00:00', '2026-01-13T12:00'],
  ['0 12 13 * fri', '2026-01-13T12:00', '2026-01-16T12:00'],
  ['@daily', '2026-01-10T00:00', '2026-01-11T00:00'],
  ['0 0 * * 7', '2026-01-10T00:00', '2026-01-11T00:00'],
])('%s comes after %s at %s', (expression, after, next) => {
  const schedule = new CronSchedule(expression);
  expect(schedule.next(at(after))).toEqual(at(next));
  expect(schedule.last(at(next))).toEqual(at(next));
  expect(schedule.last(new Date(at(next).getTime() - 1))!.getTime()).toBeLessThanOrEqual(at(after).getTime());
});

test.each([
  ['61 * * * *', '61'],
  ['* * *', 'expected 5'],
  ['0 0 * * * *', 'seconds'],
  ['0 0 L * *', 'L is not supported'],
  ['0 0 * * 1#2', '1#2 is not supported'],
  ['0 0 31 2 *', '31'],
  ['', 'it is empty'],
  ['rm -rf / now please', ''],
])('%j is refused with a reason', (expression, reason) => {
  expect(() => new CronSchedule(expression)).toThrow(reason);
});

test('times are those that a look at each minute finds', () => {
  const field = (min: number, max: number): fc.Arbitrary<string> =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min, max }).map(String),
      fc.integer({ min: 2, max: 9 }).map((step) => `*/${step}`),
      fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${a},${b}`),
    );
  const day = fc.tuple(field(1, 28), field(1, 12), field(0, 6));
  fc.assert(
    fc.property(
      field(0, 59),
      field(0, 23),
      day,
      fc.integer({ min: 0, max: 3000 }),
      (m, h, [dom, mon, dow], offset) => {
        const schedule = new CronSchedule(`${m} ${h} ${dom} ${mon} ${dow}`);
        const start = at('2026-02-27T00:00').getTime() + offset * MINUTE_MS;
        const found = schedule.next(new Date(start))!.getTime();
        // No time is passed over.
        const wrong: number[] = [];
        for (
          let time = start + MINUTE_MS;
          time <= Math.min(found, start + 3000 * MINUTE_MS);
          time += MINUTE_MS
        ) {
          if (fits(new Date(time), [m, h, dom, mon, dow]) !== (time === found)) wrong.push(time);
        }
        expect(wrong).toEqual([]);
        expect(schedule.last(new Date(found))!.getTime()).toBe(found);
        const before = schedule.last(new Date(found - 1))!.getTime();
        expect(before).toBeLessThanOrEqual(start);
        expect(schedule.next(new Date(before))!.getTime()).toBe(found);
      },
    ),
    { numRuns: 60 },
  );
});

/** A reading of crontab(5) of its own. */
function fits(time: Date, [m, h, dom, mon, dow]: [string, string, string, string, string]): boolean {
  const is = (value: number, field: string, first: number): boolean => {
    if (field === '*') return true;
    if (field.startsWith('*/')) return (value - first) % Number(field.slice(2)) === 0;
    return field.split(',').map(Number).includes(value);
  };
  const monthDay = is(time.getUTCDate(), dom, 1);
  const weekday = is(time.getUTCDay(), dow, 0);
  const day = dom.startsWith('*') || dow.startsWith('*') ? monthDay && weekday : monthDay || weekday;
  return (
    is(time.getUTCMinutes(), m, 0) &&
    is(time.getUTCHours(), h, 0) &&
    is(time.getUTCMonth() + 1, mon, 1) &&
    day
  );
}
