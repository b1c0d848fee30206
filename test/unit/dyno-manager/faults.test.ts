import fc from 'fast-check';
import type { App } from '../../../src/domain/app';
import { dynoName, type Dyno } from '../../../src/domain/dyno';
import type { DynoId } from '../../../src/domain/ids';
import { ONE_OFF_TYPE } from '../../../src/domain/one-off';
import { EngineError, type ContainerEngine, type Labels } from '../../../src/engine/engine';
import { DYNO_LABEL, DYNO_NAME_LABEL, ownedLabels, ROLE_LABEL } from '../../../src/engine/labels';
import { Attachments } from '../../../src/platform/dynos/attachments';
import { OneOffService } from '../../../src/platform/dynos/one-offs';
import { Store } from '../../../src/store/store';
import { DynoWorld, INSTALLATION } from '../../support/dyno-world';

type Method = keyof ContainerEngine;

type Action =
  | { do: 'deploy' | 'config' | 'rollback' | 'restart' | 'resync' | 'run' }
  | { do: 'scale'; type: 'web' | 'worker'; quantity: number }
  /** `which` picks one of those there are. */
  | { do: 'exit' | 'vanish'; which: number }
  | { do: 'crash-at-boot'; crashing: boolean }
  | { do: 'refuse'; method: Method; kind: 'other' | 'unreachable'; times: number }
  | { do: 'engine'; away: boolean }
  | { do: 'idle'; depth: 'stopped' | 'frozen' }
  | { do: 'wake' }
  | { do: 'kill'; calls: number; done: boolean }
  | { do: 'new-daemon' }
  | { do: 'wait'; ms: number };

const METHODS: Method[] = [
  'list',
  'create',
  'start',
  'inspect',
  'remove',
  'kill',
  'exec',
  'wait',
  'logs',
  'events',
  'info',
  'memory',
  'pause',
  'unpause',
];

const action = fc.oneof<fc.Arbitrary<Action>[]>(
  fc.record({ do: fc.constantFrom('deploy', 'config', 'rollback', 'restart', 'resync', 'run') }),
  fc.record({
    do: fc.constant('scale'),
    type: fc.constantFrom('web', 'worker'),
    quantity: fc.nat({ max: 4 }),
  }),
  fc.record({ do: fc.constantFrom('exit', 'vanish'), which: fc.nat({ max: 20 }) }),
  fc.record({ do: fc.constant('crash-at-boot'), crashing: fc.boolean() }),
  fc.record({
    do: fc.constant('refuse'),
    method: fc.constantFrom(...METHODS),
    kind: fc.constantFrom('other', 'unreachable'),
    times: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ do: fc.constant('engine'), away: fc.boolean() }),
  fc.record({ do: fc.constant('idle'), depth: fc.constantFrom('stopped', 'frozen') }),
  fc.record({ do: fc.constant('wake') }),
  fc.record({ do: fc.constant('kill'), calls: fc.nat({ max: 12 }), done: fc.boolean() }),
  fc.record({ do: fc.constant('new-daemon') }),
  fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(1, 400, 1000, 5000, 31_000, 60_000, 601_000) }),
);

/** fast-check prints the seed of a run that fails. */
const RUNS = Number(process.env.FAULT_RUNS ?? 40);
const POOL = 2;
const FOREIGN = [
  { name: 'foreign', labels: { 'somebody.else': 'yes' } },
  { name: 'of-another-installation', labels: ownedLabels('another-installation', 'dyno') },
  { name: 'sandbox-of-another', labels: ownedLabels('another-installation', 'sandbox') },
];

class Trial {
  readonly world = new DynoWorld(Store.open(':memory:'), POOL);
  /** When each crashed dyno's name may start again, and how many user actions there had been by then. */
  readonly #crashed = new Set<DynoId>();
  readonly #coolingOff = new Map<string, { until: Date; userActions: number }>();
  readonly #startedOneOffs = new Set<string>();
  #userActions = 0;
  readonly #violations: string[] = [];
  readonly #oneOffs = new OneOffService(this.world.context, new Attachments(this.world.clock));
  app!: App;

