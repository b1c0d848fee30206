'use strict';
const { execFile, spawn } = require('node:child_process');
const { once } = require('node:events');
const { existsSync, mkdirSync, mkdtempSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const Sqlite = require('better-sqlite3');
const { freePorts, until } = require('./measure');

const ROOT = path.join(__dirname, '..', '..');
const MAIN = path.join(ROOT, 'dist', 'main.js');
const START_MS = 120_000;

const runFile = promisify(execFile);

/** A daemon with its router on free ports, in a folder of its own that goes away with everything else. */
class Installation {
  /** `settings`: DYNODOCK_… variables besides the usual ones. */
  constructor(settings = {}) {
    if (!existsSync(MAIN)) throw new Error('nothing is compiled yet: npm run build');
    this.settings = settings;
    this.directory = mkdtempSync(path.join(os.tmpdir(), 'dynodock-bench-'));
    this.data = path.join(this.directory, 'data');
    this.output = '';
  }

  async start() {
    if (this.environment === undefined) await this.prepare();
    this.daemon = spawn(process.execPath, [MAIN, 'up'], {
      env: { ...this.environment, ...this.settings },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.daemon.stderr.on('data', (chunk) => (this.output += chunk.toString('utf8')));
    await until('the daemon', START_MS, () => {
      if (this.daemon.exitCode !== null) throw new Error(`the daemon ended:\n${this.output}`);
      return existsSync(path.join(this.data, 'run', 'daemon.json'));
    });
    const { stdout } = await runFile(
      'sh',
      ['-c', `eval "$('${ROOT}/bin/dynodock' env --shell sh)"; env -0`],
      { env: this.environment },
    );
    this.client = Object.fromEntries(
      stdout
        .split('\0')
        .filter((entry) => entry.includes('='))
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    );
    this.database ??= new Sqlite(path.join(this.data, 'dynodock.sqlite'), { readonly: true });
    this.installationId = this.database
      .prepare("SELECT value FROM settings WHERE key = 'installation_id'")
      .pluck()
      .get();
  }

  async prepare() {
    [this.apiPort, this.httpPort, this.httpsPort] = await freePorts(3);
    this.environment = {
      ...process.env,
      HOME: path.join(this.directory, 'home'),
      DYNODOCK_HOME: this.data,
      DYNODOCK_API_PORT: String(this.apiPort),
      DYNODOCK_HTTP_PORT: String(this.httpPort),
      DYNODOCK_HTTPS_PORT: String(this.httpsPort),
      DYNODOCK_LOG_LEVEL: 'info',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Bench',
      GIT_AUTHOR_EMAIL: 'bench@localhost',
      GIT_COMMITTER_NAME: 'Bench',
      GIT_COMMITTER_EMAIL: 'bench@localhost',
      GIT_TERMINAL_PROMPT: '0',
    };
    mkdirSync(this.environment.HOME);
  }

  async api(method, apiPath, body) {
    const response = await fetch(`http://127.0.0.1:${this.apiPort}${apiPath}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.client.HEROKU_API_KEY}`,
        Accept: 'application/vnd.heroku+json; version=3',
        'Content-Type': 'application/json',
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.status >= 300) throw new Error(`${method} ${apiPath}: ${await response.text()}`);
    return response.json();
  }

  git(cwd, ...args) {
    return runFile('git', args, { cwd, env: this.client ?? this.environment });
  }

  /** Dynos and the router go on. */
  async stop() {
    if (this.daemon === undefined || this.daemon.exitCode !== null) return;
    const ended = once(this.daemon, 'exit');
    this.daemon.kill('SIGTERM');
    await ended;
  }

  /** Once, also when it is called off in the middle. */
  remove() {
    return (this.removing ??= this.#removeAll());
  }

  async #removeAll() {
    this.database?.close();
    await this.stop();
    if (this.installationId !== undefined) {
      await runFile(process.execPath, [MAIN, 'down', '--all'], { env: this.environment });
      await removeOwned(this.installationId);
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Everything of that installation in the engine. */
async function removeOwned(installationId) {
  const kinds = [
    { list: ['ps', '--all', '--quiet'], remove: ['rm', '--force', '--volumes'] },
    { list: ['volume', 'ls', '--quiet'], remove: ['volume', 'rm', '--force'] },
    { list: ['network', 'ls', '--quiet'], remove: ['network', 'rm'] },
    { list: ['images', '--quiet'], remove: ['rmi', '--force'] },
  ];
  for (const { list, remove } of kinds) {
    const filter = `label=dynodock.installation=${installationId}`;
    const { stdout } = await runFile('docker', [...list, '--filter', filter]);
    for (const id of new Set(stdout.split('\n').filter((line) => line !== ''))) {
      await runFile('docker', [...remove, id]);
    }
  }
}

module.exports = { Installation, MAIN, ROOT, START_MS, runFile };
