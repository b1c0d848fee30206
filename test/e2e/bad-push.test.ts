import { randomBytes } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { TestRepository } from '../support/git-repository';
import { GitHttpServer } from '../support/git-http-server';
import { TestPlatform, eventually, type CommandResult } from '../support/platform';
import { pageOf, sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const MIB = 1024 * 1024;
const platform = new TestPlatform();
/** Of the app `shop`. */
let folder: string;
let server: GitHttpServer;
/** Which the server serves. */
let pinned: string;

function push(): Promise<CommandResult> {
  return platform.git(folder, ['push', '--force', 'heroku', 'HEAD:refs/heads/main'], { timeoutMs: 600_000 });
}

/** What git shows of a push, without the padding that it gives to the server's lines. */
function lines({ stderr }: CommandResult): string[] {
  return stderr.split(/[\r\n]+/).map((line) => line.trimEnd());
}

/** Makes `folder` a submodule at a commit, as `git submodule add` would. */
async function addSubmodule(url: string, commit: string): Promise<void> {
  await platform.commit(folder, 'Submodule', {
    '.gitmodules': `[submodule "lib"]\n\tpath = lib\n\turl = ${url}\n`,
  });
  await platform.git(folder, ['update-index', '--add', '--cacheinfo', `160000,${commit},lib`]);
  await platform.git(folder, ['commit', '--quiet', '--message', 'Submodule']);
}

async function expectRefused(result: CommandResult): Promise<void> {
  expect({ ...result }).toMatchObject({ exitCode: 1 });
  expect(lines(result)).toContain('remote: !\tPush rejected to shop.');
  expect((await platform.visit('shop')).body).toBe('one');
  const remote = await platform.git(folder, ['ls-remote', 'heroku', 'refs/heads/main']);
  expect(remote.stdout.split('\t')[0]).toBe(await revision('good'));
}

async function revision(name: string): Promise<string> {
  return (await platform.git(folder, ['rev-parse', name])).stdout.trim();
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sampleApp('one'));
  expect(await platform.heroku(['create', 'shop'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await push()).toMatchObject({ exitCode: 0 });
  await platform.git(folder, ['tag', 'good']);
  await eventually('the first page', async () => (await platform.visit('shop')).body === 'one');
  const repository = new TestRepository();
  pinned = repository.commit(pageOf('from a submodule'));
  renameSync(repository.directory, path.join(platform.dir, 'module'));
  server = new GitHttpServer(platform.dir);
  await server.start();
}, 180_000);
afterAll(async () => {
  await server.stop();
  await platform.destroy();
}, 120_000);

afterEach(async () => {
  await platform.git(folder, ['reset', '--quiet', '--hard', 'good']);
  await platform.git(folder, ['clean', '--quiet', '--force', '-d']);
});

describe('refused, and the old release goes on, is a push', () => {
  test('of a commit without files', async () => {
    await platform.git(folder, ['rm', '--quiet', '-r', '.']);
    await platform.commit(folder, 'Nothing');
    const result = await push();
    expect(lines(result)).toContain('remote:  !     App not compatible with buildpack: heroku/nodejs');
    await expectRefused(result);
  });

  test('whose submodule cannot be fetched', async () => {
    await addSubmodule(`http://user:s3cret@127.0.0.1:1/module`, pinned);
    const result = await push();
    const expected = /^remote: {2}! {5}Submodule lib could not be fetched: 127\.0\.0\.1:1: /;
    expect(lines(result).some((line) => expected.test(line))).toBe(true);
    expect(lines(result)).toContain('remote:  !     Push rejected, submodule install failed');
    expect(result.stderr).not.toContain('s3cret');
    expect(platform.daemonOutput).not.toContain('s3cret');
    await expectRefused(result);
  });

  test('with an engine that does not exist', async () => {
    const manifest = { name: 'sample', version: '1.0.0', engines: { node: '999.x' } };
    await platform.commit(folder, 'Engines', { 'package.json': JSON.stringify(manifest) });
    await expectRefused(await push());
  });
});

test('submodules are part of what is deployed', async () => {
  const source = readFileSync(path.join(folder, 'server.js'), 'utf8');
  await platform.commit(folder, 'Use it', {
    'server.js': source.replace('./page.json', './lib/page.json'),
  });
  await addSubmodule(`${server.url}/module`, pinned);
  const result = await push();
  expect(result).toMatchObject({ exitCode: 0 });
  expect(lines(result)).toContain('remote: -----> Git submodules detected, installing');
  await eventually(
    'the page of the submodule',
    async () => (await platform.visit('shop')).body === 'from a submodule',
  );
});

test('400 MB that do not compress pass through the daemon, not into it', async () => {
  const before = peakMemory();
  for (let part = 0; part < 100; part += 1) {
    appendFileSync(path.join(folder, 'blob'), randomBytes(4 * MIB));
  }
  await platform.commit(folder, 'Large');
  const result = await push();
  expect(result).toMatchObject({ exitCode: 0 });
  expect(lines(result).some((line) => /^remote: {8}Done: 40[0-9.]+M$/.test(line))).toBe(true);
  expect(peakMemory() - before).toBeLessThan(200 * MIB);
}, 900_000);

/** Of the daemon, in bytes; proc(5), VmHWM. */
function peakMemory(): number {
  const status = readFileSync(`/proc/${platform.daemon.pid ?? 0}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

test('no build container and no work file is left', async () => {
  expect(await platform.containers('build')).toEqual([]);
  expect(readdirSync(path.join(platform.data, 'work'))).toEqual([]);
});
