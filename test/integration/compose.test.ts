import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually, execute, ROOT, TestPlatform, type CommandResult } from '../support/platform';

const SOCKET = '/var/run/docker.sock';
const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
/** Neither root nor a user that the image knows: whoever is first on an ordinary machine. */
const USER = 1000;

const run = randomBytes(4).toString('hex');
const project = `dynodock-test-${run}`;
const app = `composed-${run}`;
const DYNOS = ['--filter', `label=dynodock.app-name=${app}`];
const platform = new TestPlatform();
let image = '';
let composeCommand: string[] = [];

async function compose(...args: string[]): Promise<CommandResult> {
  const [command = '', ...first] = composeCommand;
  return execute(command, [...first, '--project-name', project, ...args], {
    cwd: ROOT,
    env: {
      ...platform.environment,
      DYNODOCK_IMAGE: image,
      DYNODOCK_CA_BUNDLE: CA_BUNDLE,
      DYNODOCK_USER: `${USER}:${USER}`,
      DYNODOCK_DOCKER_GROUP: String(statSync(SOCKET).gid),
    },
    timeoutMs: 120_000,
  });
}

async function docker(...args: string[]): Promise<string[]> {
  const { stdout } = await execute('docker', args);
  return stdout.split('\n').filter((line) => line !== '');
}

beforeAll(async () => {
  await platform.prepare();
  const plugin = await execute('docker', ['compose', 'version']);
  composeCommand = plugin.exitCode === 0 ? ['docker', 'compose'] : ['docker-compose'];
  // With a folder of its own, because what it leaves in there belongs to the one who builds.
  const workspace = mkdtempSync(path.join(tmpdir(), 'dynodock-test-image-'));
  const built = await execute(process.execPath, [path.join(ROOT, 'dist/main.js'), 'images', '--daemon'], {
    env: { ...process.env, DYNODOCK_HOME: workspace },
    timeoutMs: 600_000,
  });
  rmSync(workspace, { recursive: true, force: true });
  if (built.exitCode !== 0) throw new Error(built.stderr);
  image = built.stdout.trim().split('\n').at(-1) ?? '';
  mkdirSync(platform.data, { mode: 0o700 });
  chownSync(platform.dir, USER, USER);
  chownSync(platform.data, USER, USER);
  const up = await compose('up', '--detach');
  if (up.exitCode !== 0) throw new Error(up.stderr);
  await eventually('the daemon', () => existsSync(path.join(platform.data, 'run', 'daemon.json')), 60_000);
  await platform.readClientEnvironment();
}, 700_000);

afterAll(async () => {
  if (image !== '') await compose('down', '--volumes', '--timeout', '60');
  await platform.destroy();
}, 180_000);

describe('docker-compose.yml', () => {
  let dyno: string[] = [];

  test('an app is pushed to the daemon and answers through the router', async () => {
    const created = await platform.api('POST', '/apps', { name: app });
    expect(created.status).toBe(201);
    const folder = await platform.repository('examples/hello-node');
    const push = await platform.push(folder, app);
    expect(push.stderr).toContain('Verifying deploy... done.');
    const answer = await eventually('its page', async () => {
      const page = await platform.visit(app);
      return page.status === 200 && page;
    });
    expect(answer.body).toContain('Hello from');
    dyno = await docker('ps', '-q', ...DYNOS);
    expect(dyno).toHaveLength(1);
  }, 180_000);

  test('everything in the data folder belongs to the user that was asked for', () => {
    for (const name of ['token', 'dynodock.sqlite', 'repos', 'slugs', 'run', 'log']) {
      expect([name, statSync(path.join(platform.data, name)).uid]).toEqual([name, USER]);
    }
    expect(statSync(platform.data).mode & 0o777).toBe(0o700);
  });

  test('the health check succeeds', async () => {
    const { exitCode, stdout } = await compose('exec', '-T', 'daemon', 'dynodock', 'status');
    expect(stdout).toContain(app);
    expect(exitCode).toBe(0);
  });

  test('a command on the host does not take process ids of a container for its own', async () => {
    const down = await platform.dynodock(['down']);
    expect(down.exitCode).toBe(1);
    expect(down.stderr).toContain('The daemon runs in a container.');
    expect((await platform.api('GET', `/apps/${app}`)).status).toBe(200);
  });

  test('the app goes on answering while the daemon restarts, with the same dyno', async () => {
    const before = await startedAt();
    const restarted = new AbortController();
    const statuses = new Set<number>();
    const visitor = (async () => {
      while (!restarted.signal.aborted) statuses.add((await platform.visit(app)).status);
    })();
    const restart = await compose('restart', '--timeout', '60', 'daemon');
    expect(restart.exitCode).toBe(0);
    await eventually('the daemon again', async () => {
      const answer = await platform.api('GET', `/apps/${app}`).catch(() => undefined);
      return answer?.status === 200;
    });
    restarted.abort();
    await visitor;
    expect([...statuses]).toEqual([200]);
    expect(await startedAt()).not.toEqual(before);
    const dynos = await eventually('the dyno to be adopted', async () => {
      const { body } = await platform.api('GET', `/apps/${app}/dynos`);
      return (body as { state: string }[])[0]?.state === 'up' && body;
    });
    expect(dynos).toHaveLength(1);
    expect(await docker('ps', '-q', ...DYNOS)).toEqual(dyno);
  }, 120_000);

  test('down ends both in order and leaves the dynos', async () => {
    const down = await compose('down', '--timeout', '60');
    expect(down.exitCode).toBe(0);
    expect(await docker('ps', '-aq', '--filter', `label=com.docker.compose.project=${project}`)).toEqual([]);
    expect(
      await docker('network', 'ls', '-q', '--filter', `label=com.docker.compose.project=${project}`),
    ).toEqual([]);
    // In order: what a killed one would leave is gone.
    expect(readdirSync(path.join(platform.data, 'run'))).not.toContain('daemon.json');
    expect(await docker('ps', '-q', ...DYNOS)).toEqual(dyno);
    const all = await platform.dynodock(['down', '--all']);
    expect(all.stdout).toContain('1 dyno stopped.');
    expect(await docker('ps', '-aq', ...DYNOS)).toEqual([]);
  }, 120_000);

  async function startedAt(): Promise<string[]> {
    const [id = ''] = (await compose('ps', '-q', 'daemon')).stdout.split('\n');
    return docker('inspect', '--format', '{{.State.StartedAt}}', id);
  }
});
