'use strict';
// How long a sleeping app takes to answer: npm run bench:wake (after npm run build; needs an engine with the stack
// images, which `bin/dynodock images` builds).
//
// Starts an installation of its own on free ports. Each wake, from the request to the end of its answer through the
// router, is measured by turns with what the engine itself takes for as much: a plain container of the same image,
// command, limits and bridge, created, started and asked, or unpaused and asked. Then many requests at once to one
// sleeping app, and one to each of many. Removes everything again.
const http = require('node:http');
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { deployExample, seedApps } = require('./support/apps');
const { Installation } = require('./support/installation');
const { describeLoad, median, onEndSignal, percentile, until } = require('./support/measure');
const { PlainContainers } = require('./support/plain-containers');

const SAMPLES = 15;
const AT_ONCE = 1000;
const APPS = 50;
/** A sleep leaves things to do: the dyno ends, the pool is refilled. */
const LULL_MS = 1500;
const PATIENCE_MS = 90_000;
/** p50 of a wake, and by when the last of many apps has answered. */
const AIMS = { stoppedMs: 250, frozenMs: 30, appsMs: 75_000 };
const APP = 'bench';

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Wakes();
  onEndSignal(() => bench.remove());
  let missed = 0;
  const verdict = (met) => {
    if (!met) missed += 1;
    return met ? 'MET' : 'MISSED';
  };
  try {
    await bench.start();
    await deployExample(bench, APP, 'hello-node');
    await until('the app', PATIENCE_MS, async () => (await bench.visit(APP)).status === 200);
    await bench.plain.describeDyno(bench.installationId);

    for (const depth of ['stopped', 'frozen']) {
      const { ours, plain, phases } = await bench.compare(depth);
      const what = depth === 'frozen' ? 'unpause and first answer' : 'create, start, listen, first answer';
      console.log(
        `Wake of a ${depth} dyno: request to answer, ${ours.length} samples; a plain container: ${what}`,
      );
      for (const [name, share] of Object.entries({ p50: 0.5, p95: 0.95 })) {
        const [our, other] = [percentile(ours, share), percentile(plain, share)];
        console.log(`  ${name}  ${ms(our)}, plain ${ms(other)}; ratio ${(our / other).toFixed(2)}`);
      }
      console.log(`  phases, median: ${describePhases(phases)}`);
      const aim = AIMS[`${depth}Ms`];
      console.log(`  p50: the aim is ${aim} ms: ${verdict(median(ours) <= aim)}\n`);
    }

    for (const depth of ['stopped', 'frozen']) {
      const { answers, took, starts } = await bench.manyRequests(depth);
      console.log(
        `${AT_ONCE} requests at once to a ${depth} app: ${describeStatuses(answers)}; ${starts} start`,
      );
      console.log(`  the last answer after ${ms(took)}`);
      console.log(
        `  all 200, one start: ${verdict(answers.every(({ status }) => status === 200) && starts === 1)}\n`,
      );
    }

    await bench.sleep('stopped');
    await bench.stop();
    const names = seedApps(bench, { model: APP, count: APPS });
    await bench.start();
    const { answers, took } = await bench.manyApps(names);
    console.log(`${APPS} sleeping apps, one request to each at once: ${describeStatuses(answers)}`);
    const times = answers.map((answer) => answer.took);
    console.log(`  half of them after ${ms(median(times))}, the last answer after ${ms(took)}`);
    const all = answers.every(({ status }) => status === 200);
    console.log(`  all 200, the last within ${ms(AIMS.appsMs)}: ${verdict(all && took <= AIMS.appsMs)}\n`);
    console.log(describeLoad(loadBefore));
    if (missed > 0) console.log(`${missed} of the aims MISSED`);
  } finally {
    await bench.remove();
  }
}

class Wakes extends Installation {
  plain = new PlainContainers();

