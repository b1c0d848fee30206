'use strict';
// How fast sleeping apps wake: npm run bench:wake (after npm run build; needs an engine with the stack images, which
// `bin/dynodock images` builds).
//
// Starts an installation of its own on free ports. Each wake is a request to a sleeping app through the router, from
// connecting to the answer's last byte. Beside it, by turns in the same run, what the engine alone takes: create, start
// and listen of a like container, or unpause and answer of one. Removes everything again. `--only wakes`, `crowd` or
// `apps` is a part of it.
const http = require('node:http');
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { parseArgs } = require('node:util');
const { APP, HelloApp, PATIENCE_MS } = require('./support/hello-app');
const { describeLoad, median, onEndSignal, percentile, until } = require('./support/measure');

const PARTS = ['wakes', 'crowd', 'apps'];
const SAMPLES = 15;
const AT_ONCE = 1000;
const APPS = 50;
/** Sleep leaves things to do: the old dyno ends, the pool of sandboxes is refilled. */
const LULL_MS = 1500;
const LOOK_MS = 200;
/** The router gives up after 75 s (H20). */
const TIMEOUT_MS = 80_000;
const AIMS = { stoppedMs: 250, frozenMs: 30, appsMs: 75_000 };

async function main() {
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const parts = values.only === undefined ? PARTS : [values.only];
  if (!parts.every((part) => PARTS.includes(part)))
    throw new Error(`--only ${values.only}: not one of ${PARTS.join(', ')}`);

  const loadBefore = os.loadavg();
  // By hand only, so that nothing sleeps in the middle.
  const bench = new Wake({ DYNODOCK_IDLE_AFTER_SECONDS: '0' });
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    await bench.deploy();
    if (parts.includes('wakes')) await bench.reportWakes();
    if (parts.includes('crowd')) reportCrowd(await bench.wakeByCrowd());
    if (parts.includes('apps')) reportApps(await bench.wakeApps());
    console.log(describeLoad(loadBefore));
  } finally {
    await bench.remove();
  }
}

class Wake extends HelloApp {
  async reportWakes() {
    const baseline = await this.describeDyno();
    const stopped = await this.compareWakes('stopped', () => this.measurePlainStart(baseline));
    reportWakes('stopped', 'create, start and listen of a plain container', stopped, AIMS.stoppedMs);
    const plain = await this.startPlain(baseline, 5000);
    const frozen = await this.compareWakes('frozen', () => this.measurePlainUnpause(plain));
    reportWakes('frozen', 'unpause and answer of a plain container', frozen, AIMS.frozenMs);
    await plain.container.remove({ force: true });
  }

  /** Milliseconds of each wake, and of what `measurePlain` measures, by turns; and what the ledger says of the wakes. */
  async compareWakes(depth, measurePlain) {
    await this.api('PATCH', `/apps/${APP}/sleep`, { depth });
    const ours = [];
    const plain = [];
    for (let sample = -1; sample < SAMPLES; sample += 1) {
      await this.sleep([APP], depth);
      await delay(LULL_MS);
      const took = await this.request(APP);
      const other = await measurePlain();
      if (sample < 0) continue;
      ours.push(took);
      plain.push(other);
    }
    const wakes = await this.api('GET', `/apps/${APP}/wakes`);
    const newest = wakes.sort((a, b) => b.created_at.localeCompare(a.created_at)).slice(0, SAMPLES);
    return { ours, plain, phases: newest.map((wake) => wake.phases_ms) };
  }

  /** Resolves once their containers are gone, or frozen. */
  async sleep(apps, depth) {
    for (const app of apps) {
      const awake = async () => (await this.api('GET', `/apps/${app}/sleep`)).state === 'awake';
      await until(`${app} to be awake`, PATIENCE_MS, awake, LOOK_MS);
    }
    for (const app of apps) await until(`${app} to sleep`, PATIENCE_MS, () => this.idle(app), LOOK_MS);
    const asleep = async () => {
      const [running, paused] = await Promise.all(
        ['running', 'paused'].map((status) => this.dynoContainers({ status: [status] })),
      );
      return running.length === 0 && paused.length === (depth === 'frozen' ? apps.length : 0);
    };
    await until(`${apps.length} dynos to be ${depth}`, PATIENCE_MS, asleep, LOOK_MS);
  }

  async idle(app) {
    try {
      await this.api('POST', `/apps/${app}/actions/idle`);
      return true;
    } catch (error) {
      // With many dynos starting and ending on few cores the router may answer too late: then it sleeps all the same.
      if (error.message.includes('service_unavailable')) return false;
      if (error.message.includes('is asleep already')) return true;
      throw error;
    }
  }

