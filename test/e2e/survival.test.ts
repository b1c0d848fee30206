import { readdirSync } from 'node:fs';
import path from 'node:path';
import { eventually, execute, TestPlatform, words } from '../support/platform';
import { packageJson, pageOf, sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let folder: string;

async function heroku(...args: string[]): Promise<string> {
  const result = await platform.heroku([...args, '--app', 'sturdy']);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

function untilAnswered(answer: string, requestPath = '/'): Promise<unknown> {
  return eventually(
    `the answer ${answer}`,
    async () => (await platform.visit('sturdy', requestPath).catch(() => undefined))?.body === answer,
  );
}

/** Container id and when it was started. */
async function dyno(): Promise<string> {
  const [id = ''] = await platform.containers('dyno');
  return (await execute('docker', ['inspect', '--format', '{{.Id}} {{.State.StartedAt}}', id])).stdout;
}

/** From what the daemon logs when it has linked up with the router. */
function routerPid(): number {
  const lines = platform.daemonOutput.split('\n').filter((line) => line.includes('"router linked"'));
  return (JSON.parse(lines.at(-1) ?? '{}') as { pid: number }).pid;
}

async function builds(): Promise<{ status: string }[]> {
  return (await platform.api('GET', '/apps/sturdy/builds')).body;
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
  expect(await platform.heroku(['create', 'sturdy'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'sturdy')).toMatchObject({ exitCode: 0 });
  await untilAnswered('one');
}, 240_000);
afterAll(() => platform.destroy(), 120_000);

test.each(['SIGKILL', 'SIGTERM'] as const)(
  'apps answer while the daemon is gone after %s, and the next one adopts them',
  async (signal) => {
    const before = await dyno();
    const router = routerPid();
    await platform.stopDaemon(signal);
    for (let request = 0; request < 5; request += 1) {
      expect((await platform.visit('sturdy', `/?during-${signal}-${request}`)).body).toBe('one');
    }
    expect((await platform.visit('sturdy', `/log?printed-during-${signal}`)).body).toBe('logged');

    platform.startDaemon();
    await platform.untilAnswering();
    expect(routerPid()).toBe(router);
    expect(await heroku('ps')).toMatch(/web \(Eco\): node server\.js \(1\) web\.1: up/);
    // What happened meanwhile is in the log: the router has kept its lines, the container what it printed.
    await eventually('the lines of the meantime', async () => {
      const { stdout } = await platform.heroku(['logs', '-n', '100', '--app', 'sturdy']);
      return (
        stdout.includes(`app[web.1]: printed-during-${signal}`) &&
        [0, 1, 2, 3, 4].every((request) => stdout.includes(`path="/?during-${signal}-${request}"`))
      );
    });
    // The same container, not started again; nor does the periodic comparison change that.
    expect(await dyno()).toBe(before);

    await heroku('config:set', `AFTER=${signal}`);
    await untilAnswered(signal, '/env?AFTER');
    expect(await dyno()).not.toBe(before);
    await eventually('one dyno', async () => (await platform.containers('dyno')).length === 1);
  },
);

test('a killed router is replaced, and apps answer again', async () => {
  const router = routerPid();
  const before = await dyno();
  process.kill(router, 'SIGKILL');
  await eventually('another router', () => routerPid() !== router);
  await untilAnswered('one');
  expect(await dyno()).toBe(before);
  expect((await platform.visit('sturdy', '/?after-the-router')).status).toBe(200);
  await eventually('its log lines', async () => {
    const { stdout } = await platform.heroku(['logs', '-n', '20', '--app', 'sturdy']);
    return stdout.includes('path="/?after-the-router"');
  });
});

test('router and daemon killed at once come back together', async () => {
  const before = await dyno();
  process.kill(routerPid(), 'SIGKILL');
  await platform.restartDaemon('SIGKILL');
  await untilAnswered('one');
  expect(await dyno()).toBe(before);
});

test('a daemon killed during a push leaves nothing half done', async () => {
  const failedBefore = (await builds()).filter((build) => build.status === 'failed').length;
  await platform.commit(folder, 'Slow', {
    'package.json': packageJson({ build: 'sleep 60' }),
    ...pageOf('two'),
  });
  const push = platform.startCommand('git', ['push', platform.remote('sturdy'), 'main'], { cwd: folder });
  await eventually('the build script', () => push.output().includes('Running build'));
  await platform.stopDaemon('SIGKILL');
  expect(await push.ended).not.toBe(0);
  expect((await platform.visit('sturdy')).body).toBe('one');

  platform.startDaemon();
  await platform.untilAnswering();
  const after = await builds();
  expect(after.filter((build) => build.status === 'pending')).toEqual([]);
  expect(after.filter((build) => build.status === 'failed')).toHaveLength(failedBefore + 1);
  await eventually('no build container', async () => (await platform.containers('build')).length === 0);
  expect(readdirSync(path.join(platform.data, 'work'))).toEqual([]);
  const { stdout } = await platform.heroku(['logs', '-n', '100', '--source', 'app', '--app', 'sturdy']);
  expect(stdout).toContain('app[api]: Build failed -- check your build output:');
  expect((await platform.visit('sturdy')).body).toBe('one');

  await platform.commit(folder, 'Fast again', { 'package.json': packageJson({}), ...pageOf('three') });
  const next = await platform.push(folder, 'sturdy');
  expect(next).toMatchObject({ exitCode: 0 });
  await untilAnswered('three');
});

test('a client that hangs up during a build calls it off', async () => {
  await platform.commit(folder, 'Slow again', {
    'package.json': packageJson({ build: 'sleep 60' }),
    ...pageOf('never'),
  });
  const push = platform.startCommand('git', ['push', platform.remote('sturdy'), 'main'], { cwd: folder });
  await eventually('the build script', () => push.output().includes('Running build'));
  await push.stop('SIGINT');
  await eventually('the end of the build', async () => {
    const statuses = (await builds()).map((build) => build.status);
    return !statuses.includes('pending') && statuses.filter((status) => status === 'failed').length === 2;
  });
  await eventually('no build container', async () => (await platform.containers('build')).length === 0);
  expect((await platform.visit('sturdy')).body).toBe('three');
});
