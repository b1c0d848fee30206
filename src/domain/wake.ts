import type { AppId, WakeId } from './ids';

/** What was held first, and from whom. */
export interface WakingRequest {
  method: string;
  path: string;
  requestId: string;
  /** As in X-Forwarded-For: the client last. */
  fwd: string;
}

/** One wake of an app: what caused it, and when each phase was over. Null: not yet, or never. */
export interface Wake {
  id: WakeId;
  appId: AppId;
  cause: { kind: 'request'; request: WakingRequest } | { kind: 'command' };
  /** What the dynos woke from. */
  depth: 'stopped' | 'frozen';
  /** The request reached the router, or the command the API. */
  askedAt: Date;
  /** The dynos were told to start. */
  decidedAt: Date;
  /** The first web dyno's process runs. */
  runningAt: Date | null;
  /** It accepts connections. */
  upAt: Date | null;
  /** Its first byte reached the router. */
  firstByteAt: Date | null;
  /** Requests that waited by then. */
  held: number | null;
}

/** Where the time went, in ms; null for a phase that has not ended. */
export function wakePhases(
  wake: Wake,
): Record<'decision' | 'container' | 'boot' | 'firstByte' | 'total', number | null> {
  const { askedAt, decidedAt, runningAt, upAt, firstByteAt } = wake;
  return {
    decision: between(askedAt, decidedAt),
    container: between(decidedAt, runningAt),
    boot: between(runningAt, upAt),
    firstByte: between(upAt, firstByteAt),
    total: between(askedAt, firstByteAt ?? upAt),
  };
}

function between(from: Date | null, to: Date | null): number | null {
  return from === null || to === null ? null : Math.max(0, to.getTime() - from.getTime());
}
