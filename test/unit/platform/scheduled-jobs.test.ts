import fc from 'fast-check';
import type { AddOn } from '../../../src/domain/addon';
import type { App } from '../../../src/domain/app';
import type { Dyno } from '../../../src/domain/dyno';
import type { ScheduledJob } from '../../../src/domain/scheduled-job';
import type { OneOffEnd } from '../../../src/domain/one-off';
import { CronSchedule } from '../../../src/lib/cron';
import { silentLogger } from '../../../src/lib/logger';
import { ScheduledJobs } from '../../../src/platform/scheduler/scheduled-jobs';
import { TestApi } from '../../support/api';
import { FakeClock } from '../../support/fake-clock';

const MINUTE_MS = 60_000;

let api: TestApi;
let clock: FakeClock;
let jobs: ScheduledJobs;
let app: App;
let addon: AddOn;
/** Does the daemon die before its transaction is committed? */
let dies: boolean;
let names = 0;

beforeEach(async () => {
  clock = new FakeClock(new Date('2026-03-01T11:55:30.000Z'));
  api = await TestApi.start({ clock });
  await anApp();
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

async function anApp(): Promise<void> {
  app = api.anApp(`demo${++names}`);
  api.deploy(app, { web: 'node web.js', report: 'node report.js' });
  addon = await api.services.addons.create(api.account, app, { plan: 'scheduler' });
  dies = false;
  jobs = restarted();
}

function restarted(): ScheduledJobs {
  const { oneOffs } = api.services;
  return new ScheduledJobs(api.context, {
    oneOffs: {
      createScheduled: (...args) => {
        const dyno = oneOffs.createScheduled(...args);
        if (dies) throw new Error('killed');
        return dyno;
      },
    },
    logger: silentLogger,
  });
}

const add = (frequency: string, command = 'bin/job', size: string | null = null): ScheduledJob =>
  jobs.create(api.account, addon, { command, frequency, size });
const dynos = (): Dyno[] => api.store.dynos.of(app.id);
const current = (job: ScheduledJob): ScheduledJob => api.store.scheduledJobs.get(job.id)!;
const log = (): string[] => api.logplex.history(app.id, {}, 100).map(({ line }) => line.text);
const dueTimes = (of: App = app): (string | null)[] =>
  api.store.events
    .of(of.id)
    .filter(({ kind }) => kind === 'scheduler.run')
    .map(({ payload }) => payload['due'] as string | null);

/** As the dyno manager does. */
function end(dyno: Dyno, how: OneOffEnd = { how: 'exited', status: 0 }): void {
  api.store.transaction(() => {
    api.store.dynos.delete(dyno.id);
    jobs.dynoEnded(dyno, how);
  });
}

/** Minutes of a daemon that runs. */
async function pass(minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    await clock.advance(MINUTE_MS);
    jobs.runDue();
    for (const dyno of dynos()) end(dyno);
  }
}

test('a job whose time has come runs in a one-off dyno of the current release, with Heroku’s log lines', async () => {
  const job = add('every hour at :00', 'report --all');
  expect(jobs.nextDue(job)).toEqual(new Date('2026-03-01T12:00:00.000Z'));
  await clock.advance(4 * MINUTE_MS);
  jobs.runDue();
  expect(dynos()).toEqual([]);
  await clock.advance(MINUTE_MS);
  jobs.runDue();
  const [dyno] = dynos();
  expect(dyno).toMatchObject({
    type: 'scheduler',
    command: 'node report.js --all',
    state: 'starting',
    size: 'basic',
    releaseId: api.store.releases.current(app.id)!.id,
    // "Will not run longer than its scheduling interval".
    oneOff: { attached: false, env: {}, expiresAt: new Date('2026-03-01T13:00:30.000Z') },
  });
  expect(dyno!.number).toBeGreaterThanOrEqual(1000);
  expect(log()).toContain(
    'Starting process with command `node report.js --all` by user scheduler@addons.heroku.com',
  );
  expect(current(job).lastRun).toEqual({
    at: new Date('2026-03-01T12:00:30.000Z'),
    dyno: { id: dyno!.id, name: `scheduler.${dyno!.number}` },
    outcome: null,
  });
  end(dyno!, { how: 'exited', status: 3 });
  expect(current(job).lastRun).toMatchObject({ outcome: 'exited with status 3' });
});

test('it runs in maintenance and while the last run goes on, and says how a run that took too long ended', async () => {
  const job = add('every 10 minutes', 'bin/slow', 'standard-2x');
  api.services.apps.update(api.account, app.name, { maintenance: true });
  await clock.advance(5 * MINUTE_MS);
  jobs.runDue();
  const [first] = dynos();
  await clock.advance(10 * MINUTE_MS);
  jobs.runDue();
  expect(dynos().map(({ size }) => size)).toEqual(['standard-2x', 'standard-2x']);
  const second = dynos().find(({ id }) => id !== first!.id)!;
  // The end of the first is not that of the second.
  end(first!, { how: 'stopped' });
  expect(current(job).lastRun).toMatchObject({ dyno: { id: second.id }, outcome: null });
  await clock.advance(10 * MINUTE_MS);
  end(second, { how: 'stopped' });
  expect(current(job).lastRun!.outcome).toBe('stopped: it ran longer than its interval');
});

test('what can’t be run is told in the log, once', async () => {
  const bare = api.anApp('bare');
  const other = await api.services.addons.create(api.account, bare, { plan: 'scheduler' });
  const job = jobs.create(api.account, other, { command: 'x', frequency: 'every hour at :00' });
  await clock.advance(5 * MINUTE_MS);
  jobs.runDue();
  jobs.runDue();
  expect(current(job).lastRun).toMatchObject({
    dyno: null,
    outcome: expect.stringMatching(/^not run: Cannot run a process: app bare has no code yet/),
  });
  const lines = api.logplex.history(bare.id, {}, 100).map(({ line }) => line.text);
  expect(lines.filter((line) => line.startsWith('Scheduled job `x` was not run: '))).toHaveLength(1);
  expect(() => jobs.runNow(api.account, other, job.id)).toThrow('has no code yet');
});

test('the last time that was missed is made up for, once; what was due before the job or its frequency is not', async () => {
  const job = add('every day at 12:00');
  await clock.advance(3 * 24 * 60 * MINUTE_MS + 5 * MINUTE_MS);
  jobs = restarted();
  jobs.runDue();
  jobs.runDue();
  expect(dueTimes()).toEqual(['2026-03-04T12:00:00.000Z']);
  dynos().forEach((dyno) => end(dyno));
  jobs.update(api.account, addon, job.id, { frequency: 'every hour at :00' });
  jobs.runDue();
  await pass(60);
  expect(dueTimes()).toEqual(['2026-03-04T12:00:00.000Z', '2026-03-04T13:00:00.000Z']);
});

test('a run by hand settles nothing', async () => {
  const job = add('every hour at :00');
  const started = jobs.runNow(api.account, addon, job.id);
  expect(started.lastRun!.dyno!.name).toMatch(/^scheduler\.\d{4}$/);
  expect(log()).toContain(`Starting process with command \`bin/job\` by user ${api.account.email}`);
  await pass(5);
  expect(dueTimes()).toEqual([null, '2026-03-01T12:00:00.000Z']);
});

test('jobs go with their add-on, come back with it, and make up for nothing then', async () => {
  const job = add('every 10 minutes');
  await api.services.addons.destroy(api.account, app, addon, { force: false });
  await pass(120);
  await api.services.addons.undelete(api.account, addon.name);
  jobs.runDue();
  expect(dueTimes()).toEqual([]);
  expect(jobs.list(addon)).toEqual([{ ...job, settledUntil: expect.any(Date) }]);
  await pass(10);
  expect(dueTimes()).toHaveLength(1);
  api.store.addons.delete(addon.id);
  expect(api.store.scheduledJobs.get(job.id)).toBeUndefined();
});

test('a clock that is put back brings no time twice, and one that was years ahead stops no job', async () => {
  const job = add('every 10 minutes');
  const settle = (at: string): void =>
    api.store.scheduledJobs.update({ ...current(job), settledUntil: new Date(at) });
  settle('2026-03-01T12:30:00.000Z');
  await pass(35);
  expect(dueTimes()).toEqual([]);
  await pass(10);
  expect(dueTimes()).toEqual(['2026-03-01T12:40:00.000Z']);
  settle('2031-01-01T00:00:00.000Z');
  await pass(10);
  expect(dueTimes()).toEqual(['2026-03-01T12:40:00.000Z', '2026-03-01T12:50:00.000Z']);
});

test('an app’s dynos that run at a time are counted with those of heroku run', async () => {
  const job = add('every hour at :00');
  for (let count = 0; count < 50; count++) {
    api.services.oneOffs.create(api.account, app, { command: 'bash' });
  }
  await clock.advance(5 * MINUTE_MS);
  jobs.runDue();
  expect(current(job).lastRun!.outcome).toBe('not run: Cannot run more than 50 Basic size dynos.');
});

test('no time starts two dynos, and none is lost while the daemon runs, whatever happens in between', async () => {
  const frequency = fc.constantFrom(
    'every 10 minutes',
    'every hour at :07',
    'every day at 12:30',
    'cron */25 * * * *',
    'cron 15 9-17 * * mon-fri',
  );
  const happening = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ what: fc.constant('run'), minutes: fc.integer({ min: 1, max: 40 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ what: fc.constant('down'), minutes: fc.integer({ min: 1, max: 3000 }) }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ what: fc.constant('die'), minutes: fc.integer({ min: 1, max: 15 }) }),
    },
    { weight: 1, arbitrary: fc.record({ what: fc.constant('again'), minutes: fc.constant(0) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(frequency, { minLength: 1, maxLength: 3 }),
      fc.array(happening, { maxLength: 8 }),
      async (all, story) => {
        await anApp();
        const from = clock.now();
        const added = all.map((each) => add(each));
        let ran = true;
        for (const { what, minutes } of story) {
          switch (what) {
            case 'run':
              await pass(minutes);
              break;
            case 'down':
              await clock.advance(minutes * MINUTE_MS);
              jobs = restarted();
              jobs.runDue();
              ran = false;
              break;
            case 'die':
              // Killed in the midst of each transaction: as if nothing had been done.
              dies = true;
              await pass(minutes);
              dies = false;
              jobs = restarted();
              ran = false;
              break;
            default:
              jobs.runDue();
              jobs.runDue();
          }
          for (const dyno of dynos()) end(dyno);
        }
        await pass(1);
        const events = api.store.events.of(app.id).filter(({ kind }) => kind === 'scheduler.run');
        for (const job of added) {
          const times = events
            .filter(({ payload }) => payload['job'] === job.id)
            .map(({ payload }) => payload['due']);
          expect(new Set(times).size).toBe(times.length);
          const expected = timesBetween(job, from, clock.now());
          expect(expected).toEqual(expect.arrayContaining(times));
          // The last one is never missing, and none is if the daemon was always there.
          expect(times.at(-1)).toBe(expected.at(-1));
          if (ran) expect(times).toEqual(expected);
        }
        await api.services.addons.destroy(api.account, app, addon, { force: false });
      },
    ),
    { numRuns: 15 },
  );
}, 60_000);

function timesBetween({ frequency }: ScheduledJob, from: Date, to: Date): string[] {
  const expression: Record<string, string> = {
    'every 10 minutes': '*/10 * * * *',
    'every hour at :07': '7 * * * *',
    'every day at 12:30 UTC': '30 12 * * *',
  };
  const schedule = new CronSchedule(expression[frequency] ?? frequency.replace('cron ', ''));
  const times: string[] = [];
  for (let time = schedule.next(from)!; time <= to; time = schedule.next(time)!)
    times.push(time.toISOString());
  return times;
}