  async begin(): Promise<void> {
    const { world } = this;
    world.patience = 2;
    await world.start();
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
    world.behave((spec) => spec.labels[ROLE_LABEL] === 'dyno', {
      endpoint: world.endpoint,
      onStart: ({ spec }) => this.#noteStart(spec.labels),
    });
    for (const { name, labels } of FOREIGN) {
      await world.engine.start(
        await world.engine.create({ name, image: 'slug:1', env: {}, labels, network: 'net' }),
      );
    }
    // The pool's first sandboxes have no behaviour of ours yet.
    for (const { name, labels } of world.engine.containers()) {
      if (labels[ROLE_LABEL] === 'sandbox' && !FOREIGN.some((foreign) => foreign.name === name))
        world.engine.vanish(name);
    }
    await world.advance(1000);
    this.app = await world.createApp({ web: 'x', worker: 'y' });
    world.onChange = () => this.#noteCrashes();
  }

  async act(step: Action): Promise<void> {
    const { world, app } = this;
    const { account, engine } = world;
    switch (step.do) {
      case 'deploy':
        await this.#asUser(() => world.deploy(app, { web: 'x', worker: 'y' }));
        break;
      case 'config':
        await this.#asUser(() => world.configVars.update(account, app, { A: String(this.#userActions) }));
        break;
      case 'rollback':
        await this.#asUser(() => {
          const target = world.releases
            .list(app)
            .find((release) => release.slugId !== null && !release.current);
          if (target !== undefined) world.releases.rollback(account, app, target.id);
        });
        break;
      case 'restart':
        await this.#asUser(() => world.dynos.restart(account, app, { all: true }));
        break;
      case 'run':
        await this.#asUser(() => this.#oneOffs.create(account, app, { command: 'z', attach: false }));
        break;
      case 'scale': {
        const { type, quantity } = step;
        await this.#asUser(() => world.formation.batchUpdate(account, app, [{ type, quantity }]));
        break;
      }
      case 'resync':
        await this.#unlessKilled(() => world.manager.resync());
        break;
      case 'exit': {
        const running = this.#containers().filter(({ state }) => state === 'running');
        const chosen = running[step.which % running.length];
        if (chosen !== undefined) engine.exit(chosen.name, 1);
        break;
      }
      case 'vanish': {
        const containers = this.#containers();
        const chosen = containers[step.which % containers.length];
        if (chosen !== undefined) engine.vanish(chosen.name);
        break;
      }
      case 'crash-at-boot':
        world.behave((spec) => spec.labels[DYNO_NAME_LABEL] === 'worker.1', {
          onStart: ({ spec }) => this.#noteStart(spec.labels),
          ...(step.crashing ? { exitAfterMs: 700, exitCode: 1 } : {}),
        });
        break;
      case 'refuse':
        engine.failNext(step.method, new EngineError(step.kind, 'refused by the test'), step.times);
        break;
      case 'engine':
        engine.unreachable = step.away;
        break;
      case 'idle':
        await this.#unlessKilled(() => world.manager.idle(app.id, step.depth));
        break;
      case 'wake':
        // What crashed before it slept is started with the others.
        await this.#asUser(() => world.manager.wake(app.id));
        break;
      case 'kill':
        world.mortal.killAtCall(step.calls, step.done);
        break;
      case 'new-daemon':
        // In order, or as after a kill at an earlier step.
        if (world.mortal.dead) await world.replaceManager();
        else await this.#unlessKilled(() => world.restartManager());
        break;
      case 'wait':
        await world.clock.advance(step.ms);
        break;
    }
    await world.settle();
    this.#check();
  }

  /** Ends all faults, and waits as long as it may take: a minute, or for those that crashed their cool-off. */
  async converge(): Promise<void> {
    const { world } = this;
    world.patience = 4;
    await this.act({ do: 'crash-at-boot', crashing: false });
    world.engine.heal();
    world.mortal.spare();
    if (world.mortal.dead) await world.replaceManager();
    await this.act({ do: 'wake' });
    for (let round = 0; round < 25; round += 1) {
      await world.advance(31_000);
      await world.manager.resync(); // As every minute.
      await world.settle();
      const waiting = this.#dynos().flatMap(({ nextStartAt, state }) =>
        state === 'crashed' && nextStartAt !== null
          ? [nextStartAt.getTime() - world.clock.now().getTime()]
          : [],
      );
      if (round > 1 && waiting.length === 0) return;
      if (round > 1) await world.advance(Math.max(...waiting, 0));
      this.#check();
    }
  }

  /** What must hold once there is peace. */
  expectConverged(): void {
    const { world, app } = this;
    const current = world.store.releases.current(app.id);
    const wanted = world.store.formations
      .of(app.id)
      .flatMap(({ type, quantity }) =>
        Array.from({ length: quantity }, (_, index) => `${type}.${index + 1} up v${current?.version}`),
      );
    const dynos = this.#dynos();
    const oneOffs = dynos.filter(({ oneOff }) => oneOff !== null);
    const running = oneOffs.map((dyno) => `${dynoName(dyno)} up v${dyno.releaseVersion}`);
    expect(world.states(app).sort()).toEqual([...wanted, ...running].sort());
    const containers = this.#containers();
    const ofRole = (role: string): typeof containers =>
      containers.filter(({ labels }) => labels[ROLE_LABEL] === role);
    expect(containers.filter(({ state }) => state !== 'running')).toEqual([]);
    expect(
      ofRole('dyno')
        .map(({ labels }) => labels[DYNO_LABEL])
        .sort(),
    ).toEqual(dynos.map(({ id }) => id).sort());
    const taken = dynos.flatMap(({ sandbox }) => (sandbox === null ? [] : [sandbox]));
    expect(new Set(taken).size).toBe(taken.length);
    const holders = ofRole('sandbox').map(({ id }) => id as string);
    expect(holders).toEqual(expect.arrayContaining(taken));
    expect(holders).toHaveLength(taken.length + POOL);
    for (const { type, endpoint } of dynos) {
      if (type === 'web') expect(endpoint).toEqual(world.endpoint);
    }
    const versions = world.releases.list(app).map(({ version }) => version);
    expect(versions).toEqual(versions.map((_, index) => index + 1));
    this.#check();
  }

  async end(): Promise<void> {
    this.world.engine.heal();
    this.world.mortal.spare();
    if (this.world.mortal.dead) await this.world.replaceManager();
    await this.world.stop();
  }

  /** What must hold at any time. */
  #check(): void {
    const { engine } = this.world;
    expect(this.#violations).toEqual([]);
    expect(engine.running()).toEqual(expect.arrayContaining(FOREIGN.map(({ name }) => name)));
    const serving = this.#dynos().filter(({ state }) => state !== 'down');
    const names = serving.map(dynoName);
    expect(names).toEqual([...new Set(names)]);
    const ids = this.#containers().map(({ labels }) => labels[DYNO_LABEL]);
    for (const { id } of serving) expect(ids.filter((other) => other === id).length).toBeLessThan(2);
  }

  async #asUser(act: () => unknown): Promise<void> {
    await this.#unlessKilled(async () => {
      this.#userActions += 1;
      await act();
    });
  }

  /** A daemon that was killed answers nobody; one that is killed meanwhile does not come back. */
  async #unlessKilled(act: () => unknown): Promise<void> {
    const { mortal } = this.world;
    if (mortal.dead) return;
    await Promise.race([act(), mortal.death]);
  }

  #noteCrashes(): void {
    for (const dyno of this.#dynos()) {
      if (dyno.state !== 'crashed' || dyno.nextStartAt === null || this.#crashed.has(dyno.id)) continue;
      this.#crashed.add(dyno.id);
      const userActions = this.#userActions;
      this.#coolingOff.set(dynoName(dyno), { until: dyno.nextStartAt, userActions });
    }
  }

  #noteStart(labels: Labels): void {
    const name = labels[DYNO_NAME_LABEL] ?? '';
    if (name.startsWith(`${ONE_OFF_TYPE}.`)) {
      const id = labels[DYNO_LABEL] ?? '';
      if (this.#startedOneOffs.has(id)) this.#violations.push(`${name} started a second time`);
      this.#startedOneOffs.add(id);
    }
    const coolingOff = this.#coolingOff.get(name);
    if (coolingOff === undefined || coolingOff.userActions !== this.#userActions) return;
    const early = coolingOff.until.getTime() - this.world.clock.now().getTime();
    if (early > 0) this.#violations.push(`${name} started ${early} ms before the end of its cool-off`);
  }

  #dynos(): Dyno[] {
    return this.world.store.dynos.of(this.app.id);
  }

  #containers(): ReturnType<DynoWorld['engine']['containers']> {
    return this.world.engine
      .containers()
      .filter(({ labels }) => labels['dynodock.installation'] === INSTALLATION);
  }
}

describe('The dyno manager', () => {
  test(
    'converges after whatever happens, within its rules all the way',
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 4, maxLength: 25 }), async (actions) => {
          const trial = new Trial();
          try {
            await trial.begin();
            for (const step of actions) await trial.act(step);
            await trial.converge();
            trial.expectConverged();
          } finally {
            await trial.end();
          }
        }),
        { numRuns: RUNS },
      );
    },
    Math.max(60_000, RUNS * 1000),
  );
});
