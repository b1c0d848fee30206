import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { dynoName } from '../../src/domain/dyno';
import { INSTALLATION_LABEL, ROLE_LABEL } from '../../src/engine/labels';
import { EngineProxy, type Trouble } from '../support/engine-proxy';
import { eventually, execute, TestPlatform } from '../support/platform';
import { Prober, type Probe } from '../support/prober';
import { processesOf } from '../support/processes';
import { SeededRandom } from '../support/random';
import { SteadyApp, type Release } from '../support/steady-app';
import { overlaps, webOutages, type Period } from '../support/web-outages';

/**
 * Random user actions meet random faults, round after round; after each the installation must be what its user asked
 * for. The same seed gives the same actions and faults, though not the same moments: the suite's own run is always of
 * one seed, so that it is a test of the change at hand; FAULT_SEED=<seed> and FAULT_ROUNDS=<number> go looking for more.
 */
const SEED = Number(process.env.FAULT_SEED ?? 7);
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 8);
const APP = 'sturdy';
const POOL = 3;
const CONVERGENCE_MS = 30_000;
const ROUND_MS = 90_000;
/** From a container's end until the router and its clients have noticed. */
const NOTICE_MS = 1_000;
/** For so long the router waits for a dyno that has gone without a word: to connect (H19, H21), to answer (H12). */
const CONNECT_MS = 5_000;
const FIRST_BYTE_MS = 30_000;
/** What a request of the prober takes where all is well, at most. */
const REQUEST_MS = 500;

const random = new SeededRandom(SEED);
const settings: Record<string, string> = { DYNODOCK_READY_SANDBOXES: String(POOL) };
const platform = new TestPlatform(settings);
const proxy = new EngineProxy(path.join(platform.dir, 'engine.sock'));
const foreign: string[] = [];
/** What happened, with times, for whoever reads of a failure. */
const journal: string[] = [];
const app = new SteadyApp(platform, { name: APP, pool: POOL });
let prober: Prober | undefined;
/** When dynos were ended by hand, by their ids. */
const endedByHand = new Map<string, number>();
/** While somebody ended a dyno: what was under way with it is lost, also where there are others. */
const handiwork: Period[] = [];
/** While the engine failed the daemon in answering, rather than by being away. */
const troubles: Period[] = [];
/** While no daemon could tell the router what has changed. */
const absences: Period[] = [];

/** What the API has acknowledged, and what it may have done besides. */
const asked = {
  setVars: [] as string[],
  releases: [] as { version: number; description: string }[],
  formation: new Map([
    ['web', [1]],
    ['worker', [0]],
  ]),
};
let nextVar = 1;
/** Names of dynos that were ended by hand, which counts as a crash of the app: a second one is followed by a cool-off. */
const ended = new Set<string>();

function note(what: string): void {
  journal.push(`${(performance.now() / 1000).toFixed(2)} ${what}`);
}

// --- what users do ------------------------------------------------------------------------------------------

/** undefined = not acknowledged: it may have been done or not. */
async function request(method: string, apiPath: string, body?: unknown): Promise<unknown> {
  try {
    const answer = await platform.api(method, apiPath, body);
    note(`${method} ${apiPath} ${JSON.stringify(body)} → ${answer.status}`);
    // Rolling back to the current release is refused, for example.
    return answer.status < 300 ? answer.body : undefined;
  } catch {
    note(`${method} ${apiPath} ${JSON.stringify(body)} → no answer`);
    return undefined;
  }
}

async function scale(type: string, quantity: number): Promise<void> {
  const possible = asked.formation.get(type) ?? [];
  possible.push(quantity);
  const done = await request('PATCH', `/apps/${APP}/formation/${type}`, { quantity });
  if (done !== undefined) asked.formation.set(type, [quantity]);
}

async function release(body: unknown): Promise<void> {
  const created = (await request('POST', `/apps/${APP}/releases`, body)) as Release | undefined;
  if (created !== undefined) asked.releases.push(created);
}

