import type { Dyno } from '../domain/dyno';
import { dynoSize } from '../domain/dyno-size';
import type { DynoId } from '../domain/ids';
import type { OneOff } from '../domain/one-off';
import { isSleeper } from '../domain/sleep';
import type { ContainerId } from '../engine/engine';
import type { DesiredDyno } from './desired';
import type { ObservedContainer } from './observe';

/**
 * What to do next for one app, decided without doing anything.
 *
 * A dyno's life, as the pair of its row's state and its container:
 * - `starting`, none: **launch** creates and starts the container.
 * - `starting`, running: **attend** follows its output and waits for it to accept connections, which makes it
 *   `up`; a web dyno that does not within the boot timeout gets **boot-timeout** (R10), which kills it.
 * - `starting`/`up`, exited: **crash** records it and when to try again; **retry** then replaces it. An exit that
 *   happened while nobody watched (daemon down, machine rebooted) is no crash of the app: **recover** replaces
 *   the dyno at once.
 * - `up`, none: the container was removed behind our back: **recover**; so is a dyno whose network sandbox ended.
 * - `up` for a day and some more: it is **retire**d and replaced ("Cycling").
 * - `up` in an old release with preboot on: **supersede** keeps it serving beside its successor, until all successors
 *   have been up for a while; it does not hold its slot any more.
 * - `idle`, none: it sleeps, **stopped**. `idle`, running: **freeze** pauses it; paused: it sleeps, **frozen**, until
 *   it has done so for long, its day is over, or it has ended all the same: **deepen** gives its slot to a stopped one.
 * - `idle` although another dyno of the app is awake that should sleep along: **unidle** makes it `starting`. That is
 *   also what a wake does to all of them. `starting`, paused: **thaw** lets it go on.
 * - wanted no more, or in another release or size: **retire** makes it `down`; a slot still wanted gets **insert**.
 * - `down`, running: **terminate** (SIGTERM, 30 s, SIGKILL). `down`, exited or none: **discard** removes both.
 *
 * One-off dynos are in no formation: what it wants, a new release or another size leaves them alone, and one that
 * has ended is never started again. A detached one goes **launch**, **attend**, **conclude**; for an attached one see
 * `OneOffs`. Past its time to live, after a day and some more as all dynos, or without its network, it is retired, and
 * not replaced.
 *
 * While an add-on of the app does not serve, nothing is started that was not: what is `starting` waits for it, for a
 * minute at most, and is started without it then. That goes for **launch**, **prepare** and **thaw**.
 *
 * Invariants: all of an app's dynos that sleep do it together, and only beside a web dyno among them; at most one dyno
 * of a name is not `down`; a container without a row is an **orphan** and removed
 * after a grace period; a row exists before its container does.
 */
export type Step =
  | { kind: 'insert'; desired: DesiredDyno }
  | { kind: 'launch'; dyno: Dyno }
  | { kind: 'attend'; dyno: Dyno; container: ObservedContainer }
  | { kind: 'boot-timeout'; dyno: Dyno; containerId: ContainerId }
  | { kind: 'crash'; dyno: Dyno; container: ObservedContainer }
  | { kind: 'retry'; dyno: Dyno; desired: DesiredDyno }
  | { kind: 'recover'; dyno: Dyno; desired: DesiredDyno; container: ObservedContainer | null }
  | { kind: 'supersede'; dyno: Dyno }
  | { kind: 'unidle'; dyno: Dyno }
  | { kind: 'freeze'; dyno: Dyno; containerId: ContainerId }
  | { kind: 'thaw'; dyno: Dyno; container: ObservedContainer }
  | { kind: 'deepen'; dyno: Dyno; desired: DesiredDyno }
  | { kind: 'retire'; dyno: Dyno; reason: RetireReason }
  | { kind: 'terminate'; dyno: Dyno; containerId: ContainerId; paused: boolean }
  | { kind: 'discard'; dyno: Dyno; container: ObservedContainer | null }
  | { kind: 'remove-orphan'; containerId: ContainerId }
  | { kind: 'prepare'; dyno: Dyno }
  | { kind: 'connect'; dyno: Dyno; containerId: ContainerId }
  | { kind: 'attach-timeout'; dyno: Dyno; container: ObservedContainer | null }
  | { kind: 'hang-up'; dyno: Dyno; containerId: ContainerId }
  | { kind: 'conclude'; dyno: Dyno; container: ObservedContainer | null };

