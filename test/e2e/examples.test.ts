import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { INSTALLATION_LABEL } from '../../src/engine/labels';
import { eventually, execute, ROOT, TestPlatform, words, type CommandResult } from '../support/platform';
import { caBundlePath } from '../support/stack';
import { TestWebSocket } from '../support/web-socket';

// All wait for their turn behind the first ones.
jest.setTimeout(15 * 60_000);

/** The rest of the machine is needed too: by the dynos, and by whatever else runs there. */
const AT_ONCE = 2;

interface Example {
  /** What buildpacks and Procfile answer, as the push prints it. */
  types: string[];
  /** Of process type `web`, as `heroku ps` shows it. */
  command: string;
  /** Commands before the push, without `--app`. */
  before?: string[][];
  check: (app: DeployedExample) => Promise<void>;
}

const platform = new TestPlatform();
const results = new Map<string, Promise<void>>();
const index = http.createServer();

class DeployedExample {
  constructor(
    readonly name: string,
    readonly folder: string,
    /** What the push printed, a line each, without git's `remote: `. */
    readonly transcript: string[],
  ) {}

  async heroku(...args: string[]): Promise<string> {
    const result = await platform.heroku(args, { cwd: this.folder, timeoutMs: 120_000 });
    if (result.exitCode !== 0) throw new Error(`heroku ${args.join(' ')}: ${words(result)}`);
    return result.stdout;
  }

  /** The body of the page, once it is served. */
  async page(requestPath = '/'): Promise<string> {
    return eventually(
      `${this.name} to answer`,
      async () => {
        const { status, body } = await platform.visit(this.name, requestPath);
        return status === 200 && body;
      },
      120_000,
    );
  }
}

/** Lines that a push prints, without git's own. */
function remoteLines({ stderr }: CommandResult): string[] {
  return stderr
    .split(/[\r\n]+/)
    .filter((line) => line.startsWith('remote:'))
    .map((line) => line.replace(/^remote: ?/, '').trimEnd());
}

/** Those of examples/ that other tests deploy. */
const ELSEWHERE = {
  'app-json': 'app-setups.test.ts',
  'heroku-yml': 'container.test.ts',
  'mariadb-memcached-rabbitmq': 'addon-servers.test.ts',
  'postgres-redis': 'addons.test.ts',
  's3-files': 'mail-s3.test.ts',
  'send-mail': 'mail-s3.test.ts',
};

