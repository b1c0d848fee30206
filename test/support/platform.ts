import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { INSTALLATION_LABEL, ROLE_LABEL } from '../../src/engine/labels';
import { killGroup } from '../../src/lib/process';
import { Store } from '../../src/store/store';
import { writeFiles, type TestFiles } from './git-repository';

export const ROOT = path.join(__dirname, '..', '..');
const MAIN = path.join(ROOT, 'dist', 'main.js');
const HEROKU = path.join(ROOT, 'test', 'e2e', 'node_modules', '.bin', 'heroku');

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** A command that goes on, such as `heroku logs --tail`. */
export interface RunningCommand {
  /** What it has printed so far. */
  output(): string;
  /** With its exit status. */
  ended: Promise<number | null>;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

interface CommandOptions {
  input?: string;
  cwd?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
}

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/**
 * A whole installation for a test: compiled daemon and router as processes of their own, on free ports, with a data
 * folder and a home folder that go away at the end together with all containers, volumes, images and networks.
 */
export class TestPlatform {
  readonly dir = mkdtempSync(path.join(tmpdir(), 'dynodock-test-'));
  readonly home = path.join(this.dir, 'home');
  readonly data = path.join(this.dir, 'data');
  apiPort = 0;
  httpPort = 0;
  httpsPort = 0;
  #daemon: ChildProcess | undefined;
  #daemonOutput = '';
  #client: Record<string, string> = {};
  readonly #running = new Set<RunningCommand>();
  readonly #settings: Record<string, string>;

  constructor(settings: Record<string, string> = {}) {
    this.#settings = settings;
  }

  get environment(): Record<string, string | undefined> {
    return {
      PATH: `${path.dirname(HEROKU)}:${process.env.PATH ?? ''}`,
      HOME: this.home,
      XDG_CACHE_HOME: path.join(this.home, '.cache'),
      SSL_CERT_FILE: process.env.SSL_CERT_FILE,
      NODE_EXTRA_CA_CERTS: process.env.NODE_EXTRA_CA_CERTS,
      GIT_SSL_CAINFO: process.env.GIT_SSL_CAINFO,
      DOCKER_HOST: process.env.DOCKER_HOST,
      DYNODOCK_HOME: this.data,
      DYNODOCK_API_PORT: String(this.apiPort),
      DYNODOCK_HTTP_PORT: String(this.httpPort),
      DYNODOCK_HTTPS_PORT: String(this.httpsPort),
      DYNODOCK_EMAIL: 'user@example.com',
      GIT_AUTHOR_NAME: 'Test',
      GIT_AUTHOR_EMAIL: 'test@example.com',
      GIT_COMMITTER_NAME: 'Test',
      GIT_COMMITTER_EMAIL: 'test@example.com',
      GIT_TERMINAL_PROMPT: '0',
      NO_COLOR: '1',
      TERM: 'dumb',
      ...this.#settings,
    };
  }

  async start(): Promise<void> {
    await this.prepare();
    this.startDaemon();
    await this.untilAnswering();
    await this.readClientEnvironment();
  }

  /** Ports and folders, without starting anything. */
  async prepare(): Promise<void> {
    await execute('mkdir', ['-p', this.home]);
    if (this.apiPort === 0) [this.apiPort, this.httpPort, this.httpsPort] = await freePorts();
  }