/** `stop`: it was asked for, or its time to live is over. `cut-off`: its network has ended. */
export type RetireReason = 'restart' | 'cycle' | 'scale-down' | 'superseded' | 'stop' | 'cut-off';

/** Of an attached one-off: waiting for its process to start, or joined with it. */
export type ClientState = 'waiting' | 'attached';

/** Does it leave the containers as they are? */
export function changesRowsOnly(step: Step): boolean {
  switch (step.kind) {
    case 'insert':
    case 'retry':
    case 'supersede':
    case 'unidle':
    case 'deepen':
    case 'retire':
      return true;
    case 'launch':
    case 'attend':
    case 'boot-timeout':
    case 'crash':
    case 'recover':
    case 'freeze':
    case 'thaw':
    case 'terminate':
    case 'discard':
    case 'remove-orphan':
    case 'prepare':
    case 'connect':
    case 'attach-timeout':
    case 'hang-up':
    case 'conclude':
      return false;
  }
}

export interface PlanInput {
  desired: readonly DesiredDyno[];
  dynos: readonly Dyno[];
  containers: readonly ObservedContainer[];
  /** Dynos whose output is followed and whose boot is watched in this process. */
  attended: ReadonlySet<DynoId>;
  /** Dynos whose stop or removal is under way in this process. */
  stopping: ReadonlySet<DynoId>;
  /** Dynos whose client is connected to this process. */
  clients: ReadonlyMap<DynoId, ClientState>;
  /** Dynos whose network sandbox has ended. */
  cutOff: ReadonlySet<DynoId>;
  /** New web dynos are to be up for a while before the old ones go (Dev Center "Preboot"). */
  preboot: boolean;
  /** 0 = never. */
  cycleMs: number;
  /** How long a frozen dyno stays so before it is stopped; null = for ever. */
  frozenMs: number | null;
  /** Add-ons of the app that do not serve and should. */
  missingAddOns: readonly string[];
  /** Since when this process has been looking after dynos: nothing waits for add-ons from before that. */
  managingSince: Date;
  /** Since when exits have been seen as they happen. */
  watchingSince: Date;
  now: Date;
}

/** Heroku ends a booting web dyno after 60 s without a bound port (Dev Center "Error Codes", R10). */
export const BOOT_TIMEOUT_MS = 60_000;
/** Preboot: how long new dynos are up before the old ones go: 60 s boot timeout and 2 min (changelog item 1121). */
export const PREBOOT_MS = BOOT_TIMEOUT_MS + 2 * 60_000;
/** Cycling is spread over this much beyond the day (Dev Center "Dyno Restarts"). */
const CYCLE_SPREAD_MS = 216 * 60_000;
/** A container this young may be of a row that is being written. */
export const ORPHAN_GRACE_MS = 30_000;
/** For so long a dyno awaits its client (Dev Center "Error Codes", R13). */
export const ATTACH_TIMEOUT_MS = 30_000;
/** For so long what is to start waits for add-ons of its app. A database that recovers takes seconds. */
export const ADDON_WAIT_MS = 60_000;

