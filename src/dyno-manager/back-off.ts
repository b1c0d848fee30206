const MINUTE_MS = 60_000;

/** A dyno that ran this long did not crash at boot (Dev Center "Dynos", "Dyno crash restart policy"). */
const BOOT_CRASH_WINDOW_MS = 10 * MINUTE_MS;
const FIRST_COOL_OFF_MS = 10 * MINUTE_MS;
const LONGEST_COOL_OFF_MS = 24 * 60 * MINUTE_MS;

const FIRST_REFUSAL_DELAY_MS = 1000;
const LONGEST_REFUSAL_DELAY_MS = 10 * MINUTE_MS;

export interface CrashVerdict {
  crashCount: number;
  /** 0 = at once. */
  delayMs: number;
}

/**
 * Heroku's policy: the first crash is followed by a start at once, further ones within ten minutes of a start by
 * a cool-off of 10, 20, 40 … minutes, 24 h at most. A crash after a longer run does not count.
 */
export function judgeCrash(earlierCrashes: number, ranMs: number): CrashVerdict {
  if (ranMs >= BOOT_CRASH_WINDOW_MS) return { crashCount: 0, delayMs: 0 };
  const crashCount = earlierCrashes + 1;
  if (crashCount === 1) return { crashCount, delayMs: 0 };
  const delayMs = Math.min(FIRST_COOL_OFF_MS * 2 ** (crashCount - 2), LONGEST_COOL_OFF_MS);
  return { crashCount, delayMs };
}

/** How long to wait after the engine has refused to launch a dyno so many times in a row: no fault of the app's. */
export function refusalDelayMs(refusals: number): number {
  return Math.min(FIRST_REFUSAL_DELAY_MS * 2 ** (refusals - 1), LONGEST_REFUSAL_DELAY_MS);
}
