import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import type { Dyno, DynoState } from '../../../src/domain/dyno';
import { dynoName } from '../../../src/domain/dyno';
import type { DynoSizeName } from '../../../src/domain/dyno-size';
import type { AppId, DynoId, ReleaseId } from '../../../src/domain/ids';
import type { OneOff } from '../../../src/domain/one-off';
import { judgeCrash } from '../../../src/dyno-manager/back-off';
import type { DesiredDyno } from '../../../src/dyno-manager/desired';
import type { ObservedContainer } from '../../../src/dyno-manager/observe';
import {
  BOOT_TIMEOUT_MS,
  PREBOOT_MS,
  ORPHAN_GRACE_MS,
  planDynos,
  ADDON_WAIT_MS,
  ATTACH_TIMEOUT_MS,
  nextDeadline,
  type ClientState,
  type PlanInput,
  type Step,
} from '../../../src/dyno-manager/plan';
import type { ContainerId } from '../../../src/engine/engine';

const NOW = new Date('2026-01-02T03:04:05.000Z');
const before = (ms: number): Date => new Date(NOW.getTime() - ms);
const DAY_MS = 24 * 3_600_000;
const NO_ADDONS = { missingAddOns: [] as string[], managingSince: before(3_600_000) };
const V1 = randomUUID() as ReleaseId;
const V2 = randomUUID() as ReleaseId;
const ECO = 'eco' as DynoSizeName;

function aDyno(more: Partial<Dyno> = {}): Dyno {
  return {
    id: randomUUID() as DynoId,
    appId: 'app' as AppId,
    releaseId: V1,
    releaseVersion: 1,
    type: 'web',
    number: 1,
    size: ECO,
    command: 'run',
    state: 'up',
    port: 5000,
    sandbox: null,
    superseded: false,
    endpoint: null,
    crashCount: 0,
    nextStartAt: null,
    createdAt: before(1000),
    updatedAt: before(1000),
    startedAt: before(1000),
    oneOff: null,
    ...more,
  };
}

function aContainer(dyno: Dyno, more: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: `c-${dyno.id}` as ContainerId,
    dynoId: dyno.id,
    state: 'running',
    exitCode: null,
    oomKilled: false,
    createdAt: dyno.createdAt,
    finishedAt: null,
    endpoint: null,
    ...more,
  };
}

function wanted(number = 1, more: Partial<DesiredDyno> = {}): DesiredDyno {
  return { type: 'web', number, releaseId: V1, releaseVersion: 1, size: ECO, command: 'run', ...more };
}

function plan(input: Partial<PlanInput>): Step[] {
  return planDynos({
    desired: [],
    dynos: [],
    containers: [],
    attended: new Set(),
    stopping: new Set(),
    clients: new Map(),
    cutOff: new Set(),
    preboot: false,
    cycleMs: 0,
    frozenMs: null,
    ...NO_ADDONS,
    watchingSince: before(60_000),
    now: NOW,
    ...input,
  });
}

const kinds = (steps: Step[]): string[] => steps.map((step) => step.kind);