export function planDynos(input: PlanInput): Step[] {
  const containerOf = new Map(input.containers.map((container) => [container.dynoId, container]));
  const wanted = new Map(input.desired.map((desired) => [slot(desired), desired]));
  const occupied = new Set<string>();
  const asleep = isAsleep(input, wanted);
  const steps: Step[] = [];
  const add = (step: Step | undefined): void => {
    if (step !== undefined && !waitsForAddOns(step, input)) steps.push(step);
  };

  for (const dyno of input.dynos) {
    const container = containerOf.get(dyno.id) ?? null;
    if (dyno.state === 'down') {
      steps.push(...planLeaving(dyno, container, input));
      continue;
    }
    if (dyno.oneOff !== null) {
      add(planOneOff(dyno, dyno.oneOff, container, input));
      continue;
    }
    if (dyno.superseded) {
      const ends = input.preboot ? prebootEnds(input) : 0;
      if (ends !== null && ends <= input.now.getTime()) {
        steps.push({ kind: 'retire', dyno, reason: 'superseded' });
        continue;
      }
      steps.push(...planSuperseded(dyno, container, input));
      continue;
    }
    const desired = wanted.get(slot(dyno));
    if (desired === undefined) {
      steps.push({ kind: 'retire', dyno, reason: 'scale-down' });
      continue;
    }
    if (desired.releaseId !== dyno.releaseId || desired.size !== dyno.size) {
      const keep = input.preboot && dyno.type === 'web' && dyno.state === 'up';
      steps.push(keep ? { kind: 'supersede', dyno } : { kind: 'retire', dyno, reason: 'restart' });
      continue;
    }
    occupied.add(slot(dyno));
    add(
      dyno.state === 'idle'
        ? planIdle(dyno, desired, container, asleep, input)
        : planStaying(dyno, desired, container, input),
    );
  }

  for (const [name, desired] of wanted) {
    if (!occupied.has(name)) steps.push({ kind: 'insert', desired });
  }

  const known = new Set(input.dynos.map((dyno) => dyno.id));
  for (const container of input.containers) {
    const age = input.now.getTime() - container.createdAt.getTime();
    if (!known.has(container.dynoId) && age >= ORPHAN_GRACE_MS) {
      steps.push({ kind: 'remove-orphan', containerId: container.id });
    }
  }
  return steps;
}

/** When a plan may differ although nothing happens: the next retry, boot timeout or end of a grace period. */
export function nextDeadline(
  input: Pick<
    PlanInput,
    'desired' | 'dynos' | 'containers' | 'cycleMs' | 'frozenMs' | 'missingAddOns' | 'managingSince' | 'now'
  >,
): Date | null {
  const known = new Set(input.dynos.map((dyno) => dyno.id));
  const times = [
    ...input.dynos.flatMap((dyno) => {
      if (dyno.state === 'crashed' && dyno.nextStartAt !== null) return [dyno.nextStartAt.getTime()];
      if (isBooting(dyno)) return [bootDeadline(dyno)];
      if (dyno.oneOff !== null && dyno.state !== 'down') return oneOffDeadlines(dyno, dyno.oneOff, input);
      if (dyno.state === 'up' && !dyno.superseded) return [cycleAt(dyno, input.cycleMs)];
      if (dyno.state === 'idle' && dyno.startedAt !== null) return [deepenAt(dyno, input)];
      return [];
    }),
    ...input.containers.flatMap((container) =>
      known.has(container.dynoId) ? [] : [container.createdAt.getTime() + ORPHAN_GRACE_MS],
    ),
  ];
  if (input.missingAddOns.length > 0) {
    const waits = input.dynos
      .filter(({ state }) => state === 'starting')
      .map((dyno) => waitEnds(dyno, input));
    times.push(...waits.filter((time) => time > input.now.getTime()));
  }
  if (input.dynos.some((dyno) => dyno.superseded && dyno.state !== 'down'))
    times.push(prebootEnds(input) ?? Infinity);
  const next = Math.min(...times, Infinity);
  return next === Infinity ? null : new Date(next);
}

/** Would the step start something before the app's add-ons serve, and may it still wait? */
function waitsForAddOns(step: Step, input: PlanInput): boolean {
  if (step.kind !== 'launch' && step.kind !== 'prepare' && step.kind !== 'thaw') return false;
  // Somebody has paused it by hand while it was up: it has begun long ago.
  if (step.dyno.state !== 'starting' || input.missingAddOns.length === 0) return false;
  return waitEnds(step.dyno, input) > input.now.getTime();
}

function waitEnds({ updatedAt }: Dyno, { managingSince }: Pick<PlanInput, 'managingSince'>): number {
  return Math.max(updatedAt.getTime(), managingSince.getTime()) + ADDON_WAIT_MS;
}

