import type { App } from '../../domain/app';
import type { Dyno } from '../../domain/dyno';
import { dynoSize } from '../../domain/dyno-size';
import type { AppId } from '../../domain/ids';
import type { PlatformContext } from '../context';

export interface DynoHoursQuota {
  quotaSeconds: number;
  usedSeconds: number;
  byApp: ReadonlyMap<AppId, number>;
}

interface Meter {
  sinceMs: number;
  /** Dynos that ran since. */
  running: number;
  /** Less than a second, for the next time. */
  restMs: number;
}

/**
 * The pool of hours that all dynos of sleeping sizes share by the month (Dev Center "Eco Dyno Hours"): what runs takes
 * of it, by the second; what sleeps does not. Once it is empty, all of them sleep until the next month (UTC), and the
 * router answers H82. Time in which no daemon runs is not counted.
 */
export class DynoHours {
  readonly #context: PlatformContext;
  readonly #poolMs: number;
  readonly #meters = new Map<AppId, Meter>();
  #exhausted = false;

  /** `poolMs` 0 = there is no pool: nothing is counted, nothing ends. */
  constructor(context: PlatformContext, options: { poolMs: number }) {
    this.#context = context;
    this.#poolMs = options.poolMs;
  }

  /** undefined where there is no pool. */
  get quota(): DynoHoursQuota | undefined {
    if (this.#poolMs === 0) return undefined;
    const byApp = this.#context.store.dynoHours.of(this.#month());
    let usedSeconds = 0;
    for (const seconds of byApp.values()) usedSeconds += seconds;
    // Heroku's figures never go below none left.
    const quotaSeconds = this.#poolMs / 1000;
    return { quotaSeconds, usedSeconds: Math.min(usedSeconds, quotaSeconds), byApp };
  }

  /** Its dynos take hours: shown to clients, which then ask for the quota. */
  takesFrom(app: App): boolean {
    const formation = this.#context.store.formations.of(app.id);
    return this.#poolMs > 0 && formation.some(({ size }) => dynoSize(size).sleeps);
  }

  get exhausted(): boolean {
    return this.#exhausted;
  }

  start(): void {
    this.look();
  }

  /** Something about the app has changed: what ran until now is counted. */
  changed(appId: AppId): void {
    if (this.#poolMs === 0) return;
    const { store, clock } = this.#context;
    const nowMs = clock.now().getTime();
    const meter = this.#meters.get(appId);
    if (meter !== undefined) {
      const ranMs = meter.running * (nowMs - meter.sinceMs) + meter.restMs;
      const seconds = Math.floor(ranMs / 1000);
      if (seconds > 0) store.dynoHours.add(this.#month(), appId, seconds);
      meter.restMs = ranMs - seconds * 1000;
    }
    const running = store.dynos.of(appId).filter(takesHours).length;
    if (running > 0) this.#meters.set(appId, { sinceMs: nowMs, running, restMs: meter?.restMs ?? 0 });
    else this.#meters.delete(appId);
  }

  /** Counts, and ends what may not run any more; to be called every few seconds. */
  look(): void {
    if (this.#poolMs === 0) return;
    const { store, dynoManager, changed } = this.#context;
    const apps = store.apps.all();
    for (const { id } of apps) this.changed(id);
    const quota = this.quota;
    const exhausted = quota !== undefined && quota.usedSeconds >= quota.quotaSeconds;
    const turned = exhausted !== this.#exhausted;
    this.#exhausted = exhausted;
    for (const { id } of apps) {
      // Requests under way are cut off with their dyno, and a freeze would keep its memory for weeks.
      if (exhausted && store.dynos.of(id).some(takesHours)) dynoManager.idle(id, 'stopped');
      if (turned) changed(id);
    }
  }

  stop(): void {
    for (const appId of [...this.#meters.keys()]) this.changed(appId);
  }

  #month(): string {
    return this.#context.clock.now().toISOString().slice(0, 7);
  }
}

function takesHours({ size, state }: Dyno): boolean {
  return dynoSize(size).sleeps && (state === 'up' || state === 'starting');
}
