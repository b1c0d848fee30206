import type { Transfer } from './transfer';

/** How many backups are kept of one database. */
export interface BackupRetention {
  /** Those that somebody asked for: the newest so many. */
  manual: number;
  /** Of scheduled ones: the last of each of so many days, weeks and months that have one. */
  daily: number;
  weekly: number;
  monthly: number;
}

type Backup = Pick<Transfer, 'id' | 'schedule' | 'createdAt'>;

/** Those that are to go, of the succeeded backups of one database. The newest one never is among them. */
export function expiredBackups<T extends Backup>(backups: readonly T[], retention: BackupRetention): T[] {
  const newestFirst = [...backups].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
  const manual = newestFirst.filter(({ schedule }) => schedule === null);
  const scheduled = newestFirst.filter(({ schedule }) => schedule !== null);
  const kept = new Set<T>([
    ...newestFirst.slice(0, 1),
    ...manual.slice(0, retention.manual),
    ...lastOfEach(scheduled, dayOf, retention.daily),
    ...lastOfEach(scheduled, weekOf, retention.weekly),
    ...lastOfEach(scheduled, monthOf, retention.monthly),
  ]);
  return newestFirst.filter((backup) => !kept.has(backup));
}

function lastOfEach<T extends Backup>(
  newestFirst: readonly T[],
  period: (at: Date) => string,
  most: number,
): T[] {
  const last = new Map<string, T>();
  for (const backup of newestFirst) {
    const key = period(backup.createdAt);
    if (!last.has(key)) last.set(key, backup);
  }
  return [...last.values()].slice(0, most);
}

function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}
/** Weeks begin on Mondays: 1970-01-01 was a Thursday. */
function weekOf(at: Date): string {
  return String(Math.floor((at.getTime() / 86_400_000 + 3) / 7));
}
function monthOf(at: Date): string {
  return at.toISOString().slice(0, 7);
}