describe('planDynos', () => {
  test('inserts what is wanted and missing', () => {
    expect(plan({ desired: [wanted(1), wanted(2)] })).toEqual([
      { kind: 'insert', desired: wanted(1) },
      { kind: 'insert', desired: wanted(2) },
    ]);
  });

  test('launches a starting dyno without a container, also one whose container was made but never started', () => {
    const dyno = aDyno({ state: 'starting', startedAt: null });
    expect(kinds(plan({ desired: [wanted()], dynos: [dyno] }))).toEqual(['launch']);
    const containers = [aContainer(dyno, { state: 'created' })];
    expect(kinds(plan({ desired: [wanted()], dynos: [dyno], containers }))).toEqual(['launch']);
  });

  test('has nothing to do for a running dyno that is attended, and adopts one that is not', () => {
    const dyno = aDyno();
    const input = { desired: [wanted()], dynos: [dyno], containers: [aContainer(dyno)] };
    expect(plan({ ...input, attended: new Set([dyno.id]) })).toEqual([]);
    expect(kinds(plan(input))).toEqual(['attend']);
  });

  test('replaces dynos of another release or size', () => {
    const dyno = aDyno();
    const containers = [aContainer(dyno)];
    for (const desired of [wanted(1, { releaseId: V2 }), wanted(1, { size: 'basic' as DynoSizeName })]) {
      expect(plan({ desired: [desired], dynos: [dyno], containers })).toEqual([
        { kind: 'retire', dyno, reason: 'restart' },
        { kind: 'insert', desired },
      ]);
    }
  });

  test('scales down from the top', () => {
    const dynos = [1, 2, 3].map((number) => aDyno({ number }));
    const steps = plan({
      desired: [wanted(1)],
      dynos,
      containers: dynos.map((dyno) => aContainer(dyno)),
      attended: new Set(dynos.map((dyno) => dyno.id)),
    });
    expect(steps).toEqual([
      { kind: 'retire', dyno: dynos[1], reason: 'scale-down' },
      { kind: 'retire', dyno: dynos[2], reason: 'scale-down' },
    ]);
  });

  test('ends what is on its way out once, and discards it when it is gone', () => {
    const dyno = aDyno({ state: 'down' });
    const running = aContainer(dyno);
    expect(kinds(plan({ dynos: [dyno], containers: [running] }))).toEqual(['terminate']);
    expect(plan({ dynos: [dyno], containers: [running], stopping: new Set([dyno.id]) })).toEqual([]);
    expect(kinds(plan({ dynos: [dyno], containers: [{ ...running, state: 'exited' }] }))).toEqual([
      'discard',
    ]);
    expect(kinds(plan({ dynos: [dyno] }))).toEqual(['discard']);
  });

  test('takes an exit that was seen for a crash, and one that nobody saw for an accident', () => {
    const dyno = aDyno();
    const exited = aContainer(dyno, { state: 'exited', exitCode: 1, finishedAt: before(1000) });
    const input = { desired: [wanted()], dynos: [dyno], containers: [exited] };
    expect(kinds(plan(input))).toEqual(['crash']);
    expect(kinds(plan({ ...input, watchingSince: before(500) }))).toEqual(['recover']);
  });

  test('replaces a dyno whose container was removed behind its back', () => {
    expect(kinds(plan({ desired: [wanted()], dynos: [aDyno()] }))).toEqual(['recover']);
  });

  test('leaves a crashed dyno alone until its time has come', () => {
    const crashed = (nextStartAt: Date): Dyno => aDyno({ state: 'crashed', nextStartAt });
    expect(plan({ desired: [wanted()], dynos: [crashed(new Date(NOW.getTime() + 1))] })).toEqual([]);
    expect(kinds(plan({ desired: [wanted()], dynos: [crashed(NOW)] }))).toEqual(['retry']);
  });

  test('ends a web dyno that does not bind its port in time, and no worker', () => {
    const late = before(BOOT_TIMEOUT_MS);
    const web = aDyno({ state: 'starting', startedAt: late, updatedAt: late });
    const attended = new Set([web.id]);
    const input = { desired: [wanted()], dynos: [web], containers: [aContainer(web)], attended };
    expect(kinds(plan(input))).toEqual(['boot-timeout']);
    expect(plan({ ...input, now: new Date(NOW.getTime() - 1) })).toEqual([]);
  });

  test('replaces a dyno after a day and its own share of some hours more', () => {
    const id = '80000000-0000-4000-8000-000000000000' as DynoId;
    const aged = (ms: number): Step[] => {
      const dyno = aDyno({ id, startedAt: before(ms) });
      const attended = new Set([id]);
      return plan({
        desired: [wanted()],
        dynos: [dyno],
        containers: [aContainer(dyno)],
        attended,
        cycleMs: DAY_MS,
      });
    };
    expect(aged(DAY_MS + 107 * 60_000)).toEqual([]);
    expect(aged(DAY_MS + 109 * 60_000)).toMatchObject([{ kind: 'retire', reason: 'cycle' }]);
  });

  test('with preboot keeps the old web dynos until the new ones have been up for three minutes', () => {
    const old = aDyno();
    const desired = [wanted(1, { releaseId: V2 })];
    const both = [aContainer(old)];
    expect(plan({ desired, dynos: [old], containers: both, preboot: true })).toEqual([
      { kind: 'supersede', dyno: old },
      { kind: 'insert', desired: desired[0] },
    ]);
    const superseded = { ...old, superseded: true };
    const fresh = aDyno({ releaseId: V2, updatedAt: before(PREBOOT_MS - 1) });
    const attended = new Set([old.id, fresh.id]);
    const containers = [aContainer(superseded), aContainer(fresh)];
    const input = { desired, dynos: [superseded, fresh], containers, attended, preboot: true };
    expect(plan(input)).toEqual([]);
    expect(plan({ ...input, now: new Date(NOW.getTime() + 1) })).toEqual([
      { kind: 'retire', dyno: superseded, reason: 'superseded' },
    ]);
  });

  test('with preboot keeps the old web dynos for as long as a new one does not boot', () => {
    const superseded = aDyno({ superseded: true });
    const crashed = aDyno({ releaseId: V2, state: 'crashed', nextStartAt: new Date(NOW.getTime() + 1) });
    const input = {
      desired: [wanted(1, { releaseId: V2 })],
      dynos: [superseded, crashed],
      containers: [aContainer(superseded)],
      attended: new Set([superseded.id]),
    };
    expect(plan({ ...input, preboot: true })).toEqual([]);
    // Switched off meanwhile: the old ones have no reason to stay.
    expect(plan(input)).toEqual([{ kind: 'retire', dyno: superseded, reason: 'superseded' }]);
  });

  test('removes a container without a dyno only after the grace period', () => {
    const stray = aContainer(aDyno(), { createdAt: before(ORPHAN_GRACE_MS - 1) });
    expect(plan({ containers: [stray] })).toEqual([]);
    expect(kinds(plan({ containers: [{ ...stray, createdAt: before(ORPHAN_GRACE_MS) }] }))).toEqual([
      'remove-orphan',
    ]);
  });
});

const DETACHED: OneOff = { attached: false, terminal: null, env: {}, expiresAt: null };
const ATTACHED: OneOff = { ...DETACHED, attached: true };

function aOneOff(oneOff: OneOff, more: Partial<Dyno> = {}): Dyno {
  return aDyno({ type: 'run', number: 1234, port: null, oneOff, ...more });
}