function planStaying(
  dyno: Dyno,
  desired: DesiredDyno,
  container: ObservedContainer | null,
  input: PlanInput,
): Step | undefined {
  switch (dyno.state) {
    // planIdle, planLeaving
    case 'idle':
    case 'down':
      return undefined;
    case 'crashed':
      if (dyno.nextStartAt !== null && dyno.nextStartAt > input.now) return undefined;
      return { kind: 'retry', dyno, desired };
    case 'starting':
    case 'up':
      break;
  }
  if (container === null || container.state === 'created') {
    return dyno.state === 'starting'
      ? { kind: 'launch', dyno }
      : { kind: 'recover', dyno, desired, container };
  }
  if (container.state === 'exited') {
    const watched = container.finishedAt === null || container.finishedAt >= input.watchingSince;
    return watched ? { kind: 'crash', dyno, container } : { kind: 'recover', dyno, desired, container };
  }
  if (input.cutOff.has(dyno.id)) return { kind: 'recover', dyno, desired, container };
  // It wakes, or somebody has paused it by hand.
  if (container.state === 'paused') return { kind: 'thaw', dyno, container };
  if (isBooting(dyno) && bootDeadline(dyno) <= input.now.getTime()) {
    return { kind: 'boot-timeout', dyno, containerId: container.id };
  }
  if (dyno.state === 'up' && cycleAt(dyno, input.cycleMs) <= input.now.getTime()) {
    return { kind: 'retire', dyno, reason: 'cycle' };
  }
  const unaddressed = isBooting(dyno) && dyno.endpoint === null && container.endpoint !== null;
  return input.attended.has(dyno.id) && !unaddressed ? undefined : { kind: 'attend', dyno, container };
}

function planIdle(
  dyno: Dyno,
  desired: DesiredDyno,
  container: ObservedContainer | null,
  asleep: boolean,
  input: PlanInput,
): Step | undefined {
  if (!asleep) return { kind: 'unidle', dyno };
  if (container === null) return undefined;
  const frozen = container.state === 'running' || container.state === 'paused';
  if (!frozen || input.cutOff.has(dyno.id)) return { kind: 'deepen', dyno, desired };
  if (deepenAt(dyno, input) <= input.now.getTime()) return { kind: 'deepen', dyno, desired };
  return container.state === 'running' ? { kind: 'freeze', dyno, containerId: container.id } : undefined;
}

/** Do all that sleep do so? One that is started, deployed or scaled up wakes the others (Dev Center "Eco Dyno Hours"). */
function isAsleep({ desired, dynos }: PlanInput, wanted: ReadonlyMap<string, DesiredDyno>): boolean {
  const sleepers = dynos.filter((dyno) => {
    const match = wanted.get(slot(dyno));
    return isSleeper(dyno) && match?.releaseId === dyno.releaseId && match.size === dyno.size;
  });
  return (
    sleepers.length === desired.filter(({ size }) => dynoSize(size).sleeps).length &&
    sleepers.every(({ state }) => state === 'idle') &&
    sleepers.some(({ type }) => type === 'web')
  );
}

function deepenAt(dyno: Dyno, { frozenMs, cycleMs }: Pick<PlanInput, 'frozenMs' | 'cycleMs'>): number {
  const tierEnds = frozenMs === null ? Infinity : dyno.updatedAt.getTime() + frozenMs;
  return Math.min(tierEnds, cycleAt(dyno, cycleMs));
}

/** It only serves out its time: whatever happens to it, it is not replaced. */
function planSuperseded(dyno: Dyno, container: ObservedContainer | null, input: PlanInput): Step[] {
  if (container?.state !== 'running' || input.cutOff.has(dyno.id)) {
    return [{ kind: 'retire', dyno, reason: 'superseded' }];
  }
  return input.attended.has(dyno.id) ? [] : [{ kind: 'attend', dyno, container }];
}

/**
 * When superseded dynos may go: all wanted web dynos have been up for a while by then. null while one of them is not:
 * a release that does not boot keeps the old one serving.
 */
function prebootEnds({ desired, dynos }: Pick<PlanInput, 'desired' | 'dynos'>): number | null {
  let latest = 0;
  for (const wanted of desired) {
    if (wanted.type !== 'web') continue;
    const dyno = dynos.find(
      (candidate) =>
        slot(candidate) === slot(wanted) &&
        candidate.releaseId === wanted.releaseId &&
        candidate.state === 'up' &&
        !candidate.superseded,
    );
    if (dyno === undefined) return null;
    latest = Math.max(latest, dyno.updatedAt.getTime() + PREBOOT_MS);
  }
  return latest;
}

