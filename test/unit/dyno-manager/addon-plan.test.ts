import fc from 'fast-check';
import { NO_BACKEND, purgeAt, UNDELETE_MS, type AddOn, type AddOnState } from '../../../src/domain/addon';
import type { AddOnId, AppId } from '../../../src/domain/ids';
import {
  backOffMs,
  judgeEnd,
  MAX_FAILURES_AT_FIRST,
  nextAddOnDeadline,
  planAddOn,
  PROVISION_TIMEOUT_MS,
  type AddOnPlanInput,
  type AddOnStep,
  type ObservedBackend,
  type Rest,
} from '../../../src/dyno-manager/addon-plan';
import type { ContainerId } from '../../../src/engine/engine';

const NOW = new Date('2025-06-01T12:00:00.000Z');
const ago = (ms: number): Date => new Date(NOW.getTime() - ms);

function anAddOn(more: Partial<AddOn> = {}): AddOn {
  return {
    id: 'a' as AddOnId,
    appId: 'app' as AppId,
    appName: 'demo',
    name: 'redis-solid-00001',
    service: 'heroku-redis',
    plan: 'mini',
    state: 'provisioned',
    config: { credentials: {}, values: {} },
    options: {},
    provisionMessage: null,
    failure: null,
    announced: false,
    attachAs: null,
    backend: NO_BACKEND,
    createdAt: ago(60_000),
    updatedAt: ago(60_000),
    provisionedAt: ago(30_000),
    deprovisionedAt: null,
    ...more,
  };
}

function aContainer(more: Partial<ObservedBackend> = {}): ObservedBackend {
  return {
    id: 'c1' as ContainerId,
    state: 'running',
    spec: 'spec',
    exitCode: null,
    createdAt: ago(60_000),
    startedAt: ago(60_000),
    finishedAt: null,
    ...more,
  };
}

function plan(more: Partial<AddOnPlanInput>): AddOnStep[] {
  return planAddOn({
    addon: anAddOn(),
    wanted: 'spec',
    containers: [],
    serving: null,
    told: false,
    rest: null,
    now: NOW,
    ...more,
  });
}
const kinds = (more: Partial<AddOnPlanInput>): string[] => plan(more).map(({ kind }) => kind);

