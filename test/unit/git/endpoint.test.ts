import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Actor } from '../../../src/domain/account';
import type { App } from '../../../src/domain/app';
import type { Build } from '../../../src/domain/build';
import type { AccountId, AppId, BuildId, ReleaseId } from '../../../src/domain/ids';
import type { Release, ReleaseStatus } from '../../../src/domain/release';
import { GitEndpoint } from '../../../src/git/endpoint';
import { PushReceiver } from '../../../src/git/receive';
import { Repositories } from '../../../src/git/repositories';
import { silentLogger } from '../../../src/lib/logger';
import { killGroup, run } from '../../../src/lib/process';
import type { NewBuild, StartedBuild } from '../../../src/platform/builds/builds';
import { GIT_ENV, TestRepository, writeFiles } from '../../support/git-repository';

// Real sockets and processes, on a machine that may have much else to do.
jest.setTimeout(20_000);

const APP = { id: randomUUID() as AppId, name: 'demo' } as App;
const ACTOR: Actor = { id: randomUUID() as AccountId, email: 'a@b.example' };

/** Reads each source as a build would and answers as it was told. */
class FakeBuilds {
  readonly inputs: NewBuild[] = [];
  readonly sources: string[] = [];
  output: (string | Buffer)[] = ['-----> Building on the Heroku-24 stack\n'];
  succeeds = true;
  /** Holds builds up. */
  gate: Promise<void> = Promise.resolve();
  canceled = 0;

  create(_actor: Actor, app: App, input: NewBuild): StartedBuild {
    this.inputs.push(input);
    input.signal?.addEventListener('abort', () => (this.canceled += 1));
    const build = { id: randomUUID() as BuildId, appId: app.id, status: 'pending' } as Build;
    const status = this.succeeds ? ('succeeded' as const) : ('failed' as const);
    const ended = this.gate.then(async () => {
      if (input.source.kind !== 'git') throw new Error('a push has a commit');
      const { repositoryDir, commit, environment } = input.source;
      const listed = await run('git', ['-C', repositoryDir, 'ls-tree', '-r', '--name-only', commit], {
        env: { ...GIT_ENV, ...environment },
        timeoutMs: 10_000,
      });
      this.sources.push(listed.stdout);
      return { ...build, status, releaseId: this.succeeds ? (randomUUID() as ReleaseId) : null };
    });
    this.#ended = ended;
    return { build, ended };
  }

  async *outputStream(): AsyncIterable<Buffer> {
    for (const chunk of this.output) yield Buffer.from(chunk as Buffer);
    await this.#ended;
  }

  #ended: Promise<unknown> = Promise.resolve();
}

interface GitResult {
  code: number | null;
  stderr: string;
}

/** What git shows, without the blanks by which it erases the rest of a terminal's line. */
function transcript({ stderr }: GitResult): string {
  return stderr
    .split('\n')
    .filter((line) => line.startsWith('remote:'))
    .map((line) => line.replace(/^remote: ?/, '').trimEnd())
    .join('\n');
}

