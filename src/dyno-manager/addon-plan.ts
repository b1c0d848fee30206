import { purgeAt, type AddOn } from '../domain/addon';
import type { AddOnSleepDepth } from '../domain/addon-sleep';
import type { ContainerId, ContainerInfo } from '../engine/engine';

/**
 * What to do next for one add-on that has a container, decided without doing anything.
 *
 * Wanted (`provisioning`, `provisioned`), as the pair of what is known and its container:
 * - none: **create** makes image, volume and container, unless the engine refused it lately.
 * - made of something else than is wanted now (plan, port, image, settings): **replace** shuts it down and removes it;
 *   the volume stays and goes to its successor.
 * - created, or ended and counted: **start**. Ended and not counted yet: **count** says when the next start may be.
 * - paused, by whomever: **resume**.
 * - running, not known to serve: **probe** asks it, and sets it up once it answers.
 * - running and serving: one that is `provisioning` is **ready**, told once for each time that it came to serve. What
 *   else it needs before it is provisioned (a fork is filled) may take its time.
 * - `provisioning` for too long without serving, or after too many ends: **fail** gives up.
 *
 * Wanted, but all its apps are asleep (`rest`; ADR 36):
 * - running: **doze** shuts it down or pauses it, once it may.
 * - paused, or ended and counted: it sleeps. Ended and not counted yet: **note** says that this end is none to count.
 * - made of something else than is wanted now: **replace** as ever; its successor is created when it wakes.
 * - none, or created: left so until it wakes.
 *
 * Deprovisioned:
 * - any container: **remove** shuts it down first.
 * - past the time in which it can be had back, and no container left: **purge** removes volume and row. Nothing else
 *   ever removes a volume.
 *
 * Without a row: containers that are older than the grace period are removed (**remove-orphan**); volumes are not.
 *
 * Invariants: a container is created only when there is none of this add-on, so that no two ever have its volume; steps
 * name only containers that bear our labels.
 */
export type AddOnStep =
  | { kind: 'create' }
  | { kind: 'replace'; containerId: ContainerId; running: boolean }
  | { kind: 'start'; containerId: ContainerId }
  | { kind: 'count'; container: ObservedBackend }
  | { kind: 'resume'; containerId: ContainerId }
  | { kind: 'doze'; containerId: ContainerId; depth: Rest['depth'] }
  | { kind: 'note'; container: ObservedBackend }
  | { kind: 'probe'; containerId: ContainerId }
  | { kind: 'ready' }
  | { kind: 'fail'; reason: string }
  | { kind: 'remove'; containerId: ContainerId; running: boolean }
  | { kind: 'remove-orphan'; containerId: ContainerId }
  | { kind: 'purge' };

export interface ObservedBackend {
  id: ContainerId;
  state: ContainerInfo['state'];
  /** Hash of what it was made of. */
  spec: string;
  exitCode: number | null;
  createdAt: Date;
  startedAt: Date | null;
  finishedAt: Date | null;
}

/** All of an add-on's apps are asleep, and nobody asks for it. */
export interface Rest {
  depth: Exclude<AddOnSleepDepth, 'off'>;
  /** From when on one that runs may fall asleep. */
  dozeAt: Date;
}

export interface AddOnPlanInput {
  /** undefined: the store knows none of this id. */
  addon: AddOn | undefined;
  /** Hash of what its container is to be made of; null: it has none, or nobody can say since its provider is gone. */
  wanted: string | null;
  /** Of this add-on and this installation. */
  containers: readonly ObservedBackend[];
  /** The container that was seen to serve since it was started. */
  serving: ContainerId | null;
  /** Was it told that this container serves? */
  told: boolean;
  /** null: it is to be awake. */
  rest: Rest | null;
  now: Date;
}

/** As long as an operation of the engine may take that has not been written down yet. */
const ORPHAN_GRACE_MS = 30_000;
/** Images are built meanwhile, with packages fetched from afar. */
export const PROVISION_TIMEOUT_MS = 30 * 60_000;
/** Of one that was never usable; it is given up then. */
export const MAX_FAILURES_AT_FIRST = 5;
/** One that served this long and then ended starts anew at once. */
const GOOD_RUN_MS = 60_000;
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;

export function planAddOn(input: AddOnPlanInput): AddOnStep[] {
  const { addon, containers, now } = input;
  if (addon === undefined) {
    return containers
      .filter(({ createdAt }) => now.getTime() - createdAt.getTime() >= ORPHAN_GRACE_MS)
      .map(({ id }) => ({ kind: 'remove-orphan', containerId: id }));
  }
  switch (addon.state) {
    case 'provisioning':
    case 'provisioned':
      return planWanted(addon, input);
    case 'deprovisioning':
    case 'deprovisioned': {
      if (containers.length > 0) {
        return containers.map(({ id, state }) => ({
          kind: 'remove',
          containerId: id,
          running: isRunning(state),
        }));
      }
      const at = purgeAt(addon);
      return at !== null && at <= now ? [{ kind: 'purge' }] : [];
    }
  }
}