describe('an add-on that is wanted', () => {
  test('is created, started, probed and then left alone', () => {
    const c = 'c1' as ContainerId;
    expect(kinds({})).toEqual(['create']);
    expect(kinds({ containers: [aContainer({ state: 'created' })] })).toEqual(['start']);
    expect(kinds({ containers: [aContainer()] })).toEqual(['probe']);
    expect(kinds({ containers: [aContainer()], serving: c })).toEqual([]);
    const addon = anAddOn({ state: 'provisioning', provisionedAt: null });
    expect(kinds({ addon, containers: [aContainer()], serving: c })).toEqual(['ready']);
    // It is being filled.
    expect(kinds({ addon, containers: [aContainer()], serving: c, told: true })).toEqual([]);
    const later = new Date(NOW.getTime() + 2 * PROVISION_TIMEOUT_MS);
    expect(kinds({ addon, containers: [aContainer()], serving: c, told: true, now: later })).toEqual([]);
  });

  test('is started again after an end, once that is counted and its time has come', () => {
    const ended = aContainer({ state: 'exited', exitCode: 1, finishedAt: ago(1000) });
    expect(kinds({ containers: [ended] })).toEqual(['count']);
    const counted = (nextStartAt: Date | null): AddOn =>
      anAddOn({ backend: { ...NO_BACKEND, endedAt: ago(1000), nextStartAt } });
    expect(kinds({ addon: counted(null), containers: [ended] })).toEqual(['start']);
    const later = new Date(NOW.getTime() + 1000);
    expect(kinds({ addon: counted(later), containers: [ended] })).toEqual([]);
    expect(kinds({ addon: counted(later) })).toEqual([]);
    const input = {
      addon: counted(later),
      wanted: 'spec',
      containers: [ended],
      serving: null,
      told: false,
      rest: null,
      now: NOW,
    };
    expect(nextAddOnDeadline(input)).toEqual(later);
  });

  test('gets a new container when it is to be made of something else, running or not', () => {
    expect(plan({ containers: [aContainer({ spec: 'old' })] })).toEqual([
      { kind: 'replace', containerId: 'c1', running: true },
    ]);
    expect(plan({ containers: [aContainer({ spec: 'old', state: 'exited' })] })).toEqual([
      { kind: 'replace', containerId: 'c1', running: false },
    ]);
  });

  test('is left as it is while nobody knows its service', () => {
    for (const containers of [[], [aContainer()], [aContainer({ state: 'exited', finishedAt: NOW })]]) {
      expect(kinds({ wanted: null, containers })).toEqual([]);
    }
  });

  test('is given up only if it never was usable', () => {
    const failing = { ...NO_BACKEND, failures: MAX_FAILURES_AT_FIRST, problem: 'no room' };
    const fresh = anAddOn({ state: 'provisioning', provisionedAt: null });
    expect(plan({ addon: { ...fresh, backend: failing } })).toEqual([{ kind: 'fail', reason: 'no room' }]);
    expect(kinds({ addon: { ...fresh, updatedAt: ago(PROVISION_TIMEOUT_MS) } })).toEqual(['fail']);
    expect(kinds({ addon: anAddOn({ backend: failing, updatedAt: ago(PROVISION_TIMEOUT_MS) }) })).toEqual([
      'create',
    ]);
  });

  test('waits longer and longer, and forgets ends after a good run', () => {
    const run = (ms: number): Pick<ObservedBackend, 'startedAt' | 'finishedAt'> => ({
      startedAt: ago(ms),
      finishedAt: NOW,
    });
    expect(judgeEnd(0, run(1000))).toEqual({ failures: 1, delayMs: 0 });
    expect(judgeEnd(1, run(1000))).toEqual({ failures: 2, delayMs: 1000 });
    expect(judgeEnd(4, run(1000))).toEqual({ failures: 5, delayMs: 8000 });
    expect(judgeEnd(30, run(1000)).delayMs).toBe(60_000);
    expect(judgeEnd(30, run(60_000))).toEqual({ failures: 0, delayMs: 0 });
    expect(backOffMs(1)).toBe(1000);
  });
});

describe('an add-on that was destroyed', () => {
  test('loses its container at once and its volume after a week', () => {
    const addon = anAddOn({ state: 'deprovisioned', deprovisionedAt: ago(1000) });
    expect(plan({ addon, containers: [aContainer()] })).toEqual([
      { kind: 'remove', containerId: 'c1', running: true },
    ]);
    expect(kinds({ addon })).toEqual([]);
    const input = { addon, wanted: 'spec', containers: [], serving: null, told: false, rest: null, now: NOW };
    expect(nextAddOnDeadline(input)).toEqual(purgeAt(addon));
    const old = { ...addon, deprovisionedAt: ago(UNDELETE_MS) };
    expect(kinds({ addon: old })).toEqual(['purge']);
    expect(kinds({ addon: old, containers: [aContainer({ state: 'exited' })] })).toEqual(['remove']);
  });
});

