import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pack } from 'tar-stream';
import { parse } from 'yaml';
import { readRecipe } from '../../src/build/recipe';
import type { ContainerId, ContainerSpec } from '../../src/engine/engine';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { caBundlePath, PROJECT_DIR, realEngine, realStackImages } from '../support/stack';

const RUN_ID = randomUUID().slice(0, 8);
const LABELS = { 'dynodock.test-run': RUN_ID };
const DYNO = { uid: 10001, gid: 10001 };

let engine: DockerEngine;
let image: string;

beforeAll(async () => {
  engine = await realEngine();
  image = (await realStackImages(engine))['heroku-24'].build;
}, 10 * 60_000);

afterEach(async () => {
  for (const container of await engine.list(LABELS)) await engine.remove(container.id);
}, 60_000);

// Builds wait for a registry, and tests of other things may keep the machine busy.
jest.setTimeout(120_000);

type Files = Readonly<Record<string, string>>;

/** Calls a buildpack's scripts one after another in a build container, as user dyno. */
class BuildContainer {
  static async start(buildpack: string, app: Files, network = 'bridge'): Promise<BuildContainer> {
    const spec: ContainerSpec = {
      name: `dynodock-test-${randomUUID()}`,
      image,
      command: ['/bin/sleep', '300'],
      env: {},
      labels: LABELS,
      network,
      init: true,
      mounts:
        caBundlePath === undefined
          ? []
          : [
              {
                kind: 'bind',
                source: caBundlePath,
                target: '/etc/ssl/certs/ca-certificates.crt',
                readOnly: true,
              },
            ],
    };
    const id = await engine.create(spec);
    const container = new BuildContainer(id);
    const scripts = await readRecipe(path.join(PROJECT_DIR, 'buildpacks', buildpack));
    await container.put(
      '/tmp',
      Object.fromEntries(scripts.map((file) => [`buildpack/${file.path}`, file.content.toString('utf8')])),
    );
    await container.put('/tmp', prefixed('build', app));
    await engine.start(id);
    return container;
  }

  private constructor(private readonly id: ContainerId) {}

  async put(directory: string, files: Files): Promise<void> {
    const tar = pack();
    const folders = new Set<string>();
    for (const name of Object.keys(files)) {
      const parts = name.split('/').slice(0, -1);
      parts.forEach((_, index) => folders.add(parts.slice(0, index + 1).join('/')));
    }
    for (const name of folders) tar.entry({ name, type: 'directory', mode: 0o755, ...DYNO });
    for (const [name, content] of Object.entries(files)) tar.entry({ name, mode: 0o755, ...DYNO }, content);
    tar.finalize();
    await engine.putArchive(this.id, directory, tar as unknown as Readable);
  }

  async run(script: string): Promise<{ exitCode: number; output: string }> {
    const result = await engine.exec(this.id, ['/bin/bash', '-c', `{ ${script}\n} 2>&1`], {
      timeoutMs: 120_000,
    });
    return { exitCode: result.exitCode, output: result.stdout };
  }

  detect(): Promise<{ exitCode: number; output: string }> {
    return this.run('/tmp/buildpack/bin/detect /tmp/build');
  }

  compile(): Promise<{ exitCode: number; output: string }> {
    return this.run('mkdir -p /tmp/env; /tmp/buildpack/bin/compile /tmp/build /cache /tmp/env');
  }

  async release(): Promise<unknown> {
    const { exitCode, output } = await this.run('/tmp/buildpack/bin/release /tmp/build');
    expect(exitCode).toBe(0);
    return parse(output);
  }

  /** A command as a dyno would run it once the slug is in place. */
  async inDyno(command: string): Promise<string> {
    const { output } = await this.run(`cp -a /tmp/build/. /app/ && /usr/local/bin/dyno-launch '${command}'`);
    return output.trim();
  }
}

function prefixed(folder: string, files: Files): Files {
  return Object.fromEntries(Object.entries(files).map(([name, content]) => [`${folder}/${name}`, content]));
}

async function example(name: string): Promise<Files> {
  const files = await readRecipe(path.join(PROJECT_DIR, 'examples', name));
  return Object.fromEntries(files.map((file) => [file.path, file.content.toString('utf8')]));
}