/** When the plan may change although nothing happens; null = never. */
export function nextAddOnDeadline({ addon, containers, rest, now }: AddOnPlanInput): Date | null {
  if (addon === undefined) {
    const ages = containers.map(({ createdAt }) => createdAt.getTime() + ORPHAN_GRACE_MS);
    return ages.length === 0 ? null : new Date(Math.min(...ages));
  }
  const candidates = [
    purgeAt(addon),
    addon.deprovisionedAt === null ? addon.backend.nextStartAt : null,
    addon.state === 'provisioning' ? provisionDeadline(addon) : null,
    rest?.dozeAt ?? null,
  ].filter((at): at is Date => at !== null && at > now);
  return candidates.length === 0 ? null : new Date(Math.min(...candidates.map((at) => at.getTime())));
}

function planWanted(addon: AddOn, input: AddOnPlanInput): AddOnStep[] {
  const { wanted, containers, serving, told, rest, now } = input;
  // Without its provider it is left as it is, running or not: nobody could say how to make it.
  if (wanted === null) return [];
  if (addon.state === 'provisioning') {
    if (addon.backend.failures >= MAX_FAILURES_AT_FIRST) {
      return [{ kind: 'fail', reason: addon.backend.problem ?? 'it did not start' }];
    }
    if (serving === null && provisionDeadline(addon) <= now)
      return [{ kind: 'fail', reason: 'it took too long to start' }];
  }
  const stale = containers.filter(({ spec }) => spec !== wanted);
  if (stale.length > 0) {
    return stale.map(({ id, state }) => ({ kind: 'replace', containerId: id, running: isRunning(state) }));
  }
  const [container] = containers;
  if (addon.state === 'provisioned' && rest !== null) {
    const isUp = container?.state === 'running' || (container?.state === 'paused' && rest.depth !== 'freeze');
    if (!isUp || rest.dozeAt <= now) return planResting(addon, container, rest);
  }
  const mayStart = addon.backend.nextStartAt === null || addon.backend.nextStartAt <= now;
  if (container === undefined) return mayStart ? [{ kind: 'create' }] : [];
  switch (container.state) {
    case 'created':
      return mayStart ? [{ kind: 'start', containerId: container.id }] : [];
    case 'exited':
      if (!isCounted(addon, container)) return [{ kind: 'count', container }];
      return mayStart ? [{ kind: 'start', containerId: container.id }] : [];
    case 'paused':
      return [{ kind: 'resume', containerId: container.id }];
    case 'running':
      if (serving !== container.id) return [{ kind: 'probe', containerId: container.id }];
      return addon.state === 'provisioning' && !told ? [{ kind: 'ready' }] : [];
  }
}

function planResting(addon: AddOn, container: ObservedBackend | undefined, { depth }: Rest): AddOnStep[] {
  switch (container?.state) {
    case undefined:
    case 'created':
      return [];
    case 'exited':
      return isCounted(addon, container) ? [] : [{ kind: 'note', container }];
    case 'paused':
      return depth === 'freeze' ? [] : [{ kind: 'doze', containerId: container.id, depth }];
    case 'running':
      return [{ kind: 'doze', containerId: container.id, depth }];
  }
}

/** After an end: the count, and how long to wait for the next start. */
export function judgeEnd(
  failures: number,
  { startedAt, finishedAt }: Pick<ObservedBackend, 'startedAt' | 'finishedAt'>,
): { failures: number; delayMs: number } {
  const ranMs = startedAt === null || finishedAt === null ? 0 : finishedAt.getTime() - startedAt.getTime();
  if (ranMs >= GOOD_RUN_MS) return { failures: 0, delayMs: 0 };
  // The first one is started again at once: databases recover by being started.
  return { failures: failures + 1, delayMs: failures === 0 ? 0 : backOffMs(failures) };
}

/** After so many failures in a row: 1, 2, 4 … 60 s. */
export function backOffMs(failures: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), LONGEST_DELAY_MS);
}

function isCounted({ backend }: AddOn, { finishedAt }: ObservedBackend): boolean {
  return finishedAt === null || (backend.endedAt !== null && backend.endedAt >= finishedAt);
}

function provisionDeadline({ updatedAt }: AddOn): Date {
  return new Date(updatedAt.getTime() + PROVISION_TIMEOUT_MS);
}

function isRunning(state: ObservedBackend['state']): boolean {
  return state === 'running' || state === 'paused';
}
