import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BuiltSlug } from '../../src/build/build-request';
import { BuildBench, type BuildProject } from '../support/build-project';
import { TestRepository, writeFiles, type TestFiles } from '../support/git-repository';

/** Conformance with Dev Center's "Buildpack API" and "Testpack API", rule by rule, with buildpacks of a few lines. */

let bench: BuildBench;

beforeAll(async () => {
  bench = await BuildBench.open();
}, 10 * 60_000);
afterAll(() => bench.close(), 60_000);

// Machines that do something else besides are slow.
jest.setTimeout(180_000);

const TEST = { 'bin/detect': 'echo Test' };
const RELEASE = (yaml: string): string => `cat <<'YAML'\n---\n${yaml}\nYAML`;
const LISTED = { buildpacks: ['heroku/one', 'heroku/two'] };

describe('two buildpacks that say what they see', () => {
  const secret = 'two\nlines, "quotes", $HOME and \\';
  const huge = 'x'.repeat(300_000);
  let project: BuildProject;
  let slug: BuiltSlug;
  let output: string;

  beforeAll(async () => {
    project = bench.project({
      one: {
        'bin/detect': [
          'printf "One\\r\\n"; seq 1000; echo "to standard error" >&2',
          '[[ -z ${SECRET-} ]] && touch "$1/detected-before-compile"',
          // A daemon that holds detect's output open must not hold the build up.
          'sleep 1000 & disown',
        ].join('\n'),
        'bin/compile': [
          'set -e',
          'echo "build dir: $1"; echo "cache dir: $2"; echo "arguments: $#"',
          'echo "stack: $STACK, version: $SOURCE_VERSION, request: $REQUEST_ID"',
          'echo "home: $HOME, dyno: $DYNO, timeouts: $CURL_CONNECT_TIMEOUT $CURL_TIMEOUT, user: $(id -un)"',
          'echo "environment: ${SECRET-nothing} ${HUGE-nothing}"',
          'echo "names: $(ls "$3" | xargs)"; echo "huge: $(wc -c < "$3/HUGE")"; echo "secret: $(cat "$3/SECRET")"',
          'echo "from detect: $(ls "$1")"',
          'echo "util: $("$(dirname "$0")/util" word)"',
          'bp_dir="$(cd "$(dirname "$0")/.." && pwd)"',
          'echo \'export PATH="/app/one/bin:$PATH" FROM_ONE="exported by one"\' > "$bp_dir/export"',
          'echo "left by one" > "$1/one.txt"; echo "cached by one" > "$2/one"',
          'mkdir -p "$1/.profile.d"; echo \'export FROM_PROFILE="${FROM_PROFILE:-default}"\' > "$1/.profile.d/one.sh"',
          'printf "progress 1\\rprogress 2\\r"; printf "binary \\x00\\xff without a line end"',
        ].join('\n'),
        'bin/util': 'echo "util was given $1"',
        'bin/release': RELEASE(
          'default_process_types:\n  web: of one\nconfig_vars:\n  ONE: "1"\naddons:\n- heroku-redis',
        ),
        'bin/report': 'echo "REPORT SHOULD NOT SHOW"; touch "$1/reported"; exit 1',
      },
      two: {
        'bin/detect': 'echo "detect of two sees: $FROM_ONE" >&2; echo Two',
        'bin/compile': [
          'echo "two sees: $FROM_ONE, ${PATH%%:*}, $(cat "$1/one.txt"), $(cat "$2/one")"',
          '[[ -f $1/reported ]] && echo "report of one was called"',
        ].join('\n'),
        'bin/release': RELEASE(
          'default_process_types:\n  web: of two\n  worker: of two\nconfig_vars:\n  TWO: "2"\n  NUMBER: 5\naddons:\n- heroku-postgresql',
        ),
      },
    });
    // Not executable, as in an archive that was made on another system.
    writeFiles(path.join(project.buildpacksDir, 'two'), {
      'bin/release': {
        content: `#!/bin/bash\n${RELEASE('default_process_types:\n  web: of two\n  worker: of two\nconfig_vars:\n  TWO: "2"\n  NUMBER: 5\naddons:\n- heroku-postgresql')}\n`,
        mode: 0o644,
      },
    });
    slug = await project.build(
      { Procfile: 'worker: mine\n', BUILDPACK_URL: '' },
      { ...LISTED, configVars: { SECRET: secret, HUGE: huge }, version: 'abc123' },
    );
    output = project.output;
  });

  test('are run in the order in which they are listed', () => {
    expect(output).toContain('-----> Using buildpacks:\n       1. heroku/one\n       2. heroku/two\n');
    expect(output.indexOf('-----> One app detected')).toBeGreaterThan(0);
    expect(output.indexOf('-----> Two app detected')).toBeGreaterThan(
      output.indexOf('-----> One app detected'),
    );
  });

  test('are named by the first line that detect prints, whatever else it prints', () => {
    expect(output).toContain('-----> One app detected\nbuild dir');
    expect(output).not.toContain('\n1000\n');
    expect(output).toContain('to standard error\n');
  });

  test('get the build, cache and environment folders as arguments', () => {
    expect(output).toMatch(/^build dir: \/tmp\/build_[0-9a-f]{8}$/m);
    expect(output).toMatch(/^cache dir: \/cache\/data$/m);
    expect(output).toContain('arguments: 3\n');
    expect(output).toMatch(/^names: HUGE SECRET$/m);
  });

  test('get the environment that is promised, and no config vars in it', () => {
    expect(output).toMatch(/^stack: heroku-24, version: abc123, request: [0-9a-f-]{36}$/m);
    expect(output).toMatch(/^home: \/app, dyno: run\.\d{4}, timeouts: 90 600, user: \w+$/m);
    expect(output).toContain('environment: nothing nothing\n');
  });

  test('read config vars of any size and with any characters from files', () => {
    expect(output).toContain(`secret: ${secret}\n`);
    expect(output).toContain('huge: 300000\n');
  });

  test('call each detect before its compile, and see files of it', () => {
    expect(output).toContain('detected-before-compile');
  });

  test('find their own other files', () => {
    expect(output).toContain('util: util was given word\n');
  });

  test('see what earlier ones exported, in detect and in compile', () => {
    expect(output).toContain('detect of two sees: exported by one\n');
    expect(output).toContain('two sees: exported by one, /app/one/bin,');
  });

  test('share the build and the cache folder', () => {
    expect(output).toContain(', left by one, cached by one\n');
  });

  test('are asked for a report, which is not shown and cannot fail the build', () => {
    expect(output).toContain('report of one was called\n');
    expect(output).not.toContain('REPORT SHOULD NOT SHOW');
  });

  test('are heard byte by byte, with progress bars and without line ends', () => {
    expect(output).toContain('progress 1\rprogress 2\rbinary \x00\xff without a line end');
  });

  test('decide by the last one alone what is released, executable or not', () => {
    expect(slug).toMatchObject({
      configVars: { TWO: '2', NUMBER: '5' },
      addons: ['heroku-postgresql'],
      processTypes: { web: 'of two', worker: 'mine' },
      buildpackProvidedDescription: 'Two',
    });
    expect(output).toContain('Procfile declares types     -> worker\n');
    expect(output).toContain('Default types for buildpack -> web\n');
  });

  test('are recorded with what they consist of', () => {
    expect(slug.buildpacks).toEqual([
      { name: 'heroku/one', revision: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      { name: 'heroku/two', revision: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
    ]);
    expect(output).not.toContain('Revision');
  });

  test('leave .profile.d to the dyno', () => {
    const files = execFileSync('tar', ['-tzf', slug.archivePath], { encoding: 'utf8' });
    expect(files).toContain('./app/.profile.d/one.sh\n'.replace('./', ''));
  });
});

describe('one that fails', () => {
  test.each<[string, TestFiles, string[]]>([
    [
      'in compile, under set -e',
      { ...TEST, 'bin/compile': 'set -e\necho before\nfalse\necho after' },
      [' !     Push rejected, failed to compile Test app.'],
    ],
    [
      'in release',
      { ...TEST, 'bin/compile': '', 'bin/release': 'exit 3' },
      [' !     bin/release of heroku/one failed.'],
    ],
    [
      'by removing the build folder',
      { ...TEST, 'bin/compile': 'rm -rf "$1"' },
      [' !     Push rejected, heroku/one removed the folder that it was to build in.'],
    ],
    [
      'in detect',
      { 'bin/detect': 'exit 1', 'bin/compile': '' },
      [' !     App not compatible with buildpack: heroku/one'],
    ],
  ])('%s says so', async (_how, scripts, lines) => {
    const project = bench.project({ one: scripts });
    const failure = await project.failure({ a: '' }, { buildpacks: ['heroku/one'] });
    expect(failure.lines).toEqual(lines);
    expect(project.output).not.toContain('after');
  });

  test('as the second one ends the build before its compile', async () => {
    const project = bench.project({
      one: { ...TEST, 'bin/compile': 'echo "one compiles"' },
      two: { 'bin/detect': 'echo "not mine" >&2; exit 1', 'bin/compile': 'echo "two compiles"' },
    });
    expect((await project.failure({ a: '' }, LISTED)).lines).toEqual([
      ' !     App not compatible with buildpack: heroku/two',
    ]);
    expect(project.output).toContain('one compiles\nnot mine\n');
    expect(project.output).not.toContain('two compiles');
  });

  test('for its Windows line ends is told so', async () => {
    const project = bench.project({ one: { ...TEST, 'bin/compile': '' } });
    writeFiles(path.join(project.buildpacksDir, 'one'), {
      'bin/compile': { content: '#!/usr/bin/env bash\r\necho hello\r\n', mode: 0o755 },
    });
    expect((await project.failure({ a: '' }, { buildpacks: ['heroku/one'] })).message).toBe(
      'heroku/one is not a buildpack: the lines of its bin/compile end in CRLF, as on Windows; they have to end in LF.',
    );
  });
});

test('processes that fork without end are stopped with the build', async () => {
  const project = bench.project({
    one: { ...TEST, 'bin/compile': 'f() { f | f & }; echo started; (setsid sleep 1000 &); f; sleep 1000' },
  });
  const failure = await project.failure(
    { a: '' },
    { buildpacks: ['heroku/one'] },
    { limits: { memoryBytes: 1024 ** 3, pids: 200, timeoutMs: 8000 } },
  );
  expect(failure.kind).toBe('timeout');
  expect(project.output).toContain('started\n');
});

test('output is passed on up to a limit, and the build goes on', async () => {
  const project = bench.project({
    one: { ...TEST, 'bin/compile': 'yes 0123456789abcde | head -c 104857600; echo the end' },
  });
  await project.build({ a: '' }, { buildpacks: ['heroku/one'] });
  expect(project.output).toContain('0123456789abcde\nthe end\n-----> Discovering');
  expect(project.output.length).toBeGreaterThan(100 * 1024 ** 2);
  await project.build(
    { a: '' },
    { buildpacks: ['heroku/one'] },
    { limits: { memoryBytes: 1024 ** 3, pids: 200, outputMaxBytes: 1024 ** 2 } },
  );
  expect(project.output).toContain(
    '\n !     The output is longer than 1M: the rest is left out.\n-----> Disc',
  );
  expect(project.output.length).toBeLessThan(1.1 * 1024 ** 2);
});

describe('tests', () => {
  const SUITE = {
    one: {
      ...TEST,
      'bin/compile': 'echo "one compiles"; echo \'export FROM_ONE=exported\' > "$(dirname "$0")/../export"',
    },
    two: {
      'bin/detect': 'echo Two',
      'bin/compile': 'echo "COMPILE OF TWO"',
      'bin/test-compile': [
        'echo "two compiles for tests: $#, ${VAR-nothing}"; touch "$1/compiled"',
        'mkdir -p "$1/.profile.d"; echo "export FROM_PROFILE=profile" > "$1/.profile.d/x.sh"',
      ].join('\n'),
      'bin/test': [
        'echo "in $1 with $2: $PWD $(ls)"',
        'echo "sees: $VAR $FROM_ONE $FROM_PROFILE $CI $(cat "$2/VAR")"',
        'exit $(cat status)',
      ].join('\n'),
    },
  };

  test('compile for tests where a buildpack can, and end as bin/test of the last one does', async () => {
    const project = bench.project(SUITE);
    const tested = await project.test({ status: '7' }, { ...LISTED, configVars: { VAR: 'config' } });
    expect(tested).toMatchObject({
      exitCode: 7,
      buildpackProvidedDescription: 'Two',
      buildpacks: [{ name: 'heroku/one' }, { name: 'heroku/two' }],
    });
    expect(project.output).toContain('one compiles\n');
    expect(project.output).toContain('two compiles for tests: 3, nothing\n');
    expect(project.output).not.toContain('COMPILE OF TWO');
    expect(project.output).toContain('in /app with /tmp/dynodock/env: /app compiled\nstatus\n');
    expect(project.output).toContain('sees: config exported profile true config\n');
    expect(project.output).not.toContain('Compressing');
    expect(await project.test({ status: '0' }, LISTED)).toMatchObject({ exitCode: 0 });
  });

  test('are refused before anything is compiled where there is no bin/test', async () => {
    const project = bench.project({ one: { ...TEST, 'bin/compile': 'echo COMPILES' } });
    await expect(project.test({ a: '' })).rejects.toThrow(
      'heroku/one is not a buildpack: it has no bin/test, and so cannot run tests.',
    );
    expect(project.output).not.toContain('COMPILES');
  });
});

describe('shapes of other people’s buildpacks', () => {
  const scripts = (text: string): TestFiles => ({
    'scripts/detect': { content: '#!/bin/sh\necho Linked\n', mode: 0o755 },
    'scripts/compile': { content: `#!/bin/sh\necho "${text}"\n`, mode: 0o755 },
    bin: { symlink: 'scripts' },
  });

  test('a folder of this machine whose bin is a link, an archive of it, and its repository at a tag', async () => {
    const project = bench.project();
    const source = new TestRepository();
    try {
      const commit = source.commit(scripts('committed'));
      source.git('tag', 'v1');
      const archive = path.join(bench.directory, 'pack.tgz');
      execFileSync('tar', [
        '-czf',
        archive,
        '-C',
        path.dirname(source.directory),
        '--exclude=.git',
        path.basename(source.directory),
      ]);
      writeFiles(source.directory, { 'scripts/compile': '#!/bin/sh\necho "not committed"\n' });
      const folder = pathToFileURL(source.directory).href;

      const fromFolder = await project.build({ a: '' }, { buildpacks: [folder] });
      expect(project.output).toContain('not committed\n');
      expect(fromFolder.buildpacks[0]).toEqual({ name: folder, revision: expect.stringMatching(/^sha256:/) });
      expect(project.output).toMatch(/^ {7}Revision [0-9a-f]{12}$/m);

      await project.build({ a: '' }, { buildpacks: [pathToFileURL(archive).href] });
      expect(project.output).toContain('committed\n');

      const fromTag = await project.build({ a: '' }, { configVars: { BUILDPACK_URL: `${folder}#v1` } });
      expect(project.output).toContain(
        `-----> Using buildpack: ${folder}#v1\n       Revision ${commit.slice(0, 12)}\n`,
      );
      expect(fromTag.buildpacks).toEqual([{ name: `${folder}#v1`, revision: commit }]);

      // Gone: what was committed is still known, what is a folder of this machine is not.
      rmSync(source.directory, { recursive: true });
      mkdirSync(source.directory);
      rmSync(archive);
      for (const url of [`${folder}x`, pathToFileURL(archive).href]) {
        const failure = await project.failure({ a: '' }, { buildpacks: [url] });
        expect(failure.lines[0]).toBe(
          ` !     Buildpack ${url} cannot be used: there is no such file or folder on the machine that dynodock runs on.`,
        );
      }
    } finally {
      source.remove();
    }
  });
});

test('without a network the last revision serves, and what was never fetched names its host', async () => {
  const project = bench.project();
  const source = new TestRepository();
  const commit = source.commit({
    'bin/detect': '#!/bin/sh\necho Fetched\n',
    'bin/compile': '#!/bin/sh\necho "from far away"\n',
  });
  // What a server without git's own protocol offers is a folder of files.
  source.git('update-server-info');
  const archive = execFileSync('git', ['archive', '--format=tar.gz', 'HEAD'], { cwd: source.directory });
  const server = createServer((request, response) => {
    const served = request.url === '/pack.tgz' ? archive : fileOf(source.directory, request.url ?? '');
    response.writeHead(served === undefined ? 404 : 200).end(served);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const urls = [`http://${host}/pack.git`, `http://${host}/pack.tgz`];
  try {
    for (const url of urls) {
      await project.build({ a: '' }, { buildpacks: [url] });
      expect(project.output).toContain('from far away\n');
      expect(project.output).not.toContain('could not be reached');
    }
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    source.remove();
  }
  for (const url of urls) {
    const slug = await project.build({ a: '' }, { buildpacks: [url] });
    expect(project.output).toContain('from far away\n');
    expect(project.output).toContain(` !     Buildpack ${url}: ${host} could not be reached (`);
    expect(project.output).toMatch(
      /^ ! {5}Using revision [0-9a-f]{12}, which was the newest at \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$/m,
    );
    if (url.endsWith('.git')) expect(slug.buildpacks).toEqual([{ name: url, revision: commit }]);
  }
  const never = `http://${host}/other.tgz`;
  expect((await project.failure({ a: '' }, { buildpacks: [never] })).lines[0]).toBe(
    ` !     Buildpack ${never} could not be fetched: ${host} could not be reached.`,
  );
});

/** Of a repository that is served as files. */
function fileOf(directory: string, url: string): Buffer | undefined {
  const name = /^\/pack\.git\/([\w./-]+)/.exec(url)?.[1];
  const file = path.join(directory, '.git', name ?? '');
  return name === undefined || name.includes('..') || !existsSync(file) ? undefined : readFileSync(file);
}

test('a change of the stack is noted, and leaves nothing in the cache', async () => {
  const project = bench.project({
    one: { ...TEST, 'bin/compile': 'ls "$2"; touch "$2/cached-$STACK"' },
  });
  await project.build({ a: '' }, { stack: 'heroku-22', buildpacks: ['heroku/one'], previousStack: null });
  expect(project.output).not.toContain('Stack changed');
  await project.build({ a: '' }, { buildpacks: ['heroku/one'], previousStack: 'heroku-22' });
  expect(project.output).toContain(
    '-----> Building on the Heroku-24 stack\n       Stack changed from heroku-22 to heroku-24\n',
  );
  expect(project.output).not.toContain('cached-heroku-22');
});