describe('planDynos with one-off dynos', () => {
  test('leaves them alone, whatever the formation and the release are', () => {
    for (const dyno of [
      aOneOff(DETACHED, { releaseId: V2 }),
      aOneOff(DETACHED, { size: 'basic' as DynoSizeName }),
    ]) {
      const input = { dynos: [dyno], containers: [aContainer(dyno)], attended: new Set([dyno.id]) };
      expect(plan(input)).toEqual([]);
      expect(kinds(plan({ ...input, desired: [wanted(1)] }))).toEqual(['insert']);
      expect(
        nextDeadline({ desired: [], cycleMs: 0, frozenMs: null, ...NO_ADDONS, ...input, now: NOW }),
      ).toBeNull();
    }
  });

  test('launches, follows and concludes a detached one, and never starts it again', () => {
    const starting = aOneOff(DETACHED, { state: 'starting', startedAt: null });
    expect(kinds(plan({ dynos: [starting] }))).toEqual(['launch']);
    const dyno = aOneOff(DETACHED);
    expect(kinds(plan({ dynos: [dyno], containers: [aContainer(dyno)] }))).toEqual(['attend']);
    for (const finishedAt of [before(1000), before(100_000)]) {
      const exited = aContainer(dyno, { state: 'exited', finishedAt });
      expect(kinds(plan({ dynos: [dyno], containers: [exited] }))).toEqual(['conclude']);
    }
    expect(kinds(plan({ dynos: [dyno] }))).toEqual(['conclude']);
  });

  test('prepares an attached one at once, and connects it when its client is here', () => {
    const starting = aOneOff(ATTACHED, { state: 'starting', startedAt: null });
    const clients = new Map([[starting.id, 'waiting' as const]]);
    expect(kinds(plan({ dynos: [starting] }))).toEqual(['prepare']);
    expect(kinds(plan({ dynos: [starting], clients }))).toEqual(['prepare']);
    const ready: Dyno = { ...starting, state: 'up' };
    const containers = [aContainer(ready, { state: 'created' })];
    expect(plan({ dynos: [ready], containers })).toEqual([]);
    expect(kinds(plan({ dynos: [ready], containers, clients }))).toEqual(['connect']);
  });

  test('gives up on a client that does not come', () => {
    const dyno = aOneOff(ATTACHED, { startedAt: null, updatedAt: before(ATTACH_TIMEOUT_MS) });
    const input = { dynos: [dyno], containers: [aContainer(dyno, { state: 'created' })] };
    const earlier = new Date(NOW.getTime() - 1);
    expect(plan({ ...input, now: earlier })).toEqual([]);
    expect(
      nextDeadline({ desired: [], cycleMs: 0, frozenMs: null, ...NO_ADDONS, ...input, now: earlier }),
    ).toEqual(NOW);
    expect(kinds(plan(input))).toEqual(['attach-timeout']);
  });

  test('ends one that has lost its network, and launches one whose network was lost before', () => {
    const dyno = aOneOff(DETACHED);
    const input = { dynos: [dyno], attended: new Set([dyno.id]), cutOff: new Set([dyno.id]) };
    expect(plan({ ...input, containers: [aContainer(dyno)] })).toEqual([
      { kind: 'retire', dyno, reason: 'cut-off' },
    ]);
    const starting = aOneOff(DETACHED, { state: 'starting', startedAt: null });
    const cutOff = new Set([starting.id]);
    expect(kinds(plan({ dynos: [starting], containers: [], cutOff }))).toEqual(['launch']);
  });

  test('hangs up on one that runs without a client, once', () => {
    const dyno = aOneOff(ATTACHED);
    const input = { dynos: [dyno], containers: [aContainer(dyno)] };
    expect(plan({ ...input, clients: new Map([[dyno.id, 'attached' as const]]) })).toEqual([]);
    expect(kinds(plan(input))).toEqual(['hang-up']);
    expect(plan({ ...input, stopping: new Set([dyno.id]) })).toEqual([]);
  });

  test('lets the last output reach its client before it concludes or discards', () => {
    for (const [state, then] of [
      ['up', 'conclude'],
      ['down', 'discard'],
    ] as const) {
      const dyno = aOneOff(ATTACHED, { state });
      const input = { dynos: [dyno], containers: [aContainer(dyno, { state: 'exited', finishedAt: NOW })] };
      expect(plan({ ...input, clients: new Map([[dyno.id, 'attached' as const]]) })).toEqual([]);
      expect(kinds(plan(input))).toEqual([then]);
    }
  });

  test('stops one whose time to live is over, and does not keep looking at one that is being stopped', () => {
    for (const kind of [ATTACHED, DETACHED]) {
      const dyno = aOneOff({ ...kind, expiresAt: NOW });
      const input = {
        dynos: [dyno],
        containers: [aContainer(dyno)],
        attended: new Set([dyno.id]),
        clients: new Map([[dyno.id, 'attached' as const]]),
      };
      const earlier = new Date(NOW.getTime() - 1);
      expect(plan({ ...input, now: earlier })).toEqual([]);
      expect(
        nextDeadline({ desired: [], cycleMs: 0, frozenMs: null, ...NO_ADDONS, ...input, now: earlier }),
      ).toEqual(NOW);
      expect(plan(input)).toEqual([{ kind: 'retire', dyno, reason: 'stop' }]);
      expect(
        nextDeadline({
          desired: [],
          cycleMs: 0,
          frozenMs: null,
          ...NO_ADDONS,
          ...input,
          dynos: [{ ...dyno, state: 'down' }],
          now: earlier,
        }),
      ).toBeNull();
      expect(
        nextDeadline({ desired: [], cycleMs: 0, frozenMs: null, ...NO_ADDONS, ...input, now: NOW }),
      ).toBeNull();
    }
  });
});

