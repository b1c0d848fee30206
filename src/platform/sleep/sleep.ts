import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { conflict, invalidParams, PlatformError } from '../../domain/errors';
import type { AppId } from '../../domain/ids';
import {
  SLEEP_DEPTHS,
  sleepPolicy,
  sleepStateOf,
  type SleepDepth,
  type SleepOverrides,
  type SleepPolicy,
  type SleepState,
} from '../../domain/sleep';
import type { Wake, WakingRequest } from '../../domain/wake';
import { record, type PlatformContext } from '../context';
import { WakeLedger } from './wake-ledger';

/** What the use case needs of the router. */
export interface RouterParking {
  /**
   * Holds the app's requests from now on, if none is under way. Answers how many are under way (0 = it is parked), or
   * null where no router answers in time.
   */
  park(appId: AppId): Promise<number | null>;
  /** What was parked does not sleep after all. */
  stayAwake(appId: AppId): void;
}

export interface SleepView {
  state: SleepState;
  policy: SleepPolicy;
  /** What of it is the app's own. */
  overrides: SleepOverrides;
}

export interface SleepUpdate {
  /** null = as the installation says. */
  idleAfterSeconds?: number | null;
  depth?: string | null;
  frozenSeconds?: number | null;
}

const NO_OVERRIDES: SleepOverrides = { idleAfterMs: null, depth: null, frozenMs: null };
/** A year: longer is never. */
const MAX_SECONDS = 365 * 86_400;

/** Apps on eco and free dynos sleep without traffic, and wake with the next request (Dev Center "Eco Dyno Hours"). */
export class Sleep {
  readonly #context: PlatformContext;
  readonly #installation: SleepPolicy;
  readonly #router: RouterParking;
  readonly ledger: WakeLedger;

  constructor(context: PlatformContext, options: { policy: SleepPolicy; router: RouterParking }) {
    this.#context = context;
    this.#installation = options.policy;
    this.#router = options.router;
    this.ledger = new WakeLedger(context);
  }

  get(app: App): SleepView {
    const { store } = this.#context;
    return {
      state: sleepStateOf(store.dynos.of(app.id)),
      policy: this.#policyOf(app.id),
      overrides: store.appSleep.get(app.id) ?? NO_OVERRIDES,
    };
  }

  update(actor: Actor, app: App, update: SleepUpdate): SleepView {
    const { store, clock, changed, dynoManager } = this.#context;
    store.transaction(() => {
      const current = store.appSleep.get(app.id) ?? NO_OVERRIDES;
      const next: SleepOverrides = {
        idleAfterMs: milliseconds('idle_after_seconds', update.idleAfterSeconds, current.idleAfterMs),
        depth: update.depth === undefined ? current.depth : parseDepth(update.depth),
        frozenMs: milliseconds('frozen_seconds', update.frozenSeconds, current.frozenMs),
      };
      store.appSleep.set(app.id, next, clock.now());
      record(this.#context, app.id, actor, 'app.sleep', { ...next });
    });
    changed(app.id);
    dynoManager.kick(app.id);
    return this.get(app);
  }

  /** Puts it to sleep now, as if its time had come. */
  async idle(actor: Actor, app: App): Promise<void> {
    this.#assertAwake(app);
    const underWay = await this.#router.park(app.id);
    if (underWay === null) {
      throw new PlatformError(
        'service_unavailable',
        'The router does not answer: nothing can be put to sleep.',
      );
    }
    if (underWay > 0) {
      const requests = underWay === 1 ? '1 request is' : `${underWay} requests are`;
      throw conflict(`Cannot put ${app.name} to sleep while ${requests} under way.`);
    }
    const asleep = this.#context.store.transaction(() => {
      record(this.#context, app.id, actor, 'app.idle');
      return this.quiet(app.id);
    });
    if (asleep) return;
    // Its dynos have changed meanwhile.
    this.#router.stayAwake(app.id);
    this.#assertAwake(app);
  }

  /** The router has parked the app. Answers whether it sleeps now; the router is told by a new table, or else by the caller. */
  quiet(appId: AppId): boolean {
    const { depth } = this.#policyOf(appId);
    return this.#context.dynoManager.idle(appId, depth === 'stopped' ? 'stopped' : 'frozen');
  }

  /** Wakes it without a request. */
  wake(actor: Actor, app: App): void {
    const askedAt = this.#context.clock.now();
    const depth = this.#context.store.transaction(() => {
      const woken = this.#context.dynoManager.wake(app.id);
      if (woken === null) throw conflict(`${app.name} is not asleep.`);
      record(this.#context, app.id, actor, 'app.wake');
      return woken;
    });
    this.ledger.begin(app.id, { kind: 'command' }, depth, askedAt);
  }

  /** A request waits. It may have been told of more than once: then nothing sleeps any more. */
  wakeFor(appId: AppId, request: WakingRequest, askedAt: Date): void {
    const depth = this.#context.dynoManager.wake(appId);
    if (depth !== null) this.ledger.begin(appId, { kind: 'request', request }, depth, askedAt);
  }

  wakes(app: App): Wake[] {
    return this.ledger.list(app);
  }

  #policyOf(appId: AppId): SleepPolicy {
    return sleepPolicy(this.#installation, this.#context.store.appSleep.get(appId));
  }

  #assertAwake(app: App): void {
    const state = sleepStateOf(this.#context.store.dynos.of(app.id));
    switch (state) {
      case 'awake':
        return;
      case 'asleep':
        throw conflict(`${app.name} is asleep already.`);
      case 'changing':
        throw conflict(`Cannot put ${app.name} to sleep while its web dynos are starting or being replaced.`);
      case 'sleepless':
        throw conflict(
          `Cannot put ${app.name} to sleep: it has no web dyno of a size that sleeps. Change that with: heroku ps:type web=eco -a ${app.name}`,
        );
    }
  }
}

function parseDepth(text: string | null): SleepDepth | null {
  if (text === null) return null;
  const found = SLEEP_DEPTHS.find((depth) => depth === text);
  if (found === undefined)
    throw invalidParams(`No such depth of sleep as ${text}: ${SLEEP_DEPTHS.join(', ')}.`);
  return found;
}

function milliseconds(
  name: string,
  seconds: number | null | undefined,
  current: number | null,
): number | null {
  if (seconds === undefined) return current;
  if (seconds === null) return null;
  if (!Number.isFinite(seconds) || seconds < 0 || seconds > MAX_SECONDS) {
    throw invalidParams(
      `Invalid ${name}: ${seconds}. It must be a number of seconds from 0 to ${MAX_SECONDS}.`,
    );
  }
  return Math.round(seconds * 1000);
}