describe('an add-on whose apps are all asleep', () => {
  const rest = (depth: Rest['depth'], inMs = 0): Rest => ({ depth, dozeAt: new Date(NOW.getTime() + inMs) });
  const c = 'c1' as ContainerId;

  test('is shut down or paused, and then left so', () => {
    for (const depth of ['stop', 'freeze'] as const) {
      expect(plan({ rest: rest(depth), containers: [aContainer()], serving: c })).toEqual([
        { kind: 'doze', containerId: c, depth },
      ]);
    }
    const paused = [aContainer({ state: 'paused' })];
    expect(plan({ rest: rest('freeze'), containers: paused })).toEqual([]);
    expect(kinds({ rest: rest('stop'), containers: paused })).toEqual(['doze']);
    const ended = aContainer({ state: 'exited', finishedAt: ago(1000) });
    expect(kinds({ rest: rest('stop'), containers: [ended] })).toEqual(['note']);
    const noted = anAddOn({ backend: { ...NO_BACKEND, endedAt: ago(1000) } });
    expect(plan({ rest: rest('stop'), addon: noted, containers: [ended] })).toEqual([]);
    expect(plan({ rest: rest('stop') })).toEqual([]);
  });

  test('stays awake for a while if it ran before this daemon did, and asleep if it slept', () => {
    const soon = rest('stop', 1000);
    expect(kinds({ rest: soon, containers: [aContainer()] })).toEqual(['probe']);
    const input = {
      addon: anAddOn(),
      wanted: 'spec',
      containers: [aContainer()],
      serving: c,
      told: false,
      now: NOW,
    };
    expect(nextAddOnDeadline({ ...input, rest: soon })).toEqual(soon.dozeAt);
    const noted = anAddOn({ backend: { ...NO_BACKEND, endedAt: NOW } });
    const containers = [aContainer({ state: 'exited', finishedAt: ago(1000) })];
    expect(plan({ rest: soon, addon: noted, containers })).toEqual([]);
    expect(plan({ rest: rest('freeze', 1000), containers: [aContainer({ state: 'paused' })] })).toEqual([]);
  });

  test('gets its other plan when it wakes', () => {
    const containers = [aContainer({ spec: 'old', state: 'exited' })];
    expect(kinds({ rest: rest('stop'), containers })).toEqual(['replace']);
    expect(kinds({ rest: rest('stop'), containers: [] })).toEqual([]);
    expect(kinds({ containers: [] })).toEqual(['create']);
  });
});

describe('a container without an add-on', () => {
  test('goes once it is old enough', () => {
    expect(kinds({ addon: undefined, containers: [aContainer()] })).toEqual(['remove-orphan']);
    expect(kinds({ addon: undefined, containers: [aContainer({ createdAt: ago(1000) })] })).toEqual([]);
  });
});

