import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { pack as createPack } from 'tar-stream';
import {
  BuildpackCache,
  type BuildpackLimits,
  type FetchedBuildpack,
} from '../../../src/build/buildpack-cache';
import { BuildpackFetchError } from '../../../src/build/buildpack-fetch-error';
import { killGroup, spawnGroup } from '../../../src/lib/process';
import { FakeClock } from '../../support/fake-clock';
import { TestRepository } from '../../support/git-repository';

let directory: string;
let clock: FakeClock;
const NEVER = new AbortController().signal;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'dynodock-buildpack-cache-'));
  clock = new FakeClock();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function cache(limits: Partial<BuildpackLimits> = {}): BuildpackCache {
  return new BuildpackCache({ directory: path.join(directory, 'cache'), clock, limits });
}

function filesIn({ file }: FetchedBuildpack): string[] {
  const names = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n');
  return names.filter((name) => !name.endsWith('/')).sort();
}

/** What lies in the cache besides what is complete. */
function unfinished(): string[] {
  const names = readdirSync(path.join(directory, 'cache'), { recursive: true }) as string[];
  return names.filter((name) => name.includes('unfinished'));
}

async function failureOf(work: Promise<unknown>): Promise<BuildpackFetchError> {
  const error: unknown = await work.then(
    () => new Error('it succeeded'),
    (caught: unknown) => caught,
  );
  if (error instanceof BuildpackFetchError) return error;
  throw error;
}

