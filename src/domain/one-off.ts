import { dynoSize, type DynoSizeName } from './dyno-size';
import { invalidParams } from './errors';
import type { ProcessTypes } from './procfile';

/** What a dyno has that was started by hand (Dev Center "One-Off Dynos") and that no formation asks for. */
export interface OneOff {
  /** Its input and output belong to a client, without which it must not run; else its output goes to the log. */
  attached: boolean;
  /** Of an attached one: a terminal of this size, or null for pipes. */
  terminal: { columns: number; rows: number } | null;
  /** Goes over the release's config vars. Values may be secrets. */
  env: Readonly<Record<string, string>>;
  /** On the container stack: the process type whose image it runs; absent = that of `web`. */
  processType?: string;
  /** When it is stopped at the latest. */
  expiresAt: Date | null;
}

/** How a one-off dyno came to its end. */
export type OneOffEnd =
  | { how: 'exited'; status: number }
  /** It was told to stop: by somebody, or since its time was over. */
  | { how: 'stopped' }
  | { how: 'refused'; reason: string }
  /** Its container is gone, and with it what became of its process. */
  | { how: 'vanished' };

export const ONE_OFF_TYPE = 'run';
/** Of dynos that Heroku Scheduler starts: `scheduler.1234`. */
export const SCHEDULER_TYPE = 'scheduler';
/** `run.1000` … `run.9999` */
export const ONE_OFF_NUMBERS = { first: 1000, count: 9000 };
/** Where Heroku's limits are off: more at once are a script gone wild. */
const MAX_ONE_OFFS_PER_APP = 50;
/** Heroku's limits, of dynos at once by kind of size (Dev Center "Dyno Scaling and Process Limits"). */
const MAX_ONE_OFFS = { eco: 1, basic: 50, standard: 50, performance: 5 };
const MAX_TIME_TO_LIVE_S = 86_400;
/** What terminals were before they could say it. */
const DEFAULT_TERMINAL = { columns: 80, rows: 24 };
const MAX_TERMINAL_SIDE = 10_000;

const FIRST_WORD = /^\s*([-\w]+)(?=\s|$)/;

/**
 * May an app that has one-off dynos of the sizes `present` have one more of this size? Throws invalid_params if not.
 */
export function assertRoomForOneOff(
  size: DynoSizeName,
  present: readonly DynoSizeName[],
  { herokuLimits }: { herokuLimits: boolean },
): void {
  const kind = kindOf(size);
  const max = herokuLimits ? MAX_ONE_OFFS[kind] : MAX_ONE_OFFS_PER_APP;
  const counted = herokuLimits ? present.filter((other) => kindOf(other) === kind) : present;
  if (counted.length < max) return;
  throw invalidParams(`Cannot run more than ${max} ${dynoSize(size).title} size dynos.`);
}

function kindOf(size: DynoSizeName): keyof typeof MAX_ONE_OFFS {
  const { name, sleeps, dedicated } = dynoSize(size);
  if (sleeps) return 'eco';
  if (dedicated) return 'performance';
  return name === 'basic' ? 'basic' : 'standard';
}

/**
 * If the first word is a process type, what it stands for takes its place and the other words follow (Dev Center
 * "One-Off Dynos").
 */
export function substituteProcessType(command: string, types: ProcessTypes): string {
  const match = FIRST_WORD.exec(command);
  const type = match?.[1] ?? '';
  if (match === null || !Object.hasOwn(types, type)) return command;
  return `${types[type] ?? ''}${command.slice(match[0].length)}`;
}

/** Throws invalid_params on names that are none and on values that an environment can't hold. */
export function parseEnvironment(
  values: Readonly<Record<string, string | number | boolean | null>>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) {
    if (!/^[A-Za-z_]\w*$/.test(name))
      throw invalidParams(`Environment variable ${name} is not a valid name.`);
    // The CLI's way of saying that a variable is not set.
    if (value === null) continue;
    const text = String(value);
    if (text.includes('\0')) throw invalidParams(`Environment variable ${name} contains a null character.`);
    environment[name] = text;
  }
  return environment;
}

/** The size of the client's terminal, which it tells in the environment. */
export function terminalSize(env: Readonly<Record<string, string>>): { columns: number; rows: number } {
  return {
    columns: side(env.COLUMNS) ?? DEFAULT_TERMINAL.columns,
    rows: side(env.LINES) ?? DEFAULT_TERMINAL.rows,
  };
}

function side(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const value = Number(text);
  return value > 0 && value <= MAX_TERMINAL_SIDE ? value : undefined;
}

export function parseTimeToLive(seconds: number): number {
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_TIME_TO_LIVE_S) {
    throw invalidParams(`time_to_live must be between 1 and ${MAX_TIME_TO_LIVE_S} seconds.`);
  }
  return seconds * 1000;
}

export function parseCommand(command: string): string {
  if (command.trim() === '') throw invalidParams('The command is empty.');
  if (command.includes('\0')) throw invalidParams('The command contains a null character.');
  return command;
}

/** What the CLI appends to a command to learn its exit status; it begins with a character that is none. */
export const EXIT_STATUS_MARKER = '\uFFFF heroku-command-exit-status:';