describe('planDynos with one-off dynos that have run for a day', () => {
  const id = '80000000-0000-4000-8000-000000000000' as DynoId;
  const due = DAY_MS + 108 * 60_000 + 1;

  test.each([
    ['attached', ATTACHED],
    ['detached', DETACHED],
  ])('ends an %s one at its own time, and replaces it by none', (_name, oneOff) => {
    const dyno = aOneOff(oneOff, { id, startedAt: before(due) });
    const input = {
      dynos: [dyno],
      containers: [aContainer(dyno)],
      attended: new Set([id]),
      clients: new Map([[id, 'attached' as const]]),
      cycleMs: DAY_MS,
    };
    const earlier = new Date(NOW.getTime() - 10);
    expect(plan({ ...input, now: earlier })).toEqual([]);
    const deadline = nextDeadline({ frozenMs: null, ...NO_ADDONS, desired: [], ...input, now: earlier });
    expect(deadline?.getTime()).toBeGreaterThan(earlier.getTime());
    expect(plan({ ...input, now: deadline ?? earlier })).toEqual([{ kind: 'retire', dyno, reason: 'cycle' }]);
    const down: Dyno = { ...dyno, state: 'down' };
    expect(kinds(plan({ ...input, dynos: [down] }))).toEqual(['terminate']);
    const ended = [aContainer(dyno, { state: 'exited', finishedAt: NOW })];
    expect(kinds(plan({ ...input, dynos: [down], containers: ended, clients: new Map() }))).toEqual([
      'discard',
    ]);
    expect(plan({ ...input, dynos: [], containers: [] })).toEqual([]);
  });

  test('concludes one that has ended, and ends none that has not begun', () => {
    const dyno = aOneOff(DETACHED, { id, startedAt: before(due) });
    const ended = [aContainer(dyno, { state: 'exited', finishedAt: NOW })];
    expect(kinds(plan({ dynos: [dyno], containers: ended, cycleMs: DAY_MS }))).toEqual(['conclude']);
    expect(kinds(plan({ dynos: [dyno], cycleMs: DAY_MS }))).toEqual(['conclude']);
    const waiting = aOneOff(ATTACHED, { startedAt: null, createdAt: before(due) });
    const containers = [aContainer(waiting, { state: 'created' })];
    expect(plan({ dynos: [waiting], containers, cycleMs: DAY_MS })).toEqual([]);
  });
});

/** Applies steps to rows and containers as Steps does, with processes that never end by themselves. */
function apply(world: World, steps: Step[]): void {
  for (const step of steps) {
    switch (step.kind) {
      case 'insert':
        world.dynos.push(aDyno({ ...step.desired, state: 'starting', startedAt: null, createdAt: NOW }));
        break;
      case 'launch':
        update(world, step.dyno, { startedAt: NOW, state: 'up' });
        removeContainer(world, step.dyno);
        world.containers.push(aContainer(step.dyno, { createdAt: NOW }));
        world.attended.add(step.dyno.id);
        break;
      case 'attend':
        world.attended.add(step.dyno.id);
        if (step.dyno.state === 'starting') update(world, step.dyno, { state: 'up' });
        break;
      case 'boot-timeout':
        for (const container of world.containers) {
          if (container.dynoId === step.dyno.id)
            Object.assign(container, { state: 'exited', finishedAt: NOW });
        }
        break;
      case 'crash': {
        const verdict = judgeCrash(step.dyno.crashCount, 0);
        update(world, step.dyno, {
          state: 'crashed',
          crashCount: verdict.crashCount,
          nextStartAt: new Date(NOW.getTime() + verdict.delayMs),
        });
        removeContainer(world, step.dyno);
        break;
      }
      case 'retry':
      case 'recover':
        removeContainer(world, step.dyno);
        world.dynos = world.dynos.filter((dyno) => dyno.id !== step.dyno.id);
        world.dynos.push(
          aDyno({ ...step.desired, state: 'starting', startedAt: null, crashCount: step.dyno.crashCount }),
        );
        break;
      case 'supersede':
        update(world, step.dyno, { superseded: true });
        break;
      case 'unidle':
        update(world, step.dyno, { state: 'starting' });
        break;
      case 'freeze':
      case 'thaw':
        for (const container of world.containers) {
          if (container.dynoId === step.dyno.id)
            container.state = step.kind === 'freeze' ? 'paused' : 'running';
        }
        if (step.kind === 'thaw') update(world, step.dyno, { state: 'up' });
        break;
      case 'deepen':
        update(world, step.dyno, { state: 'down' });
        world.dynos.push(aDyno({ ...step.desired, state: 'idle', startedAt: null }));
        break;
      case 'retire':
        update(world, step.dyno, { state: 'down' });
        break;
      case 'terminate':
        for (const container of world.containers) {
          if (container.dynoId === step.dyno.id)
            Object.assign(container, { state: 'exited', finishedAt: NOW });
        }
        break;
      case 'discard':
        removeContainer(world, step.dyno);
        world.dynos = world.dynos.filter((dyno) => dyno.id !== step.dyno.id);
        break;
      case 'prepare':
        removeContainer(world, step.dyno);
        world.containers.push(aContainer(step.dyno, { state: 'created' }));
        update(world, step.dyno, { state: 'up', updatedAt: NOW });
        break;
      case 'connect':
        for (const container of world.containers) {
          if (container.dynoId === step.dyno.id) container.state = 'running';
        }
        update(world, step.dyno, { startedAt: NOW });
        world.clients.set(step.dyno.id, 'attached');
        break;
      case 'hang-up':
        for (const container of world.containers) {
          if (container.dynoId === step.dyno.id)
            Object.assign(container, { state: 'exited', finishedAt: NOW });
        }
        break;
      case 'attach-timeout':
      case 'conclude':
        removeContainer(world, step.dyno);
        world.dynos = world.dynos.filter((dyno) => dyno.id !== step.dyno.id);
        break;
      case 'remove-orphan':
        world.containers = world.containers.filter((container) => container.id !== step.containerId);
        break;
    }
  }
}

