import { needyApp } from '../support/needy-app';
import { eventually, execute, TestPlatform, words } from '../support/platform';

jest.setTimeout(300_000);

const settings: Record<string, string> = { DYNODOCK_ADDON_SLEEP: 'stop', DYNODOCK_ADDON_LINGER_SECONDS: '1' };
const platform = new TestPlatform(settings);

beforeAll(async () => {
  await platform.start();
  const images = await platform.dynodock(['images', '--addons', 'postgres', 'redis'], {}, 600_000);
  expect(images).toMatchObject({ exitCode: 0 });
  await platform.api('POST', '/apps', { name: 'needy' });
  for (const plan of ['heroku-postgresql:essential-0', 'heroku-redis:mini']) {
    const name = plan.replace(/:.*/, '-1').replace('heroku-', '');
    await platform.api('POST', '/apps/needy/addons', { plan, name });
    await eventually(`${name} to be usable`, async () => {
      const { body } = await platform.api('GET', `/addons/${name}`);
      return (body as { state: string }).state === 'provisioned';
    });
  }
  const folder = await platform.repository(needyApp());
  expect(await platform.push(folder, 'needy')).toMatchObject({ exitCode: 0 });
  await untilUp();
});
afterAll(() => platform.destroy());

async function untilUp(): Promise<void> {
  await eventually('the app to be up', async () => {
    const { body } = await platform.api('GET', '/apps/needy/dynos');
    const dynos = body as { state: string }[];
    return dynos.length === 1 && dynos[0]?.state === 'up';
  });
}

/** Of both servers. */
async function states(): Promise<string[]> {
  const { stdout } = await execute('docker', [
    'ps', '--all', '--format', '{{.State}}', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', 'label=dynodock.role=add-on',
  ]); // prettier-ignore
  return stdout.split('\n').filter((line) => line !== '');
}

async function containerOf(addon: string): Promise<string> {
  const { stdout } = await execute('docker', [
    'ps', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', `label=dynodock.add-on-name=${addon}`,
  ]); // prettier-ignore
  return stdout.trim();
}

async function sleepUntil(state: string): Promise<void> {
  // Refused while it still does something.
  await eventually('sleep', async () => (await platform.dynodock(['idle', 'needy'])).exitCode === 0);
  await eventually(`servers that are ${state}`, async () => (await states()).every((each) => each === state));
}

async function logs(): Promise<string> {
  return words(await platform.heroku(['logs', '--app', 'needy', '--num', '1500']));
}

async function visit(): Promise<number> {
  const { status, body } = await platform.visit('needy');
  expect({ status, body }).toMatchObject({ status: 200 });
  return Number(body);
}

test('an app that ends without its databases survives that everything is stopped and started', async () => {
  const before = await visit();
  await platform.stopDaemon();
  expect(await platform.dynodock(['down', '--all'])).toMatchObject({ exitCode: 0 });
  platform.startDaemon();
  await platform.untilAnswering();
  await eventually('an answer', async () => (await platform.visit('needy')).status === 200);
  await untilUp();
  expect(await visit()).toBe(before + 2);
  expect(await logs()).not.toMatch(/cannot start|crashed|Process exited/);
});

test('its databases end with it and are there before it is; the sleep outlives a daemon that is killed', async () => {
  const before = await visit();
  await sleepUntil('exited');
  expect(words(await platform.dynodock(['status']))).toMatch(/postgresql-1 .*asleep[^]*redis-1 .*asleep/);
  expect(words(await platform.heroku(['addons:info', 'redis-1']))).toMatch(/State:\s+created/);
  await platform.restartDaemon('SIGKILL');
  expect(await states()).toEqual(['exited', 'exited']);
  expect(await visit()).toBe(before + 1);
  await untilUp();
  expect(await logs()).not.toMatch(/cannot start|crashed/);
});

test('they wake for whoever asks for their URLs, and for commands of the CLI, and the app sleeps on', async () => {
  await untilUp();
  await sleepUntil('exited');
  await platform.api('GET', '/apps/needy/config-vars');
  expect(await states()).toEqual(['running', 'running']);
  await eventually('them to sleep again', async () => (await states()).every((state) => state === 'exited'));
  expect(words(await platform.heroku(['pg:info', '--app', 'needy']))).toMatch(/Status:\s+Available/);
  const { body } = await platform.api('GET', '/apps/needy/sleep');
  expect(body).toMatchObject({ state: 'asleep' });
});

test('a change of plan while they sleep is there when they wake', async () => {
  await eventually('them to sleep', async () => (await states()).every((state) => state === 'exited'));
  const { status } = await platform.api('PATCH', '/apps/needy/addons/postgresql-1', {
    plan: 'heroku-postgresql:essential-2',
  });
  expect(status).toBe(200);
  // Its release wakes the app, as every release does.
  await untilUp();
  expect(await visit()).toBeGreaterThan(0);
  const { stdout } = await execute('docker', [
    'inspect', '--format', '{{.HostConfig.Memory}}', await containerOf('postgresql-1'),
  ]); // prettier-ignore
  expect(Number(stdout)).toBe(384 * 1024 * 1024);
  expect(await logs()).not.toMatch(/cannot start|crashed/);
});

test('frozen they keep their memory and go on at once', async () => {
  settings.DYNODOCK_ADDON_SLEEP = 'freeze';
  settings.DYNODOCK_SLEEP = 'frozen';
  await platform.restartDaemon('SIGTERM');
  const before = await visit();
  await untilUp();
  await sleepUntil('paused');
  expect(await visit()).toBe(before + 1);
  expect(await states()).toEqual(['running', 'running']);
  expect(await logs()).not.toMatch(/cannot start|crashed/);
});