describe('a buildpack in a git repository', () => {
  let repository: TestRepository;
  let url: string;
  beforeEach(() => {
    repository = new TestRepository();
    url = pathToFileURL(repository.directory).href;
  });
  afterEach(() => repository.remove());

  const fetch = (ref: string, limits?: Partial<BuildpackLimits>): Promise<FetchedBuildpack> =>
    cache(limits).fetch({ kind: 'git', name: 'x', url, ref }, NEVER);

  test('is pinned to the commit of its branch or tag, or by its id', async () => {
    const first = repository.commit({
      'bin/detect': 'one',
      'test/x': '',
      '.gitattributes': 'test export-ignore\n',
    });
    repository.git('tag', 'light');
    repository.git('tag', '--annotate', '--message', 'annotated', 'heavy');
    const second = repository.commit({ 'bin/detect': 'two' });
    repository.git('branch', 'next/one', first);
    for (const [ref, commit] of [
      ['', second],
      ['main', second],
      ['light', first],
      ['heavy', first],
      ['next/one', first],
      ['refs/heads/main', second],
      [first, first],
      [first.slice(0, 9), first],
    ] as const) {
      expect([ref, (await fetch(ref)).revision]).toEqual([ref, commit]);
    }
    // All that is committed, whatever the repository's attributes leave out of its releases.
    expect(filesIn(await fetch(first))).toEqual([
      'buildpack/.gitattributes',
      'buildpack/bin/detect',
      'buildpack/test/x',
    ]);
    expect(unfinished()).toEqual([]);
  });

  test('is fetched again when there is something new, and else not', async () => {
    const first = repository.commit({ a: '1' });
    const before = await fetch('main');
    const { ino } = readInode(before);
    expect(readInode(await fetch('main'))).toEqual({ ino });
    const second = repository.commit({ a: '2' });
    const after = await fetch('main');
    expect([before.revision, after.revision]).toEqual([first, second]);
    expect(after.stale).toBeUndefined();
  });

  test('serves on when nobody answers, and says since when it is known', async () => {
    const commit = repository.commit({ a: '1' });
    const port = await closedPort();
    const server = spawnGroup('git', [
      'daemon',
      '--export-all',
      '--listen=127.0.0.1',
      `--port=${port}`,
      `--base-path=${path.dirname(repository.directory)}`,
    ]);
    const source = {
      kind: 'git' as const,
      name: 'x',
      url: `git://127.0.0.1:${port}/${path.basename(repository.directory)}`,
      ref: 'main',
    };
    const ended = once(server, 'close');
    try {
      await untilAccepting(port);
      expect(await cache().fetch(source, NEVER)).toEqual({ revision: commit, file: expect.any(String) });
    } finally {
      killGroup(server, 'SIGKILL');
      await ended;
    }
    const checkedAt = clock.now();
    await clock.advance(3_600_000);
    expect(await cache().fetch(source, NEVER)).toMatchObject({
      revision: commit,
      stale: { checkedAt, reason: { reason: 'unreachable', host: `127.0.0.1:${port}` } },
    });
    expect(await failureOf(cache().fetch({ ...source, ref: 'never-fetched' }, NEVER))).toMatchObject({
      reason: 'unreachable',
      host: `127.0.0.1:${port}`,
    });
  });

  test('by a whole commit id never asks again', async () => {
    const commit = repository.commit({ a: '1' });
    await fetch(commit);
    repository.remove();
    expect(await fetch(commit)).toEqual({ revision: commit, file: expect.any(String) });
  });

  test('brings its submodules along', async () => {
    const inner = new TestRepository();
    try {
      inner.commit({ 'lib/util': 'from a submodule' });
      repository.commit({ 'bin/detect': 'x' });
      repository.git(
        '-c',
        'protocol.file.allow=always',
        'submodule',
        'add',
        pathToFileURL(inner.directory).href,
        'vendor/inner',
      );
      repository.commit({});
      expect(filesIn(await fetch(''))).toEqual([
        'buildpack/.gitmodules',
        'buildpack/bin/detect',
        'buildpack/vendor/inner/lib/util',
      ]);
    } finally {
      inner.remove();
    }
  });

  test('with submodules without end is given up', async () => {
    repository.commit({ a: '1' });
    // Of itself: each fetch would find the next.
    repository.git('-c', 'protocol.file.allow=always', 'submodule', 'add', '--name', 'self', url, 'self');
    repository.commit({});
    repository.git('-C', 'self', '-c', 'protocol.file.allow=always', 'pull', '--quiet');
    const commit = repository.git('-C', 'self', 'rev-parse', 'HEAD').trim();
    repository.git('update-index', '--cacheinfo', `160000,${commit},self`);
    repository.git('commit', '--quiet', '--message', 'again');
    expect(await fetch('')).toMatchObject({ revision: expect.any(String) });
    const chain: TestRepository[] = [repository];
    try {
      for (let depth = 0; depth < 6; depth += 1) {
        const outer = new TestRepository();
        const last = chain.at(-1) ?? repository;
        outer.git(
          '-c',
          'protocol.file.allow=always',
          'submodule',
          'add',
          pathToFileURL(last.directory).href,
          'next',
        );
        outer.commit({});
        chain.push(outer);
      }
      url = pathToFileURL((chain.at(-1) ?? repository).directory).href;
      expect(await failureOf(fetch(''))).toMatchObject({
        reason: 'unusable',
        detail: 'it has too many submodules',
      });
    } finally {
      for (const made of chain.slice(1)) made.remove();
    }
  });

  test('runs nothing of the repository here', async () => {
    const evil = path.join(directory, 'evil');
    repository.commit({ a: 'x', '.gitattributes': '* filter=evil\n' });
    repository.git('config', 'filter.evil.smudge', `touch ${evil}`);
    repository.git('config', 'uploadpack.packObjectsHook', `touch ${evil}`);
    await fetch('');
    expect(readdirSync(directory)).toEqual(['cache']);
  });

  test.each([
    ['is larger than it may be', { maxUnpackedBytes: 1000 }, 'unpacked it is larger than 1000B'],
    ['has more files than it may have', { maxEntries: 1 }, 'it has more than 1 files'],
  ])('that %s is refused', async (_what, limits, detail) => {
    repository.commit({ a: randomBytes(2000).toString('hex'), b: '' });
    expect(await failureOf(fetch('', limits))).toMatchObject({ reason: 'unusable', detail });
    expect(unfinished()).toEqual([]);
  });

  test('without such a reference is refused, which is not taken for a dead network', async () => {
    repository.commit({ a: '' });
    await fetch('main');
    expect(await failureOf(fetch('v9'))).toMatchObject({
      reason: 'refused',
      detail: 'it has no branch, tag or commit v9',
    });
    expect(await failureOf(fetch('abcdef123'))).toMatchObject({ reason: 'refused' });
    repository.git('checkout', '--quiet', '-b', 'other');
    repository.git('branch', '-D', 'main');
    expect(await failureOf(fetch('main'))).toMatchObject({ reason: 'refused' });
  });

  test('ends with the build that wanted it', async () => {
    repository.commit({ a: '' });
    const controller = new AbortController();
    const work = cache().fetch({ kind: 'git', name: 'x', url, ref: '' }, controller.signal);
    controller.abort(new Error('called off'));
    await expect(work).rejects.toThrow('called off');
    expect(unfinished()).toEqual([]);
  });
});

