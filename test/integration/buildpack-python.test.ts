import { BUILD_DIR, BuildpackBench, exampleApp, supportScript, type Files } from '../support/buildpack-bench';

let bench: BuildpackBench;
type BuildContainer = Awaited<ReturnType<BuildpackBench['build']>>;

beforeAll(async () => {
  bench = await BuildpackBench.open();
}, 10 * 60_000);

afterEach(() => bench.clear(), 60_000);

// Tests of other things may keep the machine busy.
jest.setTimeout(10 * 60_000);

const INDEX = { PIP_INDEX_URL: 'http://127.0.0.1:8000/simple' };
const GREETER = 'def main(): print("hello from", __file__)';

function python(app: Files, network?: string): Promise<BuildContainer> {
  return bench.build('python', app, network);
}

/** An index inside the build container, at the address that INDEX names. Answers what was printed of each wheel. */
async function withIndex(build: BuildContainer, ...packages: string[]): Promise<string> {
  await build.put('/tmp', { 'wheel-index.py': await supportScript('wheel-index.py') });
  let printed = '';
  for (const arguments_ of packages) {
    const { exitCode, output } = await build.run(`python3 /tmp/wheel-index.py /tmp/index ${arguments_}`);
    if (exitCode !== 0) throw new Error(output);
    printed += output;
  }
  await build.serve('/tmp/index', 8000);
  await build.config(INDEX);
  return printed;
}

/** Files of the slug that know where they were built. */
async function tracesOfBuildDir(build: BuildContainer): Promise<string> {
  return (await build.run(`grep -rl ${BUILD_DIR} ${BUILD_DIR} | head -n 20`)).output;
}

describe('what it claims', () => {
  it.each([
    ['requirements.txt', { 'requirements.txt': '' }, true],
    ['setup.py', { 'setup.py': '' }, true],
    ['Pipfile', { Pipfile: '' }, true],
    ['poetry.lock', { 'poetry.lock': '', 'pyproject.toml': '' }, true],
    ['uv.lock', { 'uv.lock': '', 'pyproject.toml': '' }, true],
    ['a pyproject.toml with a build system', { 'pyproject.toml': '[build-system]\nrequires = []\n' }, true],
    ['not a pyproject.toml of a linter', { 'pyproject.toml': '[tool.black]\n' }, false],
    ['not an app in another language', { 'package.json': '{}', 'tool.py': '' }, false],
  ])('%s', async (_, app, claimed) => {
    const build = await python(app);
    expect(await build.detect()).toEqual(
      claimed ? { exitCode: 0, output: 'Python\n' } : { exitCode: 1, output: '' },
    );
  });
});

