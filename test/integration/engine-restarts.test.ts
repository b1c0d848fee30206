import { setTimeout as delay } from 'node:timers/promises';
import { OwnEngine } from '../support/own-engine';
import { execute, TestPlatform } from '../support/platform';
import { Prober } from '../support/prober';
import { realEngine, realStackImages } from '../support/stack';
import { SteadyApp } from '../support/steady-app';

const POOL = 2;
const CONVERGENCE_MS = 30_000;

jest.setTimeout(240_000);

const engine = new OwnEngine();

const bridges = async (): Promise<string> =>
  (await execute('ip', ['-oneline', 'link', 'show', 'docker0'])).stdout;
let before: string;

beforeAll(async () => {
  before = await bridges();
  const images = await realStackImages(await realEngine());
  await engine.start();
  await engine.copyImages(Object.values(images).flatMap(({ run, build }) => [run, build]));
});

afterAll(async () => {
  await engine.destroy();
  // The machine's own engine needs it for whatever has no network of its own.
  expect((await bridges()).split(':')[0]).toBe(before.split(':')[0]);
});

/** The engine under the dynos is ended and started again, as by an upgrade, a crash or the machine's reboot. */
describe.each([
  { kind: 'an engine that ends its containers along with itself', options: [], keepsRunning: false },
  { kind: 'an engine that leaves its containers running', options: ['--live-restore'], keepsRunning: true },
])('$kind', ({ options, keepsRunning }) => {
  const settings: Record<string, string> = { DYNODOCK_READY_SANDBOXES: String(POOL) };
  const platform = new TestPlatform(settings);
  const app = new SteadyApp(platform, { name: 'steady', pool: POOL, dockerHost: engine.dockerHost });

  beforeAll(async () => {
    await engine.stop('SIGTERM');
    await engine.start(options);
    settings.DOCKER_HOST = engine.dockerHost;
    await platform.start();
    await app.create(['one']);
    for (const [type, quantity] of [
      ['web', 2],
      ['worker', 1],
    ]) {
      await platform.api('PATCH', `/apps/${app.name}/formation/${type}`, { quantity });
    }
    await app.expectConverged(CONVERGENCE_MS);
  });

  afterAll(() => platform.destroy());

  // A dockerd that is killed while it makes a container leaves network devices behind that nobody owns.
  beforeEach(() => app.untilPoolIsFull());

  const dynoContainers = async (): Promise<string[]> =>
    (await app.containers()).flatMap(({ id, role }) => (role === 'dyno' ? [id] : [])).sort();

  const expectAsAsked = async (): Promise<void> => {
    await app.expectConverged(CONVERGENCE_MS).catch((error: unknown) => {
      const log = platform.daemonOutput.split('\n').slice(-40).join('\n');
      throw new Error(`${String(error)}\n${log}\n${engine.log.slice(-3000)}`, { cause: error });
    });
    // What the engine has ended is not the app's fault.
    const crashes = app
      .events()
      .filter(({ kind, payload }) => kind === 'dyno.state' && payload.to === 'crashed');
    expect(crashes).toEqual([]);
    const versions = (await app.releases()).map(({ version }) => version);
    expect(versions).toEqual(versions.map((_, index) => index + 1));
    expect((await platform.visit(app.name)).status).toBe(200);
  };

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'restarted with %s is followed by what was asked for',
    async (signal) => {
      const before = await dynoContainers();
      const prober = new Prober({ port: platform.httpPort, host: `${app.name}.localhost` });
      prober.start();
      await engine.stop(signal);
      await engine.start();
      await expectAsAsked();
      await prober.stop();
      if (!keepsRunning) return;
      expect(await dynoContainers()).toEqual(before);
      expect(prober.failures).toEqual([]);
    },
  );

  test('away for a while, and for some of the time the daemon too, is followed by what was asked for', async () => {
    await engine.stop('SIGKILL');
    const changed = await platform.api('PATCH', `/apps/${app.name}/config-vars`, { CHANGED: 'meanwhile' });
    expect(changed.status).toBe(200);
    await delay(2_000);
    await platform.stopDaemon('SIGKILL');
    await engine.start();
    platform.startDaemon();
    await platform.untilAnswering();
    await expectAsAsked();
    expect((await platform.visit(app.name, '/env?CHANGED')).body).toBe('meanwhile');
  });
});
