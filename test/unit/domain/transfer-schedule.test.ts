import * as fc from 'fast-check';
import type { AddOnId, TransferScheduleId } from '../../../src/domain/ids';
import {
  isDue,
  isTimezone,
  lastOccurrence,
  type TransferSchedule,
} from '../../../src/domain/transfer-schedule';

function aSchedule(more: Partial<TransferSchedule> = {}): TransferSchedule {
  return {
    id: 's' as TransferScheduleId,
    addonId: 'a' as AddOnId,
    name: 'DATABASE_URL',
    automatic: false,
    hour: 2,
    timezone: 'UTC',
    lastRunOn: null,
    createdAt: new Date(0),
    ...more,
  };
}
/** Minute by minute: the instants at which it begins. */
function simulate(schedule: TransferSchedule, from: Date, hours: number, stepMs = 60_000): Date[] {
  const runs: Date[] = [];
  let current = { ...schedule, lastRunOn: lastOccurrence(schedule, from) };
  for (let at = from.getTime(); at < from.getTime() + hours * 3_600_000; at += stepMs) {
    const now = new Date(at);
    if (!isDue(current, now)) continue;
    runs.push(now);
    current = { ...current, lastRunOn: lastOccurrence(current, now) };
  }
  return runs;
}

describe('a daily schedule', () => {
  test('begins at its hour in its time zone, once', () => {
    const paris = aSchedule({ hour: 2, timezone: 'Europe/Paris' });
    const runs = simulate(paris, new Date('2026-01-10T12:00:00Z'), 72);
    expect(runs.map((at) => at.toISOString())).toEqual([
      '2026-01-11T01:00:00.000Z',
      '2026-01-12T01:00:00.000Z',
      '2026-01-13T01:00:00.000Z',
    ]);
  });

  test('begins on the days on which clocks are put forward over its hour or back to it', () => {
    const berlin = aSchedule({ hour: 2, timezone: 'Europe/Berlin' });
    expect(simulate(berlin, new Date('2026-03-28T12:00:00Z'), 24).map((at) => at.toISOString())).toEqual([
      '2026-03-29T01:00:00.000Z',
    ]);
    expect(simulate(berlin, new Date('2026-10-24T12:00:00Z'), 24).map((at) => at.toISOString())).toEqual([
      '2026-10-25T00:00:00.000Z',
    ]);
  });

  test('is made up for after hours in which nothing ran, but not after a day', () => {
    const schedule = aSchedule({ lastRunOn: '2026-01-10' });
    expect(isDue(schedule, new Date('2026-01-11T01:59:00Z'))).toBe(false);
    expect(isDue(schedule, new Date('2026-01-11T13:30:00Z'))).toBe(true);
    expect(isDue(schedule, new Date('2026-01-11T15:00:00Z'))).toBe(false);
    // Over midnight it is still the day before that is made up for.
    const late = aSchedule({ hour: 23, lastRunOn: '2026-01-09' });
    expect(lastOccurrence(late, new Date('2026-01-11T05:00:00Z'))).toBe('2026-01-10');
    expect(isDue(late, new Date('2026-01-11T05:00:00Z'))).toBe(true);
  });

  test('runs as often as there are days, whatever the hour, the zone and the season', () => {
    const zones = [
      'UTC',
      'Europe/Paris',
      'America/Los_Angeles',
      'Asia/Kolkata',
      'Australia/Lord_Howe',
      'Pacific/Apia',
    ];
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 23 }),
        fc.constantFrom(...zones),
        fc.integer({ min: 0, max: 364 }),
        (hour, timezone, day) => {
          const from = new Date(Date.UTC(2026, 0, 1 + day));
          const runs = simulate(aSchedule({ hour, timezone }), from, 10 * 24, 30 * 60_000);
          expect(runs.length).toBeGreaterThanOrEqual(9);
          expect(runs.length).toBeLessThanOrEqual(11);
          runs.slice(1).forEach((at, index) => {
            const hours = (at.getTime() - (runs[index] as Date).getTime()) / 3_600_000;
            expect(hours).toBeGreaterThanOrEqual(22.5);
            expect(hours).toBeLessThanOrEqual(25.5);
          });
        },
      ),
      { numRuns: 20 },
    );
  });

  test('knows time zones from what is none', () => {
    expect(isTimezone('America/Boise')).toBe(true);
    expect(isTimezone('Mars/Base')).toBe(false);
    expect(isTimezone('')).toBe(false);
  });
});
