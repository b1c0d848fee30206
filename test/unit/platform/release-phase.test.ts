import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import type { App } from '../../../src/domain/app';
import type { AccountId, ReleaseId } from '../../../src/domain/ids';
import type { Release } from '../../../src/domain/release';
import { EngineError, type ContainerSpec } from '../../../src/engine/engine';
import { DYNO_NAME_LABEL } from '../../../src/engine/labels';
import { DynoWorld } from '../../support/dyno-world';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const NEVER = new AbortController().signal;
const TYPES = { worker: 'work', release: 'migrate' };

const isRelease = (spec: ContainerSpec): boolean =>
  spec.labels[DYNO_NAME_LABEL]?.startsWith('release.') === true;

describe('The release phase', () => {
  let world: DynoWorld;
  let app: App;

  beforeEach(async () => {
    world = new DynoWorld();
    await world.start();
    // v1 and v2 are made with the app, v3 has no release command.
    app = await world.createApp({ worker: 'work' });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
  });
  afterEach(() => world.stop());

  /** What release commands do from now on. */
  const commands = (exitCode: number, prints: string[] = []): void =>
    world.behave(isRelease, { exitAfterMs: 10 * SECOND, exitCode, prints });
  const statuses = (): string[] =>
    world.releases
      .list(app)
      .slice(2)
      .map(({ version, status, current }) => `v${version} ${status}${current ? ' current' : ''}`);
  const setVar = (value: string): unknown => world.configVars.update(world.account, app, { A: value });
  const releaseContainer = (): string =>
    world.engine.containers().find(({ spec }) => isRelease(spec))?.name ?? '';
  const states = (): string[] => world.states(app).map((state) => state.replace(/release\.\d{4}/, 'release'));
  const log = (from: string): string[] =>
    world.log(app, from).map((line) => line.replace(/release\.\d{4}/, 'release'));

  async function outputOf(id: ReleaseId): Promise<string | undefined> {
    const stream = world.releases.outputStream(id);
    if (stream === undefined) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  }

  test("runs the command first, then puts the release into effect, in Heroku's words", async () => {
    commands(0, ['migrating', 'done']);
    const release = await world.deploy(app, TYPES);
    expect(release).toMatchObject({ version: 4, status: 'pending', current: false, command: 'migrate' });
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 pending']);
    expect(states()).toEqual(['release up v4', 'worker.1 up v3']);
    await world.advance(10 * SECOND);
    expect(statuses()).toEqual(['v3 succeeded', 'v4 succeeded current']);
    expect(states()).toEqual(['worker.1 up v4']);
    const lines = log('');
    expect(lines.slice(lines.lastIndexOf('app[api]: Deploy aaaaaaaa by user user@example.com'))).toEqual([
      'app[api]: Deploy aaaaaaaa by user user@example.com',
      'app[api]: Running release v4 commands by user user@example.com',
      'app[api]: Starting process with command `migrate` by user user@example.com',
      'heroku[release]: Starting process with command `migrate`',
      'heroku[release]: State changed from starting to up',
      'app[release]: migrating',
      'app[release]: done',
      'heroku[release]: Process exited with status 0',
      'heroku[release]: State changed from up to complete',
      'app[api]: Release v4 created by user user@example.com',
      'heroku[worker.1]: Restarting',
      'heroku[worker.1]: State changed from up to starting',
      'heroku[worker.1]: Stopping all processes with SIGTERM',
      'heroku[worker.1]: Starting process with command `work`',
      'heroku[worker.1]: State changed from starting to up',
      'heroku[worker.1]: Process exited with status 143',
    ]);
    expect(await outputOf(release.id)).toBe('migrating\ndone\n');
    expect(world.engine.running()).toHaveLength(1);
  });

  test("gives the command its release's slug, config vars and dyno size", async () => {
    commands(0);
    await world.deploy(app, TYPES);
    await world.advance(10 * SECOND);
    world.formation.batchUpdate(world.account, app, [{ type: 'release', size: 'standard-2x' }]);
    setVar('new');
    await world.settle();
    expect(world.engine.containers().find(({ spec }) => isRelease(spec))?.spec).toMatchObject({
      env: { A: 'new', DYNO: expect.stringMatching(/^release\.\d{4}$/) },
      limits: { memoryBytes: 2 * 1024 * 1024 * 1024 },
    });
  });

  test.each([
    ['fails', () => commands(3), 'the release command exited with status 3.'],
    [
      'is not launched by the engine',
      () => world.engine.failNext('start', new EngineError('other', 'no such runtime')),
      'the dyno of the release command could not be launched: no such runtime',
    ],
  ])('leaves the old release running when the command %s', async (_, prepare, reason) => {
    prepare();
    // Drops a process type and brings one.
    const release = await world.deploy(app, { clock: 'tick', release: 'migrate' });
    await world.advance(10 * SECOND);
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 failed']);
    expect(states()).toEqual(['worker.1 up v3']);
    expect(world.log(app).at(-1)).toBe(`app[api]: Release v4 failed: ${reason}`);
    expect(world.store.events.of(app.id).at(-1)).toMatchObject({
      kind: 'release.fail',
      payload: { version: 4, reason },
    });
    expect(await outputOf(release.id)).toBe('');
    // `heroku releases:retry` wants to find it.
    expect(world.formation.list(app).map(({ type }) => type)).toEqual(['clock', 'release', 'worker']);

    commands(0);
    world.releases.createFromSlug(world.account, app, release.slugId ?? '', 'Retry of v4');
    await world.advance(10 * SECOND);
    expect(statuses()).toEqual(['v3 succeeded', 'v4 failed', 'v5 succeeded current']);
    expect(world.formation.list(app).map(({ type }) => type)).toEqual(['clock', 'release']);
    expect(states()).toEqual([]);
  });

  test('leaves an app without dynos when its first deploy fails, and serves with the next', async () => {
    const fresh = world.apps.create(world.account, { name: 'fresh' });
    commands(1);
    await world.deploy(fresh, { web: 'serve', release: 'migrate' });
    await world.advance(10 * SECOND);
    expect(world.states(fresh)).toEqual([]);
    expect(world.store.apps.get(fresh.id)).toMatchObject({ slugSize: 0 });
    commands(0);
    await world.deploy(fresh, { web: 'serve', release: 'migrate' });
    await world.advance(10 * SECOND);
    expect(world.store.dynos.of(fresh.id)).toMatchObject([{ type: 'web', releaseVersion: 4 }]);
    expect(world.store.apps.get(fresh.id)).toMatchObject({ slugSize: 1 });
  });

  test('is over after an hour, and when the dyno is stopped', async () => {
    world.cycleMs = 0;
    await world.restartManager();
    await world.deploy(app, TYPES);
    await world.advance(HOUR - 1);
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 pending']);
    await world.advance(1);
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 failed']);
    expect(world.log(app).at(-1)).toBe(
      'app[api]: Release v4 failed: the release command took longer than 1 hour.',
    );
    await world.deploy(app, TYPES);
    world.dynos.stop(world.account, app, { type: 'release' });
    await world.settle();
    expect(world.log(app).at(-1)).toBe('app[api]: Release v5 failed: the release command was stopped.');
    expect(world.engine.running()).toHaveLength(1);
  });

  test('comes with config vars: those of a failed release are in effect with the next that succeeds', async () => {
    commands(0);
    await world.deploy(app, TYPES);
    await world.advance(10 * SECOND);
    commands(1);
    setVar('1');
    await world.advance(10 * SECOND);
    expect(statuses().slice(1)).toEqual(['v4 succeeded current', 'v5 failed']);
    expect(world.releases.find(app, 'v5').configVars).toEqual({ A: '1' });
    expect(world.configVars.get(app)).toEqual({ A: '1' });
    expect(world.engine.containers()[0]?.spec.env).not.toHaveProperty('A');
    commands(0);
    world.configVars.update(world.account, app, { B: '2' });
    await world.advance(10 * SECOND);
    expect(statuses().slice(1)).toEqual(['v4 succeeded', 'v5 failed', 'v6 succeeded current']);
    expect(world.engine.containers()[0]?.spec.env).toMatchObject({ A: '1', B: '2' });
  });

  test('comes with a rollback, and is that of the release that is rolled back to', async () => {
    commands(0);
    await world.deploy(app, { worker: 'work', release: 'old' });
    await world.advance(10 * SECOND);
    await world.deploy(app, { worker: 'work', release: 'new' });
    await world.advance(10 * SECOND);
    const release = world.releases.rollback(world.account, app, 'v4');
    expect(release).toMatchObject({ version: 6, status: 'pending', command: 'old' });
    await world.advance(10 * SECOND);
    expect(world.releases.find(app, 'v6').current).toBe(true);
    // Back to code that has no command: at once.
    expect(world.releases.rollback(world.account, app, 'v3')).toMatchObject({
      status: 'succeeded',
      command: null,
    });
  });

  test('lets a release that is still pending be rolled back', async () => {
    expect(() => world.releases.rollback(world.account, app, 'v3')).toThrow('nothing to roll back');
    commands(0);
    await world.deploy(app, TYPES);
    world.releases.rollback(world.account, app, 'v3');
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 pending', 'v5 pending']);
    await world.advance(10 * SECOND);
    expect(statuses()).toEqual(['v3 succeeded', 'v4 succeeded', 'v5 succeeded current']);
    expect(states()).toEqual(['worker.1 up v5']);
  });

  test('is left out for releases that add-ons make', async () => {
    commands(0);
    await world.deploy(app, TYPES);
    await world.advance(10 * SECOND);
    const addOn = { id: randomUUID() as AccountId, email: 'heroku-redis@addons.heroku.com' };
    const release = world.releases.create(addOn, app, { description: 'Update REDIS' });
    expect(release).toMatchObject({ status: 'succeeded', command: null });
    expect(release.slugId).toBe(world.releases.find(app, 'v4').slugId);
    expect(await outputOf(release.id)).toBeUndefined();
  });

  test('takes releases one after the other, the next upon what has become of the one before', async () => {
    commands(1);
    const deploy = await world.deploy(app, TYPES);
    setVar('1');
    const addOn = { id: randomUUID() as AccountId, email: 'heroku-redis@addons.heroku.com' };
    world.releases.create(addOn, app, { description: 'Update REDIS' });
    const retry = world.releases.createFromSlug(world.account, app, deploy.slugId ?? '', 'Retry');
    expect(statuses()).toEqual([
      'v3 succeeded current',
      'v4 pending',
      'v5 pending',
      'v6 pending',
      'v7 pending',
    ]);
    expect(world.releases.find(app, 'v5').slugId).toBeNull();
    commands(0, ['again']);
    await world.advance(10 * SECOND);
    // v4 has failed, so that the config vars go with the code of v3, which has no release command.
    expect(statuses()).toEqual([
      'v3 succeeded', 'v4 failed', 'v5 succeeded', 'v6 succeeded current', 'v7 pending',
    ]); // prettier-ignore
    expect(world.releases.find(app, 'v6').slugId).toBe(world.releases.find(app, 'v3').slugId);
    expect(states()).toEqual(['release up v7', 'worker.1 up v6']);
    await world.advance(10 * SECOND);
    expect(statuses().at(-1)).toBe('v7 succeeded current');
    expect(await outputOf(retry.id)).toBe('again\n');
  });

  test('keeps what is pending in its place in the formation while an earlier release takes effect', async () => {
    commands(0);
    await world.deploy(app, TYPES);
    await world.deploy(app, { ...TYPES, clock: 'tick' });
    world.formation.batchUpdate(world.account, app, [{ type: 'clock', quantity: 2 }]);
    await world.advance(10 * SECOND);
    await world.advance(10 * SECOND);
    expect(states()).toEqual(['clock.1 up v5', 'clock.2 up v5', 'worker.1 up v5']);
  });

  test('can be followed while the command runs, and tells when it is over', async () => {
    const release = await world.deploy(app, TYPES);
    const output = outputOf(release.id);
    const settled = world.phase.settled(release.id, NEVER);
    const impatient = new AbortController();
    const givenUp = world.phase.settled(release.id, impatient.signal);
    impatient.abort();
    expect(await givenUp).toBeUndefined();
    world.engine.print(releaseContainer(), 'one');
    world.engine.print(releaseContainer(), 'two', 'stderr');
    await world.settle();
    world.engine.exit(releaseContainer(), 0);
    await world.settle();
    expect(await output).toBe('one\ntwo\n');
    expect(await settled).toMatchObject({ status: 'succeeded', current: true });
    expect(await world.phase.settled(release.id, NEVER)).toMatchObject({ status: 'succeeded' });
  });

  test('goes on over a restart of the daemon, with all of its output', async () => {
    const release = await world.deploy(app, TYPES);
    world.engine.print(releaseContainer(), 'before');
    await world.settle();
    await world.manager.stop();
    await world.phase.stop();
    world.engine.print(releaseContainer(), 'meanwhile');
    world.phase.start();
    await world.replaceManager();
    expect(statuses()).toEqual(['v3 succeeded current', 'v4 pending']);
    world.engine.exit(releaseContainer(), 0);
    await world.settle();
    expect(statuses()).toEqual(['v3 succeeded', 'v4 succeeded current']);
    expect(await outputOf(release.id)).toBe('before\nmeanwhile\n');
  });

  test.each([
    [
      'has failed',
      () => world.engine.exit(releaseContainer(), 9),
      'the release command exited with status 9.',
    ],
    ['is gone', () => world.engine.vanish(releaseContainer()), 'the dyno of the release command is gone.'],
  ])('is settled after a restart of the daemon when the command %s meanwhile', async (_, happen, reason) => {
    await world.deploy(app, TYPES);
    setVar('1');
    await world.manager.stop();
    await world.phase.stop();
    happen();
    world.phase.start();
    await world.replaceManager();
    expect(statuses()).toEqual(['v3 succeeded', 'v4 failed', 'v5 succeeded current']);
    expect(world.log(app)).toContain(`app[api]: Release v4 failed: ${reason}`);
  });

  test('ends with its app', async () => {
    const release: Release = await world.deploy(app, TYPES);
    const output = outputOf(release.id);
    const settled = world.phase.settled(release.id, NEVER);
    await world.apps.destroy(world.account, app.id);
    expect(await settled).toBeUndefined();
    expect(await output).toBe('');
    expect(world.engine.containers()).toEqual([]);
  });

  test('never lets two commands of an app run at once nor leaves one pending, whatever the order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('deploy', 'plain', 'config', 'rollback', 'exit 0', 'exit 1', 'restart'), {
          maxLength: 14,
        }),
        async (actions) => {
          const trial = new DynoWorld();
          trial.patience = 4;
          try {
            await trial.start();
            const subject = await trial.createApp({ worker: 'work' });
            const { account, engine } = trial;
            const running = (): string[] =>
              engine
                .containers()
                .flatMap(({ spec, name, state }) => (isRelease(spec) && state === 'running' ? [name] : []));
            for (const action of actions) {
              switch (action) {
                case 'deploy':
                  await trial.deploy(subject, TYPES);
                  break;
                case 'plain':
                  await trial.deploy(subject, { worker: 'work' });
                  break;
                case 'config':
                  trial.configVars.update(account, subject, { A: '1' });
                  break;
                case 'rollback': {
                  const target = trial.releases
                    .list(subject)
                    .find(
                      ({ slugId, status, current }) => slugId !== null && status === 'succeeded' && !current,
                    );
                  if (target !== undefined) trial.releases.rollback(account, subject, target.id);
                  break;
                }
                case 'exit 0':
                case 'exit 1':
                  for (const name of running()) engine.exit(name, Number(action.at(-1)));
                  break;
                case 'restart':
                  trial.mortal.kill();
                  await trial.phase.stop();
                  trial.phase.start();
                  await trial.replaceManager();
                  break;
              }
              await trial.settle();
              expect(running().length).toBeLessThan(2);
              const all = trial.releases.list(subject);
              // What waits comes after everything that is settled, and what is current before all of it.
              const firstPending = all.findIndex(({ status }) => status === 'pending');
              if (firstPending !== -1) {
                expect(all.slice(firstPending).every(({ status }) => status === 'pending')).toBe(true);
                expect(running()).toHaveLength(1);
              }
              expect(all.map(({ version }) => version)).toEqual(all.map((_, index) => index + 1));
            }
            for (let left = actions.length; left > 0; left -= 1) {
              for (const name of running()) engine.exit(name, left % 2);
              await trial.settle();
            }
            const all = trial.releases.list(subject);
            expect(all.filter(({ status }) => status === 'pending')).toEqual([]);
            const current = all.findLast(({ status }) => status === 'succeeded');
            expect(current?.current).toBe(true);
            expect(current?.slugId).not.toBeNull();
          } finally {
            await trial.stop();
          }
        },
      ),
      { numRuns: 25 },
    );
  }, 60_000);
});
