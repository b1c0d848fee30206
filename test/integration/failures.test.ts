import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { EngineProxy } from '../support/engine-proxy';
import { eventually, execute, TestPlatform } from '../support/platform';
import { processesOf } from '../support/processes';

const MINUTES = 60_000;
const app = `failing-${randomBytes(4).toString('hex')}`;
const SECRET = `secret-${randomBytes(16).toString('hex')}`;
const SLOW = 'console.log("COMPILING"); setTimeout(() => undefined, 600_000);';
const QUICK = 'console.log("QUICK");';

const settings: Record<string, string> = { DYNODOCK_LOG_LEVEL: 'debug' };
const platform = new TestPlatform(settings);
const proxy = new EngineProxy(path.join(platform.dir, 'engine.sock'));
let folder = '';

/** A push under way. */
class Push {
  readonly #git: ChildProcess;
  readonly ended: Promise<unknown>;
  output = '';

  constructor() {
    const url = `https://localhost:${platform.apiPort}/${app}.git`;
    this.#git = spawn('git', ['push', url, 'HEAD:refs/heads/main'], {
      cwd: folder,
      env: platform.clientEnvironment,
      // As from a terminal, where Ctrl-C reaches git's helpers too.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#git.stdout, this.#git.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString('utf8')));
    }
    this.ended = once(this.#git, 'close');
  }

  get exitCode(): number | null {
    return this.#git.exitCode;
  }

  async untilCompiling(): Promise<void> {
    await eventually(
      'the compile',
      () => {
        if (this.exitCode !== null) throw new Error(this.output);
        return this.output.includes('COMPILING');
      },
      MINUTES,
    );
  }

