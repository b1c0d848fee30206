import { quoteForShell } from '../lib/shell';
import type { ApiClient } from './api-client';
import { CommandError } from './terminal';

interface JobJson {
  id: string;
  command: string;
  dyno_size: string | null;
  frequency: string;
  next_due_at: string | null;
  last_run: { at: string; dyno: string | null; outcome: string | null } | null;
}

export interface NewJob {
  command: readonly string[];
  at: string;
  size?: string;
}

/** As many of a job's id as tell it from others, mostly. */
const SHOWN_ID = 8;

/** The rows of `dynodock scheduler`. */
export async function listJobs(api: ApiClient, app: string): Promise<{ cells: string[]; note?: string }[]> {
  const jobs = (await api.list(jobsOf(app))) as JobJson[];
  if (jobs.length === 0) return [{ cells: ['No jobs yet. To add one: dynodock scheduler:add'] }];
  return jobs.map((job) => ({
    cells: [shortId(job), job.frequency, job.dyno_size ?? '', nextDue(job), job.command],
    ...(job.last_run === null
      ? {}
      : {
          note: `last run ${job.last_run.at}${job.last_run.dyno === null ? '' : `, ${job.last_run.dyno}`}: ${job.last_run.outcome ?? 'running'}`,
        }),
  }));
}

export async function addJob(api: ApiClient, app: string, { command, at, size }: NewJob): Promise<string> {
  const job = (await api.post(jobsOf(app), {
    // One word is a command line already; several are what a shell has made of one.
    command: command.length === 1 ? command[0] : command.map(quoteForShell).join(' '),
    frequency: at,
    ...(size === undefined ? {} : { dyno_size: size }),
  })) as JobJson;
  return `Job ${shortId(job)} added: ${job.frequency}, ${nextDue(job)}.`;
}

export async function removeJob(api: ApiClient, app: string, id: string): Promise<string> {
  const job = await findJob(api, app, id);
  await api.delete(`${jobsOf(app)}/${job.id}`);
  return `Job ${shortId(job)} removed: ${job.command}`;
}

export async function runJob(api: ApiClient, app: string, id: string): Promise<string> {
  const job = await findJob(api, app, id);
  const started = (await api.post(`${jobsOf(app)}/${job.id}/actions/run`)) as JobJson;
  return `Job ${shortId(job)} runs in ${started.last_run?.dyno ?? 'a dyno'}: heroku logs --app ${app}`;
}

async function findJob(api: ApiClient, app: string, start: string): Promise<JobJson> {
  const jobs = (await api.list(jobsOf(app))) as JobJson[];
  const [found, other] = jobs.filter(({ id }) => start !== '' && id.startsWith(start.toLowerCase()));
  if (found === undefined) {
    throw new CommandError(`${app} has no job ${start}.`, `Its jobs: dynodock scheduler ${app}`);
  }
  if (other !== undefined) throw new CommandError(`Several jobs begin with ${start}: give more of the id.`);
  return found;
}

function jobsOf(app: string): string {
  return `/apps/${encodeURIComponent(app)}/scheduled-jobs`;
}

function shortId({ id }: JobJson): string {
  return id.slice(0, SHOWN_ID);
}

function nextDue({ next_due_at: at }: JobJson): string {
  return at === null ? 'never due' : `next ${at.slice(0, 16).replace('T', ' ')} UTC`;
}
