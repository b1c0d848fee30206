import { dynoName } from '../../domain/dyno';
import type { App } from '../../domain/app';
import type { AppId, WakeId } from '../../domain/ids';
import { wakePhases, type Wake } from '../../domain/wake';
import { bare, quote } from '../../lib/logfmt';
import type { PlatformContext } from '../context';

/** Wakes remembered of each app. */
const KEPT = 100;
/** All who waited may have gone: then nobody reports a first byte. */
const FIRST_BYTE_MS = 10_000;

/**
 * Accounts for each wake: what caused it and where the time went. The phases are read off the dynos' rows as these
 * change; the last one, the first byte, is the router's to tell. It is written down when it begins and when it is
 * over, since each time costs those who wait; one that is under way when the daemon ends stays unfinished.
 */
export class WakeLedger {
  readonly #context: PlatformContext;
  readonly #open = new Map<AppId, { wake: Wake; cancel: () => void }>();

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(app: App): Wake[] {
    const open = this.#open.get(app.id)?.wake;
    return this.#context.store.wakes.of(app.id, KEPT).map((wake) => (wake.id === open?.id ? open : wake));
  }

  begin(appId: AppId, cause: Wake['cause'], depth: Wake['depth'], askedAt: Date): void {
    const { store, clock, newId } = this.#context;
    const wake: Wake = {
      id: newId() as WakeId,
      appId,
      cause,
      depth,
      askedAt,
      decidedAt: clock.now(),
      runningAt: null,
      upAt: null,
      firstByteAt: null,
      held: null,
    };
    store.wakes.save(wake);
    store.wakes.trim(appId, KEPT);
    // The app slept again before anybody was answered.
    this.#settle(appId);
    this.#open.set(appId, { wake, cancel: () => undefined });
    // It may have come to pass already.
    this.changed(appId);
  }

  /** Something about the app has changed: perhaps its dynos are further. */
  changed(appId: AppId): void {
    const open = this.#open.get(appId);
    if (open === undefined || open.wake.upAt !== null) return;
    const { store, clock } = this.#context;
    if (store.apps.get(appId) === undefined) {
      this.#open.delete(appId);
      return;
    }
    const web = store.dynos.of(appId).filter(({ type, state }) => type === 'web' && state !== 'down');
    const since = open.wake.decidedAt;
    const up = earliest(
      web.map((dyno) => (dyno.state === 'up' && dyno.updatedAt >= since ? dyno.updatedAt : null)),
    );
    const launched = earliest(
      web.map(({ startedAt }) => (startedAt !== null && startedAt >= since ? startedAt : null)),
    );
    // What was frozen is not launched again: all its time is the container's.
    const running = launched ?? up;
    if (running?.getTime() === open.wake.runningAt?.getTime() && up === null) return;
    open.wake = { ...open.wake, runningAt: running, upAt: up };
    if (up === null) return;
    if (open.wake.cause.kind === 'command') this.#close(appId);
    else open.cancel = clock.after(FIRST_BYTE_MS, () => this.#close(appId));
  }

  /** A request that waited has its first byte. */
  answered(appId: AppId, at: Date, held: number): void {
    const open = this.#open.get(appId);
    if (open === undefined) return;
    open.wake = { ...open.wake, firstByteAt: at, held };
    this.#close(appId);
  }

  stop(): void {
    for (const appId of this.#open.keys()) this.#settle(appId);
  }

  #close(appId: AppId): void {
    const wake = this.#settle(appId);
    if (wake === undefined) return;
    const { store, logplex } = this.#context;
    const dyno = store.dynos.of(appId).find(({ type, state }) => type === 'web' && state === 'up');
    logplex.heroku(appId, 'router', describeWake(wake, dyno === undefined ? '' : dynoName(dyno)));
  }

  /** Nothing is added to it any more. undefined if there is none, or none any more. */
  #settle(appId: AppId): Wake | undefined {
    const open = this.#open.get(appId);
    if (open === undefined) return undefined;
    open.cancel();
    this.#open.delete(appId);
    const { store } = this.#context;
    if (store.apps.get(appId) === undefined) return undefined;
    store.wakes.save(open.wake);
    return open.wake;
  }
}

/** In the manner of the router's other lines: `at=info desc="Wake" depth=stopped dyno=web.1 method=GET …`. */
export function describeWake(wake: Wake, dyno: string): string {
  const { cause, depth, held } = wake;
  const { decision, container, boot, firstByte, total } = wakePhases(wake);
  const request =
    cause.kind === 'command'
      ? ['cause=command']
      : [
          'cause=request',
          `method=${bare(cause.request.method)}`,
          `path=${quote(cause.request.path)}`,
          `request_id=${bare(cause.request.requestId)}`,
          `fwd=${quote(cause.request.fwd)}`,
        ];
  return [
    'at=info',
    'desc="Wake"',
    `depth=${depth}`,
    `dyno=${dyno}`,
    ...request,
    `held=${held ?? ''}`,
    `decision=${ms(decision)}`,
    `container=${ms(container)}`,
    `boot=${ms(boot)}`,
    `first_byte=${ms(firstByte)}`,
    `total=${ms(total)}`,
  ].join(' ');
}

function ms(value: number | null): string {
  return value === null ? '' : `${value}ms`;
}

function earliest(dates: readonly (Date | null)[]): Date | null {
  const times = dates.flatMap((date) => (date === null ? [] : [date.getTime()]));
  return times.length === 0 ? null : new Date(Math.min(...times));
}