describe('a buildpack in an archive', () => {
  let server: Server;
  let port: number;
  let requests: IncomingMessage[];
  let answer: (request: IncomingMessage, response: ServerResponse) => void;

  beforeEach(async () => {
    requests = [];
    server = createServer((request, response) => {
      requests.push(request);
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterEach(() => close());

  async function close(): Promise<void> {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  const fetch = (
    more: { path?: string; credentials?: string; limits?: Partial<BuildpackLimits> } = {},
  ): Promise<FetchedBuildpack> =>
    cache(more.limits).fetch(
      {
        kind: 'archive',
        name: 'x',
        url: `http://127.0.0.1:${port}${more.path ?? '/pack.tgz'}`,
        ...(more.credentials === undefined ? {} : { credentials: more.credentials }),
      },
      NEVER,
    );

  async function anArchive(files: Record<string, string>): Promise<Buffer> {
    const pack = createPack();
    for (const [name, content] of Object.entries(files)) pack.entry({ name }, content);
    pack.finalize();
    return gzipSync(await buffer(pack));
  }

  test('is pinned to its checksum', async () => {
    const archive = await anArchive({ 'bin/detect': 'x' });
    answer = (_request, response) => response.end(archive);
    const { revision, file } = await fetch();
    expect(revision).toBe(`sha256:${createHash('sha256').update(archive).digest('hex')}`);
    expect(readFileSync(file)).toEqual(archive);
  });

  test('is only sent again when it has changed', async () => {
    const archive = await anArchive({ a: '1' });
    const modified = 'Mon, 01 Jan 2024 00:00:00 GMT';
    answer = (request, response) => {
      const { 'if-none-match': etag } = request.headers;
      response.setHeader('ETag', '"one"').setHeader('Last-Modified', modified);
      if (etag === '"one"') response.writeHead(304).end();
      else response.end(archive);
    };
    const first = await fetch();
    expect(await fetch()).toEqual(first);
    expect(requests[1]?.headers).toMatchObject({ 'if-none-match': '"one"', 'if-modified-since': modified });
    const changed = await anArchive({ a: '2' });
    answer = (_request, response) => response.end(changed);
    expect((await fetch()).revision).not.toBe(first.revision);
  });

  test('serves on when the server is gone or in trouble, not when it refuses', async () => {
    const archive = await anArchive({ a: '1' });
    answer = (_request, response) => response.end(archive);
    const fetched = await fetch();
    const since = clock.now();
    await clock.advance(3_600_000);
    answer = (_request, response) => response.writeHead(503).end();
    const served = await fetch();
    expect(served).toMatchObject({
      revision: fetched.revision,
      stale: {
        reason: { host: `127.0.0.1:${port}`, detail: 'it answers with status 503' },
        checkedAt: since,
      },
    });
    answer = (_request, response) => response.writeHead(404).end();
    expect(await failureOf(fetch())).toMatchObject({
      reason: 'refused',
      detail: 'it answers with status 404',
    });
    await close();
    expect((await fetch()).stale?.reason.reason).toBe('unreachable');
    server.listen(0);
  });

  test('that was never fetched fails with the name of the host', async () => {
    answer = (request) => request.socket.destroy();
    expect(await failureOf(fetch())).toMatchObject({ reason: 'unreachable', host: `127.0.0.1:${port}` });
  });

  test('never replaces a good one by half of one, or by something else', async () => {
    const archive = await anArchive({ a: '1'.repeat(1000) });
    answer = (_request, response) => response.end(archive);
    const good = await fetch();
    answer = (_request, response) => {
      response.writeHead(200, { 'Content-Length': String(archive.length) });
      response.write(archive.subarray(0, 50), () => response.destroy());
    };
    expect(await fetch()).toMatchObject({ revision: good.revision, stale: { checkedAt: expect.any(Date) } });
    answer = (_request, response) => response.end('<html>Please log in</html>');
    expect(await failureOf(fetch())).toMatchObject({
      reason: 'unusable',
      detail: expect.stringMatching(/^it is no archive: /),
    });
    answer = (_request, response) => response.writeHead(503).end();
    expect((await fetch()).revision).toBe(good.revision);
    expect(unfinished()).toEqual([]);
  });

  test.each([
    [
      'is longer than it may be',
      { a: randomBytes(5000).toString('hex') },
      { maxBytes: 1000 },
      /^it is larger than 1000/,
    ],
    [
      'unpacks to more than it may',
      { a: '0'.repeat(100_000) },
      { maxUnpackedBytes: 50_000 },
      /^unpacked it is larger/,
    ],
    ['leaves its folder', { '../../etc/passwd': 'x' }, {}, /^it names a file outside of itself$/],
  ])('that %s is refused', async (_what, files, limits, detail) => {
    const archive = await anArchive(files);
    answer = (_request, response) => response.end(archive);
    expect(await failureOf(fetch({ limits }))).toMatchObject({
      reason: 'unusable',
      detail: expect.stringMatching(detail),
    });
  });

  test('that is mostly nothing, beyond the end of its files, is refused', async () => {
    const archive = gzipSync(Buffer.alloc(3_000_000));
    answer = (_request, response) => response.end(archive);
    const limits = { maxUnpackedBytes: 1_000_000, maxEntries: 1 };
    expect(await failureOf(fetch({ limits }))).toMatchObject({
      detail: expect.stringMatching(/^unpacked it is/),
    });
  });

  test('is followed to where it has moved, without its password', async () => {
    const archive = await anArchive({ a: '1' });
    answer = (request, response) => {
      if (request.url === '/pack.tgz') {
        response.writeHead(302, { Location: `http://localhost:${port}/moved.tgz` }).end();
      } else response.end(archive);
    };
    await fetch({ credentials: 'me:secret' });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      `Basic ${Buffer.from('me:secret').toString('base64')}`,
      undefined,
    ]);
    answer = (_request, response) => response.writeHead(302, { Location: '/pack.tgz' }).end();
    expect(await failureOf(fetch({ path: '/loop.tgz' }))).toMatchObject({ detail: 'it redirects too often' });
    answer = (_request, response) => response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
    expect(await failureOf(fetch({ path: '/file.tgz' }))).toMatchObject({
      detail: 'it redirects to file://',
    });
  });
});

function readInode({ file }: FetchedBuildpack): { ino: string } {
  return { ino: execFileSync('stat', ['-c', '%i', file], { encoding: 'utf8' }).trim() };
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function untilAccepting(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const socket = connect(port, '127.0.0.1');
    const accepted = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (accepted) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('git daemon does not accept connections');
}
