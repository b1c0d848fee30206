import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import type { BuiltSlug } from '../../src/build/build-request';
import type { App } from '../../src/domain/app';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { BUILD_LABEL, ownedLabels } from '../../src/engine/labels';
import { GitEndpoint } from '../../src/git/endpoint';
import type { Repositories } from '../../src/git/repositories';
import { silentLogger } from '../../src/lib/logger';
import { BuildBench, type BuildProject } from '../support/build-project';
import { TestRepository, writeFiles, type TestFiles } from '../support/git-repository';

let bench: BuildBench;
let engine: DockerEngine;
let directory: string;

beforeAll(async () => {
  bench = await BuildBench.open();
  ({ engine, directory } = bench);
}, 10 * 60_000);

afterAll(() => bench.close(), 60_000);

const DETECT = 'echo Test';

/** At which containers reach this process. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const found = addresses.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (found === undefined) throw new Error('this machine has no address but its loopback');
  return found.address;
}

/** Files of a slug's archive, path → content. */
function unpack(slug: BuiltSlug): Record<string, string> {
  const target = mkdtempSync(path.join(directory, 'unpacked-'));
  execFileSync('tar', ['-xzf', slug.archivePath, '-C', target]);
  return Object.fromEntries(
    readdirSync(target, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const file = path.join(entry.parentPath, entry.name);
        return [path.relative(target, file), readFileSync(file, 'utf8')];
      }),
  );
}

async function containersLeft(): Promise<number> {
  return (await engine.list(ownedLabels(bench.installationId, 'build'))).length;
}

const MINUTE = 60_000;