interface World {
  dynos: Dyno[];
  containers: ObservedContainer[];
  attended: Set<DynoId>;
  clients: Map<DynoId, ClientState>;
}

function update(world: World, dyno: Dyno, more: Partial<Dyno>): void {
  world.dynos = world.dynos.map((row) => (row.id === dyno.id ? { ...row, ...more } : row));
}

function removeContainer(world: World, dyno: Dyno): void {
  world.containers = world.containers.filter((container) => container.dynoId !== dyno.id);
}

const anyDesired = fc
  .record({
    web: fc.integer({ min: 0, max: 4 }),
    worker: fc.integer({ min: 0, max: 3 }),
    releaseId: fc.constantFrom(V1, V2),
  })
  .map(({ web, worker, releaseId }) => [
    ...Array.from({ length: web }, (_, index) => wanted(index + 1, { releaseId })),
    ...Array.from({ length: worker }, (_, index) => wanted(index + 1, { releaseId, type: 'worker' })),
  ]);

const anyWorld = fc
  .array(
    fc.record({
      type: fc.constantFrom('web', 'worker'),
      number: fc.integer({ min: 1, max: 5 }),
      releaseId: fc.constantFrom(V1, V2),
      state: fc.constantFrom<DynoState[]>('starting', 'up', 'idle', 'crashed', 'down'),
      ageMs: fc.integer({ min: 0, max: 200_000 }),
      container: fc.constantFrom('none', 'created', 'running', 'paused', 'exited', 'orphaned'),
      seen: fc.boolean(),
    }),
    { maxLength: 8 },
  )
  .map((entries): World => {
    const world: World = { dynos: [], containers: [], attended: new Set(), clients: new Map() };
    const live = new Set<string>();
    for (const { type, number, releaseId, state, ageMs, container, seen } of entries) {
      const dyno = aDyno({
        type,
        number,
        releaseId,
        state,
        port: type === 'web' ? 5000 : null,
        startedAt: before(ageMs),
        createdAt: before(ageMs),
        nextStartAt: state === 'crashed' ? before(0) : null,
      });
      if (container === 'orphaned') {
        world.containers.push(aContainer(dyno));
        continue;
      }
      // The store holds at most one dyno of a name that is not down.
      if (state !== 'down') {
        if (live.has(dynoName(dyno))) continue;
        live.add(dynoName(dyno));
      }
      world.dynos.push(dyno);
      if (container !== 'none' && state !== 'crashed') {
        world.containers.push(
          aContainer(dyno, {
            state: container,
            finishedAt: container === 'exited' ? before(seen ? 0 : 100_000) : null,
          }),
        );
      }
    }
    return world;
  });

