import { Router } from 'express';
import type { AddOn } from '../../domain/addon';
import { invalidParams } from '../../domain/errors';
import type { ScheduledJob } from '../../domain/scheduled-job';
import type { JobInput } from '../../platform/scheduler/scheduled-jobs';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentScheduledJob } from '../presenters/scheduled-job';
import type { ApiServices } from '../services';

const JOBS = '/apps/:app/scheduled-jobs';

/** Listed in the order in which they were made. */
const SORT_KEYS: SortKeys<ScheduledJob> = {
  created_at: ({ createdAt }) => createdAt.toISOString(),
  id: ({ id }) => id,
};

/** Endpoints that Heroku's API does not have (docs/scheduler.md): there, jobs are edited on a page alone. */
export function scheduledJobRoutes({
  apps,
  scheduledJobs,
}: Pick<ApiServices, 'apps' | 'scheduledJobs'>): Router {
  const router = Router();
  const addonOf = (app: string): AddOn => scheduledJobs.addonOf(apps.find(app));
  const present = (addon: AddOn, job: ScheduledJob): Record<string, unknown> =>
    presentScheduledJob(job, { addon, nextDue: scheduledJobs.nextDue(job) });

  router.get(JOBS, (req, res) => {
    const addon = addonOf(req.params.app);
    sendList(req, res, scheduledJobs.list(addon), SORT_KEYS, (job) => present(addon, job));
  });

  router.post(JOBS, (req, res) => {
    const addon = addonOf(req.params.app);
    const { command, frequency, ...more } = parseInput(req.body);
    if (command === undefined || frequency === undefined) {
      throw invalidParams('A job needs a command and a frequency.');
    }
    const job = scheduledJobs.create(accountOf(res), addon, { command, frequency, ...more });
    res.status(201).json(present(addon, job));
  });

  router.get(`${JOBS}/:job`, (req, res) => {
    const addon = addonOf(req.params.app);
    res.json(present(addon, scheduledJobs.find(addon, req.params.job)));
  });

  router.patch(`${JOBS}/:job`, (req, res) => {
    const addon = addonOf(req.params.app);
    const changes = parseInput(req.body);
    res.json(present(addon, scheduledJobs.update(accountOf(res), addon, req.params.job, changes)));
  });

  router.delete(`${JOBS}/:job`, (req, res) => {
    const addon = addonOf(req.params.app);
    res.json(present(addon, scheduledJobs.remove(accountOf(res), addon, req.params.job)));
  });

  router.post(`${JOBS}/:job/actions/run`, (req, res) => {
    const addon = addonOf(req.params.app);
    res.status(202).json(present(addon, scheduledJobs.runNow(accountOf(res), addon, req.params.job)));
  });

  return router;
}

function parseInput(body: unknown): Partial<JobInput> {
  const values = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const input: Partial<JobInput> = {};
  if (values.command !== undefined) input.command = textOf('command', values.command);
  if (values.frequency !== undefined) input.frequency = textOf('frequency', values.frequency);
  if (values.dyno_size !== undefined) {
    input.size = values.dyno_size === null ? null : textOf('dyno_size', values.dyno_size);
  }
  if (Object.keys(input).length === 0) {
    throw invalidParams('Nothing is said: give command, frequency or dyno_size.');
  }
  return input;
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalidParams(`${name} must be a string.`);
}
