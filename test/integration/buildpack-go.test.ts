import { BUILD_DIR, SlugBench, example, type Build, type Files } from '../support/slug-bench';

const bench = new SlugBench();

beforeAll(() => bench.start(), 10 * 60_000);
afterEach(() => bench.clear(), 60_000);

// The first build of a cache compiles Go's standard library.
jest.setTimeout(300_000);

const MAIN = 'package main\n\nfunc main() { println("hello") }\n';

function anApp(goMod: string, files: Files = {}): Files {
  return { 'go.mod': `module example.com/app\n\n${goMod}\n`, 'main.go': MAIN, ...files };
}

/** Files as a module proxy on disk (`GOPROXY=file:///…`) has them. */
async function publish(build: Build, module: string, version: string, files: Files): Promise<void> {
  await build.put('/tmp/module', files);
  const { exitCode, output } = await build.run(`
    set -e
    v=/tmp/proxy/${module}/@v; mkdir -p $v
    echo ${version} >> $v/list
    echo '{"Version":"${version}"}' > $v/${version}.info
    cp /tmp/module/go.mod $v/${version}.mod
    cd /tmp/module && python3 - '${module}@${version}' $v/${version}.zip <<'PYTHON'
import os, sys, zipfile
with zipfile.ZipFile(sys.argv[2], 'w') as z:
    for folder, _, names in os.walk('.'):
        for name in names:
            path = os.path.normpath(os.path.join(folder, name))
            z.write(path, sys.argv[1] + '/' + path)
PYTHON
    rm -rf /tmp/module`);
  if (exitCode !== 0) throw new Error(output);
}