describe('whatever there is', () => {
  const date = fc.integer({ min: -10 * UNDELETE_MS, max: 1000 }).map((ms) => new Date(NOW.getTime() + ms));
  const containerArb = fc.record({
    id: fc.constantFrom('c1', 'c2', 'c3').map((id) => id as ContainerId),
    state: fc.constantFrom<ObservedBackend['state']>('created', 'running', 'paused', 'exited'),
    spec: fc.constantFrom('spec', 'old'),
    exitCode: fc.option(fc.integer({ min: 0, max: 255 })),
    createdAt: date,
    startedAt: fc.option(date),
    finishedAt: fc.option(date),
  });
  const addonArb = fc.record({
    state: fc.constantFrom<AddOnState>('provisioning', 'provisioned', 'deprovisioning', 'deprovisioned'),
    failures: fc.nat({ max: 10 }),
    nextStartAt: fc.option(date),
    endedAt: fc.option(date),
    provisionedAt: fc.option(date),
    updatedAt: date,
    deprovisionedAt: date,
  });
  const inputArb = fc.record({
    addon: fc.option(addonArb, { nil: undefined }).map((facts) => {
      if (facts === undefined) return undefined;
      const { failures, nextStartAt, endedAt, deprovisionedAt, ...rest } = facts;
      const isDestroyed = rest.state === 'deprovisioned';
      return anAddOn({
        ...rest,
        deprovisionedAt: isDestroyed ? deprovisionedAt : null,
        backend: { ...NO_BACKEND, failures, nextStartAt, endedAt },
      });
    }),
    wanted: fc.option(fc.constantFrom('spec', 'new')),
    containers: fc.uniqueArray(containerArb, { selector: ({ id }) => id, maxLength: 3 }),
    serving: fc.option(fc.constantFrom('c1', 'c2').map((id) => id as ContainerId)),
    told: fc.boolean(),
    rest: fc.option(fc.record({ depth: fc.constantFrom<Rest['depth']>('stop', 'freeze'), dozeAt: date })),
  });

  test('a container is created only where there is none, so that no two have one volume', () => {
    fc.assert(
      fc.property(inputArb, (input) => {
        const steps = planAddOn({ ...input, now: NOW });
        if (steps.some(({ kind }) => kind === 'create')) {
          expect(input.containers).toEqual([]);
          expect(steps).toHaveLength(1);
        }
      }),
    );
  });

  test('only containers that were looked at are touched', () => {
    fc.assert(
      fc.property(inputArb, (input) => {
        const own = new Set(input.containers.map(({ id }) => id));
        for (const step of planAddOn({ ...input, now: NOW })) {
          if ('containerId' in step) expect(own).toContain(step.containerId);
          if (step.kind === 'count' || step.kind === 'note') expect(own).toContain(step.container.id);
        }
      }),
    );
  });

  test('a volume goes only with a destroyed add-on whose time is over and that has no container left', () => {
    fc.assert(
      fc.property(inputArb, (input) => {
        if (!planAddOn({ ...input, now: NOW }).some(({ kind }) => kind === 'purge')) return;
        expect(input.addon?.state).toBe('deprovisioned');
        expect(input.containers).toEqual([]);
        expect(purgeAt(input.addon as AddOn)?.getTime()).toBeLessThanOrEqual(NOW.getTime());
      }),
    );
  });

  test('while it may sleep nothing wakes it, and while it may not nothing puts it to sleep', () => {
    fc.assert(
      fc.property(inputArb, (input) => {
        const steps = planAddOn({ ...input, now: NOW }).map(({ kind }) => kind);
        const { rest } = input;
        if (input.addon?.state === 'provisioned' && rest !== null && rest.dozeAt <= NOW) {
          for (const kind of steps) expect(['replace', 'doze', 'note']).toContain(kind);
        }
        if (rest === null || rest.dozeAt > NOW || input.addon?.state !== 'provisioned') {
          expect(steps).not.toContain('doze');
        }
        if (rest === null) expect(steps).not.toContain('note');
      }),
    );
  });

  test('carrying out the plan comes to an end', () => {
    fc.assert(
      fc.property(inputArb, (start) => {
        let input: AddOnPlanInput = { ...start, now: NOW };
        for (let round = 0; round < 12; round += 1) {
          const steps = planAddOn(input);
          if (steps.length === 0) return;
          for (const step of steps) input = after(step, input);
        }
        throw new Error('it does not settle');
      }),
    );
  });
});

/** What the world looks like once a step has done what it is for. */
function after(step: AddOnStep, input: AddOnPlanInput): AddOnPlanInput {
  const { addon, containers } = input;
  const without = (id: ContainerId): ObservedBackend[] => containers.filter((each) => each.id !== id);
  const replace = (id: ContainerId, more: Partial<ObservedBackend>): ObservedBackend[] =>
    containers.map((each) => (each.id === id ? { ...each, ...more } : each));
  switch (step.kind) {
    case 'create':
      return {
        ...input,
        containers: [aContainer({ state: 'created', spec: input.wanted ?? '', createdAt: NOW })],
        serving: null,
      };
    case 'replace':
    case 'remove':
    case 'remove-orphan':
      return { ...input, containers: without(step.containerId) };
    case 'start':
    case 'resume':
      return { ...input, containers: replace(step.containerId, { state: 'running', finishedAt: null }) };
    case 'doze':
      return {
        ...input,
        containers: replace(
          step.containerId,
          step.depth === 'freeze' ? { state: 'paused' } : { state: 'exited', finishedAt: NOW },
        ),
        serving: null,
      };
    case 'count':
    case 'note':
      return {
        ...input,
        addon: {
          ...(addon as AddOn),
          backend: { ...(addon as AddOn).backend, endedAt: step.container.finishedAt },
        },
      };
    case 'probe':
      return { ...input, serving: step.containerId };
    case 'ready':
      return { ...input, addon: { ...(addon as AddOn), state: 'provisioned', provisionedAt: NOW } };
    case 'fail':
      return { ...input, addon: { ...(addon as AddOn), state: 'deprovisioned', deprovisionedAt: NOW } };
    case 'purge':
      return { ...input, addon: undefined };
  }
}