describe('an app that brings its wheels along', () => {
  it('is built without a network, has no default process types, and serves in a dyno', async () => {
    const app = await exampleApp('python-wsgi');
    const build = await python(app);
    expect(await build.detect()).toEqual({ exitCode: 0, output: 'Python\n' });
    const output = await build.compiled();
    expect(output.match(/^-----> .*/gm)).toEqual([
      '-----> Using Python 3.11 specified in .python-version',
      expect.stringMatching(/^-----> Using Python 3\.11\.\d+ \(preinstalled\)$/),
      expect.stringMatching(/^-----> Installing pip [\d.]+, setuptools [\d.]+, wheel [\d.]+$/),
      "-----> Installing dependencies using 'pip install -r requirements.txt'",
    ]);
    expect(output).toContain('       Successfully installed greeting-1.0.0\n');
    expect(await build.release()).toEqual({});
    expect(await tracesOfBuildDir(build)).toBe('');

    const dyno = await build.dyno();
    expect(await dyno.web('python server.py', '/you')).toMatch(/^Hello from Python 3\.11\.\d+ to you\n$/);
    expect(await dyno.run('echo $PYTHONUNBUFFERED $PYTHONPATH $WEB_CONCURRENCY; command -v python pip')).toBe(
      'true /app 2\n/app/.heroku/python/bin/python\n/app/.heroku/python/bin/pip',
    );
    expect(await dyno.run('echo $WEB_CONCURRENCY', { MEMORY_AVAILABLE: '1024' })).toBe('4');
    expect(await dyno.run('echo $WEB_CONCURRENCY', { MEMORY_AVAILABLE: '2560' })).toBe('5');
    expect(await dyno.run('echo $WEB_CONCURRENCY', { MEMORY_AVAILABLE: '512', WEB_CONCURRENCY: '7' })).toBe(
      '7',
    );
    expect(await dyno.run('pip --version')).toContain(' from /app/.heroku/python/lib/');
    // Compiled already, and valid although packing changed the time stamps.
    expect(await dyno.run('python -v -c "import greeting" 2>&1 | grep "greeting.*matches"')).toContain(
      'greeting/__pycache__/__init__',
    );
  });

  it('comes from the cache when nothing changed, and drops packages that are no longer wanted', async () => {
    const app = await exampleApp('python-wsgi');
    const build = await python(app);
    await build.compiled();
    await build.again(app);
    const second = await build.compiled();
    expect(second).toContain('-----> Restoring cache\n');
    expect(second).toMatch(/^-----> Using cached install of Python 3\.11\.\d+$/m);
    expect(second).not.toContain('Successfully installed');

    await build.again({ ...app, 'requirements.txt': '' });
    const third = await build.compiled();
    expect(third).toContain('-----> Discarding cache since:\n       - The contents of requirements.txt');
    const { output } = await build.run(`${BUILD_DIR}/.heroku/python/bin/python -c "import greeting"`);
    expect(output).toContain("No module named 'greeting'");
  });

  it('leaves Python to the buildpacks that come later', async () => {
    const build = await python(await exampleApp('python-wsgi'));
    await build.compiled();
    const { output } = await build.run('source /tmp/buildpack/export; command -v python; echo $PYTHONPATH');
    expect(output).toBe(`${BUILD_DIR}/.heroku/python/bin/python\n${BUILD_DIR}\n`);
  });
});

