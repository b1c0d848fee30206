import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import Sqlite from 'better-sqlite3';
import { INSTALLATION_LABEL, ROLE_LABEL } from '../../src/engine/labels';
import { eventually, execute, TestPlatform } from '../support/platform';
import { pageOf, sampleApp } from '../support/sample-app';

const app = `reclaimed-${randomBytes(4).toString('hex')}`;
const PAGES = ['one', 'two', 'three', 'four'];

jest.setTimeout(300_000);

/** Four deploys, of which the current one, one more image and one more archive are to stay. */
describe('reclaiming the disk', () => {
  const platform = new TestPlatform({ DYNODOCK_KEPT_RELEASES: '1', DYNODOCK_KEPT_SLUGS: '2' });
  const firstImages: string[] = [];

  beforeAll(async () => {
    await platform.start();
    expect((await platform.api('POST', '/apps', { name: app })).status).toBe(201);
    const folder = await platform.repository(sampleApp('zero'));
    for (const page of PAGES) {
      await platform.commit(folder, page, pageOf(page));
      const { exitCode, stderr } = await platform.push(folder, app);
      if (exitCode !== 0) throw new Error(stderr);
    }
    await untilAnswering('four');
    // Those of earlier releases use their images until they have ended.
    await eventually(
      'one dyno to be left',
      async () => (await platform.containers('dyno')).length === 1,
      60_000,
    );
    firstImages.push(...(await images()));
    // As if they were older than what is left alone. The daemon is away meanwhile, lest it reclaims before it is asked to.
    await platform.stopDaemon();
    const database = new Sqlite(path.join(platform.data, 'dynodock.sqlite'));
    database.prepare('UPDATE slugs SET created_at = created_at - 3600000').run();
    database.close();
    platform.startDaemon();
    await platform.untilAnswering();
  });
  afterAll(() => platform.destroy());

  /** Ids of this installation's slug images. */
  async function images(): Promise<string[]> {
    const { stdout } = await execute('docker', [
      'images',
      '--quiet',
      '--no-trunc',
      '--filter',
      `label=${INSTALLATION_LABEL}=${platform.installationId ?? 'none'}`,
      '--filter',
      `label=${ROLE_LABEL}=slug`,
    ]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  function archives(): string[] {
    const folder = path.join(platform.data, 'slugs');
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.tgz'));
  }

  async function untilAnswering(page: string): Promise<void> {
    await eventually(`page ${page}`, async () => (await platform.visit(app)).body.trim() === page, 60_000);
  }

  async function statuses(): Promise<string[]> {
    const { body } = await platform.api('GET', `/apps/${app}/releases`);
    return (body as { version: number; status: string }[]).map(
      ({ version, status }) => `v${version} ${status}`,
    );
  }

  test('a dry run says why each thing stays or goes, and removes nothing', async () => {
    const { exitCode, stdout } = await platform.dynodock(['gc', '--dry-run']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(
      /^would remove +slug image .* v3: beyond the last 1 rollback targets; its archive makes it again$/m,
    );
    expect(stdout).toMatch(
      /^would remove +slug archive .* v3: beyond the last 2 slugs; nobody can roll back to it any more$/m,
    );
    expect(stdout).toMatch(/^keep +slug image .* (v6 is the current release|a container uses it)$/m);
    expect(stdout).toMatch(
      /^keep +stack image .* (builds and dynos of this version are made of it|a container uses it)$/m,
    );
    expect(stdout).toMatch(/^keep +build cache .* within the budget of all caches$/m);
    expect(await images()).toHaveLength(4);
    expect(archives()).toHaveLength(4);
  });

  test('removes what is beyond the limits, and frees disk space', async () => {
    const { exitCode, stdout } = await platform.dynodock(['gc']);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^removed +slug image/m);
    expect(stdout).toMatch(/ images of the engine: .* -> /);
    expect(await images()).toHaveLength(2);
    expect(archives()).toHaveLength(3);
    expect(await statuses()).toEqual(
      expect.arrayContaining(['v3 expired', 'v4 succeeded', 'v5 succeeded', 'v6 succeeded']),
    );
    expect((await platform.visit(app)).body).toBe('four');
    const again = await platform.dynodock(['gc']);
    expect(again.stdout).toMatch(/^0 of \d+ removed\.$/m);
  });

  test('rolling back to a release whose image is gone makes the same image again', async () => {
    expect((await platform.api('POST', `/apps/${app}/releases`, { release: 'v4' })).status).toBe(201);
    await untilAnswering('two');
    const now = await images();
    expect(now).toHaveLength(3);
    // The very same one.
    expect(firstImages).toEqual(expect.arrayContaining(now));
  });

  test('a release whose slug has expired is refused', async () => {
    const { status, body } = await platform.api('POST', `/apps/${app}/releases`, { release: 'v3' });
    expect(status).toBe(410);
    expect(body).toMatchObject({ id: 'gone', message: 'The slug of v3 has expired.' });
  });

  test('a dyno starts although its image was removed by hand', async () => {
    expect((await platform.api('POST', `/apps/${app}/releases`, { release: 'v5' })).status).toBe(201);
    await untilAnswering('three');
    await platform.api('PATCH', `/apps/${app}/formation/web`, { quantity: 0 });
    await eventually(
      'no dyno to be left',
      async () => (await platform.containers('dyno')).length === 0,
      60_000,
    );
    for (const id of await images()) await execute('docker', ['rmi', '--force', id]);
    expect(await images()).toEqual([]);
    await platform.api('PATCH', `/apps/${app}/formation/web`, { quantity: 1 });
    await untilAnswering('three');
    expect(await images()).toHaveLength(1);
  });
});