  /** Milliseconds until the answer is there. */
  request(app) {
    return get({ host: '127.0.0.1', port: this.httpPort, hostHeader: `${app}.localhost` });
  }

  /** Freezes a container and measures until a request is answered, as with the dyno. */
  async measurePlainUnpause({ container, host, port }) {
    await container.pause();
    const startedAt = performance.now();
    await container.unpause();
    await get({ host, port, hostHeader: 'plain.localhost' });
    return performance.now() - startedAt;
  }

  /** So many requests at once to one app that sleeps. */
  async wakeByCrowd() {
    await this.api('PATCH', `/apps/${APP}/sleep`, { depth: 'stopped' });
    await this.sleep([APP], 'stopped');
    await delay(LULL_MS);
    const newest = this.newestEvent();
    const times = await this.askAtOnce(Array.from({ length: AT_ONCE }, () => APP));
    return { ...times, starts: this.upTimes(newest).length };
  }

  async wakeApps() {
    await this.stop();
    const apps = this.seedApps(APPS, 1);
    await this.start();
    await this.sleep(apps, 'stopped');
    await delay(LULL_MS);
    return this.askAtOnce(apps);
  }

  /** One request of each at the same time. */
  async askAtOnce(apps) {
    const results = await Promise.allSettled(apps.map((app) => this.request(app)));
    const failures = results
      .filter(({ status }) => status === 'rejected')
      .map(({ reason }) => reason.message);
    if (failures.length > 0) console.log(this.warnings().slice(-20).join('\n'));
    return {
      times: results.flatMap(({ status, value }) => (status === 'fulfilled' ? [value] : [])),
      failures,
    };
  }
}

/** Milliseconds from connecting to the answer's last byte; rejects unless the hello app answers. */
function get({ host, port, hostHeader }) {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const request = http.get({
      host,
      port,
      agent: false,
      headers: { Host: hostHeader },
      timeout: TIMEOUT_MS,
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk));
      response.on('error', reject);
      response.on('end', () => {
        if (response.statusCode === 200 && text.startsWith('Hello ')) resolve(performance.now() - startedAt);
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
  });
}

function reportWakes(depth, what, { ours, plain, phases }, aimMs) {
  console.log(`Wake of a ${depth} app, ${ours.length} samples; beside it ${what}`);
  for (const share of [0.5, 0.95]) {
    const [our, other] = [percentile(ours, share), percentile(plain, share)];
    console.log(
      `  p${share * 100}  ${our.toFixed(1)} ms, plain ${other.toFixed(1)} ms; ratio ${(our / other).toFixed(2)}`,
    );
  }
  const names = ['decision', 'container', 'boot', 'first_byte', 'total'];
  const medians = names.map(
    (name) => `${name.replace('_', ' ')} ${median(phases.map((phase) => phase[name]))}`,
  );
  console.log(`  the ledger, medians in ms: ${medians.join(', ')}`);
  aim('p50', `${median(ours).toFixed(1)} ms`, `${aimMs} ms`, median(ours) <= aimMs);
  console.log('');
}

function reportCrowd({ times, failures, starts }) {
  console.log(`${AT_ONCE} requests at once to a stopped app`);
  console.log(`  p50 ${percentile(times, 0.5).toFixed(0)} ms, the last ${Math.max(...times).toFixed(0)} ms`);
  reportFailures(failures);
  aim('answered', times.length, AT_ONCE, times.length === AT_ONCE);
  aim('starts', starts, 1, starts === 1);
  console.log('');
}

function reportApps({ times, failures }) {
  const last = Math.max(...times);
  console.log(`${APPS} stopped apps woken at once`);
  console.log(`  p50 ${percentile(times, 0.5).toFixed(0)} ms, the last ${last.toFixed(0)} ms`);
  reportFailures(failures);
  aim('answered', times.length, APPS, times.length === APPS);
  aim('the last', `${(last / 1000).toFixed(1)} s`, `${AIMS.appsMs / 1000} s`, last <= AIMS.appsMs);
  console.log('');
}

function reportFailures(failures) {
  const counts = new Map();
  for (const failure of failures) counts.set(failure, (counts.get(failure) ?? 0) + 1);
  for (const [failure, count] of counts) console.log(`  ${failure}: ${count}`);
}

function aim(what, value, wanted, met) {
  console.log(`${what}: ${value}, the aim is ${wanted}: ${met ? 'met' : 'MISSED'}`);
}

main().catch((error) => {
  // Called off, which is why.
  if (process.exitCode === 130) return;
  console.error(error);
  process.exitCode = 1;
});
