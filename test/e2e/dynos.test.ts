import { eventually, execute, TestPlatform, words, type CommandResult } from '../support/platform';
import { sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let folder: string;

function heroku(...args: string[]): Promise<CommandResult> {
  return platform.heroku([...args, '--app', 'shop']);
}

interface DynoJson {
  name: string;
  state: string;
  size: string;
  release: { version: number };
}

async function dynos(): Promise<DynoJson[]> {
  return (await platform.api('GET', '/apps/shop/dynos')).body;
}

/** Running containers of the app's dynos. */
async function containers(): Promise<string[]> {
  const { stdout } = await execute('docker', [
    'ps', '--format', '{{.Names}}', '--filter', 'label=dynodock.app-name=shop', '--filter', 'label=dynodock.role=dyno',
  ]); // prettier-ignore
  return stdout.split('\n').filter((name) => name.includes('-shop-'));
}

async function log(): Promise<string> {
  return (await heroku('logs', '--num', '300')).stdout;
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
  expect(await platform.heroku(['create', 'shop'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'shop')).toMatchObject({ exitCode: 0 });
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

describe('dynos', () => {
  test('are scaled and sized in one go', async () => {
    expect(words(await heroku('ps:scale', 'web=2:standard-2x'))).toContain(
      'now running web at 2:Standard-2X',
    );
    await eventually('two larger dynos', async () => {
      const running = (await dynos()).filter(({ state, size }) => state === 'up' && size === 'Standard-2X');
      return running.length === 2;
    });
    const [name = ''] = await containers();
    const { stdout } = await execute('docker', ['inspect', '--format', '{{.HostConfig.PidsLimit}}', name]);
    expect(stdout.trim()).toBe('512');
  });

  test('are replaced without a gap and without a failed request when preboot is on', async () => {
    expect(words(await heroku('features:enable', 'preboot'))).toContain('Enabling preboot for shop');
    const before = (await dynos())[0]?.release.version ?? 0;
    const statuses = new Set<number>();
    const enough = new AbortController();
    const asked = (async () => {
      while (!enough.signal.aborted) statuses.add((await platform.visit('shop')).status);
    })();
    expect(await heroku('config:set', 'A=1')).toMatchObject({ exitCode: 0 });
    await eventually('old and new side by side', async () => {
      const versions = (await dynos())
        .filter(({ state }) => state === 'up')
        .map(({ release }) => release.version);
      return versions.filter((version) => version === before).length === 2 && versions.includes(before + 1);
    });
    enough.abort();
    await asked;
    expect([...statuses]).toEqual([200]);
    expect(await heroku('features:disable', 'preboot')).toMatchObject({ exitCode: 0 });
  });

  test('that crash at boot are told of by push, ps and the log, and keep nobody from repairing them', async () => {
    const broken = await platform.repository(sampleApp('one', { 'server.js': 'process.exit(7);\n' }));
    const pushed = await platform.push(broken, 'shop', '+HEAD:refs/heads/main');
    expect(pushed).toMatchObject({ exitCode: 0 });
    expect(words(pushed)).toMatch(/web\.\d crashed after this deploy\. To see why: heroku logs -a shop/);
    await eventually('a crashed dyno', async () => (await dynos()).some(({ state }) => state === 'crashed'));
    expect(words(await heroku('ps'))).toMatch(/web\.1: crashed/);
    expect(await log()).toMatch(/heroku\[web\.1\]: Process exited with status 7/);
    await eventually('H10', async () => (await platform.visit('shop')).status === 503);

    expect(await platform.push(folder, 'shop', '+HEAD:refs/heads/main')).toMatchObject({ exitCode: 0 });
    await eventually('an answer again', async () => (await platform.visit('shop')).body === 'one');
  });

  test('end with all their processes, and leave nothing', async () => {
    expect(await heroku('ps:scale', 'web=0')).toMatchObject({ exitCode: 0 });
    await eventually('no container', async () => (await containers()).length === 0);
    expect(await dynos()).toEqual([]);
    expect(await log()).toMatch(/heroku\[web\.1\]: State changed from up to down/);
  });
});
