'use strict';
// How fast dynos start, how fast an app scales, and what a daemon with many apps costs: npm run bench:dynos (after
// npm run build; needs an engine with the stack images, which `bin/dynodock images` builds).
//
// Starts an installation of its own on free ports. What it measures of it is measured of plain containers as well, in
// the same run, by turns, through the engine's API: the same image, command, limits and bridge. Removes everything
// again.
const { readFileSync, readdirSync } = require('node:fs');
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { deployExample, seedApps } = require('./support/apps');
const { Installation } = require('./support/installation');
const { describeLoad, median, onEndSignal, percentile, until } = require('./support/measure');
const { PlainContainers } = require('./support/plain-containers');

const SAMPLES = 15;
const SCALE_TO = 20;
const AT_ONCE = 8;
const APPS = 200;
const IDLE_MS = 30_000;
/** A dyno's start leaves things to do: its predecessor ends, the pool is refilled. */
const LULL_MS = 1500;
const PATIENCE_MS = 90_000;
const AIMS = { startMs: 220, scaleMs: 5000, rssMb: 250, resyncMs: 1000 };
const APP = 'bench';
/** Of Linux' /proc/<pid>/stat on all common machines (sysconf(_SC_CLK_TCK)). */
const TICKS_PER_SECOND = 100;

async function main() {
  const loadBefore = os.loadavg();
  const bench = new Dynos();
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    await deployExample(bench, APP, 'hello-node');
    await bench.untilStates(['up']);
    await bench.plain.describeDyno(bench.installationId);

    const starts = await bench.compareStarts();
    const scaled = await bench.measureScaling();
    const plain = await bench.measurePlainContainers();
    bench.settings.DYNODOCK_READY_SANDBOXES = '0';
    await bench.restart();
    const bare = await bench.compareStarts();
    delete bench.settings.DYNODOCK_READY_SANDBOXES;

    await bench.api('POST', `/apps/${APP}/actions/idle`);
    await bench.untilStates(['idle']);
    await bench.stop();
    seedApps(bench, { model: APP, count: APPS - 1 });
    bench.settings.DYNODOCK_LOG_LEVEL = 'debug';
    await bench.start();
    const idle = await bench.measureIdle();

    reportStarts('with ready sandboxes', starts);
    reportStarts('without sandboxes', bare);
    report(`web=1 to web=${SCALE_TO}, all up`, scaled, AIMS.scaleMs, 'ms');
    console.log(
      `  ${SCALE_TO} plain containers, ${AT_ONCE} at once: ${Math.round(plain)} ms; ratio ${(scaled / plain).toFixed(2)}\n`,
    );
    console.log(`${APPS} apps, each with a dyno that sleeps`);
    report('daemon and router, RSS', idle.daemonMb + idle.routerMb, AIMS.rssMb, 'MB');
    console.log(`  daemon ${Math.round(idle.daemonMb)} MB, router ${Math.round(idle.routerMb)} MB`);
    report('whole resync', Math.max(...idle.resyncs), AIMS.resyncMs, 'ms');
    console.log(`  ${idle.resyncs.length} of them: ${idle.resyncs.join(', ')} ms; the first with the start`);
    console.log(
      `  daemon's CPU over ${IDLE_MS / 1000} s with one resync in them: ${idle.cpuPercent.toFixed(2)} % of one core\n`,
    );
    console.log(describeLoad(loadBefore));
  } finally {
    await bench.remove();
  }
}

class Dynos extends Installation {
  plain = new PlainContainers();

  async restart() {
    await this.stop();
    await this.start();
  }

  /** Until the dynos there are, those on their way out included, are in these states. */
  untilStates(states) {
    const rows = this.database.prepare('SELECT state FROM dynos').pluck();
    return until(`dynos ${states.join(' ')}`, PATIENCE_MS, () => rows.all().join(' ') === states.join(' '));
  }

  /** Milliseconds of each start, ours and a plain container's by turns. */
  async compareStarts() {
    const ours = [];
    const plain = [];
    for (let sample = -1; sample < SAMPLES; sample += 1) {
      await delay(LULL_MS);
      const [our, other] = [await this.measureRestart(), await this.measurePlainStart()];
      if (sample < 0) continue;
      ours.push(our);
      plain.push(other);
    }
    return { ours, plain };
  }

  /** From the order to the new dyno's accepting connections. */
  async measureRestart() {
    const newest = this.newestEvent();
    const startedAt = Date.now();
    await this.api('DELETE', `/apps/${APP}/dynos/web.1`);
    const upAt = await this.untilUpEvents(newest, 1);
    await this.untilStates(['up']);
    return upAt - startedAt;
  }