  startDaemon(): void {
    const child = spawn(process.execPath, [MAIN, 'up'], {
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const keep = (chunk: Buffer): void => {
      this.#daemonOutput = (this.#daemonOutput + chunk.toString('utf8')).slice(-100_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.#daemon = child;
  }

  get daemon(): ChildProcess {
    if (this.#daemon === undefined) throw new Error('no daemon was started');
    return this.#daemon;
  }

  get daemonOutput(): string {
    return this.#daemonOutput;
  }

  async untilAnswering(timeoutMs = 120_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      if (this.daemon.exitCode !== null) throw new Error(`the daemon ended:\n${this.#daemonOutput}`);
      if (existsSync(path.join(this.data, 'run', 'daemon.json'))) {
        const pid = (
          JSON.parse(readFileSync(path.join(this.data, 'run', 'daemon.json'), 'utf8')) as { pid: number }
        ).pid;
        if (pid === this.daemon.pid) return;
      }
      if (Date.now() > deadline) throw new Error(`the daemon does not answer:\n${this.#daemonOutput}`);
      await delay(50);
    }
  }

  /** As a user's shell gets it: `eval "$(dynodock env)"`. */
  async readClientEnvironment(): Promise<void> {
    const { stdout } = await execute('sh', ['-c', `eval "$(${ROOT}/bin/dynodock env --shell sh)"; env -0`], {
      env: this.environment,
    });
    this.#client = Object.fromEntries(
      stdout
        .split('\0')
        .filter((entry) => entry.includes('='))
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    );
  }

  get clientEnvironment(): Record<string, string> {
    return this.#client;
  }

  get token(): string {
    return this.#client.HEROKU_API_KEY ?? '';
  }

  async stopDaemon(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#daemon;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  async restartDaemon(signal: NodeJS.Signals): Promise<void> {
    await this.stopDaemon(signal);
    this.startDaemon();
    await this.untilAnswering();
  }

  /** Ends everything and removes what it left. */
  async destroy(): Promise<void> {
    for (const command of this.#running) await command.stop('SIGKILL');
    await this.stopDaemon();
    await this.dynodock(['down', '--all']);
    try {
      await removeInstallation(this.installationId);
    } finally {
      rmSync(this.dir, { recursive: true, force: true });
    }
  }

  /** undefined before the first start. */
  get installationId(): string | undefined {
    const database = path.join(this.data, 'dynodock.sqlite');
    if (!existsSync(database)) return undefined;
    const store = Store.open(database);
    try {
      return store.settings.get('installation_id');
    } finally {
      store.close();
    }
  }

  /** Ids of this installation's containers in any state, of dynos or builds. */
  async containers(role: 'dyno' | 'build'): Promise<string[]> {
    const filters = [
      `label=${INSTALLATION_LABEL}=${this.installationId ?? 'none'}`,
      `label=${ROLE_LABEL}=${role}`,
    ];
    const { stdout } = await execute('docker', [
      'ps',
      '--all',
      '--quiet',
      '--no-trunc',
      ...filters.flatMap((filter) => ['--filter', filter]),
    ]);
    return stdout.split('\n').filter((line) => line !== '');
  }

  dynodock(args: string[], env: Record<string, string> = {}, timeoutMs = 60_000): Promise<CommandResult> {
    return execute(process.execPath, [MAIN, ...args], { env: { ...this.environment, ...env }, timeoutMs });
  }

  heroku(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
    return execute(HEROKU, args, { ...options, env: { ...this.#client, ...options.env } });
  }

  git(cwd: string, args: string[], options: Omit<CommandOptions, 'cwd'> = {}): Promise<CommandResult> {
    return execute('git', args, { ...options, cwd, env: { ...this.#client, ...options.env } });
  }

  /** The heroku CLI (or git), not waited for. */
  startCommand(command: 'heroku' | 'git', args: string[], options: { cwd?: string } = {}): RunningCommand {
    const child = spawn(command === 'heroku' ? HEROKU : command, args, {
      ...options,
      env: this.#client,
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, which a signal then goes to, as from a terminal.
      detached: true,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    }
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    const running: RunningCommand = {
      output: () => output,
      ended,
      stop: async (signal = 'SIGTERM') => {
        killGroup(child, signal);
        await ended;
        this.#running.delete(running);
      },
    };
    this.#running.add(running);
    return running;
  }

  /** A git repository with a copy of a folder of the project, or with these files, committed on main. */
  async repository(source: string | TestFiles): Promise<string> {
    const folder = mkdtempSync(path.join(this.dir, 'repo-'));
    await this.git(folder, ['init', '--quiet', '--initial-branch=main']);
    if (typeof source === 'string') await execute('cp', ['-R', `${path.join(ROOT, source)}/.`, folder]);
    else writeFiles(folder, source);
    await this.commit(folder, 'First');
    return folder;
  }

  /** Commits the work tree, after changing these files. */
  async commit(folder: string, message: string, files: TestFiles = {}): Promise<void> {
    writeFiles(folder, files);
    await this.git(folder, ['add', '--all']);
    const { exitCode, stderr } = await this.git(folder, [
      'commit',
      '--quiet',
      '--allow-empty',
      '-m',
      message,
    ]);
    if (exitCode !== 0) throw new Error(stderr);
  }

  remote(app: string): string {
    return `https://localhost:${this.apiPort}/${app}.git`;
  }

  push(folder: string, app: string, refspec = 'HEAD:refs/heads/main'): Promise<CommandResult> {
    return this.git(folder, ['push', this.remote(app), refspec], { timeoutMs: 300_000 });
  }

  /** One request through the router to an app, by its name or by a domain. */
  visit(host: string, requestPath = '/', headers: Record<string, string> = {}): Promise<Answer> {
    return this.request('GET', host, requestPath, { headers });
  }

  request(
    method: string,
    host: string,
    requestPath: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: Buffer } = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          method,
          host: '127.0.0.1',
          port: this.httpPort,
          path: requestPath,
          agent: false,
          headers: {
            Host: `${host.includes('.') ? host : `${host}.localhost`}:${this.httpPort}`,
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      request.on('error', reject);
      request.end(body);
    });
  }

  async api(method: string, apiPath: string, body?: unknown): Promise<{ status: number; body: never }> {
    const response = await fetch(`http://127.0.0.1:${this.apiPort}${apiPath}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.token}`,
        Accept: 'application/vnd.heroku+json; version=3',
        'Content-Type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as never };
  }
}

/** Waits until `check` answers something other than undefined or false. */
export async function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await delay(50);
  }
}

/** What a command has printed, as one line of words: the CLI wraps its messages and sets marks in front. */
export function words({ stdout, stderr }: CommandResult): string {
  return `${stdout} ${stderr}`.replace(/›/g, ' ').replace(/\s+/g, ' ').trim();
}

export function execute(
  command: string,
  args: string[],
  options: {
    cwd?: string;
    env?: Record<string, string | undefined>;
    timeoutMs?: number;
    /** What it reads from its standard input, which ends then. */
    input?: string;
  } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      args,
      {
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
        ...(options.env === undefined ? {} : { env: options.env }),
        timeout: options.timeoutMs ?? 60_000,
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ exitCode, stdout, stderr });
      },
    );
    if (options.input !== undefined) child.stdin?.end(options.input);
  });
}

/**
 * Below those that systems hand out for outgoing connections: one of those may be taken again, by anybody's request,
 * before the daemon listens on it.
 */
async function freePorts(): Promise<[number, number, number]> {
  const ports = new Set<number>();
  while (ports.size < 3) ports.add(await freePort());
  return [...ports] as [number, number, number];
}

async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue; // Taken: another one will be free.
    }
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/**
 * Containers, volumes, networks and images that bear the installation's id. Tried until none is left: a network stays
 * as long as one of its containers is still on its way out.
 */
async function removeInstallation(id: string | undefined): Promise<void> {
  if (id === undefined) return;
  const filter = `label=${INSTALLATION_LABEL}=${id}`;
  const removeAll = async (list: string[], remove: string[]): Promise<string[]> => {
    const { stdout } = await execute('docker', [...list, '--filter', filter]);
    const found = [...new Set(stdout.split('\n').filter((line) => line !== ''))];
    for (const one of found) await execute('docker', [...remove, one]);
    return found;
  };
  await eventually('nothing of the installation to be left', async () => {
    const found = [
      ...(await removeAll(['ps', '-aq'], ['rm', '-f', '-v'])),
      ...(await removeAll(['volume', 'ls', '-q'], ['volume', 'rm', '-f'])),
      ...(await removeAll(['network', 'ls', '-q'], ['network', 'rm'])),
      ...(await removeAll(['images', '-q'], ['rmi', '-f'])),
    ];
    return found.length === 0;
  });
}