  interrupt(): void {
    process.kill(-this.#git.pid!, 'SIGINT');
  }
}

/** Commits an app whose build script is `script`. */
async function commit(script: string): Promise<void> {
  writeFileSync(path.join(folder, 'build.js'), script);
  await platform.commit(folder, 'Change');
}

async function containers(role: 'build' | 'dyno', ...more: string[]): Promise<string[]> {
  const filters = ['--filter', `label=dynodock.role=${role}`, '--filter', `label=dynodock.app-name=${app}`];
  const { stdout } = await execute('docker', ['ps', '-q', ...more, ...filters]);
  return stdout.split('\n').filter((line) => line !== '');
}

async function untilNoBuild(): Promise<void> {
  await eventually(
    'the build container to be gone',
    async () => (await containers('build', '-a')).length === 0,
  );
}

/** Of the newest commit. */
async function newestBuild(): Promise<{ status: string; output_stream_url: string }> {
  const head = (await platform.git(folder, ['rev-parse', 'HEAD'])).stdout.trim();
  const { body } = await platform.api('GET', `/apps/${app}/builds`);
  const builds = body as { status: string; output_stream_url: string; source_blob: { version: string } }[];
  return builds.find((build) => build.source_blob.version === head)!;
}

async function restartDaemon(): Promise<void> {
  await platform.stopDaemon();
  platform.startDaemon();
  await platform.untilAnswering();
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

beforeAll(async () => {
  await proxy.restore();
  settings.DOCKER_HOST = proxy.dockerHost;
  await platform.start();
  await platform.api('POST', '/apps', { name: app });
  await platform.api('PATCH', `/apps/${app}/config-vars`, { SECRET });
  folder = await platform.repository('examples/hello-node');
  const manifest = path.join(folder, 'package.json');
  const parsed = JSON.parse(readFileSync(manifest, 'utf8')) as { scripts: Record<string, string> };
  parsed.scripts.build = 'node build.js';
  writeFileSync(manifest, JSON.stringify(parsed));
  await commit(QUICK);
  const push = await platform.push(folder, app);
  if (push.exitCode !== 0) throw new Error(push.stderr);
  await eventually('the app', async () => (await platform.visit(app)).status === 200);
}, 3 * MINUTES);

afterAll(async () => {
  await proxy.restore();
  await platform.destroy();
  await proxy.cut();
}, 2 * MINUTES);

describe('builds', () => {
  // Whatever a test left it in.
  afterEach(() => proxy.restore());

  test(
    'a megabyte of output, and output without line ends, arrives whole and in order',
    async () => {
      const lines = Array.from({ length: 16_000 }, (_, index) => `${index} ${'x'.repeat(60)}`);
      await commit(`
      for (let i = 0; i < ${lines.length}; i += 1) console.log(i + ' ' + 'x'.repeat(60));
      process.stdout.write('BEGIN' + '0123456789'.repeat(30_000) + 'END');
    `);
      const push = new Push();
      await push.ended;
      expect(push.exitCode).toBe(0);
      const shown = push.output
        .split(/[\r\n]+/)
        .map((line) => line.replace(/^remote: /, '').trim())
        .filter((line) => line !== '');
      const first = shown.indexOf(lines[0]!);
      expect(shown.slice(first, first + lines.length)).toEqual(lines);
      const { output_stream_url: url } = await newestBuild();
      const kept = await (await fetch(url)).text();
      expect(kept).toContain(lines.map((line) => `       ${line}\n`).join(''));
      expect(kept).toContain(`BEGIN${'0123456789'.repeat(30_000)}END\n`);
      // Git's client shows a line that long in pieces, with nothing lost.
      expect(shown.join('')).toContain(`BEGIN${'0123456789'.repeat(30_000)}END`);
    },
    2 * MINUTES,
  );

  test(
    'a push that is interrupted ends its build, and the next one works',
    async () => {
      await commit(SLOW);
      const push = new Push();
      await push.untilCompiling();
      expect(await containers('build')).toHaveLength(1);
      const began = Date.now();
      push.interrupt();
      await push.ended;
      await untilNoBuild();
      expect(Date.now() - began).toBeLessThan(10_000);
      await eventually('the build to be closed', async () => (await newestBuild()).status === 'failed');
      await commit(QUICK);
      expect((await platform.push(folder, app)).stderr).toContain('Verifying deploy... done.');
    },
    2 * MINUTES,
  );

  test(
    'the engine going away refuses the push and leaves the app; back again, all goes on by itself',
    async () => {
      await eventually('one dyno', async () => (await containers('dyno')).length === 1);
      const dyno = await containers('dyno');
      await commit(SLOW);
      const push = new Push();
      await push.untilCompiling();
      const began = Date.now();
      await proxy.cut();
      await push.ended;
      expect(Date.now() - began).toBeLessThan(10_000);
      expect(push.exitCode).toBe(1);
      expect(push.output).toContain('The container engine went away during the build, which is lost.');
      expect(push.output).toContain('Push again once it is back.');
      expect((await newestBuild()).status).toBe('failed');
      expect((await platform.visit(app)).status).toBe(200);

      // Nothing is to be had without an engine, but that is said at once and in words.
      const refused = await platform.push(folder, app);
      expect(refused.exitCode).toBe(1);
      expect(refused.stderr).toContain('The container engine');
      expect(await containers('build')).toHaveLength(1);

      await proxy.restore();
      await untilNoBuild();
      await commit(QUICK);
      expect((await platform.push(folder, app)).stderr).toContain('Verifying deploy... done.');
      await eventually('the new release', async () => {
        const now = await containers('dyno');
        return now.length === 1 && now[0] !== dyno[0];
      });
      expect((await platform.visit(app)).status).toBe(200);
    },
    3 * MINUTES,
  );
});

describe('secrets', () => {
  test('files and sockets are for their owner only', () => {
    const mode = (...names: string[]): string =>
      (statSync(path.join(platform.data, ...names)).mode & 0o777).toString(8);
    expect(mode()).toBe('700');
    expect(mode('token')).toBe('600');
    for (const key of ['ca-key.pem', 'server-key.pem']) expect([key, mode('tls', key)]).toEqual([key, '600']);
    for (const socket of ['daemon.sock', 'git-hook.sock', 'router.sock']) {
      expect([socket, mode('run', socket)]).toEqual([socket, '600']);
    }
  });

  test(
    'are in no log, no process argument and no setting of a build container',
    async () => {
      const secrets = [SECRET, platform.token];
      await commit(SLOW);
      const push = new Push();
      await push.untilCompiling();
      const [build = ''] = await containers('build');
      const { stdout: inspected } = await execute('docker', ['inspect', build]);
      const commands = readdirSync('/proc').flatMap((entry) => {
        if (!/^\d+$/.test(entry)) return [];
        try {
          return [readFileSync(`/proc/${entry}/cmdline`, 'utf8')];
        } catch {
          return []; // It has ended meanwhile.
        }
      });
      push.interrupt();
      await push.ended;
      await untilNoBuild();
      const logs = filesBelow(path.join(platform.data, 'log')).map((file) => readFileSync(file, 'utf8'));
      const texts = {
        inspected,
        commands: commands.join('\n'),
        daemon: platform.daemonOutput,
        logs: logs.join('\n'),
      };
      expect(inspected).toContain('dynodock-build-');
      expect(texts.logs).toContain('router started');
      for (const [where, text] of Object.entries(texts)) {
        expect([where, secrets.filter((secret) => text.includes(secret)).length]).toEqual([where, 0]);
      }
    },
    2 * MINUTES,
  );
});

describe('limits', () => {
  test(
    'a compile that hangs is ended in time',
    async () => {
      settings.DYNODOCK_BUILD_TIMEOUT_SECONDS = '5';
      await restartDaemon();
      await commit(SLOW);
      const push = await platform.push(folder, app);
      delete settings.DYNODOCK_BUILD_TIMEOUT_SECONDS;
      expect(push.exitCode).toBe(1);
      expect(push.stderr).toContain('COMPILING');
      expect(push.stderr).toContain('the build took longer than 5 seconds.');
      await untilNoBuild();
      expect((await platform.visit(app)).status).toBe(200);
    },
    2 * MINUTES,
  );

  test(
    'a disk that is nearly full refuses builds and leaves the app',
    async () => {
      settings.DYNODOCK_MIN_FREE_DISK_MB = '1000000000';
      await restartDaemon();
      await commit(QUICK);
      const push = await platform.push(folder, app);
      delete settings.DYNODOCK_MIN_FREE_DISK_MB;
      expect(push.exitCode).toBe(1);
      expect(push.stderr).toMatch(
        /The disk is nearly full: [\d.]+G left where [\d.]+G are needed to build\./,
      );
      expect((await platform.visit(app)).status).toBe(200);
    },
    MINUTES,
  );
});

describe('starting', () => {
  test('a second daemon on the data folder is refused', async () => {
    const began = Date.now();
    const second = await platform.dynodock(['up']);
    expect(second.exitCode).toBe(1);
    expect(second.stderr).toContain(`already running here (process ${platform.daemon.pid}`);
    expect(Date.now() - began).toBeLessThan(10_000);
    expect((await platform.api('GET', '/account')).status).toBe(200);
  });

  test.each([
    ['API', 'DYNODOCK_API_PORT'],
    ['router', 'DYNODOCK_HTTP_PORT'],
    ['router (https)', 'DYNODOCK_HTTPS_PORT'],
  ])(
    'the port of the %s being taken is said with who has it and which is free',
    async (who, variable) => {
      const other = new TestPlatform(settings);
      await other.prepare();
      const port = { API: other.apiPort, router: other.httpPort }[who] ?? other.httpsPort;
      const holder = await listenOn(port);
      try {
        for (const detach of [[], ['--detach']]) {
          const began = Date.now();
          const { exitCode, stderr } = await other.dynodock(['up', ...detach]);
          expect(exitCode).toBe(1);
          expect(stderr).toContain(`Port ${port} of the ${who} is taken by process ${process.pid} (`);
          const advised = Number(new RegExp(`${variable}=(\\d+) dynodock up`).exec(stderr)?.[1]);
          expect(advised).toBeGreaterThan(port);
          expect(Date.now() - began).toBeLessThan(10_000);
          expect(processesOf(other.data)).toEqual([]);
        }
      } finally {
        holder.close();
        await other.destroy();
      }
    },
    MINUTES,
  );

  test(
    'a port that is taken in the last moment leaves no router behind',
    async () => {
      const other = new TestPlatform(settings);
      await other.prepare();
      other.startDaemon();
      const ended = once(other.daemon, 'exit');
      try {
        await eventually('the ports to have been looked at', () =>
          other.daemonOutput.includes('engine found'),
        );
        const holder = await listenOn(other.apiPort);
        const status = await ended;
        holder.close();
        expect(status).toEqual([1, null]);
        expect(other.daemonOutput).toContain(
          `Port ${other.apiPort} of the API is taken by process ${process.pid}`,
        );
        expect(processesOf(other.data)).toEqual([]);
      } finally {
        await other.destroy();
      }
    },
    MINUTES,
  );
});

describe('up and down', () => {
  const up = async (): Promise<void> => {
    const { exitCode, stdout, stderr } = await platform.dynodock(['up', '--detach']);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`API on port ${platform.apiPort}`);
    await eventually('the app', async () => (await platform.visit(app)).status === 200);
  };

  test(
    'down leaves dynos, up adopts them; down --all ends them, up starts them again',
    async () => {
      await platform.stopDaemon();
      const dyno = await containers('dyno');
      expect(dyno).toHaveLength(1);
      await up();
      expect(await containers('dyno')).toEqual(dyno);

      const down = await platform.dynodock(['down']);
      expect([down.exitCode, down.stderr]).toEqual([0, '']);
      expect(await containers('dyno')).toEqual(dyno);
      await expect(platform.visit(app)).rejects.toThrow('ECONNREFUSED');
      expect(processesOf(platform.data)).toEqual([]);

      await up();
      expect(await containers('dyno')).toEqual(dyno);

      const all = await platform.dynodock(['down', '--all']);
      expect(all.stdout).toContain('1 dyno stopped.');
      expect(await containers('dyno', '-a')).toEqual([]);

      await up();
      const again = await containers('dyno');
      expect(again).toHaveLength(1);
      expect(again).not.toEqual(dyno);
      const log = readFileSync(path.join(platform.data, 'log', 'daemon.log'), 'utf8');
      expect(log).toContain('dynodock is up');
      expect([log.includes(SECRET), log.includes(platform.token)]).toEqual([false, false]);
    },
    2 * MINUTES,
  );
});