const examples: Record<string, Example> = {
  'hello-node': {
    types: ['Procfile declares types     -> web'],
    command: 'node server.js',
    check: async (app) => {
      expect(await app.page()).toBe('Hello from dynodock, dyno web.1\n');
    },
  },
  'express-hello': {
    types: ['Procfile declares types     -> web'],
    command: 'node server.js',
    check: async (app) => {
      expect(await app.page()).toBe('Hello from Express on web.1\n');
    },
  },
  'procfile-only': {
    types: ['Procfile declares types     -> web, clock'],
    command: 'perl server.pl',
    check: async (app) => {
      expect(await app.page()).toBe('Hello from Perl on web.1\n');
    },
  },
  'python-wsgi': {
    types: ['Procfile declares types     -> web'],
    command: 'python server.py',
    check: async (app) => {
      expect(await app.page('/you')).toMatch(/^Hello from Python 3\.11\.\d+ to you\n$/);
    },
  },
  django: {
    types: ['Procfile declares types     -> web'],
    command: 'gunicorn site_config.wsgi --bind 0.0.0.0:$PORT',
    check: async (app) => {
      const page = await app.page();
      expect(page).toMatch(/Hello from Django [\d.]+ on web\.1/);
      const [, style = ''] = /href="(\/static\/style\.[0-9a-f]+\.css)"/.exec(page) ?? [];
      expect(await app.page(style)).toContain('seagreen');
    },
  },
  rack: {
    types: ['Procfile declares types     -> web', 'Default types for buildpack -> rake, console'],
    command: 'bundle exec rackup config.ru --server webrick --host 0.0.0.0 --port $PORT',
    check: async (app) => {
      expect(await app.page()).toBe('Hello from Rack 2.2.22 to web.1\n');
    },
  },
  'go-web': {
    types: ['Procfile declares types     -> (none)', 'Default types for buildpack -> web'],
    command: 'bin/go-web',
    check: async (app) => {
      expect(await app.page('/?name=you')).toMatch(/you.* from go1\.\d+[.\d]* on web\.1\n$/);
    },
  },
  php: {
    types: ['Procfile declares types     -> web'],
    command: 'vendor/bin/heroku-php-apache2 web/',
    check: async (app) => {
      expect(await app.page()).toMatch(/^Hello/);
      expect(await app.page('/built.txt')).toBe('built by composer compile');
    },
  },
  'java-maven': {
    types: ['Procfile declares types     -> web'],
    command: 'java $JAVA_OPTS -jar target/java-maven.jar',
    check: async (app) => {
      expect(await app.page()).toBe('Hello from Java 17 on web.1\n');
      // Maven Central or not: an app that builds is not buried under warnings, nor under sequences for terminals.
      expect(app.transcript.join('\n')).not.toMatch(/\[0m|plugin descriptor|incubator/);
    },
  },
  'static-spa': {
    types: ['Procfile declares types     -> (none)', 'Default types for buildpack -> web'],
    command: 'bin/boot',
    check: async (app) => {
      expect(await app.page('/about/us')).toContain('<title>static-spa</title>');
      const asset = await platform.visit(app.name, '/assets/none.png');
      expect(asset.body).toContain('There is no such asset.');
      expect((await platform.visit(app.name, '/home')).status).toBe(302);
    },
  },
  'websocket-chat': {
    types: ['Procfile declares types     -> web'],
    command: 'node server.js',
    check: async (app) => {
      expect(await app.page()).toContain('<title>websocket-chat</title>');
      const open = (): Promise<TestWebSocket> =>
        TestWebSocket.open(platform.httpPort, `${app.name}.localhost`, '/chat');
      const [ada, bob] = await Promise.all([open(), open()]);
      ada.send(JSON.stringify({ name: 'Ada', text: 'hello Bob' }));
      const heard = await eventually('what Ada says', () => bob.messages[0]);
      expect(JSON.parse(heard)).toMatchObject({ name: 'Ada', text: 'hello Bob' });
      ada.close();
      bob.close();
    },
  },
  'worker-web': {
    types: ['Procfile declares types     -> web, worker'],
    command: 'node web.js',
    before: [['config:set', 'WORK_INTERVAL_MS=200']],
    check: async (app) => {
      expect(await app.page()).toBe('This is web.1, process type web\n');
      expect(await platform.heroku(['ps:scale', 'worker=1'], { cwd: app.folder })).toMatchObject({
        exitCode: 0,
      });
      await eventually(
        'two jobs of the worker',
        async () => /app\[worker\.1\]: Job 2 done$/m.test(await app.heroku('logs', '--num', '200')),
        90_000,
      );
      expect(await app.heroku('ps')).toMatch(/worker \(Eco\): node worker\.js \(1\)/);
    },
  },
  'multi-buildpack': {
    types: ['Procfile declares types     -> (none)', 'Default types for buildpack -> web'],
    command: 'bin/boot',
    before: [
      ['buildpacks:add', 'heroku/nodejs'],
      ['buildpacks:add', 'heroku/static'],
    ],
    check: async (app) => {
      expect(app.transcript.filter((line) => / app detected$/.test(line))).toEqual([
        '-----> Node.js app detected',
        '-----> Static app detected',
      ]);
      expect(await app.page()).toMatch(/Hello from two buildpacks[^]*Built by Node\.js v24\./);
      expect(await app.page('/about')).toContain('<h1>About</h1>');
    },
  },
};

async function deploy(name: string, example: Example): Promise<void> {
  const folder = await platform.repository(`examples/${name}`);
  const run = async (args: string[]): Promise<void> => {
    const result = await platform.heroku(args, { cwd: folder, timeoutMs: 120_000 });
    if (result.exitCode !== 0) throw new Error(`heroku ${args.join(' ')}: ${words(result)}`);
  };
  await run(['create', name]);
  // Where PyPI is reached, this is not needed.
  if (name === 'django') await run(['config:set', ...(await indexVars())]);
  for (const command of example.before ?? []) await run(command);
  const push = await platform.git(folder, ['push', 'heroku', 'main'], { timeoutMs: 300_000 });
  if (push.exitCode !== 0) throw new Error(push.stderr);
  const app = new DeployedExample(name, folder, remoteLines(push));
  await example.check(app);
  const ps = await app.heroku('ps');
  const start = app.transcript.indexOf('-----> Discovering process types');
  expect(app.transcript.slice(start + 1, app.transcript.indexOf('', start))).toEqual(
    example.types.map((line) => `       ${line}`),
  );
  expect(ps).toContain(`=== web (Eco): ${example.command} (1)`);
  await run(['apps:destroy', '--app', name, '--confirm', name]);
}

/** A package index on this machine: a network of dynos has no other containers to talk to. */
async function startIndex(): Promise<void> {
  const folder = path.join(platform.dir, 'index');
  const script = path.join(ROOT, 'test/support/wheel-index.py');
  const packages = 'python3-django python3-sqlparse python3-asgiref python3-tz python3-gunicorn';
  const make = `python3 /wheel-index.py /tmp/index debian ${packages} >&2 && tar -C /tmp/index -c simple | base64`;
  const bundle = caBundlePath === undefined ? [] : ['--volume', `${caBundlePath}:${caBundlePath}:ro`];
  const made = await execute(
    'docker',
    [
      ...['run', '--rm', '--init', '--volume', `${script}:/wheel-index.py:ro`, ...bundle],
      ...['dynodock/heroku:24-build', 'bash', '-o', 'pipefail', '-c', make],
    ],
    { timeoutMs: 180_000 },
  );
  if (made.exitCode !== 0) throw new Error(words(made));
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'index.tar'), Buffer.from(made.stdout, 'base64'));
  const unpacked = await execute('tar', ['-C', folder, '-xf', path.join(folder, 'index.tar')]);
  if (unpacked.exitCode !== 0) throw new Error(words(unpacked));
  const wheels = (name: string): string[] => readdirSync(path.join(folder, 'simple', name));
  index.on('request', ({ url = '' }: http.IncomingMessage, response: http.ServerResponse) => {
    const [name = '', wheel = ''] = url.split('/').slice(2);
    if (!readdirSync(path.join(folder, 'simple')).includes(name)) response.writeHead(404).end();
    else if (wheels(name).includes(wheel))
      response.end(readFileSync(path.join(folder, 'simple', name, wheel)));
    else {
      response.setHeader('content-type', 'text/html');
      response.end(
        wheels(name)
          .map((file) => `<a href="${file}">${file}</a>`)
          .join('\n'),
      );
    }
  });
  await new Promise<void>((resolve) => index.listen(0, resolve));
}

