'use strict';
// What add-ons take and give: npm run bench:addons [-- --part creation|throughput|memory] (after npm run build; needs an
// engine with the stack images, which `bin/dynodock images` builds; images of add-ons are built first where they are
// not there).
//
// Starts an installation of its own on free ports. How long Redis and Postgres take from the request to a URL that
// serves, by turns with the same image by hand: `docker run`, until it serves. How much memory 20 Postgres add-ons take.
// And what pgbench and redis-benchmark reach from inside a dyno (its bridge, limits and address of the add-on), by turns
// with the same programs and settings, server and client, bare on the host over TCP. Removes everything again.
const os = require('node:os');
const { setTimeout: delay } = require('node:timers/promises');
const { parseArgs } = require('node:util');
const { deployExample } = require('./support/apps');
const { BarePostgres, BareRedis } = require('./support/bare-server');
const { postgresAnswers, redisAnswers } = require('./support/database-clients');
const { Installation, MAIN, runFile } = require('./support/installation');
const { describeLoad, freePorts, median, onEndSignal, percentile, until } = require('./support/measure');
const { PlainContainers } = require('./support/plain-containers');

const PARTS = ['creation', 'throughput', 'memory'];
const { values: options } = parseArgs({ options: { part: { type: 'string', multiple: true } } });
const parts = options.part ?? PARTS;
if (!parts.every((part) => PARTS.includes(part))) throw new Error(`--part: one of ${PARTS.join(', ')}`);

const APP = 'bench';
const SAMPLES = 8;
const DATABASES = 20;
const ROUNDS = 15;
const SECONDS = 2;
const CLIENTS = 8;
const SCALE = 5;
const PATIENCE_MS = 120_000;
const MIB = 1024 * 1024;
/** p50 of a creation, memory of all databases, and the least share of a bare server's throughput. */
const AIMS = { redisMs: 2000, postgresMs: 4000, memoryBytes: 1536 * MIB, ratio: 0.9 };

const SERVICES = {
  Redis: {
    plan: 'heroku-redis',
    configVar: 'REDIS_URL',
    answers: redisAnswers,
    byHand: ['redis-server', '--protected-mode', 'no'],
    volume: '/data',
    port: 6379,
    aimMs: AIMS.redisMs,
  },
  Postgres: {
    plan: 'heroku-postgresql',
    configVar: 'DATABASE_URL',
    answers: postgresAnswers,
    byHand: ['postgres', '-D', '/var/lib/postgresql/data/pgdata', '-c', 'listen_addresses=*'],
    user: 'postgres',
    volume: '/var/lib/postgresql/data',
    port: 5432,
    aimMs: AIMS.postgresMs,
  },
};

async function main() {
  const loadBefore = os.loadavg();
  const bench = new AddOns();
  onEndSignal(() => bench.remove());
  let missed = 0;
  const verdict = (met) => {
    if (!met) missed += 1;
    return met ? 'MET' : 'MISSED';
  };
  try {
    await bench.start();
    for (const [name, service] of parts.includes('creation') ? Object.entries(SERVICES) : []) {
      const { ours, plain } = await bench.compareCreations(service);
      console.log(
        `${name}, request to a URL that serves, ${ours.length} samples; by hand: docker run, serves`,
      );
      for (const [label, share] of Object.entries({ p50: 0.5, p95: 0.95 })) {
        const [our, other] = [percentile(ours, share), percentile(plain, share)];
        console.log(`  ${label}  ${ms(our)}, by hand ${ms(other)}; ratio ${(our / other).toFixed(2)}`);
      }
      console.log(`  p50: the aim is ${ms(service.aimMs)}: ${verdict(median(ours) <= service.aimMs)}\n`);
    }

    for (const { what, ours, bare } of parts.includes('throughput') ? await bench.compareThroughput() : []) {
      // Of neighbours, so that what else the machine does weighs on both.
      const ratio = median(ours.map((value, round) => value / bare[round]));
      console.log(`${what}, ${ours.length} rounds by turns: median (least to most)`);
      console.log(`  from a dyno  ${rate(ours)}`);
      console.log(`  bare         ${rate(bare)}`);
      console.log(
        `  median of the ratios ${ratio.toFixed(2)}, the aim is ${AIMS.ratio}: ${verdict(ratio >= AIMS.ratio)}\n`,
      );
    }

    if (parts.includes('memory')) {
      const { took, usable, unreclaimable, withCache } = await bench.manyDatabases();
      console.log(`${DATABASES} Postgres add-ons asked for at once: all usable after ${ms(took)}`);
      console.log('  memory of their cgroups, each with a client that has written and read:');
      console.log(
        `  anonymous and shared ${mib(unreclaimable)}; with page cache and the kernel's ${mib(withCache)}`,
      );
      const met = usable === DATABASES && unreclaimable < AIMS.memoryBytes;
      console.log(`  all usable, under ${mib(AIMS.memoryBytes)}: ${verdict(met)}\n`);
    }

    console.log(describeLoad(loadBefore));
    if (missed > 0) console.log(`${missed} of the aims MISSED`);
  } finally {
    await bench.remove();
  }
}

