'use strict';
// How long a push takes until the new release answers: npm run bench:push (after npm run build; needs an engine with
// the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own on free ports, pushes a Node.js app without dependencies some times and says what
// the time went into: by the daemon's log, the trail of events in its database, git's and our own clock. Measures the
// engine itself in the same run, for comparison. Removes everything again.
const { execFile, spawn } = require('node:child_process');
const { once } = require('node:events');
const {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const http = require('node:http');
const { createServer } = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const { promisify } = require('node:util');
const Sqlite = require('better-sqlite3');

const ROOT = path.join(__dirname, '..');
const MAIN = path.join(ROOT, 'dist', 'main.js');
const PUSHES = 5;
const APP = 'bench';
/** Of a push to an answering app, without what the buildpack itself does. */
const AIM_MS = 3000;
const START_MS = 120_000;
const POLL_MS = 2;

const runFile = promisify(execFile);

async function main() {
  if (!existsSync(MAIN)) throw new Error('nothing is compiled yet: npm run build');
  const loadBefore = os.loadavg();
  const directory = mkdtempSync(path.join(os.tmpdir(), 'dynodock-bench-'));
  const bench = new Installation(directory);
  try {
    await bench.start();
    const baseline = await bench.measureEngine();
    const pushes = [];
    // The first one makes the app's repository, cache and first release.
    for (let number = 0; number <= PUSHES; number += 1) {
      const phases = await bench.push(number);
      if (number > 0) pushes.push(phases);
    }
    report(pushes, baseline, loadBefore);
  } finally {
    await bench.remove();
  }
}

/** A daemon with its router on free ports, in a data folder of its own. */
class Installation {
  constructor(directory) {
    this.directory = directory;
    this.data = path.join(directory, 'data');
    this.repository = path.join(directory, 'repository');
    this.output = '';
  }

  async start() {
    [this.apiPort, this.httpPort] = await freePorts(2);
    this.environment = {
      ...process.env,
      HOME: path.join(this.directory, 'home'),
      DYNODOCK_HOME: this.data,
      DYNODOCK_API_PORT: String(this.apiPort),
      DYNODOCK_HTTP_PORT: String(this.httpPort),
      DYNODOCK_LOG_LEVEL: 'info',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_AUTHOR_NAME: 'Bench',
      GIT_AUTHOR_EMAIL: 'bench@localhost',
      GIT_COMMITTER_NAME: 'Bench',
      GIT_COMMITTER_EMAIL: 'bench@localhost',
      GIT_TERMINAL_PROMPT: '0',
    };
    mkdirSync(this.environment.HOME);
    this.daemon = spawn(process.execPath, [MAIN, 'up'], {
      env: this.environment,
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
      {
        env: this.environment,
      },
    );
    this.client = Object.fromEntries(
      stdout
        .split('\0')
        .filter((entry) => entry.includes('='))
        .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
    );
    const created = await fetch(`http://127.0.0.1:${this.apiPort}/apps`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${this.client.HEROKU_API_KEY}`,
        Accept: 'application/vnd.heroku+json; version=3',
        'Content-Type': 'application/json',
      },
      body: JSON.stringify({ name: APP }),
    });
    if (created.status !== 201) throw new Error(`no app: ${await created.text()}`);
    cpSync(path.join(ROOT, 'examples', 'hello-node'), this.repository, { recursive: true });
    await this.git('init', '--quiet', '--initial-branch=main');
    this.database = new Sqlite(path.join(this.data, 'dynodock.sqlite'), { readonly: true });
    this.installationId = this.database
      .prepare("SELECT value FROM settings WHERE key = 'installation_id'")
      .pluck()
      .get();
  }

  /** Milliseconds of each phase of one push. */
  async push(number) {
    const marker = `push ${number}`;
    const server = path.join(this.repository, 'server.js');
    const source = readFileSync(path.join(ROOT, 'examples', 'hello-node', 'server.js'), 'utf8');
    writeFileSync(server, source.replace('Hello from', `${marker}: hello from`));
    await this.git('add', '--all');
    await this.git('commit', '--quiet', '--message', marker);

    const newestEvent = this.database.prepare('SELECT coalesce(max(id), 0) FROM events').pluck().get();
    const logged = this.output.length;
    const startedAt = Date.now();
    const pushed = this.git('push', `https://localhost:${this.apiPort}/${APP}.git`, 'HEAD:refs/heads/main');
    const answered = this.untilAnswering(marker, pushed);
    await pushed;
    const pushedAt = Date.now();
    const answeredAt = await answered;

    const events = this.database
      .prepare('SELECT kind, payload, at FROM events WHERE id > ? ORDER BY id')
      .all(newestEvent)
      .map((event) => ({ ...event, payload: JSON.parse(event.payload) }));
    const at = (what, matches) => {
      const event = events.find(matches);
      if (event === undefined) throw new Error(`no event: ${what}`);
      return event.at;
    };
    const buildAt = at('build', ({ kind }) => kind === 'build.create');
    const releasedAt = at('release', ({ kind }) => kind === 'release.create');
    const createdAt = at('dyno', ({ kind }) => kind === 'dyno.create');
    const upAt = at('dyno up', ({ kind, payload }) => kind === 'dyno.state' && payload.to === 'up');
    const timings = this.output
      .slice(logged)
      .split('\n')
      .filter((line) => line.includes('"build succeeded"'))
      .map((line) => JSON.parse(line))[0];
    if (timings === undefined) throw new Error(`no timings of a build:\n${this.output.slice(logged)}`);
    const { containerMs, sourceMs, compileMs, slugMs, imageMs } = timings;
    const named = containerMs + sourceMs + compileMs + slugMs + imageMs;
    return {
      receive: buildAt - startedAt,
      container: containerMs,
      source: sourceMs,
      compile: compileMs,
      slug: slugMs,
      image: imageMs,
      'between them': releasedAt - buildAt - named,
      'dyno planned': createdAt - releasedAt,
      'dyno up': upAt - createdAt,
      'first byte': answeredAt - upAt,
      total: answeredAt - startedAt,
      'but compile': answeredAt - startedAt - compileMs,
      'git done': pushedAt - startedAt,
    };
  }

  /** When the router first gave an answer of this very push. */
  async untilAnswering(marker, pushed) {
    let failure;
    pushed.catch((error) => (failure = error));
    return until('the new release', START_MS, async () => {
      if (failure !== undefined) throw failure;
      const body = await visit(this.httpPort).catch(() => '');
      return body.includes(`${marker}:`) && Date.now();
    });
  }

  /** What the engine alone needs to create and start a container of the run image with a process that says so. */
  async measureEngine() {
    const { stdout } = await runFile(process.execPath, [MAIN, 'images'], { env: this.environment });
    const image = stdout.split('\n').find((line) => line.includes('heroku-24-run'));
    if (image === undefined) throw new Error('no run image');
    const durations = [];
    for (let number = 0; number <= PUSHES; number += 1) {
      const label = `dynodock.installation=${this.installationId}`;
      const startedAt = performance.now();
      const created = await runFile('docker', [
        'create',
        '--label',
        label,
        '--entrypoint',
        '/bin/true',
        image,
      ]);
      const id = created.stdout.trim();
      await runFile('docker', ['start', id]);
      if (number > 0) durations.push(performance.now() - startedAt);
      await runFile('docker', ['rm', '--force', id]);
    }
    return median(durations);
  }

  git(...args) {
    return runFile('git', args, { cwd: this.repository, env: this.client ?? this.environment });
  }

  async remove() {
    this.database?.close();
    if (this.daemon !== undefined && this.daemon.exitCode === null) {
      const ended = once(this.daemon, 'exit');
      this.daemon.kill('SIGTERM');
      await ended;
    }
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

function report(pushes, baseline, loadBefore) {
  const phases = Object.keys(pushes[0]);
  const cell = (value) => String(Math.round(value)).padStart(7);
  const row = (name, values) => console.log(`${name.padEnd(14)}${values.join('')}`);
  console.log(`Milliseconds of ${pushes.length} pushes of examples/hello-node, after one to warm up\n`);
  row('', [...pushes.map((_, index) => `#${index + 1}`.padStart(7)), '    p50']);
  for (const phase of phases) {
    if (phase === 'total') console.log('');
    const values = pushes.map((push) => push[phase]);
    row(phase, [...values.map(cell), cell(median(values))]);
  }
  const ours = median(pushes.map((push) => push['but compile']));
  const start = median(pushes.map((push) => push['dyno up']));
  console.log(`
Everything but the buildpack's own compile: ${Math.round(ours)} ms, the aim is ${AIM_MS} ms: ${ours <= AIM_MS ? 'met' : 'MISSED'}
docker create + start of the run image, by the command line: ${Math.round(baseline)} ms
  a dyno's start takes ${(start / baseline).toFixed(1)} times that, everything but the compile ${(ours / baseline).toFixed(1)} times
Load of this machine (1, 5, 15 min; ${os.cpus().length} CPUs): ${formatLoad(loadBefore)} before, ${formatLoad(os.loadavg())} after`);
}

function formatLoad(load) {
  return load.map((value) => value.toFixed(2)).join(' ');
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function visit(port) {
  return new Promise((resolve, reject) => {
    const headers = { Host: `${APP}.localhost` };
    http
      .get({ host: '127.0.0.1', port, headers, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve(body));
        response.on('error', reject);
      })
      .on('error', reject);
  });
}

async function until(what, timeoutMs, check) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(POLL_MS);
  }
}

async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
