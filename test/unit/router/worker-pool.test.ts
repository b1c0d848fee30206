import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { forkScript } from '../../../src/lib/process';
import { silentLogger } from '../../../src/lib/logger';
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS } from '../../../src/router/limits';
import { DEFAULT_WORKER_TIMINGS, WorkerPool } from '../../../src/router/worker-pool';
import { FakeClock } from '../../support/fake-clock';
import { aTable, eventually } from '../../support/router-client';
import { isRunning } from '../../support/router-workers';

let dir: string;
let clock: FakeClock;
/** Of all timers, in the order in which they were set. */
let delaysMs: number[];
let pool: WorkerPool;
let pids: number[];
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'workers-'));
  clock = new FakeClock();
  delaysMs = [];
  pids = [];
});
afterEach(async () => {
  pool.kill();
  await pool.stop();
  await rm(dir, { recursive: true, force: true });
});

/** A pool of one process, which runs this script instead of a worker's. */
async function start(script: string): Promise<void> {
  const file = path.join(dir, 'worker.js');
  await writeFile(file, script);
  pool = new WorkerPool({
    size: 1,
    fork: () => {
      const child = forkScript(file, { execArgv: [] });
      pids.push(child.pid!);
      return child;
    },
    clock: {
      now: () => clock.now(),
      after: (delayMs, callback) => {
        delaysMs.push(delayMs);
        return clock.after(delayMs, callback);
      },
    },
    logger: silentLogger,
    timings: DEFAULT_WORKER_TIMINGS,
    drainMs: 1_000,
    startOrder: () => ({
      type: 'start',
      timeouts: DEFAULT_TIMEOUTS,
      limits: DEFAULT_LIMITS,
      tls: null,
      table: aTable(),
      parked: [],
    }),
    onNews: () => undefined,
    serve: (socket) => socket.destroy(),
  });
  pool.start();
}

const started = (count: number): Promise<void> =>
  eventually(() => pids.length === count, `process ${count}`, 10_000);
const restartPlanned = (delayMs: number): Promise<void> =>
  eventually(() => delaysMs.at(-1) === delayMs, `restart in ${delayMs} ms`, 10_000);

describe('worker processes', () => {
  test('that end at once are started again ever more seldom', async () => {
    await start('process.exit(3)');
    for (const [restarts, delayMs] of [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].entries()) {
      await restartPlanned(delayMs);
      expect(isRunning(pids[restarts]!)).toBe(false);
      delaysMs = [];
      await clock.advance(delayMs - 1);
      expect(pids).toHaveLength(restarts + 1);
      await clock.advance(1);
      await started(restarts + 2);
    }
  }, 60_000);

  test('that have lived for a while are replaced soon', async () => {
    await start('setInterval(() => undefined, 1000); process.send({ type: "ready" });');
    for (const count of [1, 2, 3]) {
      await eventually(() => pool.pids.length === 1, 'ready', 10_000);
      await clock.advance(DEFAULT_WORKER_TIMINGS.settledMs);
      process.kill(pids[count - 1]!, 'SIGKILL');
      await restartPlanned(100);
      await clock.advance(100);
      await started(count + 1);
    }
  }, 60_000);

  test.each([
    ['does not say that it is ready', 'setInterval(() => undefined, 1000);', 15_000],
    [
      'does not confirm a table',
      'setInterval(() => undefined, 1000); process.send({ type: "ready" });',
      4_000,
    ],
    [
      'talks nonsense',
      'setInterval(() => undefined, 1000); process.send({ type: "ready" }); process.send({ type: "dance" });',
      0,
    ],
    ['closes its channel', 'setInterval(() => undefined, 1000); process.disconnect();', 1_500],
  ])(
    'one that %s is ended',
    async (_what, script, withinMs) => {
      await start(script);
      let confirmed = false;
      let parked: unknown;
      if (script.includes('ready')) await eventually(() => pool.pids.length === 1, 'ready', 10_000);
      void pool.apply(aTable()).then(() => (confirmed = true));
      const [worker] = pool.serving;
      void worker?.park('app-1', false).then((answer) => (parked = answer));
      if (script.includes('disconnect'))
        await eventually(() => delaysMs.includes(1_500), 'disconnect', 10_000);
      await clock.advance(withinMs);
      await restartPlanned(100);
      expect(isRunning(pids[0]!)).toBe(false);
      await eventually(() => confirmed, 'nobody waits for it');
      if (worker !== undefined) expect(parked).toEqual({ parked: true, quietMs: Infinity });
    },
    30_000,
  );
});
