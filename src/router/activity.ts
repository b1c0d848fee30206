import type { Clock } from '../lib/clock';
import { isRoutable } from './gate';
import type { AppRoutes } from './protocol';

/** Of one app; handed to its requests, which keep it up to date. */
export interface AppActivity {
  /** Requests that are held or at a dyno; a tunnel is none, only its bytes count. */
  inFlight: number;
  /** When a request began or ended, or a byte passed; ms since the epoch. */
  lastAtMs: number;
}

export type ParkAnswer = { parked: true; quietMs: number } | { parked: false; inFlight: number };

export interface ActivityOptions {
  clock: Clock;
  /** This app has had no traffic for as long as its table entry says. Said again if it is not parked for it. */
  onQuiet: (appId: string) => void;
  /** It is not parked any more: requests that were held for it may go on. */
  onUnparked: (appId: string) => void;
}

/** The daemon answers at once, with a table in which the app sleeps or with `stay_awake`; this is for neither. */
const PARKED_FOR_MS = 10_000;
/** An app that was found quiet but could not be put to sleep is looked at again after this. */
const RETRY_MS = 60_000;

/** For so long after a wake, requests beyond what the dynos take wait for their turn instead of being refused (H11). */
const RUSH_MS = 10_000;

interface Watched extends AppActivity {
  /** It slept when it was last not awake. */
  slept: boolean;
  /** When it came up from sleep, ms since the epoch. */
  wokenAtMs: number;
  idleAfterMs: number | null;
  awake: boolean;
  /** Not before. */
  askAtMs: number;
  cancelParking: (() => void) | null;
}

/**
 * Who has had traffic when, and which apps are *parked*: on the way to sleep. A request and the decision to sleep may
 * come at the same moment. So the router decides: an app is parked only while nothing of it is under way, and its
 * requests are held from then on, until the daemon's next table tells whether it sleeps.
 */
export class Activity {
  readonly #options: ActivityOptions;
  readonly #apps = new Map<string, Watched>();
  #cancelTimer: () => void = () => undefined;
  #stopped = false;

  constructor(options: ActivityOptions) {
    this.#options = options;
  }

  /** The caller counts itself in and out. */
  of(appId: string): AppActivity {
    return this.#watched(appId);
  }

  isParked(appId: string): boolean {
    return this.#apps.get(appId)?.cancelParking != null;
  }

  get parked(): string[] {
    return [...this.#apps.keys()].filter((appId) => this.isParked(appId));
  }

  /** A wake brings more requests at once than a dyno takes: those that waited, and the latecomers of the same crowd. */
  isRushing(appId: string): boolean {
    const watched = this.#apps.get(appId);
    return watched !== undefined && this.#now() - watched.wokenAtMs < RUSH_MS;
  }

  tableChanged(apps: readonly AppRoutes[]): void {
    const now = this.#now();
    const listed = new Set<string>();
    for (const app of apps) {
      listed.add(app.app_id);
      const watched = this.#watched(app.app_id);
      const awake = app.dynos.some(isRoutable);
      // It has just come up: its time begins now.
      if (awake && !watched.awake) {
        watched.lastAtMs = Math.max(watched.lastAtMs, now);
        if (watched.slept) watched.wokenAtMs = now;
      }
      if (awake) watched.slept = false;
      else if (app.dynos.some(({ state }) => state === 'idle')) watched.slept = true;
      watched.awake = awake;
      watched.idleAfterMs = app.idle_after_ms;
      if (!awake) this.unpark(app.app_id);
    }
    for (const [appId, watched] of this.#apps) {
      if (listed.has(appId)) continue;
      this.unpark(appId);
      if (watched.inFlight === 0) this.#apps.delete(appId);
      else Object.assign(watched, { awake: false, idleAfterMs: null });
    }
    this.#schedule();
  }

  /** Parks the app if nothing is under way and, unless `atOnce`, nothing was for as long as its entry says. */
  park(appId: string, atOnce: boolean): ParkAnswer {
    const watched = this.#watched(appId);
    // The machine's clock may have been set back.
    const quietMs = Math.max(0, this.#now() - watched.lastAtMs);
    const { inFlight, idleAfterMs } = watched;
    if (inFlight > 0 || (!atOnce && (idleAfterMs === null || quietMs < idleAfterMs))) {
      return { parked: false, inFlight };
    }
    watched.cancelParking?.();
    watched.cancelParking = this.#options.clock.after(PARKED_FOR_MS, () => this.unpark(appId));
    return { parked: true, quietMs };
  }

  /** It is not to sleep after all. */
  unpark(appId: string): void {
    const watched = this.#apps.get(appId);
    if (watched?.cancelParking == null) return;
    watched.cancelParking();
    watched.cancelParking = null;
    this.#schedule();
    this.#options.onUnparked(appId);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
    for (const { cancelParking } of this.#apps.values()) cancelParking?.();
  }

  #watched(appId: string): Watched {
    let watched = this.#apps.get(appId);
    if (watched === undefined) {
      watched = {
        inFlight: 0,
        lastAtMs: this.#now(),
        idleAfterMs: null,
        awake: false,
        slept: false,
        wokenAtMs: -Infinity,
        askAtMs: 0,
        cancelParking: null,
      };
      this.#apps.set(appId, watched);
    }
    return watched;
  }

  /** For the moment at which the next app may be found quiet. */
  #schedule(): void {
    this.#cancelTimer();
    if (this.#stopped) return;
    let next = Infinity;
    for (const watched of this.#apps.values()) next = Math.min(next, dueAt(watched));
    if (next === Infinity) return;
    this.#cancelTimer = this.#options.clock.after(Math.max(1, next - this.#now()), () => this.#look());
  }

  #look(): void {
    const now = this.#now();
    for (const [appId, watched] of [...this.#apps]) {
      if (dueAt(watched) > now) continue;
      watched.askAtMs = now + Math.max(1, Math.min(watched.idleAfterMs ?? RETRY_MS, RETRY_MS));
      if (watched.inFlight === 0) this.#options.onQuiet(appId);
    }
    this.#schedule();
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }
}

function dueAt({ awake, idleAfterMs, cancelParking, lastAtMs, askAtMs }: Watched): number {
  if (!awake || idleAfterMs === null || cancelParking !== null) return Infinity;
  return Math.max(lastAtMs + idleAfterMs, askAtMs);
}