/** Where containers of this installation find it. */
async function indexVars(): Promise<string[]> {
  const { stdout } = await execute('docker', [
    ...[
      'network',
      'ls',
      '--quiet',
      '--filter',
      `label=${INSTALLATION_LABEL}=${platform.installationId ?? ''}`,
    ],
  ]);
  const gateway = await execute('docker', [
    ...['network', 'inspect', '--format', '{{(index .IPAM.Config 0).Gateway}}', stdout.trim()],
  ]);
  const host = gateway.stdout.trim();
  const { port } = index.address() as AddressInfo;
  return [`PIP_INDEX_URL=http://${host}:${port}/simple`, `PIP_TRUSTED_HOST=${host}`];
}

beforeAll(async () => {
  await platform.start();
  await startIndex();
  // Each lane deploys one after the other; a test waits for its own.
  const lanes = Array.from({ length: AT_ONCE }, () => Promise.resolve());
  Object.entries(examples).forEach(([name, example], position) => {
    const lane = position % AT_ONCE;
    const result = lanes[lane]!.then(() => deploy(name, example));
    results.set(name, result);
    // The test says what went wrong; the lane goes on.
    lanes[lane] = result.catch(() => undefined);
  });
}, 240_000);
afterAll(async () => {
  index.closeAllConnections();
  await new Promise((resolve) => index.close(resolve));
  await platform.destroy();
}, 120_000);

test('are all deployed here or in another test', () => {
  const folders = readdirSync(path.join(ROOT, 'examples'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
  expect([...Object.keys(examples), ...Object.keys(ELSEWHERE)].sort()).toEqual(folders.sort());
  for (const [name, file] of Object.entries(ELSEWHERE)) {
    // `'examples/app-json'` or `'examples', 'app-json'`
    expect(readFileSync(path.join(__dirname, file), 'utf8')).toMatch(
      new RegExp(`'examples(?:/|', ')${name}'`),
    );
  }
});

test.each(Object.keys(examples))('%s is pushed and answers', async (name) => {
  await results.get(name);
});