describe('git over HTTP', () => {
  let directory: string;
  let builds: FakeBuilds;
  let repositories: Repositories;
  let receiver: PushReceiver;
  let endpoint: GitEndpoint;
  let server: Server;
  let work: TestRepository;
  let pushed: number[];
  let crashed: string[];
  /** undefined = the release has none. */
  let releaseCommand: { output: AsyncIterable<Buffer>; status: ReleaseStatus } | undefined;
  let children: ChildProcess[];

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-git-'));
    builds = new FakeBuilds();
    crashed = [];
    releaseCommand = undefined;
    repositories = new Repositories(path.join(directory, 'repos'));
    receiver = new PushReceiver({
      socketPath: path.join(directory, 'hook.sock'),
      hooksDir: path.join(directory, "hooks with ' and space"),
      nodePath: process.execPath,
      builds,
      releases: {
        outputStream: () => releaseCommand?.output,
        settled: (id) => Promise.resolve({ id, status: releaseCommand?.status ?? 'succeeded' } as Release),
      },
      deploys: { outcome: () => Promise.resolve({ crashed }) },
      logger: silentLogger,
    });
    await receiver.start();
    pushed = [];
    children = [];
    endpoint = new GitEndpoint({
      repositories,
      receiver,
      authenticate: (token) => (token === 'secret' ? ACTOR : undefined),
      findApp: (name) => (name === 'demo' ? APP : undefined),
      onPushed: (_app, size) => void pushed.push(size),
      logger: silentLogger,
    });
    server = createServer((request, response) => void endpoint.handle(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    work = new TestRepository();
  });
  afterEach(async () => {
    for (const child of children) killGroup(child, 'SIGKILL');
    await endpoint.stop();
    await receiver.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    work.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  function url(credentials = 'heroku:secret', app = 'demo'): string {
    return `http://${credentials}@127.0.0.1:${(server.address() as AddressInfo).port}/${app}.git`;
  }

  function start(
    args: string[],
    env: Record<string, string> = {},
  ): { child: ChildProcess; result: Promise<GitResult> } {
    const child = spawn('git', args, {
      cwd: work.directory,
      env: { ...GIT_ENV, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    children.push(child);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
    child.stdout.resume();
    const result = new Promise<GitResult>((resolve) =>
      child.once('close', (code) => resolve({ code, stderr })),
    );
    return { child, result };
  }
  const git = (...args: string[]): Promise<GitResult> => start(args).result;

  /** What main of the app's repository is. */
  async function pushedCommit(): Promise<string> {
    const directory = await repositories.ensure(APP.id);
    const { stdout } = await run('git', ['-C', directory, 'rev-parse', 'refs/heads/main'], {
      env: GIT_ENV,
      timeoutMs: 10_000,
    });
    return stdout.trim();
  }

  test('tells those who push of dynos that crash at once', async () => {
    work.commit({ 'a.txt': '1' }, 'Bad');
    crashed = ['web.1'];
    const result = await git('push', url(), 'main');
    expect(transcript(result)).toMatch(
      /Verifying deploy\.\.\. done\.\n ! {5}web\.1 crashed after this deploy\. To see why: heroku logs -a \S+$/,
    );
    expect(result.code).toBe(0);
  });

  test.each([
    ['succeeded', 'done'],
    ['failed', 'failed'],
  ] as const)('shows the release command of a push, which is done before: %s', async (status, shown) => {
    const commit = work.commit({ 'a.txt': '1' }, 'First');
    let branch = '';
    releaseCommand = {
      status,
      output: (async function* () {
        yield Buffer.from('migrating\n');
        // The branch is there while the command runs.
        branch = await pushedCommit();
        yield Buffer.from('migrated\n');
      })(),
    };
    crashed = ['web.1'];
    const result = await git('push', url(), 'main');
    expect(result.code).toBe(0);
    expect(branch).toBe(commit);
    const lines = transcript(result).split('\n');
    const start = lines.indexOf('Verifying deploy... done.');
    expect(lines.slice(start)).toEqual([
      'Verifying deploy... done.',
      'Running release command....',
      '',
      'migrating',
      'migrated',
      `Waiting for release.... ${shown}.`,
      ...(status === 'succeeded'
        ? [' !     web.1 crashed after this deploy. To see why: heroku logs -a demo']
        : []),
    ]);
  });

  test('keeps what was pushed when the client leaves during the release command', async () => {
    const commit = work.commit({ 'a.txt': '1' }, 'First');
    let begin = (): void => undefined;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    releaseCommand = {
      status: 'succeeded',
      output: (async function* () {
        yield Buffer.from('migrating\n');
        begin();
        await new Promise<void>((resolve) => setImmediate(resolve));
      })(),
    };
    const { child, result } = start(['push', url(), 'main']);
    await begun;
    killGroup(child, 'SIGKILL');
    await result;
    expect(await pushedCommit()).toBe(commit);
  });

  test('builds what is pushed to main, shows the output and accepts the push', async () => {
    const commit = work.commit({ 'a.txt': '1', 'dir/b.txt': '2' }, 'First: subject\n\nBody');
    builds.output = [
      '-----> Building on the Heroku-24 stack\n       part',
      ' of a line\n',
      '-----> Launching...\n',
    ];
    const result = await git('push', url(), 'main');
    expect(transcript(result)).toBe(
      [
        'Compressing source files... done.',
        'Building source:',
        '',
        '-----> Building on the Heroku-24 stack',
        '       part of a line',
        '-----> Launching...',
        '',
        'Verifying deploy... done.',
      ].join('\n'),
    );
    expect(result.stderr).toContain('* [new branch]      main -> main');
    expect(result.code).toBe(0);
    expect(builds.inputs[0]).toMatchObject({
      version: commit,
      versionDescription: 'First: subject',
      source: { commit, time: new Date('2026-01-02T03:04:05Z') },
    });
    expect(builds.sources).toEqual(['a.txt\ndir/b.txt\n']);
    await until(() => pushed.length === 1);
    expect(pushed[0]).toBeGreaterThan(100);
  });

  test('refuses the push when the build fails', async () => {
    work.commit({ a: '1' });
    builds.succeeds = false;
    builds.output = [' !     Push rejected, failed to compile Node.js app.\n\n !     Push failed\n'];
    const result = await git('push', url(), 'main');
    expect(transcript(result)).toBe(
      [
        'Compressing source files... done.',
        'Building source:',
        '',
        ' !     Push rejected, failed to compile Node.js app.',
        '',
        ' !     Push failed',
        'Verifying deploy...',
        '',
        '!\tPush rejected to demo.',
        '',
      ].join('\n'),
    );
    expect(result.stderr).toContain('! [remote rejected] main -> main (pre-receive hook declined)');
    expect(result.code).toBe(1);

    builds.succeeds = true;
    expect((await git('push', url(), 'main')).code).toBe(0);
    expect((await git('push', url(), 'main')).stderr).toContain('Everything up-to-date');
    expect(builds.inputs).toHaveLength(2);
  });

  test('takes other branches and tags without a build, and deletions', async () => {
    work.commit({ a: '1' });
    const branch = await git('push', url(), 'main:refs/heads/feature');
    expect(transcript(branch)).toContain('Pushed to non-main branch, skipping build.');
    expect(branch.code).toBe(0);
    work.git('tag', 'v1');
    expect(transcript(await git('push', url(), 'v1'))).toBe('');
    expect(builds.inputs).toHaveLength(0);
    expect((await git('push', url(), 'main')).code).toBe(0);
    expect(await git('push', url(), ':main', ':feature')).toMatchObject({ code: 0 });
    expect(builds.inputs).toHaveLength(1);
  });

  test('builds main when main and master come together', async () => {
    const main = work.commit({ a: '1' });
    work.git('branch', 'master');
    const result = await git('push', url(), 'main', 'master');
    expect(transcript(result)).toContain(' !     Building main only, not master.');
    expect(builds.inputs.map((input) => input.version)).toEqual([main]);
  });

  test('serves clones of what was pushed, also where that was only master', async () => {
    const commit = work.commit({ a: '1' });
    await git('push', url(), 'main:master');
    for (const version of ['0', '2']) {
      const target = path.join(directory, `clone-${version}`);
      const cloned = await git('-c', `protocol.version=${version}`, 'clone', '--quiet', url(), target);
      expect(cloned).toEqual({ code: 0, stderr: '' });
      const head = await run('git', ['-C', target, 'rev-parse', 'HEAD'], { env: GIT_ENV, timeoutMs: 5000 });
      expect(head.stdout.trim()).toBe(commit);
    }
  });

  test('takes large pushes, which come in chunks, and compressed requests', async () => {
    const random = Buffer.alloc(5 * 1024 * 1024, 'x');
    for (let index = 0; index < random.length; index += 3) random[index] = Math.floor(Math.random() * 256);
    writeFileSync(path.join(work.directory, 'big'), random);
    for (let index = 0; index < 20; index += 1) work.commit({ [`f${index}`]: `${index}` });
    expect((await git('-c', 'http.postBuffer=65536', 'push', url(), 'main')).code).toBe(0);
    // Many "have" lines make git compress what it asks for.
    expect(await git('clone', '--quiet', url(), path.join(directory, 'clone'))).toEqual({
      code: 0,
      stderr: '',
    });
    work.commit({ more: '1' });
    expect((await git('push', url(), 'main')).code).toBe(0);
    work.git('commit', '--quiet', '--allow-empty', '--message', 'elsewhere');
    expect(await git('fetch', '--quiet', url(), 'main')).toMatchObject({ code: 0 });
  }, 30_000);

  test('asks for credentials and refuses wrong ones', async () => {
    work.commit({ a: '1' });
    const response = await fetch(`${url('x').replace('x@', '')}/info/refs?service=git-receive-pack`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Basic realm="dynodock"');
    const wrong = await git('push', url('heroku:wrong'), 'main');
    expect(wrong.code).not.toBe(0);
    expect(wrong.stderr).toContain('Authentication failed');
    expect((await git('push', url('secret:'), 'main')).code).toBe(0);
  });

  test('says so when there is no such app, and speaks no dumb HTTP', async () => {
    work.commit({ a: '1' });
    const result = await git('push', url('heroku:secret', 'nosuch'), 'main');
    expect(transcript(result)).toBe("Couldn't find that app: nosuch.");
    const headers = { authorization: `Basic ${Buffer.from('heroku:secret').toString('base64')}` };
    const base = url('x').replace('x@', '');
    expect((await fetch(`${base}/info/refs`, { headers })).status).toBe(403);
    expect((await fetch(`${base}/HEAD`, { headers })).status).toBe(403);
  });

  test('calls the build off when the one who pushes goes away', async () => {
    work.commit({ a: '1' });
    builds.gate = new Promise(() => undefined);
    const { child, result } = start(['push', url(), 'main']);
    await until(() => builds.inputs.length === 1);
    // As a terminal does on Ctrl-C: git and its helpers.
    process.kill(-child.pid!, 'SIGINT');
    await result;
    await until(() => builds.canceled === 1);
    const refs = await run('git', ['-C', repositories.path(APP.id), 'for-each-ref'], {
      env: GIT_ENV,
      timeoutMs: 5000,
    });
    expect(refs.stdout).toBe('');
    await until(() =>
      readdirSync(path.join(repositories.path(APP.id), 'objects')).every((name) => !name.startsWith('tmp_')),
    );
  });

  test('makes a second push wait, and refuses it if it is then out of date', async () => {
    const first = work.commit({ a: '1' });
    let open: () => void = () => undefined;
    builds.gate = new Promise((resolve) => (open = resolve));
    const one = start(['push', url(), `${first}:refs/heads/main`]).result;
    await until(() => builds.inputs.length === 1);
    work.commit({ a: '2' });
    const two = start(['push', url(), 'main']);
    let shown = '';
    two.child.stderr?.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    await until(() => shown.includes('Another build is in progress for this app'));
    open();
    expect((await one).code).toBe(0);
    const late = await two.result;
    expect(late.code).toBe(1);
    expect(transcript(late)).toContain('Another push has changed this branch in the meantime.');
    expect(builds.inputs).toHaveLength(1);
    expect((await git('push', url(), 'main')).code).toBe(0);
  });

  test('tells the one who pushes when the daemon stops', async () => {
    work.commit({ a: '1' });
    builds.gate = new Promise(() => undefined);
    const { result } = start(['push', url(), 'main']);
    await until(() => builds.inputs.length === 1);
    await receiver.stop();
    const ended = await result;
    expect(ended.code).toBe(1);
    expect(transcript(ended)).toContain(' !     The dynodock daemon has gone away.');
  });

  test('adds nothing of its own to output in many small pieces', async () => {
    const lines = Array.from({ length: 30_000 }, (_, index) => `${index} ${'x'.repeat(60)}\n`);
    work.commit({ a: '1' });
    builds.output = lines;
    const text = transcript(await git('push', url(), 'main'));
    expect(text).toContain(lines.join('').trimEnd());
    expect(text).not.toContain('Warning');
  });

  test('passes on megabytes of output of any bytes', async () => {
    work.commit({ a: '1' });
    builds.output = [Buffer.alloc(3_000_000, '0123456789abcde\n'), Buffer.from([0xff, 0xfe, 0x0a])];
    const result = await git('push', url(), 'main');
    expect(result.code).toBe(0);
    expect(result.stderr.match(/remote: 0123456789abcde/g)).toHaveLength(187_500);
  });

  test('removes what pushes left behind that were cut off', async () => {
    const repository = await repositories.ensure(APP.id);
    writeFiles(repository, { 'objects/tmp_objdir-incoming-abc/56/x': 'x' });
    writeFiles(path.dirname(repository), { [`new-${randomUUID()}.git/HEAD`]: '' });
    await repositories.sweep();
    expect(readdirSync(path.join(repository, 'objects')).sort()).toEqual(['info', 'pack']);
    expect(readdirSync(path.dirname(repository))).toEqual([path.basename(repository)]);
  });

  test('removes a repository with its app', async () => {
    work.commit({ a: '1' });
    await git('push', url(), 'main');
    await until(() => pushed.length === 1);
    expect(await repositories.size(APP.id)).toBe(pushed[0]);
    await repositories.remove(APP);
    expect(existsSync(repositories.path(APP.id))).toBe(false);
    expect(await repositories.size(APP.id)).toBe(0);
  });
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
