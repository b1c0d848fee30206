import { parse, validateDetailed } from 'node-cron';

const FIELDS = 5;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** 29 February is a certain weekday again after 40 years at the latest, around 2100. */
const HORIZON_DAYS = 41 * 366;

/**
 * The times of a cron expression (crontab(5)), in UTC and whole minutes, read by node-cron and so with its names of months
 * and weekdays, steps and nicknames (`@daily`). As in crontab(5), a day has to fit either the day of the month or that of
 * the week if both are given, and both if one of them begins with an asterisk.
 */
export class CronSchedule {
  /** Of a day, in ascending order. */
  readonly #minutes: readonly number[];
  readonly #isDay: (day: Date) => boolean;

  /** Throws an Error that says what is wrong with it. */
  constructor(expression: string) {
    if (expression.trim() === '') throw new Error('it is empty');
    const { valid, errors } = validateDetailed(expression);
    if (!valid) throw new Error(errors[0]?.message ?? 'it is no cron expression');
    const words = expression.trim().split(/\s+/);
    if (words.length > FIELDS) throw new Error(`it has seconds: ${FIELDS} fields are wanted`);
    const { minute, hour, dayOfMonth, month, dayOfWeek } = parse(expression);
    const special = [...dayOfMonth, ...dayOfWeek].find((value) => typeof value === 'string');
    if (special !== undefined) throw new Error(`${special} is not supported`);
    this.#minutes = hour.flatMap((h) => minute.map((m) => h * 60 + m)).sort((a, b) => a - b);
    const [, , monthDays = '*', , weekdays = '*'] = words;
    const both = [monthDays, weekdays].some((field) => /^[*?]/.test(field));
    this.#isDay = (day) => {
      const ofMonth = dayOfMonth.includes(day.getUTCDate());
      const ofWeek = dayOfWeek.includes(day.getUTCDay());
      return month.includes(day.getUTCMonth() + 1) && (both ? ofMonth && ofWeek : ofMonth || ofWeek);
    };
    if (this.next(new Date(0)) === undefined) throw new Error('there is no such day');
  }

  /** The first time after `after`. */
  next(after: Date): Date | undefined {
    const from = after.getTime();
    for (let day = startOfDay(from), days = 0; days < HORIZON_DAYS; day += DAY_MS, days += 1) {
      if (!this.#isDay(new Date(day))) continue;
      const minute = this.#minutes.find((each) => day + each * MINUTE_MS > from);
      if (minute !== undefined) return new Date(day + minute * MINUTE_MS);
    }
    return undefined;
  }

  /** The last time that is not after `until`. */
  last(until: Date): Date | undefined {
    const to = until.getTime();
    for (let day = startOfDay(to), days = 0; days < HORIZON_DAYS; day -= DAY_MS, days += 1) {
      if (!this.#isDay(new Date(day))) continue;
      const minute = this.#minutes.findLast((each) => day + each * MINUTE_MS <= to);
      if (minute !== undefined) return new Date(day + minute * MINUTE_MS);
    }
    return undefined;
  }
}

function startOfDay(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}
