'use strict';
// The router's throughput, latency and memory: npm run bench:router (after npm run build; Linux; needs nginx, HAProxy,
// Caddy and wrk, which it installs on Debian when it runs as root).
//
// All servers stand before the same backend and are measured by turns, so that whatever else the machine does happens
// to all of them. This process has the daemon's place: it sends the route table and reads the router's log lines.
//
//   --soak MINUTES   only the soak, for so long
//   --only PART      throughput, latency, idle or soak
//   --quick          short, for trying a change; the figures mean little
const { mkdtempSync, rmSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');
const { parseArgs } = require('node:util');
const { reportIdleConnections } = require('./support/idle-connections');
const { comparePings } = require('./support/latency');
const { describeLoad, freePorts, median, onEndSignal, percentile } = require('./support/measure');
const { HOST, RouterProcess, cpuMicros } = require('./support/router-process');
const servers = require('./support/servers');
const { slopeOf, visit } = require('./support/soak');
const { runWrk } = require('./support/wrk');

const PARTS = ['throughput', 'latency', 'idle', 'soak'];
const CONNECTIONS = [32, 256];
const BODIES = [
  { name: '12 bytes', path: '/small', seconds: 3 },
  { name: '1 MB', path: '/large', seconds: 2 },
];
const ROUNDS = 3;
/** Compilers that work as the code runs are to be done with it. */
const WARM_UP_SECONDS = 2;
const PINGS = { samples: 4000, warmUp: 1000 };
const IDLE_CONNECTIONS = 10_000;
const SOAK_SECONDS = 30;
const SAMPLE_MS = 10_000;
const AIMS = { shareOfNginx: 0.5, shareOfNginxAllCores: 1, addedMs: 1 };

async function main() {
  const { values } = parseArgs({
    options: { soak: { type: 'string' }, only: { type: 'string' }, quick: { type: 'boolean' } },
  });
  const soakSeconds = values.soak === undefined ? SOAK_SECONDS : Number(values.soak) * 60;
  if (!(soakSeconds > 0)) throw new Error(`--soak ${values.soak}: not a number of minutes`);
  const parts = values.soak !== undefined ? ['soak'] : values.only === undefined ? PARTS : [values.only];
  if (!parts.every((part) => PARTS.includes(part)))
    throw new Error(`--only ${values.only}: not one of ${PARTS.join(', ')}`);

  const loadBefore = os.loadavg();
  const bench = new RouterBench({ quick: values.quick === true });
  onEndSignal(() => bench.remove());
  try {
    await bench.start();
    if (parts.includes('throughput')) await bench.measureThroughput();
    if (parts.includes('latency')) await bench.measureLatency();
    if (parts.includes('idle')) await bench.measureIdleConnections();
    if (parts.includes('soak')) await bench.soak(soakSeconds);
    console.log(describeLoad(loadBefore));
  } finally {
    await bench.remove();
  }
}

class RouterBench {
  directory = mkdtempSync(path.join(os.tmpdir(), 'dynodock-bench-'));
  tools = servers.findTools();
  /** Whatever has a `stop`. */
  running = [];
  ending = new AbortController();

  constructor({ quick }) {
    this.quick = quick;
  }

  async start() {
    const [port] = await freePorts(1);
    this.backend = await this.keep(
      servers.startBackend({ tools: this.tools, port, directory: this.directory }),
    );
  }

  async keep(starting) {
    const server = await starting;
    this.running.push(server);
    return server;
  }

  async startRouter(name, workers) {
    const directory = path.join(this.directory, name);
    return this.keep(RouterProcess.start({ directory, backendPort: this.backend.port, workers }));
  }

  async stop(server) {
    this.running.splice(this.running.indexOf(server), 1);
    await server.stop();
  }

  async measureThroughput() {
    const cores = os.cpus().length;
    const ports = await freePorts(4);
    const settings = ports.map((port) => ({
      ...{ tools: this.tools, directory: this.directory, backendPort: this.backend.port, port },
    }));
    const targets = [
      { name: 'backend alone', server: this.backend },
      { name: 'nginx', server: await this.keep(servers.startNginxProxy(settings[0])) },
      { name: 'HAProxy', server: await this.keep(servers.startHaproxy(settings[1])) },
      { name: 'Caddy', server: await this.keep(servers.startCaddy(settings[2])) },
      { name: 'bare http-proxy', server: await this.keep(servers.startHttpProxy(settings[3])) },
      { name: 'router, 1 worker', server: await this.startRouter('one-worker', 1) },
      { name: `router, ${cores} workers`, server: await this.startRouter('all-cores', cores) },
    ];
    for (const { server } of targets) {
      for (const { path: urlPath } of BODIES)
        await this.loadOnce(server, urlPath, CONNECTIONS[0], WARM_UP_SECONDS / 2);
    }
    for (const body of BODIES) {
      for (const connections of CONNECTIONS)
        this.reportThroughput(body, connections, await this.load(targets, body, connections));
    }
    for (const { name, server } of targets.slice(-2)) reportLog(name, server);
    for (const { server } of targets.slice(1)) await this.stop(server);
  }

  /** For each target the medians over the rounds. */
  async load(targets, { path: urlPath, seconds }, connections) {
    const results = targets.map(() => []);
    for (let round = 0; round < (this.quick ? 1 : ROUNDS); round += 1) {
      for (const [index, { server }] of targets.entries()) {
        results[index].push(await this.loadOnce(server, urlPath, connections, this.quick ? 1 : seconds));
      }
    }
    return targets.map(({ name }, index) => {
      const rounds = results[index];
      const of = (key) => median(rounds.map((round) => round[key]));
      const failed = rounds.reduce((sum, round) => sum + round.failed, 0);
      return {
        ...{ name, failed },
        ...{ requestsPerSecond: of('requestsPerSecond'), p50: of('p50'), p99: of('p99') },
        cpuMicros: of('cpuMicros'),
      };
    });
  }

  async loadOnce(server, urlPath, connections, seconds) {
    const url = `http://127.0.0.1:${server.port}${urlPath}`;
    const { signal } = this.ending;
    const cpuBefore = cpuMicros(server.process.pid);
    const result = await runWrk({ wrk: this.tools.wrk, url, host: HOST, connections, seconds, signal });
    server.wrkRequests = (server.wrkRequests ?? 0) + result.requests;
    return { ...result, cpuMicros: (cpuMicros(server.process.pid) - cpuBefore) / result.requests };
  }

  /** CPU time per request says what a server costs also while others use the machine, which requests/s do not. */
  reportThroughput({ name }, connections, results) {
    console.log(`${name}, ${connections} connections, medians of ${this.quick ? 1 : ROUNDS}`);
    const nginx = results.find((result) => result.name === 'nginx').requestsPerSecond;
    const rows = results.map((result) => [
      result.name,
      result.requestsPerSecond.toFixed(0),
      `${result.p50.toFixed(2)} ms`,
      `${result.p99.toFixed(2)} ms`,
      (result.requestsPerSecond / nginx).toFixed(2),
      `${result.cpuMicros.toFixed(1)} µs`,
      result.failed === 0 ? '' : `${result.failed} FAILED`,
    ]);
    printTable(['', 'requests/s', 'p50', 'p99', 'of nginx', 'CPU/request', ''], rows);
    const [one, all] = results.slice(-2).map((result) => result.requestsPerSecond / nginx);
    aim('one worker, of nginx', one.toFixed(2), `at least ${AIMS.shareOfNginx}`, one >= AIMS.shareOfNginx);
    aim(
      'a worker per core, of nginx',
      all.toFixed(2),
      `above ${AIMS.shareOfNginxAllCores}`,
      all > AIMS.shareOfNginxAllCores,
    );
    console.log('');
    const failed = results.slice(-2).reduce((sum, result) => sum + result.failed, 0);
    if (failed > 0) throw new Error(`${failed} requests to the router failed`);
  }

  /** What the router adds to a request on a warm connection. */
  async measureLatency() {
    const router = await this.startRouter('latency', 1);
    const target = { host: HOST, path: '/small', ending: servers.SMALL_BODY };
    const settings = this.quick ? { samples: 500, warmUp: 200 } : PINGS;
    const [direct, routed] = await comparePings(
      [
        { ...target, port: this.backend.port },
        { ...target, port: router.port },
      ],
      settings,
    );
    console.log(`One request at a time, ${settings.samples} of each by turns`);
    for (const share of [0.5, 0.99]) {
      const [without, through] = [percentile(direct, share), percentile(routed, share)];
      console.log(
        `  p${share * 100}  ${without.toFixed(3)} ms direct, ${through.toFixed(3)} ms through the router: ${(through - without).toFixed(3)} ms more`,
      );
    }
    const added = median(routed) - median(direct);
    aim('added latency, p50', `${added.toFixed(3)} ms`, `below ${AIMS.addedMs} ms`, added < AIMS.addedMs);
    console.log('');
    await this.stop(router);
  }

  async measureIdleConnections() {
    const router = await this.startRouter('idle', 1);
    const count = this.quick ? IDLE_CONNECTIONS / 10 : IDLE_CONNECTIONS;
    await reportIdleConnections(router, count);
    await this.stop(router);
  }

  /** Memory under traffic that comes and goes. */
  async soak(seconds) {
    const router = await this.startRouter('soak', 1);
    const ending = new AbortController();
    const startedAt = performance.now();
    const visits = visit({ port: router.port, host: HOST, signal: ending.signal });
    const points = [];
    console.log(`Soak of ${seconds} s: keep-alive, new connections, uploads, clients that leave`);
    const sampleMs = Math.min(SAMPLE_MS, (seconds * 1000) / 15);
    try {
      while (performance.now() - startedAt < seconds * 1000) {
        await delay(sampleMs);
        const point = [(performance.now() - startedAt) / 1000, router.rssMb()];
        points.push(point);
        console.log(`  ${point[0].toFixed(0).padStart(6)} s  ${point[1].toFixed(1)} MB`);
      }
    } finally {
      ending.abort();
    }
    const counts = await visits;
    const slope = slopeOf(points.filter(([at]) => at >= seconds / 2)) * 3600;
    console.log(
      `  RSS in the second half: ${slope >= 0 ? '+' : ''}${slope.toFixed(1)} MB/h${seconds < 600 ? ' (of so short a time this says little)' : ''}`,
    );
    for (const { name, visits: done, failures, lastFailure } of counts) {
      console.log(
        `  ${name}: ${done}${failures === 0 ? '' : `, ${failures} FAILED, at last: ${lastFailure.message}`}`,
      );
    }
    await this.stop(router);
    reportLog('  router', router);
    console.log('');
    const failures = counts.reduce((sum, count) => sum + count.failures, 0);
    if (failures > 0) throw new Error(`${failures} visits failed`);
  }

  /** Once, also when it is called off in the middle. */
  remove() {
    return (this.removing ??= this.removeAll());
  }

  async removeAll() {
    this.ending.abort();
    for (const server of this.running.splice(0).reverse()) await server.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** wrk does not count what it cuts off at the end of a load; such requests have a line too, with H27. */
function reportLog(name, { logLines, droppedLines, errors, wrkRequests }) {
  const codes = [...errors].map(([code, count]) => `, ${code}: ${count}`).join('');
  const counted = wrkRequests === undefined ? '' : ` of ${wrkRequests} requests and those cut off`;
  console.log(`${name}: ${logLines} log lines read${counted}, ${droppedLines} dropped${codes}`);
  if (logLines + droppedLines < (wrkRequests ?? 0)) throw new Error('log lines are missing');
}

function printTable(head, rows) {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column].length)));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]),
    );
    console.log(`  ${cells.join('  ').trimEnd()}`);
  }
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
