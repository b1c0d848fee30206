import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, TestPlatform, words, type CommandResult } from '../support/platform';
import { packageJson, pageOf, sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();
/** Of the app `shop`. */
let folder: string;

function git(...args: string[]): Promise<CommandResult> {
  return platform.git(folder, args, { timeoutMs: 120_000 });
}

/** What git shows of a push, without the padding that it gives to the server's lines. */
function lines({ stderr }: { stderr: string }): string[] {
  return stderr.split(/[\r\n]+/).map((line) => line.trimEnd());
}

function untilAnswered(answer: string): Promise<unknown> {
  return eventually(`the answer ${answer}`, async () => (await platform.visit('shop')).body === answer);
}

async function currentRelease(): Promise<number> {
  const { body } = await platform.api('GET', '/apps/shop/releases');
  return (body as { version: number; current: boolean }[]).find((release) => release.current)?.version ?? 0;
}

/** The push must be refused, and the release that runs must go on as if nothing had been. */
async function expectRefused(result: CommandResult, page: string, release: number): Promise<void> {
  expect({ ...result }).toMatchObject({ exitCode: 1 });
  expect(words(result)).toContain('! [remote rejected] main -> main (pre-receive hook declined)');
  expect(lines(result)).toContain('remote: !\tPush rejected to shop.');
  expect((await platform.visit('shop')).body).toBe(page);
  expect(await currentRelease()).toBe(release);
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
  const created = await platform.heroku(['create', 'shop'], { cwd: folder });
  expect(created).toMatchObject({ exitCode: 0 });
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

describe('a deploy', () => {
  test("prints Heroku's lines, in their order", async () => {
    const result = await git('push', 'heroku', 'main');
    expect(result).toMatchObject({ exitCode: 0 });
    const printed = lines(result);
    const expected = [
      'remote: Compressing source files... done.',
      'remote: Building source:',
      'remote:',
      'remote: -----> Building on the Heroku-24 stack',
      'remote: -----> Determining which buildpack to use for this app',
      'remote: -----> Node.js app detected',
      'remote: -----> Build succeeded!',
      'remote: -----> Discovering process types',
      'remote:        Procfile declares types     -> web, worker',
      'remote:',
      'remote: -----> Compressing...',
      'remote: -----> Launching...',
      'remote:        Released v3',
      `remote:        http://shop.localhost:${platform.httpPort}/ deployed to Heroku`,
      'remote:',
      'remote: Verifying deploy... done.',
      `To ${platform.remote('shop')}`,
      ' * [new branch]      main -> main',
    ];
    const kept = printed.filter((line) => expected.includes(line));
    // The buildpack prints empty lines of its own.
    expect(withoutEmpty(kept)).toEqual(withoutEmpty(expected));
    await untilAnswered('one');
  });

  test('of what is deployed already does nothing', async () => {
    const result = await git('push', 'heroku', 'main');
    expect(result).toMatchObject({ exitCode: 0 });
    expect(lines(result)).toContain('Everything up-to-date');
    expect(await currentRelease()).toBe(3);
  });

  test('of another commit replaces the one before', async () => {
    await platform.commit(folder, 'Second', pageOf('two'));
    const result = await git('push', 'heroku', 'main');
    expect(lines(result)).toContain('remote: -----> Using buildpack: heroku/nodejs');
    expect(lines(result)).toContain('remote:        Released v4');
    await untilAnswered('two');
  });

  test('is made of main and master only', async () => {
    const result = await git('push', 'heroku', 'main:feature');
    expect(result).toMatchObject({ exitCode: 0 });
    expect(words(result)).toContain('Pushed to non-main branch, skipping build.');
    expect(words(result)).toContain('* [new branch] main -> feature');
    expect(await currentRelease()).toBe(4);
  });
});

describe('a push is refused', () => {
  afterEach(async () => {
    await git('reset', '--quiet', '--hard', 'heroku/main');
    await git('clean', '--quiet', '--force');
  });

  test('when no buildpack wants the app', async () => {
    await platform.heroku(['create', 'plain'], { cwd: platform.dir });
    const plain = await platform.repository({ 'index.txt': 'text\n' });
    const result = await platform.push(plain, 'plain');
    expect(result.exitCode).toBe(1);
    const printed = lines(result);
    const start = printed.indexOf('remote:  !     No default language could be detected for this app.');
    expect(printed.slice(start, start + 10)).toEqual([
      'remote:  !     No default language could be detected for this app.',
      'remote: \t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.',
      'remote: \t\t\tSee https://devcenter.heroku.com/articles/buildpacks',
      'remote:',
      'remote:  !     Push failed',
      'remote: Verifying deploy...',
      'remote:',
      'remote: !\tPush rejected to plain.',
      'remote:',
      `To ${platform.remote('plain')}`,
    ]);
  });

  test('when the app is no longer of the kind that it was', async () => {
    await git('rm', '--quiet', 'package.json', 'Procfile');
    await platform.commit(folder, 'Nothing of Node.js');
    const result = await git('push', 'heroku', 'main');
    expect(lines(result)).toContain('remote:  !     App not compatible with buildpack: heroku/nodejs');
    await expectRefused(result, 'two', 4);
  });

  test('when the build script fails', async () => {
    await platform.commit(folder, 'Failing', {
      'package.json': packageJson({ build: 'echo about to fail && exit 7' }),
      ...pageOf('never'),
    });
    const result = await git('push', 'heroku', 'main');
    expect(words(result)).toContain('about to fail');
    expect(lines(result)).toContain('remote:  !     Push rejected, failed to compile Node.js app.');
    await expectRefused(result, 'two', 4);
    const { stdout } = await platform.heroku(['logs', '-n', '3', '-a', 'shop']);
    expect(stdout).toMatch(/app\[api\]: Build failed -- check your build output: http:\/\/localhost:\d+\//);
  });

  test('when package.json is no JSON', async () => {
    await platform.commit(folder, 'Malformed', { 'package.json': '{ "name": ' });
    const result = await git('push', 'heroku', 'main');
    expect(words(result)).toContain(
      'package.json is not valid JSON: remote: ! parse error: Unfinished JSON term',
    );
    await expectRefused(result, 'two', 4);
  });

  test('when the Procfile says nothing that is understood', async () => {
    await platform.commit(folder, 'Procfile', { Procfile: 'node server.js\n' });
    const result = await git('push', 'heroku', 'main');
    expect(words(result)).toContain('Procfile line 1 is ignored');
    expect(words(result)).toContain('The Procfile declares no process type.');
    await expectRefused(result, 'two', 4);
  });

  test('when it would need force', async () => {
    await git('commit', '--quiet', '--amend', '-m', 'Rewritten');
    const result = await git('push', 'heroku', 'main');
    expect(result.exitCode).toBe(1);
    expect(words(result)).toContain('[rejected] main -> main (non-fast-forward)');
  });

  test('with a wrong token', async () => {
    const wrong = `https://heroku:wrong@localhost:${platform.apiPort}/shop.git`;
    const result = await git('push', wrong, 'main');
    expect(result.exitCode).toBe(128);
    expect(words(result)).toContain('Authentication failed');
  });

  test('to an app that does not exist', async () => {
    const result = await platform.push(folder, 'nope');
    expect(result.exitCode).toBe(128);
    expect(words(result)).toContain("remote: Couldn't find that app: nope.");
  });
});

test('a forced push deploys', async () => {
  await git('commit', '--quiet', '--amend', '-m', 'Rewritten');
  const result = await git('push', '--force', 'heroku', 'main');
  expect(lines(result)).toContain('remote:        Released v5');
});

test('pushes at the same time wait for each other, say so, and deploy in their order', async () => {
  const waiting = 'Another build is in progress for this app; waiting for it to finish...';
  await platform.commit(folder, 'Slow', {
    'package.json': packageJson({ build: 'sleep 3' }),
    ...pageOf('three'),
  });
  const first = platform.startCommand('git', ['push', 'heroku', 'main'], { cwd: folder });
  await eventually('the first build', () => first.output().includes('Installing dependencies'));

  // Git updates a branch only from what the client took it to be: what came in between refuses this one.
  await platform.commit(folder, 'Meanwhile', pageOf('four'));
  const sameBranch = platform.startCommand('git', ['push', 'heroku', 'main'], { cwd: folder });
  await eventually('the second push waiting', () => sameBranch.output().includes(waiting));
  const otherBranch = platform.startCommand('git', ['push', 'heroku', 'main:master'], { cwd: folder });
  await eventually('the third push waiting', () => otherBranch.output().includes(waiting));

  expect(await first.ended).toBe(0);
  expect(await sameBranch.ended).toBe(1);
  expect(sameBranch.output()).toContain('Another push has changed this branch in the meantime.');
  expect(await otherBranch.ended).toBe(0);
  expect(first.output()).toContain('Released v6');
  expect(otherBranch.output()).toContain('Released v7');
  await untilAnswered('four');

  const again = await git('push', 'heroku', 'main');
  expect(lines(again)).toContain('remote:        Released v8');
});

test('what was pushed can be cloned, by git and by the CLI', async () => {
  const byGit = path.join(platform.dir, 'clone');
  const cloned = await platform.git(platform.dir, ['clone', platform.remote('shop'), byGit]);
  expect(cloned).toMatchObject({ exitCode: 0 });
  const byCli = path.join(platform.dir, 'cli-clone');
  const cli = await platform.heroku(['git:clone', '--app', 'shop', byCli], { cwd: platform.dir });
  expect(cli).toMatchObject({ exitCode: 0 });
  for (const clone of [byGit, byCli]) {
    expect(readFileSync(path.join(clone, 'page.json'), 'utf8')).toBe(
      readFileSync(path.join(folder, 'page.json'), 'utf8'),
    );
  }
  expect(words(await platform.git(byCli, ['remote']))).toBe('heroku');
});

test('no build container and no work file is left', async () => {
  expect(await platform.containers('build')).toEqual([]);
  expect(readdirSync(path.join(platform.data, 'work'))).toEqual([]);
});

function withoutEmpty(text: readonly string[]): string[] {
  return text.filter((line) => line !== 'remote:');
}
