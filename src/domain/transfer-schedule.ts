import type { AddOnId, TransferScheduleId } from './ids';

/** Daily backups of one database. */
export interface TransferSchedule {
  id: TransferScheduleId;
  addonId: AddOnId;
  /** `DATABASE_URL` */
  name: string;
  /** By the plan, without anybody having asked; not shown, and idle while there is one that somebody asked for. */
  automatic: boolean;
  /** 0 to 23, in its timezone. */
  hour: number;
  /** IANA: `Europe/Paris` */
  timezone: string;
  /** YYYY-MM-DD in its timezone, of the day that was seen to; null = none yet. */
  lastRunOn: string | null;
  createdAt: Date;
}

/** So long after its hour a backup is made up for, if nothing ran then. */
export const MAKE_UP_HOURS = 12;

const HOUR_MS = 3_600_000;

/**
 * The day, YYYY-MM-DD in the schedule's timezone, whose hour has begun last; null if that is longer ago than it is made
 * up for. Where clocks are put forward over the hour it begins with the next one; put back, it begins once.
 */
export function lastOccurrence(
  { hour, timezone }: Pick<TransferSchedule, 'hour' | 'timezone'>,
  now: Date,
): string | null {
  const clock = localClock(timezone);
  let local = clock(now);
  for (let back = 0; back <= MAKE_UP_HOURS; back += 1) {
    const before = clock(new Date(now.getTime() - (back + 1) * HOUR_MS));
    const isSkipped = hour < local.hour && (before.day !== local.day || before.hour < hour);
    if (local.hour === hour || isSkipped) return local.day;
    local = before;
  }
  return null;
}

export function isDue(schedule: TransferSchedule, now: Date): boolean {
  const day = lastOccurrence(schedule, now);
  return day !== null && (schedule.lastRunOn === null || schedule.lastRunOn < day);
}

export function isTimezone(name: string): boolean {
  try {
    localClock(name);
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Making one takes longer than all that is asked of it. There are as many as time zones in use. */
const FORMATS = new Map<string, Intl.DateTimeFormat>();

/** Throws a RangeError for what is no time zone. */
function localClock(timezone: string): (at: Date) => { day: string; hour: number } {
  const format = FORMATS.get(timezone) ?? formatOf(timezone);
  FORMATS.set(timezone, format);
  return (at) => {
    const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, value]));
    const day = (['year', 'month', 'day'] as const).map((type) => parts.get(type)).join('-');
    return { day, hour: Number(parts.get('hour')) };
  };
}

function formatOf(timezone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    hourCycle: 'h23',
  });
}
