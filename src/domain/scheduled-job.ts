import type { DynoSizeName } from './dyno-size';
import { invalidParams, PlatformError } from './errors';
import type { AddOnId, DynoId, ScheduledJobId } from './ids';

/** A command that Heroku Scheduler runs in a one-off dyno, again and again. */
export interface ScheduledJob {
  id: ScheduledJobId;
  addonId: AddOnId;
  command: string;
  /** null: what a one-off dyno of the app has. */
  size: DynoSizeName | null;
  /** As `parseFrequency` writes it. */
  frequency: string;
  /**
   * Each time up to here at which it was due has been dealt with: it was run, passed over, or is from before there was the
   * job. It grows, and is written in the transaction that starts a dyno, so that no such time counts twice.
   */
  settledUntil: Date;
  lastRun: JobRun | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface JobRun {
  /** When it was started, or could not be. */
  at: Date;
  /** null: it could not be started. */
  dyno: { id: DynoId; name: string } | null;
  /** `exited with status 0`; null while it runs. */
  outcome: string | null;
}

export interface Frequency {
  /** As users see it, and as it is stored. */
  text: string;
  /** In UTC. */
  cron: string;
}

export const SCHEDULER_SERVICE = 'scheduler';
/** Of one add-on. More are a script gone wild. */
export const MAX_JOBS = 100;
const MAX_COMMAND = 4000;

const EVERY_TEN_MINUTES = /^(?:every )?10 min(?:ute)?s?$/i;
const HOURLY = /^(?:hourly|every hour)(?: at)? :?(\d{1,2})$/i;
const DAILY = /^(?:daily|every day)(?: at)? (\d{1,2}):(\d{2})(?: ?utc)?$/i;
const CRON = /^cron (.+)$/i;
const CRON_FIELDS = /^[\d*]\S*(?: \S+){4}$/;

/**
 * One of Heroku's three (Dev Center "Heroku Scheduler"), at any minute: `every 10 minutes`, `every hour at :20`, `every day
 * at 08:30 UTC`; or `cron 0 9 * * mon-fri`, which Heroku does not have, and whose expression is left to be checked.
 * Throws invalid_params.
 */
export function parseFrequency(given: string): Frequency {
  const text = given.trim().replace(/\s+/g, ' ');
  if (EVERY_TEN_MINUTES.test(text)) return { text: 'every 10 minutes', cron: '*/10 * * * *' };
  const [, minuteOfHour] = HOURLY.exec(text) ?? [];
  if (minuteOfHour !== undefined) {
    const minute = numberUpTo(59, minuteOfHour, text);
    return { text: `every hour at :${pad(minute)}`, cron: `${minute} * * * *` };
  }
  const [, hours, minutes] = DAILY.exec(text) ?? [];
  if (hours !== undefined && minutes !== undefined) {
    const [hour, minute] = [numberUpTo(23, hours, text), numberUpTo(59, minutes, text)];
    return { text: `every day at ${pad(hour)}:${pad(minute)} UTC`, cron: `${minute} ${hour} * * *` };
  }
  const cron = CRON.exec(text)?.[1] ?? (CRON_FIELDS.test(text) ? text : undefined);
  if (cron !== undefined) return { text: `cron ${cron}`, cron };
  throw badFrequency(text);
}

export function badFrequency(text: string, reason?: string): PlatformError {
  return invalidParams(
    `Frequency ${JSON.stringify(text)} is not understood${reason === undefined ? '' : `: ${reason}`}. ` +
      'Say "every 10 minutes", "every hour at :20", "every day at 08:30 UTC", or "cron 0 9 * * mon-fri" (in UTC).',
  );
}

/** Throws invalid_params. */
export function parseJobCommand(given: string): string {
  const command = given.trim();
  if (command === '') throw invalidParams('The command is empty.');
  if (command.length > MAX_COMMAND) {
    throw invalidParams(`The command is too long: ${command.length} characters of at most ${MAX_COMMAND}.`);
  }
  // It stands in log lines and in a table.
  // eslint-disable-next-line no-control-regex -- those are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(command)) {
    throw invalidParams('The command has to be one line, without control characters.');
  }
  return command;
}

export function jobNotFound(): PlatformError {
  return new PlatformError('not_found', "Couldn't find that scheduled job.", 'scheduled_job');
}

function numberUpTo(max: number, digits: string, text: string): number {
  const value = Number(digits);
  if (value > max) throw badFrequency(text, `${digits} is more than ${max}`);
  return value;
}

function pad(value: number): string {
  return String(value).padStart(2, '0');
}