function anApp(packageJson: object, files: Files = {}): Files {
  return {
    'package.json': JSON.stringify({ name: 'app', version: '1.0.0', ...packageJson }, null, 2),
    ...files,
  };
}

describe('the procfile buildpack', () => {
  it('claims an app with a Procfile and leaves it as it is', async () => {
    const build = await BuildContainer.start('procfile', await example('procfile-only'));
    expect(await build.detect()).toEqual({ exitCode: 0, output: 'Procfile\n' });
    expect((await build.compile()).exitCode).toBe(0);
    expect(await build.release()).toEqual({});
  });

  it('leaves an app without a Procfile to others', async () => {
    const build = await BuildContainer.start('procfile', { 'index.html': 'hello' });
    expect((await build.detect()).exitCode).toBe(1);
  });
});

describe('the nodejs buildpack', () => {
  it('leaves an app without package.json to others', async () => {
    const build = await BuildContainer.start('nodejs', await example('procfile-only'));
    expect((await build.detect()).exitCode).toBe(1);
  });

  it('compiles an app without dependencies in well under a second and without a network', async () => {
    const build = await BuildContainer.start('nodejs', await example('hello-node'), 'none');
    expect(await build.detect()).toEqual({ exitCode: 0, output: 'Node.js\n' });
    const before = performance.now();
    const { exitCode, output } = await build.compile();
    expect(performance.now() - before).toBeLessThan(1500);
    expect(exitCode).toBe(0);
    expect(output.match(/^-----> .*/gm)).toEqual([
      '-----> Creating runtime environment',
      '-----> Installing binaries',
      '-----> Installing dependencies',
      '-----> Build',
      '-----> Caching build',
      '-----> Pruning devDependencies',
      '-----> Build succeeded!',
    ]);
    expect(output).toContain('       engines.node (package.json):   24.x\n');
    expect(await build.release()).toEqual({});
    expect(await build.inDyno('node --version; echo $NODE_ENV $NODE_HOME $WEB_CONCURRENCY')).toMatch(
      /^v24\.\d+\.\d+\nproduction \/app\/\.heroku\/node \d+$/,
    );
  });

  it('leaves Node.js to the buildpacks that come later', async () => {
    const build = await BuildContainer.start('nodejs', await example('hello-node'), 'none');
    await build.compile();
    const { output } = await build.run('source /tmp/buildpack/export; command -v node; echo $NODE_HOME');
    expect(output).toBe('/tmp/build/.heroku/node/bin/node\n/tmp/build/.heroku/node\n');
  });

  it('installs from a lock file, and the second time from its cache without a network', async () => {
    const build = await BuildContainer.start('nodejs', await example('express-hello'));
    const first = await build.compile();
    expect(first.output).toContain('       Installing node modules (package-lock.json)\n');
    expect(first.exitCode).toBe(0);
    await build.run('rm -rf /tmp/build/node_modules /tmp/build/.heroku');
    const second = await build.compile();
    expect(second.output).toContain('       Using cached modules (package-lock.json is unchanged)\n');
    expect(second.exitCode).toBe(0);
    expect(await build.inDyno('node -p "typeof require(\\"express\\")"')).toBe('function');
  });

  it('runs the app’s scripts with its config vars and devDependencies, then prunes these', async () => {
    const build = await BuildContainer.start(
      'nodejs',
      anApp({
        engines: { node: '24.x' },
        scripts: {
          'heroku-prebuild': 'echo prebuild $GREETING',
          build: 'echo build $NODE_ENV; ls node_modules',
          'heroku-cleanup': 'echo cleanup',
        },
        dependencies: { ms: '2.1.3' },
        devDependencies: { isarray: '2.0.5' },
      }),
    );
    await build.put('/tmp', { 'env/GREETING': 'hello there', 'env/PATH': '/nowhere', 'env/UID': '0' });
    const { exitCode, output } = await build.compile();
    expect(output).toMatch(/prebuild hello there[^]*build production\n {7}isarray\n {7}ms\n[^]*cleanup/);
    expect(exitCode).toBe(0);
    expect((await build.run('ls /tmp/build/node_modules')).output).toBe('ms\n');
  });

  it('prefers heroku-postbuild over build', async () => {
    const build = await BuildContainer.start(
      'nodejs',
      anApp({ scripts: { build: 'echo ordinary', 'heroku-postbuild': 'echo special' } }),
    );
    const { output } = await build.compile();
    expect(output).toContain('       special\n');
    expect(output).not.toContain('       ordinary\n');
  });

  it('fetches another Node.js when engines.node asks for it', async () => {
    const build = await BuildContainer.start('nodejs', anApp({ engines: { node: '22.x' } }));
    expect((await build.compile()).exitCode).toBe(0);
    expect(await build.inDyno('node --version; npm --version')).toMatch(/^v22\.\d+\.\d+\n\d+\.\d+\.\d+$/);
  });

  it.each([
    ['npm start for a start script', anApp({ scripts: { start: 'node x.js' } }), { web: 'npm start' }],
    ['npm start for a server.js', anApp({}, { 'server.js': '' }), { web: 'npm start' }],
    ['nothing for neither', anApp({}), undefined],
    [
      'nothing for a Procfile with web',
      anApp({ scripts: { start: 'node x.js' } }, { Procfile: 'web: node y.js\n' }),
      undefined,
    ],
    [
      'npm start for a Procfile without web',
      anApp({ scripts: { start: 'node x.js' } }, { Procfile: 'worker: node y.js\n' }),
      { web: 'npm start' },
    ],
  ])('declares %s', async (_, app, expected) => {
    const build = await BuildContainer.start('nodejs', app, 'none');
    expect(((await build.release()) as { default_process_types?: object }).default_process_types).toEqual(
      expected,
    );
  });

  it.each([
    [
      'a malformed package.json, with the line',
      { 'package.json': '{\n  "name": "app",\n  "version": "1.0.0"\n  "private": true\n}\n' },
      / ! {5}package\.json is not valid JSON:\n ! {5}.*line 4/,
    ],
    [
      'a package.json that is no object',
      { 'package.json': '[]' },
      / ! {5}package\.json must contain a JSON object/,
    ],
    [
      'an engine range that is none',
      anApp({ engines: { node: 'banana' } }),
      / ! {5}engines\.node .*: banana\n/,
    ],
    [
      'two lock files',
      anApp({}, { 'package-lock.json': '{}', 'yarn.lock': '' }),
      / ! {5}The app has several lock files: package-lock\.json yarn\.lock\./,
    ],
    [
      'a failing build script',
      anApp({ scripts: { build: 'echo the reason; exit 3' } }),
      / {7}the reason\n[^]* ! {5}The script "build" of package\.json failed\.\n/,
    ],
    [
      'a network that is down',
      anApp({ dependencies: { ms: '2.1.3' } }),
      / ! {5}npm install failed\.\n ! {5}[\w.:-]+ could not be reached: is the network down\?\n/,
    ],
    [
      'a network that is down when another Node.js is wanted',
      anApp({ engines: { node: '22.x' } }),
      / ! {5}The list of Node\.js versions could not be fetched from nodejs\.org and [\w.:-]+: is the network down\?\n/,
    ],
  ])(
    'fails for %s',
    async (_, app, message) => {
      const build = await BuildContainer.start('nodejs', app, 'none');
      const { exitCode, output } = await build.compile();
      expect(output).toMatch(message);
      expect(exitCode).toBe(1);
    },
    60_000,
  );

  it('fails for a version of Node.js that does not exist and a lock file that does not fit', async () => {
    const impossible = await BuildContainer.start('nodejs', anApp({ engines: { node: '999.x' } }));
    expect((await impossible.compile()).output).toContain(
      ' !     There is no release of Node.js that satisfies engines.node in package.json: 999.x\n',
    );
    const lock = await readFile(path.join(PROJECT_DIR, 'examples/express-hello/package-lock.json'), 'utf8');
    const outdated = await BuildContainer.start(
      'nodejs',
      anApp({ dependencies: { isarray: '2.0.5' } }, { 'package-lock.json': lock }),
    );
    expect((await outdated.compile()).output).toContain(
      ' !     package.json and package-lock.json do not fit together: run an installation on your machine and\n',
    );
  }, 60_000);
});
