import type { Dyno } from './dyno';
import { dynoSize } from './dyno-size';

/**
 * What a sleeping dyno keeps:
 * - `stopped`: nothing, it wakes as a fresh dyno, as on Heroku
 * - `frozen`: its processes and memory, which wake in milliseconds
 * - `tiered`: frozen at first, stopped when it has slept for long
 */
export type SleepDepth = 'stopped' | 'frozen' | 'tiered';

export const SLEEP_DEPTHS: readonly SleepDepth[] = ['stopped', 'frozen', 'tiered'];

/** How an app falls asleep. */
export interface SleepPolicy {
  /** Time without web traffic; 0 = it never does by itself. */
  idleAfterMs: number;
  depth: SleepDepth;
  /** With `tiered`: frozen for so long. */
  frozenMs: number;
}

/** What an app has of its own; null = as the installation says. */
export type SleepOverrides = { [Key in keyof SleepPolicy]: SleepPolicy[Key] | null };

export function sleepPolicy(installation: SleepPolicy, own: SleepOverrides | undefined): SleepPolicy {
  return {
    idleAfterMs: own?.idleAfterMs ?? installation.idleAfterMs,
    depth: own?.depth ?? installation.depth,
    frozenMs: own?.frozenMs ?? installation.frozenMs,
  };
}

/** Of the formation, live, and of a size that sleeps (Dev Center "Eco Dyno Hours"). */
export function isSleeper(dyno: Pick<Dyno, 'oneOff' | 'state' | 'superseded' | 'size'>): boolean {
  return dyno.oneOff === null && dyno.state !== 'down' && !dyno.superseded && dynoSize(dyno.size).sleeps;
}

/**
 * - `awake`: it may be put to sleep
 * - `asleep`: it sleeps
 * - `changing`: a web dyno is starting or being replaced; later
 * - `sleepless`: it has no web dyno of a sleeping size. An app of workers alone never sleeps.
 */
export type SleepState = 'awake' | 'asleep' | 'changing' | 'sleepless';

export function sleepStateOf(dynos: readonly Dyno[]): SleepState {
  const web = dynos.filter((dyno) => dyno.type === 'web' && isSleeper(dyno));
  if (web.length === 0) {
    // Between two of them: the old one is on its way out.
    const leaving = dynos.some(
      ({ type, state, size }) => type === 'web' && state === 'down' && dynoSize(size).sleeps,
    );
    return leaving ? 'changing' : 'sleepless';
  }
  if (dynos.some((dyno) => dyno.superseded && dyno.state !== 'down')) return 'changing';
  if (web.every((dyno) => dyno.state === 'idle')) return 'asleep';
  return web.every((dyno) => dyno.state === 'up' || dyno.state === 'crashed') ? 'awake' : 'changing';
}
