import { eventually, TestPlatform, words, type CommandResult } from '../support/platform';
import { pageOf, sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

/** Waits as long as the config vars say, and then ends as they say. */
const RELEASE = `
console.log('migrating', process.env.DYNO.split('.')[0], process.env.PAGE_SIZE ?? '(unset)');
setTimeout(() => {
  console.log('migrated');
  process.exit(Number(process.env.RELEASE_EXIT ?? 0));
}, Number(process.env.RELEASE_MS ?? 0));
`;

const platform = new TestPlatform();
let folder: string;

function heroku(...args: string[]): Promise<CommandResult> {
  return platform.heroku([...args, '--app', 'shop'], { timeoutMs: 60_000 });
}

function push(): Promise<CommandResult> {
  return platform.git(folder, ['push', 'heroku', 'main'], { timeoutMs: 120_000 });
}

/** What git shows of a push from this line on, without its padding and empty lines. */
function linesFrom(first: string, { stderr }: CommandResult): string[] {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== 'remote:' && line !== '');
  return lines.slice(lines.indexOf(first));
}

interface ReleaseAnswer {
  version: number;
  status: string;
  current: boolean;
}

async function releases(): Promise<string[]> {
  const { body } = await platform.api('GET', '/apps/shop/releases');
  return (body as ReleaseAnswer[]).map(
    ({ version, status, current }) => `v${version} ${status}${current ? ' current' : ''}`,
  );
}

function untilReleased(last: string): Promise<unknown> {
  return eventually(last, async () => (await releases()).at(-1) === last);
}