  async measureScaling() {
    const newest = this.newestEvent();
    const startedAt = Date.now();
    await this.api('PATCH', `/apps/${APP}/formation/web`, { quantity: SCALE_TO });
    const upAt = await this.untilUpEvents(newest, SCALE_TO - 1);
    await this.api('PATCH', `/apps/${APP}/formation/web`, { quantity: 1 });
    await this.untilStates(['up']);
    await delay(LULL_MS);
    return upAt - startedAt;
  }

  newestEvent() {
    return this.database.prepare('SELECT coalesce(max(id), 0) FROM events').pluck().get();
  }

  /** The time of the last of so many dynos becoming up since that event. */
  untilUpEvents(newest, count) {
    const times = this.database
      .prepare(
        "SELECT at FROM events WHERE id > ? AND kind = 'dyno.state' AND json_extract(payload, '$.to') = 'up'",
      )
      .pluck();
    return until(`${count} dynos to be up`, PATIENCE_MS, () => {
      const found = times.all(newest);
      return found.length >= count && Math.max(...found);
    });
  }

  async measurePlainStart() {
    const startedAt = performance.now();
    const { container } = await this.plain.start(5000);
    const took = performance.now() - startedAt;
    await container.remove({ force: true });
    return took;
  }

  async measurePlainContainers() {
    const startedAt = performance.now();
    const containers = [];
    const worker = async () => {
      while (containers.length < SCALE_TO) {
        const index = containers.push(undefined) - 1;
        containers[index] = await this.plain.start(5000 + index);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    const took = performance.now() - startedAt;
    for (const { container } of containers) await container.remove({ force: true });
    return took;
  }

  async measureIdle() {
    // Resyncs come half past each minute: one shall be in the time that is measured.
    await delay(((75 - new Date().getSeconds()) % 60) * 1000);
    const before = cpuSeconds(this.daemon.pid);
    await delay(IDLE_MS);
    const cpuPercent = ((cpuSeconds(this.daemon.pid) - before) / (IDLE_MS / 1000)) * 100;
    const resyncs = this.output
      .split('\n')
      .filter((line) => line.includes('"message":"resync"'))
      .map((line) => JSON.parse(line))
      .filter(({ apps }) => apps === APPS)
      .map(({ durationMs }) => durationMs);
    if (resyncs.length < 2) throw new Error(`no resync was logged:\n${this.output.slice(-2000)}`);
    return {
      cpuPercent,
      resyncs,
      daemonMb: rssMb(this.daemon.pid),
      routerMb: sum(this.routerPids().map(rssMb)),
    };
  }

  /** Its primary process and its workers. */
  routerPids() {
    const pids = readdirSync('/proc').filter((entry) => {
      if (!/^\d+$/.test(entry)) return false;
      try {
        return (
          /\0(router|[^\0]*\/worker-process)\0$/.test(readFileSync(`/proc/${entry}/cmdline`, 'utf8')) &&
          readFileSync(`/proc/${entry}/environ`, 'utf8').includes(`DYNODOCK_HOME=${this.data}\0`)
        );
      } catch {
        return false; // It has ended meanwhile.
      }
    });
    if (pids.length === 0) throw new Error('no router');
    return pids.map(Number);
  }
}

function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}

/** User and system time, the 14th and 15th field of proc(5)'s stat. */
function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function rssMb(pid) {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(kilobytes) / 1024;
}

function reportStarts(how, { ours, plain }) {
  console.log(`Start of a dyno, ${how}: order to accepting, ${ours.length} samples, and a plain container's`);
  for (const [name, share] of [
    ['p50', 0.5],
    ['p95', 0.95],
  ]) {
    const [our, other] = [percentile(ours, share), percentile(plain, share)];
    console.log(
      `  ${name}  ${Math.round(our)} ms, plain ${Math.round(other)} ms; ratio ${(our / other).toFixed(2)}`,
    );
  }
  report('p50', median(ours), AIMS.startMs, 'ms');
  console.log('');
}

function report(what, value, aim, unit) {
  console.log(
    `${what}: ${Math.round(value)} ${unit}, the aim is ${aim} ${unit}: ${value <= aim ? 'met' : 'MISSED'}`,
  );
}

main().catch((error) => {
  // Called off, which is why.
  if (process.exitCode === 130) return;
  console.error(error);
  process.exitCode = 1;
});
