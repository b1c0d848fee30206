import * as fc from 'fast-check';
import { expiredBackups } from '../../../src/domain/backup-retention';
import type { TransferId } from '../../../src/domain/ids';

const DAY_MS = 86_400_000;
const RETENTION = { manual: 3, daily: 7, weekly: 4, monthly: 2 };
const NOW = Date.UTC(2026, 5, 30, 3);

interface Backup {
  id: TransferId;
  schedule: string | null;
  createdAt: Date;
}
const aBackup = (daysAgo: number, schedule: string | null): Backup => ({
  id: `${schedule ?? 'manual'} ${daysAgo}` as TransferId,
  schedule,
  createdAt: new Date(NOW - daysAgo * DAY_MS),
});
const keptDays = (backups: Backup[]): number[] => {
  const gone = new Set(expiredBackups(backups, RETENTION));
  return backups
    .filter((each) => !gone.has(each))
    .map(({ createdAt }) => (NOW - createdAt.getTime()) / DAY_MS)
    .sort((a, b) => a - b);
};

test('of manual ones the newest are kept, of scheduled ones the last of days, weeks and months', () => {
  expect(keptDays([5, 1, 9, 3, 7].map((days) => aBackup(days, null)))).toEqual([1, 3, 5]);
  const daily = Array.from({ length: 100 }, (_, days) => aBackup(days, 'DATABASE_URL'));
  // Seven days; Sundays before (2026-06-28 is one); the last of May.
  expect(keptDays(daily)).toEqual([0, 1, 2, 3, 4, 5, 6, 9, 16, 30]);
});

test('the newest always stays, and what is kept does not become more by expiring twice', () => {
  const backup = fc
    .tuple(fc.integer({ min: 0, max: 400 }), fc.constantFrom(null, 'DATABASE_URL'))
    .map(([days, schedule]) => aBackup(days, schedule));
  fc.assert(
    fc.property(fc.uniqueArray(backup, { selector: ({ id }) => id, maxLength: 60 }), (backups) => {
      const gone = expiredBackups(backups, { manual: 0, daily: 0, weekly: 0, monthly: 0 });
      expect(backups.length - gone.length).toBe(Math.min(backups.length, 1));
      const expired = new Set(expiredBackups(backups, RETENTION));
      const kept = backups.filter((each) => !expired.has(each));
      expect(expiredBackups(kept, RETENTION)).toEqual([]);
    }),
  );
});