async function page(path = '/'): Promise<string> {
  return (await platform.visit('shop', path)).body;
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(
    sampleApp('one', {
      Procfile: 'web: node server.js\nrelease: node release.js\n',
      'release.js': RELEASE,
    }),
  );
  expect(await platform.heroku(['create', 'shop'], { cwd: folder })).toMatchObject({ exitCode: 0 });
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

test('a push shows what the release command prints, and how it ended', async () => {
  const result = await push();
  expect(result).toMatchObject({ exitCode: 0 });
  expect(linesFrom('remote: -----> Launching...', result)).toEqual([
    'remote: -----> Launching...',
    'remote:  !     Release command declared: this new release will not be available until the command succeeds.',
    'remote:        Released v3',
    `remote:        http://shop.localhost:${platform.httpPort}/ deployed to Heroku`,
    'remote: Verifying deploy... done.',
    'remote: Running release command....',
    'remote: migrating release (unset)',
    'remote: migrated',
    'remote: Waiting for release.... done.',
    `To ${platform.remote('shop')}`,
    ' * [new branch]      main -> main',
  ]);
  await eventually('the first page', async () => (await page()) === 'one');
  expect(await releases()).toEqual(['v1 succeeded', 'v2 succeeded', 'v3 succeeded current']);
  expect(await heroku('releases:output')).toMatchObject({
    exitCode: 0,
    stdout: 'migrating release (unset)\nmigrated\n',
  });
  const { stdout } = await heroku('logs', '-n', '100');
  const logged = stdout
    .split('\n')
    .map((line) => line.replace(/^\S+ /, '').replace(/release\.\d{4}/, 'release'));
  expect(logged.slice(logged.findIndex((line) => line.startsWith('app[api]: Deploy')))).toEqual(
    expect.arrayContaining([
      'app[api]: Running release v3 commands by user user@example.com',
      'app[api]: Starting process with command `node release.js` by user user@example.com',
      'heroku[release]: State changed from starting to up',
      'app[release]: migrating release (unset)',
      'heroku[release]: Process exited with status 0',
      'heroku[release]: State changed from up to complete',
      'app[api]: Release v3 created by user user@example.com',
    ]),
  );
});

test('a config var whose release command fails is not in effect', async () => {
  expect(await heroku('config:set', 'RELEASE_EXIT=3', 'PAGE_SIZE=7')).toMatchObject({ exitCode: 0 });
  await untilReleased('v4 failed');
  expect(await page('/env?PAGE_SIZE')).toBe('(unset)');
  expect(await heroku('releases:output', 'v4')).toMatchObject({ stdout: 'migrating release 7\nmigrated\n' });
  expect(words(await heroku('releases:info', 'v4'))).toContain('release command failed');
  expect(words(await heroku('releases'))).toMatch(
    /v4 Set RELEASE_EXIT, PAGE_SIZE config vars release command failed/,
  );
  const { stdout } = await heroku('logs', '-n', '2');
  expect(stdout).toContain('app[api]: Release v4 failed: the release command exited with status 3.');
});

test('a push succeeds although its release command fails, and the old code goes on', async () => {
  await platform.commit(folder, 'Two', pageOf('two'));
  const result = await push();
  expect(result).toMatchObject({ exitCode: 0 });
  expect(linesFrom('remote: Verifying deploy... done.', result).slice(0, 5)).toEqual([
    'remote: Verifying deploy... done.',
    'remote: Running release command....',
    'remote: migrating release 7',
    'remote: migrated',
    'remote: Waiting for release.... failed.',
  ]);
  expect((await releases()).slice(2)).toEqual(['v3 succeeded current', 'v4 failed', 'v5 failed']);
  expect(await page()).toBe('one');
  expect(words(await push())).toContain('Everything up-to-date');
});

test('a retry runs the command of the release that failed, with the config vars of now', async () => {
  // Of v3's code, the current one; it fails no more.
  expect(await heroku('config:set', 'RELEASE_EXIT=0')).toMatchObject({ exitCode: 0 });
  await untilReleased('v6 succeeded current');
  await eventually('the config var', async () => (await page('/env?PAGE_SIZE')) === '7');
  expect(await page()).toBe('one');
  await heroku('config:set', 'RELEASE_EXIT=1');
  await untilReleased('v7 failed');
  await heroku('config:unset', 'RELEASE_EXIT');
  await untilReleased('v8 succeeded current');
  const retry = await heroku('releases:retry');
  expect(retry).toMatchObject({ exitCode: 0 });
  expect(words(retry)).toMatch(/Retrying v8 on .*shop\.\.\. done, v9/);
  expect(retry.stdout).toBe('Running release command...\nmigrating release 7\nmigrated\n');
  await untilReleased('v9 succeeded current');
});

test('a rollback runs the release command of what it goes back to', async () => {
  const rollback = await heroku('releases:rollback', 'v3');
  expect(rollback.stdout).toBe('Running release command...\nmigrating release (unset)\nmigrated\n');
  await untilReleased('v10 succeeded current');
  await eventually('the old config', async () => (await page('/env?PAGE_SIZE')) === '(unset)');
});

test('a release command goes on without the daemon, and is judged by the next one', async () => {
  await heroku('config:set', 'RELEASE_MS=15000');
  await eventually('the release dyno', async () => /release\.\d{4}: up/.test(words(await heroku('ps'))));
  await heroku('config:set', 'LATER=1');
  await platform.restartDaemon('SIGKILL');
  expect((await releases()).slice(-2)).toEqual(['v11 pending', 'v12 pending']);
  await untilReleased('v12 pending');
  await eventually('v11', async () => (await releases()).at(-2) === 'v11 succeeded current');
  expect(await heroku('releases:output', 'v11')).toMatchObject({
    stdout: 'migrating release (unset)\nmigrated\n',
  });
  // v12 waits as long, and takes the app's place when it has.
  await untilReleased('v12 succeeded current');
  await eventually('the config var', async () => (await page('/env?LATER')) === '1');
});

test('a release command that is stopped has failed', async () => {
  await heroku('config:set', 'RELEASE_MS=600000');
  await eventually('the release dyno', async () => /release\.\d{4}: up/.test(words(await heroku('ps'))));
  await eventually('two dynos', async () => (await platform.containers('dyno')).length === 2);
  expect(await heroku('ps:stop', '--process-type', 'release')).toMatchObject({ exitCode: 0 });
  await untilReleased('v13 failed');
  await eventually('one dyno', async () => (await platform.containers('dyno')).length === 1);
  expect((await heroku('logs', '-n', '1')).stdout).toContain(
    'app[api]: Release v13 failed: the release command was stopped.',
  );
});