describe('packages from an index', () => {
  it('come from where PIP_INDEX_URL says, and their commands work in the build and in a dyno', async () => {
    const build = await python({
      'requirements.txt': '-r more.txt\n',
      'more.txt': 'greeter\n',
      'bin/post_compile': '#!/bin/sh\necho "after $TOPIC"; greet\n',
      'bin/pre_compile': '#!/bin/sh\necho "before $TOPIC"\n',
    });
    await withIndex(build, `own greeter 1.0 '${GREETER}' greet`);
    await build.config({ ...INDEX, TOPIC: 'everything', PYTHONHOME: '/nowhere', PATH: '/nowhere' });
    const output = await build.compiled();
    expect(output).toContain('-----> Running bin/pre_compile hook\n       before everything\n');
    expect(output).toMatch(/-----> Running bin\/post_compile hook\n {7}after everything\n {7}hello from /);
    expect(output).toContain(
      '-----> No Python version was specified. Using the buildpack default: Python 3.11\n',
    );
    const dyno = await build.dyno();
    expect(await dyno.run('greet')).toBe(
      'hello from /app/.heroku/python/lib/python3.11/site-packages/greeter/__init__.py',
    );
    expect(await tracesOfBuildDir(build)).toBe('');

    // Another version in an included file is another environment.
    await withMoreOf(build, `own greeter 2.0 '${GREETER}' greet`);
    await build.change({ 'more.txt': 'greeter==2.0\n' });
    expect(await build.compiled()).toContain('Successfully installed greeter-2.0\n');
  });

  it('must have the hashes that requirements.txt has', async () => {
    const build = await python({ 'requirements.txt': '' });
    const printed = await withIndex(build, `own greeter 1.0 '${GREETER}'`);
    const hash = /sha256:[0-9a-f]{64}/.exec(printed)![0];
    await build.change({ 'requirements.txt': `greeter==1.0 --hash=${hash}\n` });
    expect(await build.compiled()).toContain('Successfully installed greeter-1.0\n');

    const wrong = hash.replace(/[0-9a-f]{8}$/, '00000000');
    await build.again({ 'requirements.txt': `greeter==1.0 --hash=${wrong}\n` });
    const { exitCode, output } = await build.compile();
    expect(output).toContain(
      ' !     Unable to install dependencies using pip.\n !     A package is not the one whose',
    );
    expect(exitCode).toBe(1);
  });

  it('come from Pipfile.lock with its hashes', async () => {
    const build = await python({});
    const printed = await withIndex(build, `own greeter 1.0 '${GREETER}'`, `own checker 1.0 'x = 1'`);
    const [greeter, checker] = printed.match(/sha256:[0-9a-f]{64}/g)!;
    const lock = {
      _meta: { sources: [{ url: 'https://pypi.example/simple' }], requires: { python_version: '3.11' } },
      default: { greeter: { version: '==1.0', hashes: [greeter], index: 'pypi' } },
      develop: { checker: { version: '==1.0', hashes: [checker] } },
    };
    const app = { Pipfile: '[packages]\ngreeter = "*"\n', 'Pipfile.lock': JSON.stringify(lock) };
    await build.change(app);
    const output = await build.compiled();
    expect(output).toContain('-----> Using Python 3.11 specified in Pipfile.lock\n');
    expect(output).toContain('Successfully installed greeter-1.0\n');
    // Tests want the development packages, and no static files.
    expect(await build.compiled('test-compile')).toContain(
      'Successfully installed checker-1.0 greeter-1.0\n',
    );

    await build.again({ ...app, Pipfile: '[packages]\ngreeter = "*"\nrequests = "*"\n' });
    expect((await build.compile()).output).toMatch(/ ! {5}it does not fit the Pipfile and lacks requests\./);
  });

  it('come from poetry.lock by Poetry, which refuses a lock file that does not fit', async () => {
    const pyproject = `[tool.poetry]
name = "app"
version = "1.0.0"
description = ""
authors = []
packages = [{ include = "app" }]
[tool.poetry.scripts]
run-app = "app:main"
[tool.poetry.dependencies]
python = "^3.11"
greeter = "*"
[tool.poetry.group.dev.dependencies]
checker = "*"
[[tool.poetry.source]]
name = "local"
url = "http://127.0.0.1:8000/simple"
default = true
`;
    const files = { 'pyproject.toml': pyproject, 'app/__init__.py': 'from greeter import main\n' };
    const build = await python(files);
    await withIndex(build, `own greeter 1.0 '${GREETER}' greet`, `own checker 1.0 'x = 1'`);
    const locked = await build.run(`cd ${BUILD_DIR} && poetry lock --no-ansi && base64 -w 0 poetry.lock`);
    const lock = Buffer.from(locked.output.split('\n').at(-1)!, 'base64');
    const output = await build.compiled();
    expect(output).toMatch(/^-----> Using Poetry 1\.\d+\.\d+$/m);
    expect(output).toContain("-----> Installing dependencies using 'poetry install");
    expect(output).toMatch(/Installing greeter \(1\.0\)/);
    expect(output).not.toMatch(/checker/);
    expect(await tracesOfBuildDir(build)).toBe('');
    const dyno = await build.dyno();
    expect(await dyno.run('greet; run-app')).toMatch(/^(hello from \/app\/\.heroku\S+\n?){2}$/);

    await build.again({ ...files, 'poetry.lock': lock });
    expect(await build.compiled()).toContain('No dependencies to install or update');
    const changed = pyproject.replace('greeter = "*"', 'greeter = "*"\nchecker = "*"');
    await build.again({ ...files, 'poetry.lock': lock, 'pyproject.toml': changed });
    const { exitCode, output: refused } = await build.compile();
    expect(refused).toContain(' !     pyproject.toml and poetry.lock do not fit together.\n');
    expect(exitCode).toBe(1);
  });

  it('come from uv.lock by a uv that the index has', async () => {
    const build = await python({ 'pyproject.toml': '[project]\nname = "app"\n', 'uv.lock': 'version = 1\n' });
    const uv = `import os, sys
def main():
    if sys.argv[1:] == ["--version"]: print("uv 0.9.1")
    else: print("called with", *sys.argv[1:], "for", os.environ["UV_PROJECT_ENVIRONMENT"])`;
    await withIndex(build, `own uv 0.9.1 '${uv}' uv`);
    const output = await build.compiled();
    expect(output).toContain('-----> Using uv 0.9.1\n');
    expect(output).toContain(
      `called with sync --locked --no-default-groups for ${BUILD_DIR}/.heroku/python\n`,
    );
  });
});

