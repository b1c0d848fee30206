import type { Event } from '../../src/domain/event';

/** A time, in milliseconds of Date.now(), both ends included. */
export interface Period {
  from: number;
  to: number;
}

/**
 * When an app had no web dyno that could answer: none that its store called `up` and that had not been ended behind
 * the dyno manager's back. `events` are the app's, oldest first; `endedByHand` says when, by the dyno's id. What
 * lasts at `now` ends there.
 */
export function webOutages(
  events: readonly Event[],
  endedByHand: ReadonlyMap<string, number>,
  now: number,
): Period[] {
  const since = new Map<string, number>();
  const healthy: Period[] = [];
  const close = (id: string, at: number): void => {
    const from = since.get(id);
    since.delete(id);
    const to = Math.min(at, endedByHand.get(id) ?? Infinity);
    if (from !== undefined && from < to) healthy.push({ from, to });
  };
  for (const { kind, payload, at } of events) {
    const { dyno, id, to } = payload;
    if (kind !== 'dyno.state' || typeof id !== 'string' || typeof dyno !== 'string') continue;
    if (!dyno.startsWith('web.')) continue;
    if (to === 'up') since.set(id, at.getTime());
    else close(id, at.getTime());
  }
  for (const id of [...since.keys()]) close(id, Infinity);
  return gaps(healthy, now);
}

/** Has it a moment in common with one of them? */
export function overlaps(periods: readonly Period[], period: Period): boolean {
  return periods.some(({ from, to }) => from <= period.to && period.from <= to);
}

/** Between the first of them and now. */
function gaps(periods: readonly Period[], now: number): Period[] {
  const found: Period[] = [];
  let until: number | undefined;
  for (const { from, to } of [...periods].sort((a, b) => a.from - b.from)) {
    if (until !== undefined && from > until) found.push({ from: until, to: from });
    until = Math.max(until ?? to, to);
  }
  if (until !== undefined && until < now) found.push({ from: until, to: now });
  return found;
}