describe('planDynos with dynos that sleep', () => {
  const asleep = (more: Partial<Dyno> = {}): Dyno => aDyno({ state: 'idle', startedAt: null, ...more });
  const frozen = (more: Partial<Dyno> = {}): Dyno => aDyno({ state: 'idle', ...more });

  test('leaves those alone that have no container, and freezes those that have one', () => {
    expect(plan({ desired: [wanted()], dynos: [asleep()] })).toEqual([]);
    const dyno = frozen();
    const container = aContainer(dyno);
    expect(plan({ desired: [wanted()], dynos: [dyno], containers: [container] })).toEqual([
      { kind: 'freeze', dyno, containerId: container.id },
    ]);
    expect(
      plan({ desired: [wanted()], dynos: [dyno], containers: [aContainer(dyno, { state: 'paused' })] }),
    ).toEqual([]);
  });

  test('stops a frozen one after its time, at the end of its day, and when it has ended or lost its network', () => {
    const dyno = frozen({ updatedAt: before(10_000), startedAt: before(20_000) });
    const containers = [aContainer(dyno, { state: 'paused' })];
    const input = { desired: [wanted()], dynos: [dyno], containers };
    const deepen = [{ kind: 'deepen', dyno, desired: wanted() }];
    expect(plan({ ...input, frozenMs: 10_001, ...NO_ADDONS })).toEqual([]);
    expect(nextDeadline({ ...input, cycleMs: 0, frozenMs: 10_001, ...NO_ADDONS, now: NOW })).toEqual(
      new Date(NOW.getTime() + 1),
    );
    expect(plan({ ...input, frozenMs: 10_000, ...NO_ADDONS })).toEqual(deepen);
    expect(plan({ ...input, cycleMs: 1 })).toEqual([]);
    expect(plan({ ...input, cycleMs: 1, now: new Date(NOW.getTime() + 86_400_000) })).toEqual(deepen);
    expect(plan({ ...input, cutOff: new Set([dyno.id]) })).toEqual(deepen);
    expect(plan({ ...input, containers: [aContainer(dyno, { state: 'exited' })] })).toEqual(deepen);
    expect(plan({ ...input, containers: [aContainer(dyno, { state: 'created' })] })).toEqual(deepen);
    expect(plan({ ...input, containers: [] })).toEqual([]);
  });

  test('wakes all when one that should sleep along is awake, or is to start', () => {
    const [web, worker] = [asleep(), aDyno({ type: 'worker', port: null })];
    const attended = new Set([worker.id]);
    const both = [wanted(), wanted(1, { type: 'worker' })];
    const containers = [aContainer(worker)];
    expect(plan({ desired: both, dynos: [web, worker], containers, attended })).toEqual([
      { kind: 'unidle', dyno: web },
    ]);
    expect(kinds(plan({ desired: [wanted(1), wanted(2)], dynos: [web] }))).toEqual(['unidle', 'insert']);
  });

  test('lets workers sleep neither alone nor beside a web dyno that never sleeps', () => {
    const worker = asleep({ type: 'worker', port: null });
    const wantedWorker = wanted(1, { type: 'worker' });
    expect(plan({ desired: [wantedWorker], dynos: [worker] })).toEqual([{ kind: 'unidle', dyno: worker }]);
    const web = aDyno({ size: 'basic' as DynoSizeName });
    const input = {
      desired: [wanted(1, { size: web.size }), wantedWorker],
      dynos: [web, worker],
      containers: [aContainer(web)],
      attended: new Set([web.id]),
    };
    expect(plan(input)).toEqual([{ kind: 'unidle', dyno: worker }]);
  });

  test('lets a dyno that does not sleep run on beside those that do', () => {
    const worker = aDyno({ type: 'worker', size: 'standard-1x' as DynoSizeName, port: null });
    const input = {
      desired: [wanted(), wanted(1, { type: 'worker', size: worker.size })],
      dynos: [asleep(), worker],
      containers: [aContainer(worker)],
      attended: new Set([worker.id]),
    };
    expect(plan(input)).toEqual([]);
  });

  test('thaws a starting one, and one that somebody has paused by hand', () => {
    for (const state of ['starting', 'up'] as const) {
      const dyno = aDyno({ state });
      const container = aContainer(dyno, { state: 'paused' });
      expect(
        plan({ desired: [wanted()], dynos: [dyno], containers: [container], attended: new Set([dyno.id]) }),
      ).toEqual([{ kind: 'thaw', dyno, container }]);
    }
  });

  test('gives one that thaws the whole boot timeout, however long ago it was started', () => {
    const dyno = aDyno({ state: 'starting', startedAt: before(10 * BOOT_TIMEOUT_MS), updatedAt: before(1) });
    const input = { desired: [wanted()], dynos: [dyno], containers: [aContainer(dyno)] };
    expect(plan({ ...input, attended: new Set([dyno.id]) })).toEqual([]);
    expect(kinds(plan({ ...input, now: new Date(NOW.getTime() + BOOT_TIMEOUT_MS) }))).toEqual([
      'boot-timeout',
    ]);
  });

  test('replaces a sleeping one by an awake one when there is a new release', () => {
    const dyno = asleep();
    const desired = wanted(1, { releaseId: V2 });
    expect(plan({ desired: [desired], dynos: [dyno] })).toEqual([
      { kind: 'retire', dyno, reason: 'restart' },
      { kind: 'insert', desired },
    ]);
  });

  test('thaws a frozen one before it ends it', () => {
    const dyno = frozen({ state: 'down' });
    const container = aContainer(dyno, { state: 'paused' });
    expect(plan({ dynos: [dyno], containers: [container] })).toEqual([
      { kind: 'terminate', dyno, containerId: container.id, paused: true },
    ]);
  });
});

