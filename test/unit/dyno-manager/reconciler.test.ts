import type { ContainerSpec } from '../../../src/engine/engine';
import { EngineError } from '../../../src/engine/engine';
import { DYNO_NAME_LABEL, ownedLabels } from '../../../src/engine/labels';
import { DynoWorld, INSTALLATION } from '../../support/dyno-world';

const isDyno =
  (name: string) =>
  (spec: ContainerSpec): boolean =>
    spec.labels[DYNO_NAME_LABEL] === name;
const MINUTE = 60_000;

describe('Reconciler', () => {
  let world: DynoWorld;
  beforeEach(async () => {
    world = new DynoWorld();
    await world.start();
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: world.endpoint });
  });
  afterEach(() => world.stop());

  test('brings a first deploy up, and says so as Heroku does', async () => {
    const app = await world.createApp({ web: 'node server.js -p $PORT', worker: 'node worker.js' });
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.log(app, 'app[api]: Release v3 created by user user@example.com')).toEqual([
      'app[api]: Scaled to web@1:Eco worker@0:Eco by user user@example.com',
      'heroku[web.1]: Starting process with command `node server.js -p PORT`',
      'heroku[web.1]: State changed from starting to up',
    ]);
  });

  test('gives a dyno its config vars, name and port', async () => {
    const app = await world.createApp();
    world.configVars.update(world.account, app, { GREETING: 'hi', PORT: '1' });
    await world.deploy(app, { web: 'x' });
    const [container] = world.engine.containers();
    const dyno = world.store.dynos.of(app.id)[0];
    expect(container?.spec.env).toMatchObject({ GREETING: 'hi', DYNO: 'web.1', PORT: String(dyno?.port) });
    expect(container?.spec.limits).toMatchObject({ memoryBytes: 1024 * 1024 * 1024, pids: 256 });
    expect(container?.spec.unprivileged).not.toBe(false);
  });

  test('makes a slug’s image again where the engine has it no more, and remembers its new name', async () => {
    const asked: string[] = [];
    world.restoreImage = async (slug) => {
      asked.push(slug.image);
      return world.engine.addImage('slug:1-again').references[0] ?? '';
    };
    await world.engine.removeImage('slug:1');
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(asked).toEqual(['slug:1']);
    const [container] = world.engine.containers();
    expect(container?.spec.image).toBe('slug:1-again');
    expect(world.store.slugs.of(app.id).map(({ image }) => image)).toEqual(['slug:1-again']);
  });

  test('says so where the image cannot be made again', async () => {
    await world.engine.removeImage('slug:1');
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    expect(world.log(app)).toContain(
      'heroku[web.1]: Error R99 (Platform error) -> Failed to launch the dyno: no archive',
    );
  });

  test('replaces dynos at a config change: the new one starts while the old one ends', async () => {
    const app = await world.createApp({ web: 'x' });
    world.configVars.update(world.account, app, { A: '1' });
    await world.settle();
    expect(world.states(app)).toEqual(['web.1 up v4']);
    const log = world.log(app, 'app[api]: Release v4 created by user user@example.com');
    expect(log.slice(0, 3)).toEqual([
      'heroku[web.1]: Restarting',
      'heroku[web.1]: State changed from up to starting',
      'heroku[web.1]: Stopping all processes with SIGTERM',
    ]);
    expect([...log].sort()).toEqual(
      [
        'heroku[web.1]: Restarting',
        'heroku[web.1]: State changed from up to starting',
        'heroku[web.1]: Stopping all processes with SIGTERM',
        'heroku[web.1]: Process exited with status 143',
        'heroku[web.1]: Starting process with command `x`',
        'heroku[web.1]: State changed from starting to up',
      ].sort(),
    );
    expect(world.engine.running()).toHaveLength(1);
  });

  test('scales up by starting only what is missing, and down from the top', async () => {
    const app = await world.createApp({ web: 'x' });
    const [first] = world.engine.running();
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: '+2' }]);
    await world.settle();
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3', 'web.3 up v3']);
    expect(world.engine.running()).toContain(first);
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 1 }]);
    await world.settle();
    expect(world.engine.running()).toEqual([first]);
    expect(world.log(app)).toEqual(
      expect.arrayContaining([
        'app[api]: Scaled to web@1:Eco by user user@example.com',
        'heroku[web.3]: State changed from up to down',
        'heroku[web.3]: Process exited with status 143',
      ]),
    );
  });

  test('restarts a crashed dyno at once, then after 10 and 20 minutes', async () => {
    const app = await world.createApp({ worker: 'x' });
    world.behave(isDyno('worker.1'), { exitAfterMs: 1000, exitCode: 1 });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    expect(world.states(app)).toEqual(['worker.1 up v3']);
    await world.advance(1000);
    expect(world.log(app).slice(-5)).toEqual([
      'heroku[worker.1]: Process exited with status 1',
      'heroku[worker.1]: State changed from up to crashed',
      'heroku[worker.1]: State changed from crashed to starting',
      'heroku[worker.1]: Starting process with command `x`',
      'heroku[worker.1]: State changed from starting to up',
    ]);
    await world.advance(1000);
    expect(world.states(app)).toEqual(['worker.1 crashed v3']);
    await world.advance(10 * MINUTE - 1);
    expect(world.states(app)).toEqual(['worker.1 crashed v3']);
    await world.advance(1);
    expect(world.states(app)).toEqual(['worker.1 up v3']);
    await world.advance(1000);
    await world.advance(20 * MINUTE - 1);
    expect(world.states(app)).toEqual(['worker.1 crashed v3']);
    await world.advance(1);
    expect(world.states(app)).toEqual(['worker.1 up v3']);
  });

  test('never calls a web dyno up that ended before it had an address', async () => {
    world.behave(isDyno('web.1'), { exitAfterMs: 1, exitCode: 3 });
    world.engine.delay('inspect', 5);
    const app = await world.createApp({ web: 'x' });
    await world.advance(5);
    await world.advance(5);
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    expect(world.log(app)).not.toContain('heroku[web.1]: State changed from starting to up');
    expect(world.log(app)).toContain('heroku[web.1]: State changed from starting to crashed');
  });

  test('forgets crashes with a new release and at a restart by hand', async () => {
    const app = await world.createApp({ worker: 'x' });
    world.behave(isDyno('worker.1'), { exitAfterMs: 1000, exitCode: 0 });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    await world.advance(1000);
    await world.advance(1000);
    expect(world.states(app)).toEqual(['worker.1 crashed v3']);
    world.dynos.restart(world.account, app, { name: 'worker.1' });
    await world.settle();
    expect(world.states(app)).toEqual(['worker.1 up v3']);
    await world.advance(1000);
    await world.advance(1000);
    world.configVars.update(world.account, app, { A: '1' });
    await world.settle();
    expect(world.states(app)).toEqual(['worker.1 up v4']);
  });

  test('kills a web dyno that does not listen within a minute (R10)', async () => {
    await new Promise((resolve) => world.listener.close(resolve));
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 starting v3']);
    await world.advance(59_000);
    expect(world.states(app)).toEqual(['web.1 starting v3']);
    await world.advance(1_000);
    const log = world.log(app, 'heroku[web.1]: Starting process with command `x`');
    expect(log).toEqual([]);
    expect(world.log(app)).toEqual(
      expect.arrayContaining([
        'heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch',
        'heroku[web.1]: Stopping process with SIGKILL',
        'heroku[web.1]: Process exited with status 137',
        'heroku[web.1]: State changed from starting to crashed',
      ]),
    );
  });

  test('says where a web dyno listens instead of on its port', async () => {
    await new Promise((resolve) => world.listener.close(resolve));
    world.behave(isDyno('web.1'), {
      exec: () => ({ exitCode: 0, stdout: '  0: 00000000:0BB8 00000000:0000 0A\n', stderr: '' }),
      endpoint: { host: '127.0.0.1', port: 1 },
    });
    const app = await world.createApp({ web: 'x' });
    await world.advance(60_000);
    expect(world.log(app).join('\n')).toMatch(/The process listens on port 3000, but not on \$PORT \(\d+\)/);
  });

  test('kills what ignores SIGTERM for 30 seconds (R12)', async () => {
    world.behave(isDyno('worker.1'), { ignoresSigterm: true });
    const app = await world.createApp({ worker: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 0 }]);
    await world.settle();
    await world.advance(29_999);
    expect(world.engine.running()).toHaveLength(1);
    await world.advance(1);
    expect(world.engine.running()).toEqual([]);
    expect(world.log(app).slice(-5)).toEqual([
      'heroku[worker.1]: State changed from up to down',
      'heroku[worker.1]: Stopping all processes with SIGTERM',
      'heroku[worker.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM',
      'heroku[worker.1]: Stopping remaining processes with SIGKILL',
      'heroku[worker.1]: Process exited with status 137',
    ]);
    expect(world.states(app)).toEqual([]);
  });

  test('tells of memory above the quota every 20 seconds (R14), and ends what takes twice as much (R15)', async () => {
    const memory = { rssBytes: 530 * 1024 * 1024 };
    world.behave(isDyno('worker.1'), { memory });
    const app = await world.createApp({ worker: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    await world.advance(20_000);
    expect(world.log(app).slice(-2)).toEqual([
      'heroku[worker.1]: Process running mem=530M(103.5%)',
      'heroku[worker.1]: Error R14 (Memory quota exceeded)',
    ]);
    memory.rssBytes = 1026 * 1024 * 1024;
    await world.advance(20_000);
    const log = world.log(app, 'heroku[worker.1]: Error R14 (Memory quota exceeded)');
    expect(log.slice(0, 5)).toEqual([
      'heroku[worker.1]: Process running mem=1026M(200.4%)',
      'heroku[worker.1]: Error R15 (Memory quota vastly exceeded)',
      'heroku[worker.1]: Stopping process with SIGKILL',
      'heroku[worker.1]: Process exited with status 137',
      'heroku[worker.1]: State changed from up to crashed',
    ]);
  });

  test('replaces dynos by fresh ones after a while', async () => {
    const app = await world.createApp({ web: 'x' });
    const [first] = world.engine.running();
    // Each dyno has its own time, by its id: 20 minutes in this world, and up to 216 more.
    const id = world.store.dynos.of(app.id)[0]?.id ?? '';
    const cycleMs = Math.round(20 * MINUTE + (parseInt(id.slice(0, 8), 16) / 0xffffffff) * 216 * MINUTE);
    await world.advance(cycleMs - 1000);
    expect(world.engine.running()).toEqual([first]);
    await world.advance(1000);
    expect(world.engine.running()).not.toContain(first);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.log(app)).toContain('heroku[web.1]: Cycling');
  });

  test('with preboot serves from the old dyno until the new one has been up for three minutes', async () => {
    const app = await world.createApp({ web: 'x' });
    world.store.appFeatures.set(app.id, { name: 'preboot', enabled: true, updatedAt: world.clock.now() });
    world.configVars.update(world.account, app, { A: '1' });
    await world.settle();
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.1 up v4']);
    await world.advance(3 * MINUTE - 1);
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.1 up v4']);
    await world.advance(1);
    expect(world.states(app)).toEqual(['web.1 up v4']);
    expect(world.engine.running()).toHaveLength(1);
  });

  test('puts what a dyno prints into the log, before the line of its end', async () => {
    world.behave(isDyno('worker.1'), { prints: ['hello', 'bye'], exitAfterMs: 1000, exitCode: 3 });
    const app = await world.createApp({ worker: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    await world.advance(1000);
    const log = world.log(app);
    expect(log.indexOf('app[worker.1]: bye')).toBeLessThan(
      log.indexOf('heroku[worker.1]: Process exited with status 3'),
    );
    expect(log.filter((line) => line === 'app[worker.1]: hello')).toHaveLength(2);
  });

  test('adopts running dynos after a restart of the daemon', async () => {
    const app = await world.createApp({ web: 'x' });
    const running = world.engine.running();
    await world.restartManager();
    expect(world.engine.running()).toEqual(running);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('replaces at once what ended while no daemon watched, without counting it as a crash', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.manager.stop();
    world.engine.exit(world.engine.running()[0] ?? '', 255);
    await world.clock.advance(1000);
    await world.restartManager();
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.crashCount).toBe(0);
  });

  test('replaces a dyno whose container was removed by hand', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.vanish(world.engine.running()[0] ?? '');
    await world.settle();
    expect(world.engine.running()).toHaveLength(1);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('goes on by itself once an unreachable engine is back', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.unreachable = true;
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 2 }]);
    await world.settle();
    await world.advance(5_000);
    world.engine.unreachable = false;
    await world.advance(31_000);
    expect(world.states(app)).toEqual(['web.1 up v3', 'web.2 up v3']);
    expect(world.engine.running()).toHaveLength(2);
  });

  test('tries a launch that the engine refuses again, less and less often, without counting it as a crash', async () => {
    world.engine.failNext('create', new EngineError('other', 'no such runtime'), 3);
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    expect(world.log(app)).toContain(
      'heroku[web.1]: Error R99 (Platform error) -> Failed to launch the dyno: no such runtime',
    );
    await world.advance(1000 + 2000 + 4000 - 1);
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    await world.advance(1);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.crashCount).toBe(0);
  });

  test('leaves no container behind of a launch that the engine refuses halfway', async () => {
    world.engine.failNext('start', new EngineError('other', 'no more memory'));
    const app = await world.createApp({ web: 'x' });
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
    expect(world.engine.containers()).toEqual([]);
    await world.advance(1000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('ends the wait for a dyno to listen also where the daemon was killed before it knew of the start', async () => {
    world.behave((spec) => spec.exposePort !== undefined, { endpoint: { host: '127.0.0.1', port: 1 } });
    const app = await world.createApp();
    world.mortal.killAtCall(1, true); // Create, start.
    await world.deploy(app, { web: 'x' });
    expect(world.engine.running()).toHaveLength(1);
    await world.replaceManager();
    expect(world.states(app)).toEqual(['web.1 starting v3']);
    await world.advance(MINUTE);
    expect(world.log(app)).toContain(
      'heroku[web.1]: Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch',
    );
  });

  test('does not call a web dyno up that ended before it had an address', async () => {
    world.behave(isDyno('web.1'), { onStart: ({ spec }) => world.engine.exit(spec.name, 1) });
    const app = await world.createApp({ web: 'x' });
    expect(world.log(app)).not.toContain('heroku[web.1]: State changed from starting to up');
    expect(world.states(app)).toEqual(['web.1 crashed v3']);
  });

  test('does not spin while the engine refuses to show what a dyno prints', async () => {
    world.engine.failNext('logs', new EngineError('other', 'broken'), 10_000);
    const calls = jest.spyOn(world.engine, 'list');
    const app = await world.createApp({ web: 'x' });
    await world.advance(10_000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(calls.mock.calls.length).toBeLessThan(60);
  });

  test('does not spin while the engine refuses to stop a dyno', async () => {
    const app = await world.createApp({ web: 'x' });
    const calls = jest.spyOn(world.engine, 'kill');
    world.engine.failNext('exec', new EngineError('other', 'broken'), 10_000);
    world.engine.failNext('kill', new EngineError('other', 'broken'), 10);
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
    await world.settle();
    await world.advance(8_000);
    expect(world.states(app)).toEqual(['web.1 down v3']);
    expect(calls.mock.calls.length).toBeLessThan(10);
    await world.advance(8_000);
    expect(world.states(app)).toEqual([]);
  });

  test('starts the next dyno while the engine takes its time to remove the last one', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.delay('remove', 40_000);
    world.dynos.restart(world.account, app, { all: true });
    await world.settle();
    world.configVars.update(world.account, app, { A: '1' });
    await world.settle();
    expect(world.states(app)).toContain('web.1 up v4');
    await world.advance(41_000);
    expect(world.states(app)).toEqual(['web.1 up v4']);
    expect(world.engine.containers()).toHaveLength(1);
  });

  test('takes stock again soon when the engine refuses to list at first', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.manager.stop();
    world.engine.exit(world.engine.running()[0] ?? '', 255);
    await world.clock.advance(1000);
    world.engine.failNext('list', new EngineError('other', 'broken'), 2);
    await world.restartManager();
    await world.advance(5000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('tries again soon after trouble that was short, however often it was asked to act meanwhile', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.failNext('list', new EngineError('unreachable', 'broken off'), 100);
    world.dynos.restart(world.account, app, { all: true });
    for (let kick = 0; kick < 8; kick += 1) {
      world.manager.kick(app.id);
      await world.settle();
    }
    expect(world.states(app)).toEqual(['web.1 down v3']);
    world.engine.heal();
    await world.advance(1_000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
  });

  test('launches no dyno that is told to stop while it waits for its turn', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.delay('create', 1000);
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 20 }]);
    await world.settle();
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 1 }]);
    world.dynos.restart(world.account, app, { name: 'web.20' });
    await world.advance(10_000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.log(app).filter((line) => line.startsWith('heroku[web.20]: Starting'))).toEqual([]);
  });

  test('counts no exit as a crash that happened while the engine was out of sight', async () => {
    const app = await world.createApp({ web: 'x' });
    world.engine.unreachable = true;
    await world.advance(1000);
    world.engine.exit(world.engine.running()[0] ?? '', 255);
    world.engine.failNext('info', new EngineError('other', 'broken'));
    world.engine.unreachable = false;
    world.manager.kick(app.id);
    await world.advance(10_000);
    expect(world.states(app)).toEqual(['web.1 up v3']);
    expect(world.store.dynos.of(app.id)[0]?.crashCount).toBe(0);
  });

  test('never touches containers of others', async () => {
    const foreign = { name: 'foreign', image: 'slug:1', env: {}, labels: { a: 'b' }, network: 'net' };
    await world.engine.start(await world.engine.create(foreign));
    const other = { ...foreign, name: 'other', labels: ownedLabels('another-installation', 'dyno') };
    await world.engine.start(await world.engine.create(other));
    const stray = {
      ...foreign,
      name: 'stray',
      labels: ownedLabels(INSTALLATION, 'dyno', { 'dynodock.app': 'gone' }),
    };
    await world.engine.start(await world.engine.create(stray));
    await world.createApp({ web: 'x' });
    await world.manager.resync();
    await world.settle();
    expect(world.engine.running()).toEqual(expect.arrayContaining(['foreign', 'other']));
    expect(world.engine.running()).not.toContain('stray');
  });

  test('removes everything of an app that is destroyed', async () => {
    const app = await world.createApp({ web: 'x' });
    await world.apps.destroy(world.account, app.name);
    expect(world.engine.containers()).toEqual([]);
  });
});
