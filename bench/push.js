'use strict';
// How long a push takes until the new release answers: npm run bench:push (after npm run build; needs an engine with
// the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own on free ports, pushes a Node.js app without dependencies some times and says what
// the time went into: by the daemon's log, the trail of events in its database, git's and our own clock. Measures the
// engine itself in the same run, for comparison. Removes everything again.
const { cpSync, readFileSync, writeFileSync } = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { Installation, MAIN, ROOT, START_MS, runFile } = require('./support/installation');
const { describeLoad, median, until } = require('./support/measure');

const PUSHES = 5;
const APP = 'bench';
/** Of a push to an answering app, without what the buildpack itself does. */
const AIM_MS = 3000;
/** The same of an app's second push. */
const SECOND_AIM_MS = 2000;

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Pushes();
  try {
    await bench.start();
    const baseline = await bench.measureEngine();
    const pushes = [];
    let first;
    // The first one makes the app's repository, cache and first release.
    for (let number = 0; number <= PUSHES; number += 1) {
      const phases = await bench.push(number);
      if (number === 0) first = phases;
      else pushes.push(phases);
    }
    report(first, pushes, baseline, loadBefore);
  } finally {
    await bench.remove();
  }
}

class Pushes extends Installation {
  async start() {
    await super.start();
    this.repository = path.join(this.directory, 'repository');
    await this.api('POST', '/apps', { name: APP });
    cpSync(path.join(ROOT, 'examples', 'hello-node'), this.repository, { recursive: true });
    await this.git(this.repository, 'init', '--quiet', '--initial-branch=main');
  }

  /** Milliseconds of each phase of one push. */
  async push(number) {
    const marker = `push ${number}`;
    const server = path.join(this.repository, 'server.js');
    const source = readFileSync(path.join(ROOT, 'examples', 'hello-node', 'server.js'), 'utf8');
    writeFileSync(server, source.replace('Hello from', `${marker}: hello from`));
    await this.git(this.repository, 'add', '--all');
    await this.git(this.repository, 'commit', '--quiet', '--message', marker);

    const newestEvent = this.database.prepare('SELECT coalesce(max(id), 0) FROM events').pluck().get();
    const logged = this.output.length;
    const startedAt = Date.now();
    const pushed = this.git(
      this.repository,
      'push',
      `https://localhost:${this.apiPort}/${APP}.git`,
      'HEAD:refs/heads/main',
    );
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
}

function report(first, pushes, baseline, loadBefore) {
  const phases = Object.keys(pushes[0]);
  const cell = (value) => String(Math.round(value)).padStart(7);
  const row = (name, values) => console.log(`${name.padEnd(14)}${values.join('')}`);
  console.log(`Milliseconds of ${pushes.length} pushes of examples/hello-node, after the app's first\n`);
  row('', ['  first', ...pushes.map((_, index) => `#${index + 1}`.padStart(7)), '    p50']);
  for (const phase of phases) {
    if (phase === 'total') console.log('');
    const values = pushes.map((push) => push[phase]);
    row(phase, [first[phase], ...values, median(values)].map(cell));
  }
  const ours = median(pushes.map((push) => push['but compile']));
  const start = median(pushes.map((push) => push['dyno up']));
  console.log(`
Everything but the buildpack's own compile:
  first push ${verdict(first['but compile'], AIM_MS)}
  second push ${verdict(pushes[0]['but compile'], SECOND_AIM_MS)}
  p50 of those after the first ${verdict(ours, SECOND_AIM_MS)}
docker create + start of the run image, by the command line: ${Math.round(baseline)} ms
  a dyno's start takes ${(start / baseline).toFixed(1)} times that, everything but the compile ${(ours / baseline).toFixed(1)} times
${describeLoad(loadBefore)}`);
}

function verdict(ms, aimMs) {
  return `${Math.round(ms)} ms, the aim is ${aimMs} ms: ${ms <= aimMs ? 'met' : 'MISSED'}`;
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

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
