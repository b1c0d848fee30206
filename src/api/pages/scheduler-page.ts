import type { AddOn } from '../../domain/addon';
import { DYNO_SIZES } from '../../domain/dyno-size';
import { notFound } from '../../domain/errors';
import type { ScheduledJob } from '../../domain/scheduled-job';
import type { JobInput } from '../../platform/scheduler/scheduled-jobs';
import type { ApiServices } from '../services';
import type { DrawnPage, Visit } from './drawn-page';
import { html, type Html } from './html';

const JOB = /^\/jobs\/([0-9a-f-]{36})(?:\/(run|delete))?$/;
const EXAMPLES = ['every 10 minutes', 'every hour at :00', 'every day at 08:30 UTC', 'cron 0 9 * * mon-fri'];

/**
 * The jobs of Heroku Scheduler. `/` lists them and has a form for a new one (to `/jobs`), `/jobs/<id>` changes one;
 * `/jobs/<id>/run` and `/jobs/<id>/delete` take forms alone.
 */
export function schedulerPage({
  addons,
  scheduledJobs,
}: Pick<ApiServices, 'addons' | 'scheduledJobs'>): DrawnPage {
  return {
    show(visit) {
      const [, id, action] = JOB.exec(visit.path) ?? [];
      if (id !== undefined && action === undefined) return edit(visit, scheduledJobs.find(visit.addon, id));
      if (visit.path !== '/' && visit.refused === undefined) throw notFound('page');
      return overview(visit);
    },
    submit({ addon, actor, path }, form) {
      const [, id, action] = JOB.exec(path) ?? [];
      if (path === '/jobs') scheduledJobs.create(actor, addon, inputOf(form));
      else if (id === undefined) throw notFound('page');
      else if (action === 'run') scheduledJobs.runNow(actor, addon, id);
      else if (action === 'delete') scheduledJobs.remove(actor, addon, id);
      else scheduledJobs.update(actor, addon, id, inputOf(form));
      return '/';
    },
  };

  function overview(visit: Visit): Html {
    const { addon } = visit;
    const jobs = scheduledJobs.list(addon);
    return html`
      <h1>Heroku Scheduler: ${titleOf(addon)}</h1>
      ${
        jobs.length === 0
          ? html`<p>There are no jobs yet.</p>`
          : html`
              <table>
                <tr>
                  <th>Job</th>
                  <th>Dyno size</th>
                  <th>Frequency</th>
                  <th>Last run</th>
                  <th>Next due</th>
                  <th></th>
                </tr>
                ${jobs.map((job) => row(visit, job))}
              </table>
            `
      }
      <h2>Add a job</h2>
      ${jobForm(visit, '/jobs', visit.path === '/jobs' ? visit.refused : undefined, 'Add job')}
      <p class="note">
        Times are UTC. A job runs in a one-off dyno of the app's current release, and no longer than until it
        is due again.
      </p>
    `;
  }

  function row({ formToken }: Visit, job: ScheduledJob): Html {
    const next = scheduledJobs.nextDue(job);
    const { lastRun } = job;
    return html`
      <tr>
        <td><code>${job.command}</code></td>
        <td>${job.size ?? 'default'}</td>
        <td>${job.frequency}</td>
        <td>
          ${
            lastRun === null
              ? 'never'
              : html`${shownTime(lastRun.at)}${lastRun.dyno !== null && html`, <code>${lastRun.dyno.name}</code>`}:
                ${lastRun.outcome ?? 'running'}`
          }
        </td>
        <td>${next === null ? 'never' : shownTime(next)}</td>
        <td>
          <a href="/jobs/${job.id}">Edit</a>
          <form method="post" action="/jobs/${job.id}/run">${formToken}<button>Run now</button></form>
          <form method="post" action="/jobs/${job.id}/delete">${formToken}<button>Delete</button></form>
        </td>
      </tr>
    `;
  }

  function edit(visit: Visit, job: ScheduledJob): Html {
    const now = new URLSearchParams({
      command: job.command,
      frequency: job.frequency,
      size: job.size ?? '',
    });
    return html`
      <h1>A job of ${titleOf(visit.addon)}</h1>
      ${jobForm(visit, `/jobs/${job.id}`, visit.refused ?? now, 'Save')}
      <p><a href="/">Back</a></p>
    `;
  }

  function titleOf(addon: AddOn): string {
    return `${addons.ownerOf(addon).name} (${addon.name})`;
  }
}

function jobForm(
  { formToken }: Visit,
  action: string,
  values: URLSearchParams | undefined,
  say: string,
): Html {
  const size = values?.get('size') ?? '';
  return html`
    <form method="post" action="${action}">
      ${formToken}
      <fieldset>
        <label>
          Command
          <input name="command" required autocomplete="off" value="${values?.get('command') ?? ''}" />
        </label>
        <label>
          Frequency
          <input
            name="frequency"
            required
            list="examples"
            size="30"
            value="${values?.get('frequency') ?? ''}"
          />
        </label>
        <datalist id="examples">
          ${EXAMPLES.map((example) => html`<option value="${example}"></option>`)}
        </datalist>
        <label>
          Dyno size
          <select name="size">
            <option value="">as of web</option>
            ${DYNO_SIZES.map(({ name, title }) =>
              name === size
                ? html`<option value="${name}" selected>${title}</option>`
                : html`<option value="${name}">${title}</option>`,
            )}
          </select>
        </label>
        <button>${say}</button>
      </fieldset>
    </form>
  `;
}

function inputOf(form: URLSearchParams): JobInput {
  return {
    command: form.get('command') ?? '',
    frequency: form.get('frequency') ?? '',
    size: form.get('size'),
  };
}

/** `2026-01-31 12:00 UTC` */
function shownTime(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