const USER_ACTIONS: Record<string, () => Promise<unknown>> = {
  'set a config var': async () => {
    const name = `VAR_${nextVar++}`;
    const done = await request('PATCH', `/apps/${APP}/config-vars`, { [name]: 'set' });
    if (done !== undefined) asked.setVars.push(name);
  },
  'scale web': () => scale('web', random.between(1, 3)),
  'scale workers': () => scale('worker', random.between(0, 2)),
  'restart all': () => request('DELETE', `/apps/${APP}/dynos`),
  'restart web.1': () => request('DELETE', `/apps/${APP}/dynos/web.1`),
  deploy: () => release({ slug: random.pick(app.slugs) }),
  'roll back': async () => {
    const releases = ((await request('GET', `/apps/${APP}/releases`)) ?? []) as Release[];
    const target = random.pick(releases.filter(({ version, current }) => version > 2 && !current));
    if (target !== undefined) await release({ release: target.id });
  },
};

// --- what goes wrong ----------------------------------------------------------------------------------------

async function killDaemon(): Promise<void> {
  note('daemon killed');
  absences.push({ from: Date.now(), to: Infinity });
  await platform.stopDaemon('SIGKILL');
}

/** `docker <how> <container>`, as people and scripts do. */
async function endByHand(role: string, ...how: string[]): Promise<void> {
  const all = (await app.containers()).filter((container) => container.state === 'running');
  const victim = random.pick(all.filter((container) => container.role === role));
  if (victim === undefined) return;
  const rows = app.dynos();
  const hit = rows.find(({ id, sandbox }) => id === victim.dyno || sandbox === victim.id);
  const name = hit === undefined ? undefined : dynoName(hit);
  if (name !== undefined) ended.add(name);
  const from = Date.now();
  if (hit?.type === 'web') endedByHand.set(hit.id, from);
  await execute('docker', [...how, victim.id]);
  note(`docker ${how.join(' ')} of ${role} ${name ?? '(none in it)'} ${victim.id.slice(0, 12)}`);
  if (hit?.type === 'web') handiwork.push({ from: from - REQUEST_MS, to: Date.now() + NOTICE_MS });
}

/** For one to three seconds. */
async function trouble(what: string, make: () => Trouble | undefined): Promise<void> {
  note(`engine: ${what}`);
  const from = Date.now();
  proxy.trouble = make;
  await delay(random.between(1000, 3000));
  proxy.trouble = () => undefined;
  troubles.push({ from, to: Date.now() });
  note('engine: well again');
}

const FAULTS: Record<string, () => Promise<void>> = {
  'kill the daemon': killDaemon,
  'kill the daemon twice': async () => {
    await killDaemon();
    await startDaemon();
    await delay(random.between(0, 1000));
    await killDaemon();
  },
  'docker kill a dyno': () => endByHand('dyno', 'kill'),
  'docker stop a dyno': () => endByHand('dyno', 'stop', '--time', '2'),
  'docker rm a dyno': () => endByHand('dyno', 'rm', '--force'),
  'docker kill a sandbox': () => endByHand('sandbox', 'kill'),
  'docker rm a sandbox': () => endByHand('sandbox', 'rm', '--force'),
  'engine away': async () => {
    note('engine away');
    await proxy.cut();
    await delay(random.between(500, 4000));
    await proxy.restore();
    note('engine back');
  },
  'engine slow': () => trouble('slow', () => ({ kind: 'slow', delayMs: random.between(50, 1500) })),
  'engine answers errors': () =>
    trouble('errors', () => (random.next() < 0.5 ? { kind: 'error' } : undefined)),
  'engine hangs up': () => trouble('resets', () => (random.next() < 0.5 ? { kind: 'reset' } : undefined)),
  'engine breaks answers off': () =>
    trouble('broken answers', () => (random.next() < 0.4 ? { kind: 'broken-off' } : undefined)),
  'engine loses answers': () =>
    trouble('lost answers', () => (random.next() < 0.4 ? { kind: 'unanswered' } : undefined)),
};