describe('an app that is a package', () => {
  const setup = `from setuptools import setup, Extension
setup(name='mine', version='1.0', packages=['mine'], ext_modules=[Extension('mine.native', ['native.c'])],
      entry_points={'console_scripts': ['mine=mine:main']})`;
  const native = `#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
`;
  const source = {
    'mine/__init__.py': 'from .native import answer\ndef main(): print(__file__, answer())\n',
  };

  it.each([
    ['a setup.py', { 'setup.py': setup, 'native.c': native, ...source }, '--editable .'],
    [
      '-e . in requirements.txt',
      { 'requirements.txt': '-e .\n', 'setup.py': setup, 'native.c': native, ...source },
      '-r requirements.txt',
    ],
    [
      'a pyproject.toml with a build system',
      {
        'pyproject.toml': `[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "mine"
version = "1.0"
scripts = { mine = "mine:main" }
[tool.setuptools]
package-dir = { mine = "src/mine", "mine.native" = "native" }
packages = ["mine", "mine.native"]
`,
        'src/mine/__init__.py': source['mine/__init__.py'],
        'native/__init__.py': 'def answer(): return 42\n',
      },
      '--editable .',
    ],
  ])('is found where it runs: %s', async (_, app, how) => {
    const build = await python(app);
    await build.config({ PIP_NO_INDEX: '1' });
    expect(await build.compiled()).toContain(`-----> Installing dependencies using 'pip install ${how}'\n`);
    expect(await (await build.dyno()).run('mine')).toMatch(/^\/app\/(src\/)?mine\/__init__\.py 42$/);
    // From the cache, in a folder that was never built in before.
    await build.again(app);
    expect(await build.compiled()).toContain('-----> Restoring cache\n');
    expect(await (await build.dyno()).run('mine')).toMatch(/^\/app\/(src\/)?mine\/__init__\.py 42$/);
  });
});

describe('Django', () => {
  it('has its static files collected, and serves from Gunicorn in a dyno', async () => {
    const app = await exampleApp('django');
    const build = await python(app, 'bridge');
    await withIndex(
      build,
      'debian python3-django python3-sqlparse python3-asgiref python3-tz python3-gunicorn',
    );
    const output = await build.compiled();
    expect(output).toMatch(
      /^-----> \$ python manage\.py collectstatic --noinput\n(?: {7}\n)? {7}1 static file copied to '\/tmp\/build_\w+\/staticfiles', \d+ post-processed\.$/m,
    );
    expect(await tracesOfBuildDir(build)).toBe('');
    const dyno = await build.dyno();
    const command = 'gunicorn site_config.wsgi --bind 0.0.0.0:$PORT';
    const page = await dyno.web(command, '/', { DYNO: 'web.1' });
    expect(page).toMatch(/Hello from Django [\d.]+ on web\.1/);
    const style = /href="(\/static\/style\.[0-9a-f]+\.css)"/.exec(page)![1];
    expect(await dyno.run(`curl -s http://127.0.0.1:5000${style ?? ''}`)).toContain('seagreen');
    expect(await dyno.run('python manage.py test 2>&1 | tail -n 3')).toContain('OK');

    await build.config({ ...INDEX, DISABLE_COLLECTSTATIC: '1' });
    expect(await build.compiled()).toContain(
      '-----> Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set.\n',
    );
    await build.config({ ...INDEX, DISABLE_COLLECTSTATIC: '0' });
    await build.run(`echo 'DEBUG = = True' >> ${BUILD_DIR}/site_config/settings.py`);
    const { exitCode, output: broken } = await build.compile();
    expect(broken).toMatch(
      /settings\.py", line \d+\n[^]*SyntaxError[^]* ! {5}Error while running '\$ python manage\.py collectstatic --noinput'\./,
    );
    expect(broken).toContain(' !        $ heroku config:set DISABLE_COLLECTSTATIC=1\n');
    expect(exitCode).toBe(1);
    expect(await build.compiled('test-compile')).not.toContain('manage.py collectstatic');

    await build.run(`rm ${BUILD_DIR}/manage.py`);
    expect(await build.compiled()).toContain(
      '-----> Skipping Django collectstatic since no manage.py file found.\n',
    );
  });
});