describe('planDynos while add-ons of the app do not serve', () => {
  const missingAddOns = ['postgresql-round-1'];
  const held = { missingAddOns, managingSince: before(3_600_000) };
  const starts = (step: Step): boolean =>
    (step.kind === 'launch' || step.kind === 'prepare' || step.kind === 'thaw') &&
    step.dyno.state === 'starting';

  test('lets what is to start wait for a minute, one-off dynos and frozen ones too', () => {
    const begun = before(ADDON_WAIT_MS - 1);
    const web = aDyno({ state: 'starting', startedAt: null, updatedAt: begun });
    const frozen = aDyno({ state: 'starting', number: 2, updatedAt: begun });
    const young = { state: 'starting' as const, startedAt: null, updatedAt: begun };
    const run = aOneOff(ATTACHED, young);
    const detached = aOneOff(DETACHED, young);
    const input = {
      desired: [wanted(1), wanted(2)],
      dynos: [web, frozen, run, detached],
      containers: [aContainer(frozen, { state: 'paused' })],
    };
    expect(kinds(plan(input))).toEqual(['launch', 'thaw', 'prepare', 'launch']);
    expect(plan({ ...input, ...held })).toEqual([]);
    const end = new Date(NOW.getTime() + 1);
    expect(nextDeadline({ ...input, ...held, cycleMs: 0, frozenMs: null, now: NOW })).toEqual(end);
    expect(kinds(plan({ ...input, ...held, now: end }))).toEqual(['launch', 'thaw', 'prepare', 'launch']);
  });

  test('counts the minute from the start of the dyno manager on where that was later', () => {
    const dyno = aDyno({ state: 'starting', startedAt: null, updatedAt: before(10 * ADDON_WAIT_MS) });
    const input = { desired: [wanted()], dynos: [dyno], missingAddOns };
    expect(plan({ ...input, managingSince: before(1) })).toEqual([]);
    expect(kinds(plan({ ...input, managingSince: before(ADDON_WAIT_MS) }))).toEqual(['launch']);
  });

  test('thaws at once what was up when somebody paused it by hand', () => {
    const dyno = aDyno();
    const containers = [aContainer(dyno, { state: 'paused' })];
    expect(kinds(plan({ desired: [wanted()], dynos: [dyno], containers, ...held }))).toEqual(['thaw']);
  });

  test('does all else as ever, whatever it finds, and starts nothing before its minute is over', () => {
    fc.assert(
      fc.property(anyDesired, anyWorld, fc.integer({ min: 0, max: 100_000 }), (desired, world, sinceMs) => {
        const input = { desired, ...world };
        const managingSince = before(sinceMs);
        const free = plan({ ...input, managingSince });
        const waiting = plan({ ...input, missingAddOns, managingSince });
        const tooEarly = (step: Step): boolean =>
          starts(step) &&
          'dyno' in step &&
          Math.min(NOW.getTime() - step.dyno.updatedAt.getTime(), sinceMs) < ADDON_WAIT_MS;
        expect(waiting).toEqual(free.filter((step) => !tooEarly(step)));
        // Whoever waits is looked at again in time.
        if (free.length > waiting.length) {
          const next = nextDeadline({
            ...input,
            missingAddOns,
            managingSince,
            cycleMs: 0,
            frozenMs: null,
            now: NOW,
          });
          expect(next!.getTime()).toBeLessThanOrEqual(NOW.getTime() + ADDON_WAIT_MS);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('planDynos, whatever it finds', () => {
  test('with preboot stops no web dyno of the old release before all new ones have been up for a while', () => {
    const anyAge = fc.integer({ min: 0, max: 2 * PREBOOT_MS });
    const anySuccessor = fc.option(
      fc.record({ state: fc.constantFrom<DynoState[]>('starting', 'up', 'crashed'), upForMs: anyAge }),
      { nil: undefined },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(anySuccessor, { minLength: 4, maxLength: 4 }),
        fc.boolean(),
        (quantity, successors, marked) => {
          const desired = Array.from({ length: quantity }, (_, index) =>
            wanted(index + 1, { releaseId: V2 }),
          );
          const old = desired.map(({ number }) => aDyno({ number, superseded: marked }));
          const fresh = desired.flatMap(({ number }, index) => {
            const successor = marked ? successors[index] : undefined;
            if (successor === undefined) return [];
            return [
              aDyno({ number, releaseId: V2, state: successor.state, updatedAt: before(successor.upForMs) }),
            ];
          });
          const dynos = [...old, ...fresh];
          const steps = plan({
            desired,
            dynos,
            containers: dynos.filter(({ state }) => state !== 'crashed').map((dyno) => aContainer(dyno)),
            attended: new Set(dynos.map(({ id }) => id)),
            preboot: true,
          });
          const proven = fresh.filter(
            ({ state, updatedAt }) => state === 'up' && NOW.getTime() - updatedAt.getTime() >= PREBOOT_MS,
          );
          const retired = steps.filter((step) => step.kind === 'retire' && step.dyno.releaseId === V1);
          expect(retired).toHaveLength(proven.length === quantity ? quantity : 0);
        },
      ),
    );
  });

  test('tries no crashed dyno again before its time', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000_000 }), anyWorld, (waitMs, world) => {
        const nextStartAt = new Date(NOW.getTime() + waitMs);
        const dynos = world.dynos.map((dyno) =>
          dyno.state === 'crashed' ? { ...dyno, releaseId: V1, nextStartAt } : dyno,
        );
        const crashed = dynos.filter(({ state }) => state === 'crashed');
        const desired = crashed.map(({ type, number }) => wanted(number, { type }));
        const steps = plan({ desired, ...world, dynos });
        const waiting = new Set(crashed.map(({ id }) => id));
        expect(steps.filter((step) => 'dyno' in step && waiting.has(step.dyno.id))).toEqual([]);
      }),
    );
  });

  test('settles with exactly the wanted dynos running and nothing else', () => {
    fc.assert(
      fc.property(anyDesired, anyWorld, (desired, world) => {
        let rounds = 0;
        for (;;) {
          const later = new Date(NOW.getTime() + ORPHAN_GRACE_MS);
          const steps = planDynos({
            desired,
            ...world,
            stopping: new Set(),
            cutOff: new Set(),
            preboot: false,
            cycleMs: 0,
            frozenMs: null,
            ...NO_ADDONS,
            watchingSince: before(50_000),
            now: rounds === 0 ? NOW : later,
          });
          if (steps.length === 0 && rounds > 0) break;
          apply(world, steps);
          rounds += 1;
          expect(rounds).toBeLessThan(12);
        }
        const of = (...states: DynoState[]): Dyno[] =>
          world.dynos.filter(({ state }) => states.includes(state));
        expect(
          of('up', 'crashed', 'idle')
            .map((dyno) => `${dynoName(dyno)} ${dyno.releaseId}`)
            .sort(),
        ).toEqual(desired.map((dyno) => `${dynoName(dyno)} ${dyno.releaseId}`).sort());
        const idle = new Set(of('idle').map(({ id }) => id));
        const containers = world.containers.filter(({ dynoId }) => !idle.has(dynoId));
        expect(containers.map(({ dynoId, state }) => `${dynoId} ${state}`).sort()).toEqual(
          of('up')
            .map(({ id }) => `${id} running`)
            .sort(),
        );
        // What sleeps has no container or a paused one, and sleeps beside nobody who is awake.
        for (const { dynoId, state } of world.containers) if (idle.has(dynoId)) expect(state).toBe('paused');
        if (idle.size > 0) {
          expect(of('up', 'crashed')).toEqual([]);
          expect(of('idle').map(({ type }) => type)).toContain('web');
        }
      }),
      { numRuns: 300 },
    );
  });

  test('never acts twice on the same dyno in one plan', () => {
    fc.assert(
      fc.property(anyDesired, anyWorld, (desired, world) => {
        const steps = plan({ desired, ...world });
        const touched = steps.flatMap((step) => ('dyno' in step ? [step.dyno.id] : []));
        expect(new Set(touched).size).toBe(touched.length);
      }),
    );
  });

  test('neither starts a one-off dyno a second time nor touches one because of the formation', () => {
    const anyOneOffs = fc.array(
      fc.record({
        attached: fc.boolean(),
        releaseId: fc.constantFrom(V1, V2),
        phase: fc.constantFrom('new', 'ready', 'running', 'exited', 'gone'),
        client: fc.constantFrom(undefined, 'waiting' as const, 'attached' as const),
        // Within the day that it may run for, or long after.
        ageMs: fc.constantFrom(1000, 2 * DAY_MS),
      }),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(anyDesired, anyDesired, anyWorld, anyOneOffs, (first, second, world, oneOffs) => {
        const running = new Set<DynoId>();
        const aged = new Set<DynoId>();
        for (const [index, { attached, releaseId, phase, client, ageMs }] of oneOffs.entries()) {
          const launched = phase === 'running' || phase === 'exited' || phase === 'gone';
          const dyno = aOneOff(attached ? ATTACHED : DETACHED, {
            number: 1000 + index,
            releaseId,
            state: phase === 'new' || (phase === 'ready' && !attached) ? 'starting' : 'up',
            startedAt: launched ? before(ageMs) : null,
          });
          if (launched && ageMs > DAY_MS) aged.add(dyno.id);
          world.dynos.push(dyno);
          if (attached && client !== undefined && (client === 'attached') === launched) {
            world.clients.set(dyno.id, client);
          }
          if (phase !== 'new' && phase !== 'gone') {
            const state = phase === 'ready' ? 'created' : phase;
            world.containers.push(aContainer(dyno, { state, finishedAt: phase === 'exited' ? NOW : null }));
          }
          const heard = !attached || world.clients.get(dyno.id) === 'attached';
          if (phase === 'running' && heard && !aged.has(dyno.id)) running.add(dyno.id);
        }
        const isOneOff = new Set(world.dynos.flatMap((dyno) => (dyno.oneOff === null ? [] : [dyno.id])));
        const launches = new Map<DynoId, number>();
        for (let round = 0; round < 12; round += 1) {
          const desired = round < 4 ? first : second;
          const now = round < 8 ? NOW : new Date(NOW.getTime() + ORPHAN_GRACE_MS);
          const steps = planDynos({
            desired,
            ...world,
            stopping: new Set(),
            cutOff: new Set(),
            preboot: false,
            cycleMs: DAY_MS,
            frozenMs: null,
            ...NO_ADDONS,
            watchingSince: before(50_000),
            now,
          });
          for (const step of steps) {
            if (!('dyno' in step) || !isOneOff.has(step.dyno.id)) continue;
            expect(['retry', 'recover', 'crash', 'insert']).not.toContain(step.kind);
            if (step.kind === 'retire') expect(step.reason).toBe('cycle');
            if (['retire', 'terminate', 'discard'].includes(step.kind)) expect(aged).toContain(step.dyno.id);
            if (aged.has(step.dyno.id)) expect(['launch', 'prepare', 'connect']).not.toContain(step.kind);
            if (running.has(step.dyno.id)) expect(step.kind).toBe('attend');
            if (step.kind === 'launch' || step.kind === 'connect') {
              launches.set(step.dyno.id, (launches.get(step.dyno.id) ?? 0) + 1);
            }
          }
          apply(world, steps);
        }
        for (const count of launches.values()) expect(count).toBe(1);
        const left = [...world.dynos.map(({ id }) => id), ...world.containers.map(({ dynoId }) => dynoId)];
        for (const dynoId of aged) {
          if (world.clients.get(dynoId) !== 'attached') expect(left).not.toContain(dynoId);
        }
        for (const dynoId of running) {
          expect(world.dynos.find((dyno) => dyno.id === dynoId)?.state).toBe('up');
          expect(world.containers.find((container) => container.dynoId === dynoId)?.state).toBe('running');
        }
      }),
      { numRuns: 300 },
    );
  });
});
