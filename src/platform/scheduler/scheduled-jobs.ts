import type { Actor } from '../../domain/account';
import type { AddOn } from '../../domain/addon';
import type { App } from '../../domain/app';
import { dynoName, type Dyno } from '../../domain/dyno';
import { parseDynoSize, type DynoSizeName } from '../../domain/dyno-size';
import { conflict, invalidParams, PlatformError } from '../../domain/errors';
import type { ScheduledJobId } from '../../domain/ids';
import type { OneOffEnd } from '../../domain/one-off';
import {
  badFrequency,
  jobNotFound,
  MAX_JOBS,
  parseFrequency,
  parseJobCommand,
  SCHEDULER_SERVICE,
  type JobRun,
  type ScheduledJob,
} from '../../domain/scheduled-job';
import { CronSchedule } from '../../lib/cron';
import type { Logger } from '../../lib/logger';
import { serviceActor } from '../addons/provisioning';
import { record, type PlatformContext } from '../context';
import type { OneOffService } from '../dynos/one-offs';

export interface JobInput {
  command: string;
  frequency: string;
  /** null: what a one-off dyno of the app has. */
  size?: string | null;
}

export interface ScheduledJobsOptions {
  oneOffs: Pick<OneOffService, 'createScheduled'>;
  logger: Logger;
}

/** "A dyno started by scheduler will not run longer than its scheduling interval" (Dev Center "Heroku Scheduler"). */
const MAX_RUN_MS = 24 * 60 * 60 * 1000;
/** A clock that was ahead by less has its jobs wait until it is that time again: no due time comes twice. */
const CLOCK_SKEW_MS = 24 * 60 * 60 * 1000;
const KEPT_SCHEDULES = 1000;

/**
 * Heroku Scheduler. `runDue` looks, once a minute and at the daemon's start, for jobs whose time has come since it was
 * settled last, and starts a one-off dyno for each. In one transaction the time is settled and the dyno's row written, so
 * that whatever dies, a due time starts one dyno at most; a row whose dyno was not launched yet is launched by the dyno
 * manager later. Of the times that were missed while nothing looked (the daemon was down, the machine asleep), the last
 * one counts, which is made up for once. A time at which it can't be (no code, too many dynos) is settled as well.
 */
export class ScheduledJobs {
  readonly #context: PlatformContext;
  readonly #options: ScheduledJobsOptions;
  /** By frequency, since reading one takes half a millisecond. */
  readonly #schedules = new Map<string, CronSchedule>();