class AddOns extends Installation {
  plain = new PlainContainers();
  bare = [];

  async start() {
    await super.start();
    console.log('Images of the add-ons: built where they are not there, which takes a minute each');
    await runFile(process.execPath, [MAIN, 'images', '--addons', 'postgres', 'redis'], {
      env: this.environment,
    });
    // A running dyno, which the clients' containers are made like.
    await deployExample(this, APP, 'hello-node');
    await until('a dyno', PATIENCE_MS, async () => {
      const dynos = await this.api('GET', `/apps/${APP}/dynos`);
      return dynos.some(({ state }) => state === 'up');
    });
    await this.plain.describeDyno(this.installationId);
  }

  async remove() {
    await Promise.all(this.bare.map((server) => server.remove()));
    await super.remove();
  }

  async compareCreations(service) {
    const [ours, plain] = [[], []];
    for (let sample = -1; sample < SAMPLES; sample += 1) {
      const { name, took } = await this.create(service);
      const container = await this.containerOf(name);
      const { stdout: image } = await runFile('docker', [
        'inspect',
        '--format',
        '{{.Config.Image}}',
        container,
      ]);
      await this.destroy(name);
      const other = await this.createByHand(service, image.trim());
      if (sample < 0) continue;
      ours.push(took);
      plain.push(other);
    }
    return { ours, plain };
  }

  /** Until somebody is served under the URL that the app has. */
  async create({ plan, configVar, answers }) {
    const startedAt = performance.now();
    const { name } = await this.api('POST', `/apps/${APP}/addons`, { plan });
    const url = await until(configVar, PATIENCE_MS, async () => {
      const vars = await this.api('GET', `/apps/${APP}/config-vars`);
      return vars[configVar];
    });
    await until(name, PATIENCE_MS, () => answers(url));
    return { name, url, took: performance.now() - startedAt };
  }

  async destroy(name) {
    await this.api('DELETE', `/apps/${APP}/addons/${name}`);
    await until(`the end of ${name}`, PATIENCE_MS, async () => (await this.containerOf(name)) === '');
  }

  async createByHand({ byHand, user, volume, port, answers }, image) {
    const [hostPort] = await freePorts(1);
    const startedAt = performance.now();
    const args = [
      'run', '--detach', '--label', `dynodock.installation=${this.installationId}`,
      '--publish', `127.0.0.1:${hostPort}:${port}`, '--volume', volume,
      ...(user === undefined ? [] : ['--user', user]), image, ...byHand,
    ]; // prettier-ignore
    const { stdout: id } = await runFile('docker', args);
    await until('a container by hand', PATIENCE_MS, () =>
      answers(`x://postgres@127.0.0.1:${hostPort}/postgres`),
    );
    const took = performance.now() - startedAt;
    await runFile('docker', ['rm', '--force', '--volumes', id.trim()]);
    return took;
  }

  async containerOf(addon) {
    const { stdout } = await runFile('docker', [
      'ps', '--all', '--quiet', '--filter', `label=dynodock.installation=${this.installationId}`,
      '--filter', `label=dynodock.add-on-name=${addon}`,
    ]); // prettier-ignore
    return stdout.trim();
  }

  async compareThroughput() {
    return [...(await this.comparePostgres()), ...(await this.compareRedis())];
  }

  async comparePostgres() {
    const { name, url } = await this.create(SERVICES.Postgres);
    const bare = new BarePostgres();
    this.bare.push(bare);
    const container = await this.containerOf(name);
    await bare.startLike(container);
    const client = await this.plain.idle(container);
    // Debian's PATH of the image has no pgbench.
    const pgbench = '/usr/lib/postgresql/15/bin/pgbench';
    const env = { PGSSLMODE: 'disable' };
    const fromDyno = (args) => client.exec([pgbench, ...args, url], env);
    const onHost = (args) => bare.run(pgbench, [...args, bare.url], env);
    const fill = ['--initialize', '--quiet', `--scale=${SCALE}`];
    await fromDyno(fill);
    await onHost(fill);
    const load = [`--client=${CLIENTS}`, '--jobs=2', `--time=${SECONDS}`];
    const results = [];
    for (const [what, args] of [
      ['pgbench, reads (--select-only)', ['--select-only']],
      ['pgbench, TPC-B', []],
    ]) {
      const tps = (run) => async () => Number(/tps = ([\d.]+)/.exec(await run([...load, ...args]))[1]);
      results.push({ what, ...(await this.byTurns(tps(fromDyno), tps(onHost))) });
    }
    await bare.remove();
    return results;
  }

