import { eventually, execute, TestPlatform, type CommandResult } from '../support/platform';

/** One installation with an app; one server of each form that redis:cli distinguishes. */
let platform: TestPlatform;
beforeAll(async () => {
  platform = new TestPlatform();
  await platform.start();
  await platform.heroku(['apps:create', 'demo']);
  for (const [name, plan] of [
    ['mini-kv', 'mini'],
    ['tls-kv', 'premium-0'],
    ['old-kv', 'hobby-dev'],
  ] as const) {
    const args = ['addons:create', `heroku-redis:${plan}`, '--name', name, '-a', 'demo', '--wait'];
    good(await platform.heroku(args, { timeoutMs: 180_000 }));
  }
}, 300_000);
afterAll(() => platform.destroy(), 120_000);

const redis = (command: string, args: string[], input?: string): Promise<CommandResult> =>
  platform.heroku([`redis:${command}`, ...args, '-a', 'demo'], {
    timeoutMs: 120_000,
    ...(input === undefined ? {} : { input }),
  });

/** Fails with all that the command said. */
function good({ exitCode, stdout, stderr }: CommandResult): string {
  if (exitCode !== 0) throw new Error(`status ${exitCode}\n${stdout}\n${stderr}`);
  return stdout;
}
const config = async (name: string): Promise<string> =>
  good(await platform.heroku(['config:get', name, '-a', 'demo'], { timeoutMs: 60_000 })).trim();

describe('heroku redis:*', () => {
  test.each([['mini-kv'], ['tls-kv'], ['old-kv']])(
    'cli speaks with %s',
    async (name) => {
      expect(good(await redis('cli', [name], `SET word ${name}-said\nGET word\n`))).toContain(`${name}-said`);
    },
    120_000,
  );

  test('info, credentials, wait and stats-reset', async () => {
    const info = good(await redis('info', ['tls-kv']));
    expect(info).toMatch(/Plan: +Premium 0/);
    expect(info).toMatch(/Status: +available/);
    expect(info).toMatch(/Version: +7\.\d+/);
    expect(info).toMatch(/Requires TLS: +Yes/);
    expect(good(await redis('credentials', ['mini-kv']))).toMatch(/^redis:\/\/:p[a-z0-9]{64}@/);
    expect(good(await redis('wait', ['mini-kv']))).toBe('');
    expect((await redis('stats-reset', ['mini-kv', '--confirm', 'demo'])).stderr).toContain(
      'Stats reset successful.',
    );
    const upgrade = await redis('upgrade', ['mini-kv', '--version', '7', '--confirm', 'demo']);
    expect(upgrade.exitCode).not.toBe(0);
    expect(upgrade.stderr).toContain('runs version 7 already');
  }, 240_000);

  test('settings are in the server, and survive its being killed, as do data', async () => {
    expect(good(await redis('timeout', ['mini-kv', '-s', '77']))).toContain('set to 77 seconds');
    expect(good(await redis('maxmemory', ['mini-kv', '-p', 'allkeys-lru']))).toContain(
      'removes less recently used',
    );
    expect(good(await redis('keyspace-notifications', ['mini-kv', '-c', 'KEA']))).toContain("set to 'KEA'");
    expect((await redis('maxmemory', ['mini-kv', '-p', 'nope'])).stderr).toContain('must be one of');
    const { stdout: id } = await execute('docker', [
      'ps', '--quiet', '--filter', `label=dynodock.installation=${platform.installationId ?? 'none'}`,
      '--filter', 'label=dynodock.add-on-name=mini-kv',
    ]); // prettier-ignore
    expect(id.trim()).not.toBe('');
    await execute('docker', ['kill', id.trim()]);
    await eventually(
      'it serves again as it was set',
      async () => {
        const { stdout } = await redis(
          'cli',
          ['mini-kv'],
          'CONFIG GET timeout\nCONFIG GET maxmemory-policy\nCONFIG GET notify-keyspace-events\nGET word\n',
        );
        return /77[^]*allkeys-lru[^]*AKE[^]*mini-kv-said/.test(stdout);
      },
      120_000,
    );
  }, 300_000);

  test('clients can not make the server connect, listen or write elsewhere', async () => {
    const refused = [
      'CONFIG SET bind 0.0.0.0',
      'REPLICAOF 127.0.0.1 1',
      'MIGRATE 127.0.0.1 1 k 0 1',
      'SHUTDOWN',
    ];
    const printed = good(await redis('cli', ['mini-kv'], `${refused.join('\n')}\nECHO served\n`));
    expect(printed.match(/NOPERM/g)).toHaveLength(refused.length);
    expect(printed).toContain('served');
  }, 120_000);

  test('credentials --reset and promote', async () => {
    const before = await config('REDIS_URL');
    good(await redis('credentials', ['mini-kv', '--reset']));
    const after = await config('REDIS_URL');
    expect(new URL(after).password).not.toBe(new URL(before).password);
    expect(good(await redis('cli', ['mini-kv'], 'GET word\n'))).toContain('mini-kv-said');
    good(await redis('promote', ['tls-kv']));
    expect(await config('REDIS_URL')).toMatch(/^rediss:/);
  }, 240_000);
});