describe('another version of Python', () => {
  // The image's own interpreter under another version, packed the way python-build-standalone packs.
  const mirror = `set -e
mkdir -p /tmp/python/bin /tmp/python/lib /tmp/mirror
cp /usr/bin/python3.11 /tmp/python/bin/ && ln -s python3.11 /tmp/python/bin/python3
cp -r /usr/lib/python3.11 /tmp/python/lib/
mkdir -p /tmp/python/lib/python3.11/site-packages
# Debian's looks in folders of its own.
cd /tmp/python/lib/python3.11 && rm -f sitecustomize.py
echo 'import site; site.addsitedir(__file__.replace("sitecustomize.py", "site-packages"))' > sitecustomize.py
python3 -m pip install --quiet --no-index --find-links /usr/share/python-wheels \\
  --target /tmp/python/lib/python3.11/site-packages pip setuptools wheel
cd /tmp && name="cpython-3.12.7+20260101-$(uname -m)-unknown-linux-gnu-install_only_stripped.tar.gz"
tar -czf "/tmp/mirror/$name" python
cd /tmp/mirror && sha256sum "$name" > SHA256SUMS`;
  const vars = { PYTHON_BUILD_STANDALONE_URL: 'http://127.0.0.1:8001', PIP_NO_INDEX: '1' };

  it('is fetched, checked, put into the slug whole, and cached', async () => {
    const app = { 'requirements.txt': '', '.python-version': '# comment\n3.12\n' };
    const build = await python(app);
    const made = await build.run(mirror);
    expect(made).toEqual({ exitCode: 0, output: expect.any(String) });
    await build.serve('/tmp/mirror', 8001);
    await build.config(vars);
    const output = await build.compiled();
    expect(output).toContain('-----> Using Python 3.12 specified in .python-version\n');
    expect(output).toContain('-----> Downloading Python 3.12.7\n-----> Installing Python 3.12.7\n');
    const dyno = await build.dyno();
    expect(
      await dyno.run('echo $PYTHONHOME; python -c "import sys, json; print(sys.prefix, json.__file__)"'),
    ).toBe('/app/.heroku/python\n/app/.heroku/python /app/.heroku/python/lib/python3.11/json/__init__.py');

    await build.again({ ...app, '.python-version': '3.10\n' });
    expect((await build.compile()).output).toMatch(
      / ! {5}There is no build of Python 3\.10, which \.python-version asks for\.\n ! {5}Available are 3\.11\.\d+ \(installed\) and, from 127\.0\.0\.1:8001:\n ! {7}3\.12\.7\n/,
    );
    await build.run('rm -r /cache/python && rm /tmp/mirror/SHA256SUMS');
    await build.again(app);
    expect(await build.compiled()).toContain('used 3.12.7 from the cache.\n');
  });

  it('is refused when it is not the one that was published', async () => {
    const build = await python({ 'requirements.txt': '', '.python-version': '3.12.7' });
    const name = 'cpython-3.12.7+20260101-$(uname -m)-unknown-linux-gnu-install_only_stripped.tar.gz';
    await build.run(
      `mkdir /tmp/mirror && cd /tmp/mirror && echo tampered > "${name}" && printf '%064d  %s\\n' 0 "${name}" > SHA256SUMS`,
    );
    await build.serve('/tmp/mirror', 8001);
    await build.config(vars);
    const { exitCode, output } = await build.compile();
    expect(output).toContain(' !     Python 3.12.7 could not be fetched from 127.0.0.1:8001');
    expect(exitCode).toBe(1);
  });

  it('says where it would have come from when there is no network', async () => {
    const build = await python({ 'requirements.txt': '', 'runtime.txt': 'python-3.13.1\n' });
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(
      / ! {5}Python 3\.13\.1 could not be fetched from github\.com: is the network down\?\n ! {5}Python 3\.11\.\d+ is installed/,
    );
    expect(exitCode).toBe(1);
    // Another patch of the one that is installed will do.
    await build.again({ 'requirements.txt': '', 'runtime.txt': 'python-3.11.9\n' });
    expect(await build.compiled()).toMatch(
      /Python 3\.11\.9 could not be fetched from github\.com: used 3\.11\.\d+/,
    );
  });
});