async function startDaemon(): Promise<void> {
  await platform.stopDaemon('SIGKILL');
  platform.startDaemon();
  await platform.untilAnswering();
  for (const absence of absences) absence.to = Math.min(absence.to, Date.now());
  note('daemon started');
}

// --- what must hold -----------------------------------------------------------------------------------------

/** As a user would: what was ended by hand twice waits for ten minutes otherwise. No other dyno may have crashed. */
async function restartCrashed(restarted: Set<string>): Promise<void> {
  for (const dyno of app.dynos()) {
    if (dyno.state !== 'crashed' || dyno.crashCount < 2) continue;
    const name = dynoName(dyno);
    expect({ name, endedByHand: ended.has(name) }).toEqual({ name, endedByHand: true });
    if (restarted.has(dyno.id)) continue;
    restarted.add(dyno.id);
    await request('DELETE', `/apps/${APP}/dynos/${name}`);
  }
}

async function expectConverged(): Promise<void> {
  const restarted = new Set<string>();
  await app.expectConverged(CONVERGENCE_MS, () => restartCrashed(restarted));
  await eventually('a page', async () => (await platform.visit(APP)).status === 200, 10_000);
  note('converged');
}

async function expectNothingLost(): Promise<void> {
  const releases = await app.releases();
  const versions = releases.map(({ version }) => version);
  expect(versions).toEqual(versions.map((_, index) => index + 1));
  const described = releases.map(({ version, description }) => ({ version, description }));
  for (const { version, description } of asked.releases) {
    expect(described).toContainEqual({ version, description });
  }
  // What the releases say, told again from the first to the last, is what there is now.
  const vars = new Map<number, Set<string>>([[0, new Set()]]);
  for (const { version, description } of described) {
    const set = /^Set (VAR_\d+) config vars$/.exec(description)?.[1];
    const back = /^Rollback to v(\d+)$/.exec(description)?.[1];
    const before = vars.get(back === undefined ? version - 1 : Number(back)) ?? new Set();
    vars.set(version, new Set([...before, ...(set === undefined ? [] : [set])]));
  }
  const everSet = described.map(({ description }) => description);
  for (const name of asked.setVars) expect(everSet).toContain(`Set ${name} config vars`);
  const now = await app.get<Record<string, string>>(`/apps/${APP}/config-vars`);
  expect(Object.keys(now).sort()).toEqual([...(vars.get(versions.length) ?? [])].sort());
  for (const { type, quantity } of await app.formation()) {
    expect({ type, quantity, possible: asked.formation.get(type) }).toEqual({
      type,
      quantity,
      possible: expect.arrayContaining([quantity]) as unknown,
    });
    asked.formation.set(type, [quantity]);
  }
}

/**
 * Requests are held while dynos are replaced or engine and daemon are away, so none of that is an excuse. These are:
 * the dyno that had the request was ended by hand; or there was no web dyno that could have answered when the router
 * chose one or found none, because they had been ended by hand, or because the engine refused to start new ones for
 * those that had been told to go. The end of such a time reaches the router with the daemon's next word to it.
 */
function expectProbesExplained({ failures }: Prober): void {
  const causes = [...handiwork, ...troubles];
  const heard = (moment: number): number =>
    absences.find(({ from, to }) => from - NOTICE_MS <= moment && moment <= to)?.to ?? moment;
  const outages = webOutages(app.events(), endedByHand, Date.now())
    .filter((outage) => overlaps(causes, outage))
    .map(({ from, to }) => ({ from, to: heard(to) + NOTICE_MS }));
  const explained = (probe: Probe): boolean =>
    probe.status === 503 && overlaps([...handiwork, ...outages], chosen(probe));
  expect(failures.filter((failure) => !explained(failure))).toEqual([]);
  for (const { status, error } of failures.splice(0)) note(`explained: ${status} ${error}`);
}