  /** Milliseconds of each wake, ours and a plain container's by turns, and the phases of ours. */
  async compare(depth) {
    const plainWake = depth === 'frozen' ? await this.plainFrozen() : () => this.plainStart();
    const [ours, plain] = [[], []];
    for (let sample = -1; sample < SAMPLES; sample += 1) {
      await this.sleep(depth);
      await delay(LULL_MS);
      const { took, status } = await this.visit(APP);
      if (status !== 200) throw new Error(`the wake was answered with ${status}`);
      const other = await plainWake();
      if (sample < 0) continue;
      ours.push(took);
      plain.push(other);
    }
    await this.removePlain?.();
    this.removePlain = undefined;
    const wakes = await this.api('GET', `/apps/${APP}/wakes`);
    const newest = wakes.sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, SAMPLES);
    return { ours, plain, phases: newest.map((wake) => wake.phases_ms) };
  }

  /** Until the app sleeps, with nothing of the earlier dyno left but what a frozen one needs. */
  async sleep(depth) {
    await this.api('PATCH', `/apps/${APP}/sleep`, { depth });
    // What woke it may still be under way: the request was answered, the router has not counted it out yet.
    await until('the app to be put to sleep', PATIENCE_MS, () =>
      this.api('POST', `/apps/${APP}/actions/idle`).catch(() => false),
    );
    const rows = this.database.prepare(
      'SELECT state FROM dynos WHERE app_id = (SELECT id FROM apps WHERE name = ?)',
    );
    const list = () =>
      this.plain.docker.listContainers({
        all: true,
        filters: { label: [`dynodock.installation=${this.installationId}`, 'dynodock.role=dyno'] },
      });
    await until('the app to sleep', PATIENCE_MS, async () => {
      if (rows.pluck().all(APP).join(' ') !== 'idle') return false;
      const states = (await list()).map(({ State }) => State).join(' ');
      return states === (depth === 'frozen' ? 'paused' : '');
    });
  }

  async plainStart() {
    const startedAt = performance.now();
    const { container, host, port } = await this.plain.start(5000);
    await visit({ host, port });
    const took = performance.now() - startedAt;
    await container.remove({ force: true });
    return took;
  }

  /** A container that is paused in between; each call unpauses it. */
  async plainFrozen() {
    const { container, host, port } = await this.plain.start(5000);
    await visit({ host, port });
    await container.pause();
    this.removePlain = () => container.remove({ force: true });
    return async () => {
      const startedAt = performance.now();
      await container.unpause();
      await visit({ host, port });
      const took = performance.now() - startedAt;
      await container.pause();
      return took;
    };
  }

  visit(name) {
    return visit({
      host: '127.0.0.1',
      port: this.httpPort,
      headers: { Host: `${name}.localhost:${this.httpPort}` },
    });
  }

  async manyRequests(depth) {
    await this.sleep(depth);
    await delay(LULL_MS);
    const newest = this.database.prepare('SELECT coalesce(max(id), 0) FROM events').pluck().get();
    const { answers, took } = await atOnce(Array.from({ length: AT_ONCE }, () => () => this.visit(APP)));
    const starts = this.database
      .prepare(
        "SELECT count(*) FROM events WHERE id > ? AND kind = 'dyno.state' AND json_extract(payload, '$.to') = 'up'",
      )
      .pluck()
      .get(newest);
    return { answers, took, starts };
  }

  manyApps(names) {
    return atOnce(names.map((name) => () => this.visit(name)));
  }
}

async function atOnce(requests) {
  const startedAt = performance.now();
  const answers = await Promise.all(requests.map((request) => request()));
  return { answers, took: performance.now() - startedAt };
}

/** One request on a connection of its own; `took` until its answer's end. */
function visit(target) {
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const request = http.get({ ...target, agent: false }, (response) => {
      response.resume();
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, took: performance.now() - startedAt }));
    });
    request.on('error', reject);
  });
}

function ms(value) {
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`;
}

function describePhases(phases) {
  return ['decision', 'container', 'boot', 'first_byte', 'total']
    .map((name) => {
      const values = phases.map((each) => each[name]).filter((value) => value !== null);
      return `${name} ${values.length === 0 ? '-' : median(values)} ms`;
    })
    .join(', ');
}

function describeStatuses(answers) {
  const counts = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return Object.entries(counts)
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ');
}

main().catch((error) => {
  // Called off, which is why.
  if (process.exitCode === 130) return;
  console.error(error);
  process.exitCode = 1;
});
