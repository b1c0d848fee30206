import type { AppId } from '../../../src/domain/ids';
import { Signal } from '../../../src/lib/signal';
import { DeployWatch } from '../../../src/platform/dynos/deploy-watch';
import { DynoWorld } from '../../support/dyno-world';

describe('DeployWatch', () => {
  let world: DynoWorld;
  let watch: DeployWatch;
  const changes = new Signal<AppId>();
  beforeEach(async () => {
    world = new DynoWorld();
    world.onChange = (appId) => changes.emit(appId);
    await world.start();
    watch = new DeployWatch({ store: world.store, clock: world.clock, changes, patienceMs: 3000 });
  });
  afterEach(() => world.stop());
  const never = new AbortController().signal;

  test('is done as soon as the dynos are up', async () => {
    world.behave(() => true, { endpoint: world.endpoint });
    const app = await world.createApp({ web: 'x' });
    const release = world.releases.find(app, 'v3');
    await expect(watch.outcome(app.id, release.id, never)).resolves.toEqual({ crashed: [] });
  });

  test('names what crashes at boot', async () => {
    world.behave(() => true, { exitAfterMs: 500, exitCode: 1, endpoint: { host: '127.0.0.1', port: 1 } });
    const app = await world.createApp({ web: 'x' });
    const outcome = watch.outcome(app.id, world.releases.find(app, 'v3').id, never);
    await world.advance(500);
    await expect(outcome).resolves.toEqual({ crashed: ['web.1'] });
  });

  test('waits no longer than its patience for dynos that take their time', async () => {
    world.behave(() => true, { endpoint: { host: '127.0.0.1', port: 1 } });
    const app = await world.createApp({ web: 'x' });
    const outcome = watch.outcome(app.id, world.releases.find(app, 'v3').id, never);
    await world.advance(3000);
    await expect(outcome).resolves.toEqual({ crashed: [] });
  });
});
