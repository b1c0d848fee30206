import type { Clock } from '../lib/clock';
import type { RouterErrorCode } from './errors';
import type { AppRoutes, RouteDyno, RouterMessage } from './protocol';

/** A dyno that takes requests. */
export type RoutableDyno = RouteDyno & { endpoint: { host: string; port: number } };

export type Admission =
  | { kind: 'dispatch'; dynos: RoutableDyno[] }
  /** Wait for a new table. `wake`: a dyno sleeps and somebody must be told. */
  | { kind: 'hold'; wake: boolean }
  | { kind: 'refuse'; code: RouterErrorCode };

/** What is to become of a request for this app (Dev Center "Error Codes": H80, H81, H14, H82, H10, H20). */
export function admit(app: AppRoutes): Admission {
  if (app.maintenance) return { kind: 'refuse', code: 'H80' };
  if (!app.has_code) return { kind: 'refuse', code: 'H81' };
  if (app.web_quantity === 0) return { kind: 'refuse', code: 'H14' };
  if (app.quota_exhausted) return { kind: 'refuse', code: 'H82' };
  const dynos = app.dynos.filter(isRoutable);
  if (dynos.length > 0) return { kind: 'dispatch', dynos };
  const left = app.dynos.filter((dyno) => dyno.state !== 'down');
  if (left.length > 0 && left.every((dyno) => dyno.state === 'crashed')) {
    return { kind: 'refuse', code: 'H10' };
  }
  // None listed, or only stopped ones: the gap of a deploy without preboot, in which requests wait as well.
  return { kind: 'hold', wake: left.some((dyno) => dyno.state === 'idle') };
}

export function isRoutable(dyno: RouteDyno): dyno is RoutableDyno {
  return dyno.state === 'up' && dyno.endpoint !== null;
}

/** What is told about a request that waits for a sleeping dyno. */
export interface WaitingRequest {
  requestId: string;
  method: string;
  path: string;
  fwd: string;
  /** When it came. */
  at: Date;
}

/** What the daemon is told of wakes. */
export type WakeNews = Extract<RouterMessage, { type: 'wake' | 'woken' }>;

export type Release =
  /** A new table, or a place has become free: ask again. */
  'changed' | 'timeout' | 'full' | 'aborted';

export interface GateOptions {
  clock: Clock;
  /** false when no daemon hears it; `daemonConnected` says it again. */
  send: (message: WakeNews) => boolean;
  maxWaiting: number;
}

interface Waiter {
  request: WaitingRequest;
  settle: (release: Release) => void;
}

interface Queue {
  waiters: Set<Waiter>;
  /** The daemon has been told of this sleep. */
  told: boolean;
}

/**
 * Holds requests of apps that have no dyno up yet, until the table changes for that app. Each waiter then looks at the
 * new table itself. While one waits for a sleeping dyno, the daemon is told once per app, and again when it reconnects.
 */
export class Gate {
  readonly #options: GateOptions;
  readonly #queues = new Map<string, Queue>();
  /** Apps whose wake was told of and whose first byte is still to come: requests held so far. */
  readonly #waking = new Map<string, { held: number }>();

  constructor(options: GateOptions) {
    this.#options = options;
  }

  waiting(appId: string): number {
    return this.#queues.get(appId)?.waiters.size ?? 0;
  }

  /** Resolves when the app's routes changed, `timeoutMs` passed or the signal aborted; at once when too many wait. */
  wait(
    appId: string,
    request: WaitingRequest,
    options: { wake: boolean; timeoutMs: number; signal: AbortSignal },
  ): Promise<Release> {
    if (options.signal.aborted) return Promise.resolve('aborted');
    let queue = this.#queues.get(appId);
    if ((queue?.waiters.size ?? 0) >= this.#options.maxWaiting) return Promise.resolve('full');
    if (!queue) {
      queue = { waiters: new Set(), told: false };
      this.#queues.set(appId, queue);
    }
    const { waiters } = queue;
    const released = new Promise<Release>((resolve) => {
      const waiter: Waiter = {
        request,
        settle: (release) => {
          cancel();
          options.signal.removeEventListener('abort', onAbort);
          waiters.delete(waiter);
          if (waiters.size === 0) this.#queues.delete(appId);
          resolve(release);
        },
      };
      const cancel = this.#options.clock.after(options.timeoutMs, () => waiter.settle('timeout'));
      const onAbort = (): void => waiter.settle('aborted');
      options.signal.addEventListener('abort', onAbort, { once: true });
      waiters.add(waiter);
    });
    if (options.wake) this.#tell(appId, queue);
    return released;
  }

  /** A new table is served: whoever need not wait any more is let go. */
  tableChanged(find: (appId: string) => AppRoutes | undefined): void {
    for (const [appId, queue] of [...this.#queues]) {
      const app = find(appId);
      const admission = app ? admit(app) : null;
      if (admission?.kind === 'hold') {
        // No longer asleep: the next sleep is to be told anew.
        if (!admission.wake) queue.told = false;
        else this.#tell(appId, queue);
      } else this.release(appId);
    }
  }

  /** Lets all waiters of an app look again. */
  release(appId: string): void {
    const waiters = [...(this.#queues.get(appId)?.waiters ?? [])];
    const waking = this.#waking.get(appId);
    if (waking !== undefined) waking.held = Math.max(waking.held, waiters.length);
    for (const waiter of waiters) waiter.settle('changed');
  }

  /** Lets the one look again that has waited longest. */
  releaseOne(appId: string): void {
    const [first] = this.#queues.get(appId)?.waiters ?? [];
    first?.settle('changed');
  }

  /** A request that was held while the app woke has its first byte. */
  answered(appId: string): void {
    const waking = this.#waking.get(appId);
    if (waking === undefined) return;
    this.#waking.delete(appId);
    // Should no daemon hear it, its ledger only lacks the last figure.
    this.#options.send({
      type: 'woken',
      app_id: appId,
      at: this.#options.clock.now().toISOString(),
      held: waking.held,
    });
  }

  /** What was told may have been lost with the daemon that heard it. */
  daemonConnected(find: (appId: string) => AppRoutes | undefined): void {
    for (const [appId, queue] of this.#queues) {
      queue.told = false;
      const app = find(appId);
      const admission = app ? admit(app) : null;
      if (admission?.kind === 'hold' && admission.wake) this.#tell(appId, queue);
    }
  }

  #tell(appId: string, queue: Queue): void {
    if (queue.told) return;
    const [first] = queue.waiters;
    if (!first) return;
    const { requestId, method, path, fwd, at } = first.request;
    queue.told = this.#options.send({
      type: 'wake',
      app_id: appId,
      request_id: requestId,
      method,
      path,
      fwd,
      at: at.toISOString(),
    });
    if (!this.#waking.has(appId)) this.#waking.set(appId, { held: 0 });
  }
}