describe('bad input', () => {
  it.each([
    [
      'an invalid version',
      { 'requirements.txt': '', '.python-version': 'three' },
      / ! {5}Invalid Python version in \.python-version\.\n[^]*three/,
    ],
    [
      'two versions',
      { 'requirements.txt': '', '.python-version': '3.11\n3.12\n' },
      / ! {5}Multiple versions were found: 3\.11 3\.12\n/,
    ],
    [
      'an invalid runtime.txt',
      { 'requirements.txt': '', 'runtime.txt': '3.11' },
      / ! {5}Invalid Python version in runtime\.txt\.\n/,
    ],
    [
      'Python 2',
      { 'requirements.txt': '', 'runtime.txt': 'python-2.7.18' },
      / ! {5}Python 2\.7\.18 reached its end/,
    ],
    [
      'a line in requirements.txt that is none',
      { 'requirements.txt': 'good\nthis is not a requirement\n' },
      /Invalid requirement: 'this is not a requirement'[^]* ! {5}requirements\.txt has a line that cannot be understood/,
    ],
    [
      'an index that cannot be reached',
      { 'requirements.txt': '--index-url https://pypi.invalid/simple\nrequests==2.31.0\n' },
      / ! {5}Unable to install dependencies using pip\.\n ! {5}pypi\.invalid could not be reached: is the network down\?\n/,
    ],
    [
      'a package that does not build',
      { 'requirements.txt': '--no-index\n-e .\n', 'setup.py': 'raise SystemExit("the reason")' },
      /the reason\n[^]* ! {5}Unable to install dependencies using pip\.\n/,
    ],
    [
      'a Pipfile without lock',
      { Pipfile: '[packages]\n' },
      / ! {5}The app has a Pipfile but no Pipfile\.lock\.\n/,
    ],
    ['a Pipfile.lock that is no JSON', { 'Pipfile.lock': '{,' }, / ! {5}Pipfile\.lock is not valid JSON:\n/],
    [
      'a poetry.lock without pyproject.toml',
      { 'poetry.lock': '' },
      / ! {5}The app has a poetry\.lock but no pyproject\.toml/,
    ],
    [
      'a pyproject.toml that is no TOML',
      { 'poetry.lock': '', 'pyproject.toml': '[tool.poetry\n' },
      /Invalid TOML file[^]* ! {5}Unable to install dependencies using Poetry\.\n/,
    ],
    [
      'a uv.lock without uv',
      { 'uv.lock': 'version = 1\n', 'pyproject.toml': '[project]\n' },
      / ! {5}The app has a uv\.lock, but uv is not installed and could not be fetched from pypi\.org\.\n[^]*uv export/,
    ],
    [
      'a hook that fails',
      { 'requirements.txt': '', 'bin/pre_compile': '#!/bin/sh\necho the reason; exit 3\n' },
      / {7}the reason\n[^]* ! {5}The hook bin\/pre_compile failed\.\n/,
    ],
  ] as [string, Files, RegExp][])('is refused in words: %s', async (_, app, message) => {
    const build = await python(app);
    await build.config({ PIP_RETRIES: '0' });
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(message);
    expect(exitCode).toBe(1);
  });
});

/** A further wheel for an index that is served already. */
async function withMoreOf(build: BuildContainer, arguments_: string): Promise<void> {
  const { exitCode, output } = await build.run(`python3 /tmp/wheel-index.py /tmp/index ${arguments_}`);
  if (exitCode !== 0) throw new Error(output);
}