describe('Builder', () => {
  const project = (buildpacks: Record<string, TestFiles>): BuildProject => bench.project(buildpacks);
  afterEach(async () => {
    expect(await containersLeft()).toBe(0);
  });

  test(
    'detects the buildpack, compiles and makes a slug and an image',
    async () => {
      const { output, slug } = await (async () => {
        const p = project({
          nodejs: {
            'bin/detect': '[[ -f $1/package.json ]] && echo Node.js',
            'bin/compile':
              'echo "-----> Compiling"; echo "to stderr" >&2; echo built > "$1/built"; mkdir -p $1/.profile.d; echo "export A=1" > $1/.profile.d/a.sh',
            'bin/release': 'printf -- "---\\ndefault_process_types:\\n  web: npm start\\n  worker: none\\n"',
          },
          ruby: { 'bin/detect': 'exit 1', 'bin/compile': 'exit 1' },
        });
        const slug = await p.build({
          'package.json': '{}',
          Procfile: 'worker: node worker.js\n',
          'a b/ü.txt': 'x',
        });
        return { output: p.output, slug };
      })();
      expect(output).toBe(
        [
          '-----> Building on the Heroku-24 stack',
          '-----> Determining which buildpack to use for this app',
          '-----> Node.js app detected',
          '-----> Compiling',
          'to stderr',
          '-----> Discovering process types',
          '       Procfile declares types     -> worker',
          '       Default types for buildpack -> web',
          '',
          '-----> Compressing...',
          `       Done: ${slug.size}B`,
          '',
        ].join('\n'),
      );
      expect(slug).toMatchObject({
        processTypes: { web: 'npm start', worker: 'node worker.js' },
        buildpackProvidedDescription: 'Node.js',
        buildpacks: [{ name: 'heroku/nodejs', revision: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) }],
        configVars: {},
        addons: [],
      });
      expect(unpack(slug)).toEqual({
        'app/package.json': '{}',
        'app/Procfile': 'worker: node worker.js\n',
        'app/a b/ü.txt': 'x',
        'app/built': 'built\n',
        'app/.profile.d/a.sh': 'export A=1\n',
      });
      const checksum = execFileSync('sha256sum', [slug.archivePath], { encoding: 'utf8' }).split(' ')[0];
      expect(slug.checksum).toBe(`SHA256:${checksum}`);

      const id = await engine.create({
        name: `dynodock-test-${randomUUID()}`,
        image: slug.image,
        command: [
          '/bin/bash',
          '-c',
          'cat /app/built; stat -c "%U %a" /app /app/built; touch /app/new && echo writable',
        ],
        env: {},
        labels: ownedLabels(bench.installationId, 'dyno'),
        network: 'none',
      });
      await engine.start(id);
      expect(await engine.wait(id)).toEqual({ exitCode: 0 });
      const lines: string[] = [];
      for await (const line of engine.logs(id, { follow: false })) lines.push(line.text);
      expect(lines).toEqual(['built', 'dyno 755', 'dyno 644', 'writable']);
      await engine.remove(id);
    },
    2 * MINUTE,
  );

  test(
    'makes the same archive and the same image of the same source',
    async () => {
      const p = project({
        test: {
          'bin/detect': DETECT,
          'bin/compile': 'date +%N > /tmp/x; echo out > $1/out; ln $1/out $1/hard; ln -s ./out $1/soft',
        },
      });
      const files = {
        'index.js': '1',
        'bin/run': { content: 'x', mode: 0o755 },
        link: { symlink: 'index.js' },
      };
      const first = await p.build(files);
      const firstImage = await engine.inspectImage(first.image);
      await engine.removeImage(first.image);
      const second = await p.build({});
      expect(second.checksum).toBe(first.checksum);
      expect(second.image).toBe(first.image);
      expect((await engine.inspectImage(second.image))?.id).toBe(firstImage?.id);
      expect((await p.build({ 'index.js': '2' })).checksum).not.toBe(first.checksum);
    },
    2 * MINUTE,
  );

  test(
    'says what Heroku says when nothing is detected',
    async () => {
      const p = project({ nodejs: { 'bin/detect': 'echo no; exit 1', 'bin/compile': '' } });
      const failure = await p.failure({ README: 'x' });
      expect(failure.kind).toBe('not_detected');
      expect(failure.lines[0]).toBe(' !     No default language could be detected for this app.');
      expect(p.output).not.toContain('no\n');
    },
    MINUTE,
  );

  test(
    'fails when a listed buildpack does not apply, showing what it says',
    async () => {
      const p = project({
        nodejs: { 'bin/detect': 'echo "no package.json" >&2; exit 1', 'bin/compile': '' },
      });
      const failure = await p.failure({ README: 'x' }, { buildpacks: ['heroku/nodejs'] });
      expect(failure.message).toBe('App not compatible with buildpack: heroku/nodejs');
      expect(p.output).toContain('-----> Using buildpack: heroku/nodejs\nno package.json\n');
    },
    MINUTE,
  );

  test(
    'names the app when compile fails',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': 'printf broken; exit 3' } });
      const failure = await p.failure({ a: '' });
      expect(failure.lines).toEqual([' !     Push rejected, failed to compile Test app.']);
      expect(p.output.endsWith('-----> Test app detected\nbroken')).toBe(true);
      expect(
        existsSync(p.slugsDir)
          ? readdirSync(p.slugsDir, { recursive: true, encoding: 'utf8' }).filter((name) =>
              name.endsWith('.partial'),
            )
          : [],
      ).toEqual([]);
    },
    MINUTE,
  );

  test(
    'ends a build that hangs at the deadline',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': 'echo waiting; sleep 1000' } });
      const failure = await p.failure(
        { a: '' },
        {},
        { limits: { memoryBytes: 1024 ** 3, pids: 512, timeoutMs: 5000 } },
      );
      expect(failure).toMatchObject({
        kind: 'timeout',
        message: 'Push rejected, the build took longer than 5 seconds.',
      });
      expect(p.output).toContain('waiting');
    },
    MINUTE,
  );

  test(
    'ends at once when it is called off',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': 'echo waiting; sleep 1000' } });
      const controller = new AbortController();
      const failed = p.failure({ a: '' }, {}, {}, controller.signal);
      while (!p.output.includes('waiting')) await new Promise((resolve) => setTimeout(resolve, 50));
      controller.abort();
      expect((await failed).kind).toBe('canceled');
    },
    MINUTE,
  );

  test(
    'passes on megabytes of output, of any bytes and without a last line end',
    async () => {
      const p = project({
        test: {
          'bin/detect': DETECT,
          'bin/compile':
            'yes 0123456789abcde | head -c 8388608; printf "\\x00\\xff\\xfe"; printf "no line end" >&2',
        },
      });
      await p.build({ a: '' });
      expect(p.output.length).toBeGreaterThan(8 * 1024 * 1024);
      expect(p.output).toContain('\x00\xff\xfeno line end\n-----> Discovering process types\n');
    },
    MINUTE,
  );

  test(
    'runs several buildpacks in order, each with what the earlier ones exported',
    async () => {
      const p = project({
        one: {
          'bin/detect': 'echo One',
          'bin/compile':
            'echo \'export FROM_ONE="a b" PATH="/one:$PATH"\' > "$(dirname "$0")/../export"; echo 1 > $2/one',
          'bin/release': 'printf -- "---\\ndefault_process_types:\\n  first: x\\n"',
        },
        two: {
          'bin/detect': 'echo Two',
          'bin/compile': 'echo "got $FROM_ONE, ${PATH%%:*}, $(cat $2/one)"',
          'bin/release':
            'printf -- "---\\nconfig_vars:\\n  RAILS_ENV: production\\naddons:\\n  - heroku-postgresql\\ndefault_process_types:\\n  web: y\\n"',
        },
      });
      const slug = await p.build({ a: '' }, { buildpacks: ['heroku/one', 'heroku/two'] });
      expect(p.output).toContain('-----> Using buildpacks:\n       1. heroku/one\n       2. heroku/two\n');
      expect(p.output).toContain('got a b, /one, 1\n');
      expect(slug).toMatchObject({
        processTypes: { web: 'y' },
        buildpackProvidedDescription: 'Two',
        buildpacks: [{ name: 'heroku/one' }, { name: 'heroku/two' }],
        configVars: { RAILS_ENV: 'production' },
        addons: ['heroku-postgresql'],
      });
    },
    MINUTE,
  );

  test(
    'gives config vars as files, not as environment',
    async () => {
      const p = project({
        test: {
          'bin/detect': DETECT,
          'bin/compile': [
            'echo "env: ${SECRET-none} $STACK $SOURCE_VERSION $HOME $(id -u) $PWD"',
            '[[ $1 =~ ^/tmp/build_[0-9a-f]{8}$ && $DYNO =~ ^run\\.[0-9]+$ ]] && echo "dir and dyno"',
            'echo "file: $(cat "$3/SECRET"), $(ls $3)"',
            'ls /var/run/docker.sock 2>&1; grep CapEff /proc/self/status',
          ].join('\n'),
        },
      });
      await p.build({ a: '' }, { configVars: { SECRET: 'two\nlines' }, version: 'abc' });
      const dir = /env: none heroku-24 abc \/app 10001 (\S+)/.exec(p.output)?.[1];
      expect(dir).toMatch(/^\/tmp\/build_/);
      expect(p.output).toContain('dir and dyno\n');
      expect(p.output).toContain('file: two\nlines, SECRET\n');
      expect(p.output).toContain('No such file or directory\nCapEff:\t0000000000000000\n');
    },
    MINUTE,
  );

  test(
    'keeps a cache per app until the buildpacks change',
    async () => {
      const count = 'n=$(( $(cat $2/n 2>/dev/null || echo 0) + 1 )); echo $n > $2/n; echo "build number $n"';
      const p = project({
        one: { 'bin/detect': DETECT, 'bin/compile': count },
        two: { 'bin/detect': DETECT, 'bin/compile': count },
      });
      for (const [buildpacks, expected] of [
        [[], 1],
        [['heroku/one'], 2],
        [['heroku/two'], 1],
      ] as const) {
        await p.build({ a: '' }, { buildpacks });
        expect(p.output).toContain(`build number ${expected}\n`);
      }
      await p.builder().purgeCache(p.appId);
      await p.build({ a: '' }, { buildpacks: ['heroku/two'] });
      expect(p.output).toContain('build number 1\n');
    },
    2 * MINUTE,
  );

  test(
    'leaves out what .slugignore names before the buildpack runs, and git data',
    async () => {
      const p = project({
        test: { 'bin/detect': DETECT, 'bin/compile': 'ls -A $1; mkdir $1/.git; echo x > $1/.git/x' },
      });
      const slug = await p.build({
        '.slugignore': '*.psd\n/docs\n',
        '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = https://localhost/x\n',
        'art/a.psd': 'x',
        'docs/a.txt': 'x',
        'src/docs/a.txt': 'x',
        'a.txt': 'x',
      });
      expect(Object.keys(unpack(slug)).sort()).toEqual(
        ['app/.slugignore', 'app/a.txt', 'app/src/docs/a.txt'].sort(),
      );
    },
    MINUTE,
  );

  test(
    'refuses a slug that is too large, saying how large it is',
    async () => {
      const p = project({
        test: { 'bin/detect': DETECT, 'bin/compile': 'head -c 3145728 /dev/urandom > $1/big' },
      });
      const failure = await p.failure(
        { a: '' },
        {},
        {
          limits: { memoryBytes: 1024 ** 3, pids: 512, slugMaxBytes: 2 * 1024 ** 2 },
        },
      );
      expect(failure.lines).toEqual([
        ' !     Compiled slug size: 3M is too large (max is 2M).',
        ' !     See: http://devcenter.heroku.com/articles/slug-size',
      ]);
      expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
    },
    MINUTE,
  );

  test(
    'says so when the build runs out of memory',
    async () => {
      const p = project({
        test: {
          'bin/detect': DETECT,
          'bin/compile': 'exec python3 -c "x = b\'x\' * 10**9; print(len(x))"',
        },
      });
      const failure = await p.failure({ a: '' }, {}, { limits: { memoryBytes: 64 * 1024 ** 2, pids: 512 } });
      expect([failure.kind, failure.lines.join('\n')]).toEqual([
        'memory',
        expect.stringContaining('64M of memory'),
      ]);
    },
    MINUTE,
  );

  test(
    'names what stops a buildpack from being fetched',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': '' } });
      const failure = await p.failure(
        { a: '' },
        { buildpacks: ['https://user:secret@localhost:1/x.git#v1'] },
      );
      expect(failure.kind).toBe('buildpack');
      expect(failure.lines[0]).toBe(
        ' !     Buildpack https://localhost:1/x.git#v1 could not be fetched: localhost:1 could not be reached.',
      );
      expect(failure.lines[1]).toMatch(/localhost/);
      expect(failure.lines.join() + p.output).not.toContain('secret');
      const archive = await p.failure({ a: '' }, { buildpacks: ['https://localhost:1/x.tgz'] });
      expect(archive.lines[1]).toMatch(/ECONNREFUSED/);
    },
    MINUTE,
  );

  test(
    'fetches buildpacks from git, by branch, tag and commit, and from an archive',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': '' } });
      const source = new TestRepository();
      const version = (text: string): TestFiles => ({
        'bin/detect': { content: '#!/bin/sh\necho Fetched\n', mode: 0o755 },
        'bin/compile': { content: `#!/bin/sh\necho "this is ${text}"\n`, mode: 0o755 },
      });
      const first = source.commit(version('one'));
      source.git('tag', 'v1');
      source.commit(version('two'));
      // With one folder around everything, as code hosts make them.
      const archive = execFileSync('git', ['archive', '--format=tar.gz', '--prefix=pack-main/', 'HEAD'], {
        cwd: source.directory,
      });
      const git = new GitEndpoint({
        repositories: { ensure: async () => path.join(source.directory, '.git') } as unknown as Repositories,
        receiver: {
          begin: () => ({ environment: {}, end: async () => undefined }),
          hooksDir: '/nonexistent',
        },
        authenticate: (token) =>
          token === 'secret' ? { id: p.appId as never, email: 'a@b.example' } : undefined,
        findApp: () => ({ id: p.appId }) as App,
        onPushed: () => undefined,
        logger: silentLogger,
      });
      const server = createServer((request, response) => {
        if (request.url === '/pack.tgz') response.end(archive);
        else void git.handle(request, response);
      });
      await new Promise<void>((resolve) => server.listen(0, resolve));
      try {
        const host = `${ownAddress()}:${(server.address() as AddressInfo).port}`;
        for (const [url, expected] of [
          [`http://me:secret@${host}/pack.git`, 'two'],
          [`http://me:secret@${host}/pack.git#main`, 'two'],
          [`http://me:secret@${host}/pack.git#v1`, 'one'],
          [`http://me:secret@${host}/pack.git#${first}`, 'one'],
          [`http://me:secret@${host}/pack.git#${first.slice(0, 10)}`, 'one'],
          [`http://${host}/pack.tgz`, 'two'],
        ] as const) {
          await p.build({ a: '' }, { buildpacks: [url] });
          expect([url, p.output]).toEqual([url, expect.stringContaining(`this is ${expected}\n`)]);
          expect(p.output).not.toContain('secret');
        }
        const missing = await p.failure(
          { a: '' },
          { buildpacks: [`http://me:secret@${host}/pack.git#nosuch`] },
        );
        expect(missing.lines[1]).toMatch(/nosuch/);
      } finally {
        await git.stop();
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        source.remove();
      }
    },
    2 * MINUTE,
  );

  test(
    'survives processes that a buildpack leaves running',
    async () => {
      const p = project({
        test: {
          'bin/detect': DETECT,
          'bin/compile': '(while :; do date +%N > $1/changing; done) & sleep 0.2; echo done',
        },
      });
      await p.build({ a: '' });
      expect(p.output).toContain('Done: ');
    },
    MINUTE,
  );

  test(
    'removes what an earlier run left behind',
    async () => {
      const p = project({ test: { 'bin/detect': DETECT, 'bin/compile': '' } });
      await engine.create({
        name: `dynodock-build-${randomUUID()}`,
        image: bench.images['heroku-24'].build,
        command: ['sleep', '1000'],
        env: {},
        labels: ownedLabels(bench.installationId, 'build', { [BUILD_LABEL]: randomUUID() }),
        network: 'none',
      });
      writeFiles(directory, { [`work/slug-${randomUUID()}.tar`]: 'x', 'slugs/app/x.tgz.partial': 'x' });
      expect(await p.builder().sweep()).toEqual({ containers: 1 });
      expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
      expect(existsSync(path.join(directory, 'slugs/app/x.tgz.partial'))).toBe(false);
    },
    MINUTE,
  );
});
