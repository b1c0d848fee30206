import type { Dyno } from './dyno';

/**
 * What becomes of an add-on all of whose apps are asleep:
 * - `off`: nothing
 * - `stop`: its server is shut down; memory is free, and a wake takes as long as a start of it
 * - `freeze`: its server is paused; memory stays, and it goes on in milliseconds
 */
export type AddOnSleepDepth = 'off' | 'stop' | 'freeze';

export const ADDON_SLEEP_DEPTHS: readonly AddOnSleepDepth[] = ['off', 'stop', 'freeze'];

export interface AddOnSleepPolicy {
  depth: AddOnSleepDepth;
  /** One that somebody has asked for by hand stays awake for so long. */
  lingerMs: number;
}

/** What an app means for the sleep of its add-ons: `empty` has nothing that could run, and so can't wake either. */
export type AppRest = 'asleep' | 'empty' | 'awake';

/** `isBusy`: it is being built, or has a release under way. A dyno that is ending still needs its database. */
export function appRestOf(dynos: readonly Pick<Dyno, 'state'>[], isBusy: boolean): AppRest {
  if (isBusy || dynos.some(({ state }) => state !== 'idle')) return 'awake';
  return dynos.length > 0 ? 'asleep' : 'empty';
}

/** One whose apps have nothing to run at all is used from somewhere else, and never sleeps. */
export function mayAddOnSleep(apps: readonly AppRest[]): boolean {
  return apps.includes('asleep') && !apps.includes('awake');
}