describe('the go buildpack', () => {
  it('claims modules, vendored or not, and the tools from before them', async () => {
    const build = await bench.build('go', { 'README.md': '' });
    expect((await build.detect('go')).exitCode).toBe(1);
    await build.change({ 'Godeps/Godeps.json': '{}' });
    expect(await build.detect('go')).toEqual({ exitCode: 0, output: 'Go\n' });
    expect((await build.compile('go')).output).toContain(
      ' !     The app declares its dependencies for Godep, which is not supported: there is no go.mod.\n',
    );
    await build.change(anApp('go 1.23'));
    expect(await build.detect('go')).toEqual({ exitCode: 0, output: 'Go\n' });
  });

  it('builds vendored modules without a network; the dyno answers and ends on SIGTERM', async () => {
    const build = await bench.build('go', await example('go-web'));
    const { exitCode, output } = await build.compile('go');
    expect(output).toMatch(
      /-----> Using go1\.23\.\d+\n[^]*-----> Detected the following main packages to install:\n {7}example\.com\/go-web\n[^]*-----> Running: go install -v -tags heroku -mod=vendor example\.com\/go-web\n[^]*-----> Installed the following binaries:\n {7}\.\/bin\/go-web\n/,
    );
    expect(exitCode).toBe(0);
    expect(await build.defaultProcessTypes('go')).toEqual({ web: 'bin/go-web' });
    expect((await build.run(`grep -c ${BUILD_DIR} ${BUILD_DIR}/bin/go-web`)).output).toBe('0\n');

    const dyno = await build.dyno('bin/go-web');
    const answer = await dyno.get('/?name=Ada');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatch(/^Hello Ada from go1\.23\.\d+ on web\.1\n$/);
    expect(await dyno.stop()).toBe(0);
    expect(await dyno.log()).toContain('SIGTERM received, closing\n');
  });

  it('compiles again from its cache', async () => {
    const build = await bench.build('go', await example('go-web'));
    await build.compile('go');
    await build.run(`rm -rf ${BUILD_DIR}/bin ${BUILD_DIR}/.heroku`);
    const { output } = await build.compile('go');
    // -v names what is compiled: the second time it is only linked.
    expect(output).toMatch(/-----> Running: go install .*\n\n-----> Installed/);
  });

  it('fetches modules as GOPROXY says, and keeps them', async () => {
    const build = await bench.build(
      'go',
      anApp('go 1.21\n\nrequire example.com/greeting v1.2.3', {
        'main.go':
          'package main\n\nimport "example.com/greeting"\n\nfunc main() { println(greeting.Word) }\n',
      }),
    );
    await publish(build, 'example.com/greeting', 'v1.2.3', {
      'go.mod': 'module example.com/greeting\n\ngo 1.21\n',
      'greeting.go': 'package greeting\n\nconst Word = "fetched"\n',
    });
    await build.configVars({ GOPROXY: 'file:///tmp/proxy', GONOSUMDB: '*' });
    expect((await build.compile('go')).output).toContain(
      ' !     go.mod and go.sum do not fit together: run go mod tidy on your machine and commit both.\n',
    );
    await build.run(
      `cd ${BUILD_DIR} && GOPROXY=file:///tmp/proxy GONOSUMDB='*' GOFLAGS=-modcacherw go mod tidy`,
    );
    const { exitCode, output } = await build.compile('go');
    expect(output).toContain('-----> Fetching modules\n');
    expect(exitCode).toBe(0);
    expect((await build.run(`${BUILD_DIR}/bin/app`)).output).toBe('fetched\n');

    await build.run('rm -r /tmp/proxy');
    expect((await build.compile('go')).exitCode).toBe(0);
    // As the builder does it when buildpacks change.
    expect((await build.run('rm -rf /cache/data')).exitCode).toBe(0);
  });

  it('takes packages, tag, linker values and hooks from go.mod, config vars and bin', async () => {
    const main = (name: string): string =>
      `//go:build heroku\n\npackage main\n\nvar version = "none"\n\nfunc main() { println("${name}", version) }\n`;
    const build = await bench.build('go', {
      'go.mod':
        'module example.com/app\n\n// +heroku goVersion go1.23\n// +heroku install ./cmd/web ./cmd/worker\n\ngo 1.20\n',
      'cmd/web/main.go': main('web'),
      'cmd/worker/main.go': main('worker'),
      'cmd/tool/main.go': main('tool'),
      'bin/go-pre-compile': '#!/bin/sh\necho before $GREETING\n',
      'bin/go-post-compile': '#!/bin/sh\necho after; ls bin\n',
    });
    await build.configVars({ GREETING: 'hello', GO_LINKER_SYMBOL: 'main.version' });
    const { exitCode, output } = await build.compile('go');
    expect(output).toMatch(/-----> Running bin\/go-pre-compile hook\n {7}before hello\n/);
    expect(output).toContain('-----> Installing the packages of // +heroku install in go.mod\n');
    expect(output).toMatch(/ {7}after\n {7}go-post-compile\n {7}go-pre-compile\n {7}web\n {7}worker\n/);
    expect(exitCode).toBe(0);
    expect((await build.run(`${BUILD_DIR}/bin/web; ${BUILD_DIR}/bin/worker`)).output).toBe(
      'web cafe12\nworker cafe12\n',
    );
    expect(await build.defaultProcessTypes('go')).toEqual({ web: 'bin/web' });
    await build.change({ Procfile: 'web: bin/worker\n' });
    expect(await build.defaultProcessTypes('go')).toBeUndefined();

    await build.configVars({ GO_INSTALL_PACKAGE_SPEC: './cmd/tool', GO_LINKER_VALUE: 'secret 1' });
    const second = await build.compile('go');
    expect(second.output).not.toContain('secret');
    expect((await build.run(`${BUILD_DIR}/bin/tool`)).output).toBe('tool secret 1\n');
  });

  it('fetches a newer Go through the module proxy', async () => {
    const build = await bench.build('go', anApp('go 1.21\n\ntoolchain go1.24.3'));
    await publish(
      build,
      'golang.org/toolchain',
      `v0.0.1-go1.24.3.linux-${process.arch === 'x64' ? 'amd64' : process.arch}`,
      {
        'go.mod': 'module golang.org/toolchain\n',
        'pkg/tool/any': '',
        'bin/gofmt': '',
        // Go itself unpacks and starts it.
        'bin/go':
          '#!/bin/sh\n[ "$*" = "env GOVERSION" ] && echo go1.24.3 && exit\nunset GOROOT GOTOOLCHAIN_INTERNAL_SWITCH_VERSION\nGOTOOLCHAIN=local exec /usr/bin/go "$@"\n',
      },
    );
    await build.configVars({ GOPROXY: 'file:///tmp/proxy', GONOSUMDB: '*' });
    const { exitCode, output } = await build.compile('go');
    expect(output).toContain('-----> Fetching go1.24.3 (toolchain in go.mod)\n-----> Using go1.24.3\n');
    expect(output).toContain('-----> Installed the following binaries:\n');
    expect(exitCode).toBe(0);
  });

  it('runs the tests', async () => {
    const build = await bench.build('go', await example('go-web'));
    const { exitCode, output } = await build.test('go');
    expect(output).toMatch(/-----> Running: go test -tags heroku \.\/\.\.\.\nok {2}\texample\.com\/go-web\t/);
    expect(exitCode).toBe(0);
    await build.change({
      'broken_test.go':
        'package main\n\nimport "testing"\n\nfunc TestBroken(t *testing.T) { t.Fatal("the reason") }\n',
    });
    const failing = await build.test('go');
    expect(failing.output).toContain('the reason');
    expect(failing.exitCode).toBe(1);
  });

  it.each([
    [
      'a malformed go.mod, with the line',
      anApp('go 1.23\nnonsense here'),
      / {7}go\.mod:4: unknown directive: nonsense\n[^]* ! {5}go\.mod cannot be read/,
    ],
    [
      'something that is no version',
      anApp('// +heroku goVersion banana'),
      / ! {5}Not a version of Go: banana \(\/\/ \+heroku goVersion in go\.mod\)\.\n/,
    ],
    [
      'a newer Go and a network that is down',
      anApp('go 1.25'),
      / ! {5}Go 1\.25\.0 is not in the image and could not be fetched \(https:\/\/proxy\.golang\.org\)\.\n ! {5}proxy\.golang\.org could not be reached: is the network down\?\n ! {5}go1\.23\.\d+ is there and needs no network, but go in go\.mod asks for go1\.25\.\n/,
    ],
    [
      'modules and a network that is down',
      anApp('go 1.23\n\nrequire example.com/greeting v1.0.0'),
      / ! {5}go mod download failed\.\n ! {5}proxy\.golang\.org could not be reached: is the network down\?\n/,
    ],
    [
      'vendored modules that do not fit',
      anApp('go 1.23\n\nrequire example.com/greeting v1.0.0', { 'vendor/modules.txt': '' }),
      / ! {5}The folder vendor and go\.mod do not fit together/,
    ],
    [
      'a program that does not compile',
      anApp('go 1.23', { 'main.go': 'package main\n\nfunc main() { undefined() }\n' }),
      / {7}\.\/main\.go:3:15: undefined: undefined\n[^]* ! {5}go install failed\.\n/,
    ],
    [
      'a module without a program',
      anApp('go 1.23', { 'main.go': 'package app\n' }),
      / ! {5}There is no main package in the module example\.com\/app: nothing to install\.\n/,
    ],
    [
      'a failing hook',
      anApp('go 1.23', { 'bin/go-pre-compile': '#!/bin/sh\necho the reason; exit 3\n' }),
      / {7}the reason\n[^]* ! {5}bin\/go-pre-compile failed/,
    ],
  ])('fails for %s', async (_, app, message) => {
    const build = await bench.build('go', app);
    const { exitCode, output } = await build.compile('go');
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });
});
