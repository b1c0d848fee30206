import { mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { extract, pack as createPack } from 'tar-stream';
import { BuildFailure } from '../../src/build/build-failure';
import { LineOutput } from '../../src/build/output';
import { fetchSubmodules, type SubmoduleOptions } from '../../src/build/push-submodules';
import { appendSource, type GitSource } from '../../src/build/source';
import { systemClock } from '../../src/lib/clock';
import { COMMIT_TIME, TestRepository, type TestFiles } from '../support/git-repository';
import { GitHttpServer } from '../support/git-http-server';

let directory: string;
let open: GitHttpServer;
let locked: GitHttpServer;
let output = '';
let app: TestRepository;

beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'dynodock-submodules-'));
  open = new GitHttpServer(directory);
  locked = new GitHttpServer(directory, 'reader:s3cret');
  await open.start();
  await locked.start();
});
afterAll(async () => {
  await open.stop();
  await locked.stop();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(() => {
  output = '';
  app = new TestRepository();
});
afterEach(() => app.remove());

let repositories = 0;

/** A repository that the servers serve; answers its name and a commit. */
function serve(files: TestFiles, modules: Modules = {}): { name: string; commit: string } {
  const repository = new TestRepository();
  const commit = commitWith(repository, files, modules);
  // What is pinned is no branch's newest.
  repository.commit({ later: 'not wanted' });
  repositories += 1;
  const name = `module-${repositories}`;
  renameSync(repository.directory, path.join(directory, name));
  return { name, commit };
}

/** Folder → where it is from, and the commit. */
type Modules = Record<string, { url: string; commit: string }>;

function commitWith(repository: TestRepository, files: TestFiles, modules: Modules): string {
  const entries = Object.entries(modules);
  const listed = entries.map(
    ([name, { url }]) => `[submodule "${name}"]\n\tpath = ${name}\n\turl = ${url}\n`,
  );
  repository.commit({ ...files, ...(entries.length === 0 ? {} : { '.gitmodules': listed.join('') }) });
  for (const [name, { commit }] of entries) {
    repository.git('update-index', '--add', '--cacheinfo', `160000,${commit},${name}`);
  }
  repository.git('commit', '--quiet', '--allow-empty', '--message', 'Submodules');
  return repository.git('rev-parse', 'HEAD').trim();
}

function sourceOf(files: TestFiles, modules: Modules): GitSource {
  const commit = commitWith(app, files, modules);
  const repositoryDir = path.join(app.directory, '.git');
  return { kind: 'git', repositoryDir, commit, environment: {}, time: COMMIT_TIME };
}

async function fetch(source: GitSource, limits: SubmoduleOptions['limits'] = {}): Promise<GitSource> {
  const sink = new LineOutput({
    write: (chunk) => {
      output += String(chunk);
      return Promise.resolve();
    },
  });
  const signal = AbortSignal.timeout(60_000);
  return {
    ...source,
    submodules: await fetchSubmodules(source, { clock: systemClock, limits }, sink, signal),
  };
}

async function failure(modules: Modules, limits: SubmoduleOptions['limits'] = {}): Promise<string[]> {
  try {
    await fetch(sourceOf({ a: '' }, modules), limits);
  } catch (error) {
    if (error instanceof BuildFailure) return [...error.lines];
    throw error;
  }
  throw new Error('nothing failed');
}

async function filesOf(source: GitSource): Promise<Record<string, string>> {
  const pack = createPack();
  const reader = extract();
  (pack as unknown as Readable).pipe(reader);
  const files: Record<string, string> = {};
  const read = (async () => {
    for await (const entry of reader) {
      const content = await buffer(entry);
      if (entry.header.type === 'file') files[entry.header.name] = content.toString('utf8');
    }
  })();
  await appendSource(pack, 'app', source, AbortSignal.timeout(60_000));
  pack.finalize();
  await read;
  return files;
}

function kept(source: GitSource): string[] {
  const folder = path.join(source.repositoryDir, 'modules');
  return readdirSync(folder);
}

test('puts submodules and theirs at the commits that the trees name, without data of git', async () => {
  const inner = serve({ 'inner.txt': 'inner' });
  const middle = serve(
    { 'middle.txt': 'old', '.gitattributes': 'middle.txt export-ignore\n' },
    { 'deep/in ner': { url: `../${inner.name}`, commit: inner.commit } },
  );
  const source = sourceOf(
    { Procfile: 'web: x\n', '.slugignore': 'lib/middle/ignored\n' },
    { 'lib/middle': { url: `${open.url}/${middle.name}`, commit: middle.commit } },
  );
  const fetched = await fetch(source);
  expect(await filesOf(fetched)).toEqual({
    'app/.slugignore': 'lib/middle/ignored\n',
    'app/Procfile': 'web: x\n',
    'app/lib/middle/.gitattributes': 'middle.txt export-ignore\n',
    'app/lib/middle/deep/in ner/inner.txt': 'inner',
    'app/lib/middle/middle.txt': 'old',
  });
  expect(output).toBe(
    [
      '-----> Git submodules detected, installing',
      `       lib/middle (${open.url}/${middle.name}) at ${middle.commit.slice(0, 7)}`,
      `       lib/middle/deep/in ner (${open.url}/${inner.name}) at ${inner.commit.slice(0, 7)}`,
      '',
    ].join('\n'),
  );
});

test('fetches nothing a second time, and keeps only what the newest push has', async () => {
  const first = serve({ a: '1' });
  const second = serve({ b: '2' });
  const one = { one: { url: `${open.url}/${first.name}`, commit: first.commit } };
  const source = await fetch(sourceOf({ x: '' }, one));
  expect(kept(source)).toHaveLength(1);
  open.seen.length = 0;
  await fetch(source);
  expect(open.seen).toEqual([]);
  const other = await fetch(
    sourceOf({}, { two: { url: `${open.url}/${second.name}`, commit: second.commit } }),
  );
  expect(kept(other)).toEqual([path.basename(other.submodules?.[0]?.repositoryDir ?? '')]);
});

test('gives credentials to their host, and to nobody else', async () => {
  const module = serve({ secret: 'x' });
  const url = new URL(`${locked.url}/${module.name}`);
  url.username = 'reader';
  url.password = 's3cret';
  const fetched = await fetch(sourceOf({}, { private: { url: url.href, commit: module.commit } }));
  expect(await filesOf(fetched)).toEqual({ 'app/private/secret': 'x' });
  expect(output).not.toContain('s3cret');

  url.password = 'wr0ng';
  const other = serve({ secret: 'y' });
  url.pathname = `/${other.name}`;
  const lines = await failure({ private: { url: url.href, commit: other.commit } });
  expect(lines[0]).toMatch(/^ ! {5}Submodule private could not be fetched: 127\.0\.0\.1:\d+: /);
  expect(lines[1]).toBe(' !     Push rejected, submodule install failed');
  expect(`${output}${lines.join('\n')}`).not.toContain('wr0ng');
});

test('names the submodule and the host if it cannot be fetched', async () => {
  const module = serve({ a: '' });
  const missing = '0123456789012345678901234567890123456789';
  const [noCommit] = await failure({ sub: { url: `${open.url}/${module.name}`, commit: missing } });
  expect(noCommit).toMatch(/^ ! {5}Submodule sub could not be fetched: 127\.0\.0\.1:\d+: .*not our ref/);
  const [noHost] = await failure({ sub: { url: 'https://no-such-host.invalid/a', commit: missing } });
  expect(noHost).toMatch(/^ ! {5}Submodule sub could not be fetched: no-such-host\.invalid: .*resolve/i);
});

test.each([
  ['../sibling', 'its URL ../sibling is relative'],
  ['git@example.com:a/b.git', 'its URL is one of SSH'],
  ['ssh://git@example.com/a', 'its URL is one of SSH'],
  ['file:///etc', 'its URL is not one of https://, http:// and git://'],
  ['/etc', 'its URL is not one of https://, http:// and git://'],
  ['ext::sh -c touch% /tmp/x', 'its URL is not one of https://, http:// and git://'],
  ['--upload-pack=touch', 'its URL is not one of https://, http:// and git://'],
])('does not fetch from %s', async (url, reason) => {
  const [line] = await failure({ sub: { url, commit: '0'.repeat(39) + '1' } });
  expect(line).toContain(` !     Submodule sub could not be fetched: ${reason}`);
});

test('bounds number, depth and size', async () => {
  const module = serve({ a: 'a' });
  const at = { url: `${open.url}/${module.name}`, commit: module.commit };
  expect((await failure({ one: at, two: at }, { maxCount: 1 }))[0]).toContain(
    'there are more than 1 submodules',
  );
  const outer = serve({ b: 'b' }, { in: at });
  const nested = { out: { url: `${open.url}/${outer.name}`, commit: outer.commit } };
  expect((await failure(nested, { maxDepth: 1 }))[0]).toContain('or 1 inside of each other');
  expect((await failure({ one: at }, { maxBytes: 100 }))[0]).toContain('larger than 100B');
});

test('takes a repository in a repository that is no submodule for an empty folder', async () => {
  const source = sourceOf({ a: 'a' }, {});
  app.git('update-index', '--add', '--cacheinfo', `160000,${source.commit},inner`);
  app.git('commit', '--quiet', '--message', 'Inner');
  const commit = app.git('rev-parse', 'HEAD').trim();
  expect(await filesOf(await fetch({ ...source, commit }))).toEqual({ 'app/a': 'a' });
  expect(output).toBe('');
});