  async compareRedis() {
    const { name, url } = await this.create(SERVICES.Redis);
    const bare = new BareRedis();
    this.bare.push(bare);
    const container = await this.containerOf(name);
    await bare.startLike(container);
    const client = await this.plain.idle(container);
    const { hostname, port, password } = new URL(url);
    const env = { REDISCLI_AUTH: password };
    const program = '/usr/bin/redis-benchmark';
    const results = [];
    for (const [test, requests, pipeline] of [
      ['get', 120_000, 1],
      ['set', 20_000, 1],
      ['get', 1_000_000, 16],
    ]) {
      const args = ['-t', test, '-n', requests, '-P', pipeline, '-c', CLIENTS, '--csv'].map(String);
      const rps = (run) => async () => Number(/^"[A-Z]+[^"]*","([\d.]+)"/m.exec(await run())[1]);
      const auth = ['-a', password];
      const ours = () => client.exec([program, '-h', hostname, '-p', port, ...auth, ...args], env);
      const theirs = () => bare.run(program, ['-h', bare.host, '-p', `${bare.port}`, ...auth, ...args], env);
      const what = `redis-benchmark, ${test.toUpperCase()}${pipeline === 1 ? '' : `, ${pipeline} at a time`}`;
      results.push({ what, ...(await this.byTurns(rps(ours), rps(theirs))) });
    }
    await bare.remove();
    return results;
  }

  /** The first round warms up; the order changes each time. */
  async byTurns(measureOurs, measureBare) {
    const [ours, bare] = [[], []];
    for (let round = -1; round < ROUNDS; round += 1) {
      const bareFirst = round % 2 === 0;
      const early = bareFirst ? await measureBare() : undefined;
      const our = await measureOurs();
      const other = early ?? (await measureBare());
      if (round < 0) continue;
      ours.push(our);
      bare.push(other);
    }
    return { ours, bare };
  }

  async manyDatabases() {
    for (const { name } of await this.api('GET', `/apps/${APP}/addons`)) await this.destroy(name);
    const startedAt = performance.now();
    const made = await Promise.all(
      Array.from({ length: DATABASES }, () =>
        this.api('POST', `/apps/${APP}/addons`, { plan: SERVICES.Postgres.plan }),
      ),
    );
    const urls = [];
    for (const { name } of made) {
      const addon = await until(name, PATIENCE_MS, async () => {
        const found = await this.api('GET', `/addons/${name}`);
        if (found.state === 'deprovisioned') throw new Error(`${name} could not be had`);
        return found.state === 'provisioned' && found;
      });
      const vars = await this.api('GET', `/apps/${APP}/config-vars`);
      urls.push(vars[addon.config_vars.find((key) => key.endsWith('_URL'))]);
    }
    const took = performance.now() - startedAt;
    const containers = await Promise.all(made.map(({ name }) => this.containerOf(name)));
    const client = await this.plain.idle(containers[0]);
    // Clients that stay connected while memory is counted.
    const sessions = urls.map((url) => client.exec(['psql', '--tuples-only', url, '--command', SESSION]));
    await delay(SETTLE_MS);
    const memory = await Promise.all(containers.map((container) => memoryOf(container)));
    const answers = await Promise.all(sessions);
    return {
      took,
      usable: answers.filter((answer) => answer.includes('written and read')).length,
      unreclaimable: sum(memory.map((each) => each.unreclaimable)),
      withCache: sum(memory.map((each) => each.withCache)),
    };
  }
}

const SETTLE_MS = 8000;
const SESSION = `CREATE TABLE t AS SELECT generate_series(1, 1000) AS n;
SELECT 'written and ' || CASE count(*) WHEN 1000 THEN 'read' ELSE 'lost' END FROM t, (SELECT pg_sleep(15)) AS pause;`;

/**
 * Bytes of a container's cgroup, of either version: `unreclaimable` is anonymous memory and what is shared (Postgres's
 * buffers), `withCache` everything that is charged to it, files in the page cache included.
 */
async function memoryOf(container) {
  const { stdout } = await runFile('docker', [
    'exec', container, 'sh', '-c',
    'cd /sys/fs/cgroup/memory 2> /dev/null || cd /sys/fs/cgroup; cat memory.stat; ' +
      'echo used $(cat memory.usage_in_bytes memory.current 2> /dev/null)',
  ]); // prettier-ignore
  const values = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')),
  );
  const anonymous = Number(values.rss ?? values.anon);
  return { unreclaimable: anonymous + Number(values.shmem ?? 0), withCache: Number(values.used) };
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function ms(value) {
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} ms`;
}

function mib(bytes) {
  return `${Math.round(bytes / MIB)} MiB`;
}

function rate(values) {
  const [low, middle, high] = [Math.min(...values), median(values), Math.max(...values)].map(Math.round);
  return `${middle} a second (${low} to ${high})`;
}

main().catch((error) => {
  // Called off, which is why.
  if (process.exitCode === 130) return;
  console.error(error);
  process.exitCode = 1;
});