/** When the router chose the dyno that it gave up on, or found none. */
function chosen({ sentAt, endedAt, error }: Probe): Period {
  switch (error) {
    case 'H12':
      return { from: endedAt - FIRST_BYTE_MS, to: endedAt - FIRST_BYTE_MS };
    case 'H19':
    case 'H21':
      return { from: Math.max(sentAt, endedAt - CONNECT_MS), to: endedAt };
    default:
      return { from: endedAt, to: endedAt };
  }
}

async function expectOneDaemonAndNothingForeignTouched(): Promise<void> {
  const daemons = processesOf(platform.data).filter(({ args }) => args.at(-1) === 'up');
  expect(daemons.map(({ pid }) => pid)).toEqual([platform.daemon.pid]);
  const { stdout } = await execute('docker', ['inspect', '--format', '{{.State.Running}}', ...foreign]);
  expect(stdout.trim().split('\n')).toEqual(foreign.map(() => 'true'));
}

// ------------------------------------------------------------------------------------------------------------

async function round(number: number, probes: Prober): Promise<void> {
  note(`--- round ${number}`);
  const faults = Array.from({ length: random.between(1, 2) }, () => random.pick(Object.keys(FAULTS)) ?? '');
  const actions = Array.from(
    { length: random.between(1, 3) },
    () => random.pick(Object.keys(USER_ACTIONS)) ?? '',
  );
  const pauses = Array.from({ length: 8 }, () => random.between(0, 1200));
  const act = async (): Promise<void> => {
    for (const name of actions) {
      await delay(pauses.pop());
      await USER_ACTIONS[name]?.();
    }
  };
  const fail = async (): Promise<void> => {
    for (const name of faults) {
      await delay(pauses.shift());
      await FAULTS[name]?.();
    }
  };
  await Promise.all([act(), fail()]);
  if (platform.daemon.exitCode !== null || platform.daemon.signalCode !== null) await startDaemon();
  await expectConverged();
  await expectNothingLost();
  await probes.settled();
  expectProbesExplained(probes);
  await expectOneDaemonAndNothingForeignTouched();
}

beforeAll(async () => {
  await proxy.restore();
  settings.DOCKER_HOST = proxy.dockerHost;
  await platform.start();
  await app.create(['one', 'two']);
  await eventually('the app', async () => (await platform.visit(APP)).status === 200);
  // One of somebody's own, and one that another installation on this engine has.
  const [dyno] = (await app.containers()).filter(({ role }) => role === 'dyno');
  const { stdout } = await execute('docker', ['inspect', '--format', '{{.Config.Image}}', dyno?.id ?? '']);
  const others = [
    ['--label', 'somebody.else=yes'],
    ['--label', `${INSTALLATION_LABEL}=another-${app.installationId}`, '--label', `${ROLE_LABEL}=dyno`],
  ];
  for (const labels of others) {
    const run = ['run', '--detach', '--network', 'none', '--entrypoint', '/bin/sleep'];
    const started = await execute('docker', [...run, ...labels, stdout.trim(), 'infinity']);
    expect(started).toMatchObject({ exitCode: 0 });
    foreign.push(started.stdout.trim());
  }
}, 240_000);

afterAll(async () => {
  await prober?.stop();
  if (foreign.length > 0) await execute('docker', ['rm', '--force', ...foreign]);
  await proxy.restore();
  await platform.destroy();
  await proxy.cut();
}, 120_000);

test(
  'is what its user asked for after whatever happens',
  async () => {
    process.stdout.write(`faults: ${ROUNDS} rounds with FAULT_SEED=${SEED}\n`);
    await expectConverged();
    prober = new Prober({ port: platform.httpPort, host: `${APP}.localhost` });
    prober.start();
    for (let number = 1; number <= ROUNDS; number += 1) {
      try {
        await round(number, prober);
      } catch (error) {
        const log = platform.daemonOutput.split('\n').slice(-60).join('\n');
        const told = `FAULT_SEED=${SEED}, round ${number}\n${journal.slice(-80).join('\n')}\n${log}`;
        throw new Error(`${told}\n${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
    expect(prober.answered).toBeGreaterThan(ROUNDS);
  },
  ROUNDS * ROUND_MS,
);