  constructor(context: PlatformContext, options: ScheduledJobsOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** The app's own. Throws not_found. */
  addonOf(app: App): AddOn {
    const addon = this.#context.store.addons.of(app.id).find(({ service }) => service === SCHEDULER_SERVICE);
    if (addon !== undefined) return addon;
    throw new PlatformError(
      'not_found',
      `${app.name} has no scheduler. To add one: heroku addons:create scheduler:standard --app ${app.name}`,
      'add_on',
    );
  }

  list(addon: AddOn): ScheduledJob[] {
    return this.#context.store.scheduledJobs.of(addon.id);
  }

  find(addon: AddOn, id: string): ScheduledJob {
    const job = this.#context.store.scheduledJobs.get(id as ScheduledJobId);
    if (job?.addonId !== addon.id) throw jobNotFound();
    return job;
  }

  nextDue(job: ScheduledJob): Date | null {
    return this.#scheduleOf(job).next(this.#context.clock.now()) ?? null;
  }

  create(actor: Actor, addon: AddOn, input: JobInput): ScheduledJob {
    const { store, clock, newId } = this.#context;
    assertUsable(addon);
    const now = clock.now();
    const job: ScheduledJob = {
      id: newId() as ScheduledJobId,
      addonId: addon.id,
      command: parseJobCommand(input.command),
      size: sizeOf(input.size),
      frequency: checkedFrequency(input.frequency),
      settledUntil: now,
      lastRun: null,
      createdAt: now,
      updatedAt: now,
    };
    store.transaction(() => {
      if (store.scheduledJobs.of(addon.id).length >= MAX_JOBS) {
        throw invalidParams(`${addon.name} has ${MAX_JOBS} jobs already, which is as many as there may be.`);
      }
      store.scheduledJobs.insert(job);
      record(this.#context, addon.appId, actor, 'scheduler.add', describe(addon, job));
    });
    return job;
  }

  update(actor: Actor, addon: AddOn, id: string, changes: Partial<JobInput>): ScheduledJob {
    const { store, clock } = this.#context;
    assertUsable(addon);
    return store.transaction(() => {
      const job = this.find(addon, id);
      const now = clock.now();
      const frequency = changes.frequency === undefined ? job.frequency : checkedFrequency(changes.frequency);
      const changed: ScheduledJob = {
        ...job,
        command: changes.command === undefined ? job.command : parseJobCommand(changes.command),
        size: changes.size === undefined ? job.size : sizeOf(changes.size),
        frequency,
        // Times of another frequency that have passed are none of this job's.
        settledUntil: frequency === job.frequency ? job.settledUntil : later(job.settledUntil, now),
        updatedAt: now,
      };
      store.scheduledJobs.update(changed);
      record(this.#context, addon.appId, actor, 'scheduler.change', describe(addon, changed));
      return changed;
    });
  }

  /** What runs of it goes on. */
  remove(actor: Actor, addon: AddOn, id: string): ScheduledJob {
    const { store } = this.#context;
    return store.transaction(() => {
      const job = this.find(addon, id);
      store.scheduledJobs.delete(job.id);
      record(this.#context, addon.appId, actor, 'scheduler.remove', describe(addon, job));
      return job;
    });
  }

  /** At once, whenever it is due. Throws invalid_params if the app can't run it now. */
  runNow(actor: Actor, addon: AddOn, id: string): ScheduledJob {
    const { store } = this.#context;
    assertUsable(addon);
    return store.transaction(() => {
      const job = this.find(addon, id);
      return this.#start(actor, addon, job, null);
    });
  }

  /** One that can't be looked at now (a full disk, say) is looked at again with the next call. */
  runDue(): void {
    for (const { id } of this.#context.store.scheduledJobs.all()) {
      try {
        this.#runIfDue(id);
      } catch (error) {
        this.#options.logger.error('a scheduled job could not be run', { job: id, error });
      }
    }
  }

  /** A one-off dyno has ended. Called in the transaction that removes its row. */
  dynoEnded(dyno: Dyno, end: OneOffEnd): void {
    const { store } = this.#context;
    const job = store.scheduledJobs.findByDyno(dyno.id);
    if (job?.lastRun == null) return;
    const outcome = this.#outcome(dyno, end);
    store.scheduledJobs.update({ ...job, lastRun: { ...job.lastRun, outcome } });
  }

  #runIfDue(id: ScheduledJobId): void {
    const { store, clock, logplex } = this.#context;
    store.transaction(() => {
      const job = store.scheduledJobs.get(id);
      const addon = job && store.addons.get(job.addonId);
      if (job === undefined || addon === undefined) return;
      const now = clock.now();
      if (job.settledUntil.getTime() > now.getTime() + CLOCK_SKEW_MS) {
        this.#options.logger.warn('the clock was far ahead: a scheduled job counts from now on', { job: id });
        store.scheduledJobs.update({ ...job, settledUntil: now });
        return;
      }
      const schedule = this.#scheduleOf(job);
      const first = schedule.next(job.settledUntil);
      if (first === undefined || first > now) return;
      const due = schedule.last(now) ?? first;
      // What a destroyed add-on would have run is not made up for when it is back.
      if (addon.state !== 'provisioned') {
        store.scheduledJobs.update({ ...job, settledUntil: due });
        return;
      }
      const actor = serviceActor(addon);
      try {
        this.#start(actor, addon, job, due);
      } catch (error) {
        if (!(error instanceof PlatformError)) throw error;
        const reason = error.message;
        const lastRun: JobRun = { at: now, dyno: null, outcome: `not run: ${reason}` };
        store.scheduledJobs.update({ ...job, settledUntil: due, lastRun });
        record(this.#context, addon.appId, actor, 'scheduler.skip', {
          ...describe(addon, job),
          due: due.toISOString(),
          reason,
        });
        // A line of our own: what Heroku says, if anything, is not known.
        store.afterCommit(() =>
          logplex.api(addon.appId, `Scheduled job \`${job.command}\` was not run: ${reason}`),
        );
      }
    });
  }

  /** Inside a transaction. `due` is settled by it; null: it was not due. */
  #start(actor: Actor, addon: AddOn, job: ScheduledJob, due: Date | null): ScheduledJob {
    const { store, clock } = this.#context;
    const app = store.apps.get(addon.appId);
    if (app === undefined) throw new Error('a scheduler without its app');
    const now = clock.now();
    const dyno = this.#options.oneOffs.createScheduled(actor, app, {
      command: job.command,
      size: job.size,
      timeToLiveMs: intervalMs(this.#scheduleOf(job), now),
    });
    const lastRun: JobRun = { at: now, dyno: { id: dyno.id, name: dynoName(dyno) }, outcome: null };
    const started: ScheduledJob = { ...job, settledUntil: due ?? job.settledUntil, lastRun };
    store.scheduledJobs.update(started);
    record(this.#context, addon.appId, actor, 'scheduler.run', {
      ...describe(addon, job),
      dyno: dynoName(dyno),
      dyno_id: dyno.id,
      due: due?.toISOString() ?? null,
    });
    return started;
  }

  #scheduleOf({ frequency }: ScheduledJob): CronSchedule {
    let schedule = this.#schedules.get(frequency);
    if (schedule === undefined) {
      if (this.#schedules.size >= KEPT_SCHEDULES) this.#schedules.clear();
      schedule = new CronSchedule(parseFrequency(frequency).cron);
      this.#schedules.set(frequency, schedule);
    }
    return schedule;
  }

  #outcome(dyno: Dyno, end: OneOffEnd): string {
    switch (end.how) {
      case 'exited':
        return `exited with status ${end.status}`;
      case 'stopped': {
        const expiresAt = dyno.oneOff?.expiresAt ?? null;
        return expiresAt !== null && expiresAt <= this.#context.clock.now()
          ? 'stopped: it ran longer than its interval'
          : 'stopped';
      }
      case 'refused':
        return `could not be launched: ${end.reason}`;
      case 'vanished':
        return 'its dyno is gone';
    }
  }
}

/** From the due time before `now` to the one after it. */
function intervalMs(schedule: CronSchedule, now: Date): number {
  const [last, next] = [schedule.last(now), schedule.next(now)];
  if (last === undefined || next === undefined) return MAX_RUN_MS;
  return Math.min(next.getTime() - last.getTime(), MAX_RUN_MS);
}

function checkedFrequency(given: string): string {
  const { text, cron } = parseFrequency(given);
  try {
    new CronSchedule(cron);
  } catch (error) {
    throw badFrequency(text, error instanceof Error ? error.message : String(error));
  }
  return text;
}

function sizeOf(given: string | null | undefined): DynoSizeName | null {
  return given == null || given === '' ? null : parseDynoSize(given);
}

function assertUsable(addon: AddOn): void {
  if (addon.state !== 'provisioned') throw conflict(`${addon.name} is ${addon.state}.`);
}

/** For the audit trail. */
function describe(addon: AddOn, job: ScheduledJob): Record<string, unknown> {
  const { id, command, size, frequency } = job;
  return { addon: addon.name, job: id, command, size, frequency };
}

function later(a: Date, b: Date): Date {
  return a > b ? a : b;
}