/** Each dyno's own time, the same whenever it is asked for: spread by its id. */
function cycleAt(dyno: Dyno, cycleMs: number): number {
  if (cycleMs === 0 || dyno.startedAt === null) return Infinity;
  const share = parseInt(dyno.id.slice(0, 8), 16) / 0xffffffff;
  // Whole milliseconds, as clocks have: a deadline between two of them would be planned for and never be reached.
  return dyno.startedAt.getTime() + Math.round(cycleMs + share * CYCLE_SPREAD_MS);
}

function planLeaving(dyno: Dyno, container: ObservedContainer | null, input: PlanInput): Step[] {
  if (input.stopping.has(dyno.id)) return [];
  if (container?.state === 'running' || container?.state === 'paused') {
    const paused = container.state === 'paused';
    return [{ kind: 'terminate', dyno, containerId: container.id, paused }];
  }
  if (isDelivering(dyno, container, input)) return [];
  return [{ kind: 'discard', dyno, container }];
}

function planOneOff(
  dyno: Dyno,
  oneOff: OneOff,
  container: ObservedContainer | null,
  input: PlanInput,
): Step | undefined {
  if (container?.state === 'exited') {
    return isDelivering(dyno, container, input) ? undefined : { kind: 'conclude', dyno, container };
  }
  if (oneOff.expiresAt !== null && oneOff.expiresAt <= input.now) {
    return { kind: 'retire', dyno, reason: 'stop' };
  }
  if (container !== null && cycleAt(dyno, input.cycleMs) <= input.now.getTime()) {
    return { kind: 'retire', dyno, reason: 'cycle' };
  }
  if (container?.state === 'running' && input.cutOff.has(dyno.id)) {
    return { kind: 'retire', dyno, reason: 'cut-off' };
  }
  if (!oneOff.attached) {
    if (container === null || container.state === 'created') {
      return dyno.state === 'starting' ? { kind: 'launch', dyno } : { kind: 'conclude', dyno, container };
    }
    return input.attended.has(dyno.id) ? undefined : { kind: 'attend', dyno, container };
  }
  const client = input.clients.get(dyno.id);
  if (container === null) {
    if (dyno.state !== 'starting') return { kind: 'conclude', dyno, container };
    return { kind: 'prepare', dyno };
  }
  if (dyno.state === 'starting') return { kind: 'prepare', dyno };
  if (client === 'waiting') return { kind: 'connect', dyno, containerId: container.id };
  if (client === 'attached') return undefined;
  if (container.state !== 'created') {
    return input.stopping.has(dyno.id) ? undefined : { kind: 'hang-up', dyno, containerId: container.id };
  }
  if (attachDeadline(dyno) > input.now.getTime()) return undefined;
  return { kind: 'attach-timeout', dyno, container };
}

/** Has its process ended, but not everything that it printed reached its client yet? */
function isDelivering(dyno: Dyno, container: ObservedContainer | null, input: PlanInput): boolean {
  return container?.state === 'exited' && input.clients.get(dyno.id) === 'attached';
}

/** Those that are still to come: one that is over may have nothing left to decide, see isDelivering. */
function oneOffDeadlines(
  dyno: Dyno,
  oneOff: OneOff,
  { cycleMs, now }: Pick<PlanInput, 'cycleMs' | 'now'>,
): number[] {
  return [
    cycleAt(dyno, cycleMs),
    ...(oneOff.expiresAt === null ? [] : [oneOff.expiresAt.getTime()]),
    ...(oneOff.attached && dyno.state === 'up' && dyno.startedAt === null ? [attachDeadline(dyno)] : []),
  ].filter((time) => time > now.getTime());
}

function attachDeadline(dyno: Dyno): number {
  return dyno.updatedAt.getTime() + ATTACH_TIMEOUT_MS;
}

function isBooting(dyno: Dyno): boolean {
  return dyno.state === 'starting' && dyno.port !== null && dyno.startedAt !== null;
}

function bootDeadline(dyno: Dyno): number {
  // One that thaws was started long ago and boots since its last change of state.
  return Math.max((dyno.startedAt ?? dyno.createdAt).getTime(), dyno.updatedAt.getTime()) + BOOT_TIMEOUT_MS;
}

function slot(dyno: { type: string; number: number }): string {
  return `${dyno.type}.${dyno.number}`;
}
