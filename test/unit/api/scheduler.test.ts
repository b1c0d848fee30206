import type { App } from '../../../src/domain/app';
import { TestApi, type Answer } from '../../support/api';
import { FakeClock } from '../../support/fake-clock';
import { PageClient } from '../../support/page-client';

let api: TestApi;
let clock: FakeClock;
let app: App;

beforeEach(async () => {
  clock = new FakeClock(new Date('2026-03-01T11:55:00.000Z'));
  api = await TestApi.start({ clock });
  app = api.anApp('demo');
  api.deploy(app);
});
afterEach(async () => {
  expect(api.errors).toEqual([]);
  await api.stop();
});

interface Created {
  id: string;
  web_url: string;
}

async function aScheduler(): Promise<Created> {
  const { status, body } = await api.post('/apps/demo/addons', { plan: 'scheduler:standard' });
  expect(status).toBe(201);
  return body as Created;
}

const add = (body: object): Promise<Answer> => api.post('/apps/demo/scheduled-jobs', body);

async function aJob(more: object = {}): Promise<string> {
  const { status, body } = await add({ command: 'bin/job', frequency: 'every 10 minutes', ...more });
  expect(status).toBe(201);
  return (body as { id: string }).id;
}

test('the add-on is there at once, free, once per app, without config vars', async () => {
  const { body } = await api.post('/apps/demo/addons', { plan: 'scheduler' });
  expect(body).toMatchObject({
    state: 'provisioned',
    config_vars: [],
    billed_price: { cents: 0 },
    name: expect.stringMatching(/^scheduler-[a-z]+-\d{5}$/),
    provision_message: 'To manage scheduled jobs run:\nheroku addons:open scheduler',
  });
  expect(await api.post('/apps/demo/addons', { plan: 'scheduler' })).toMatchObject({
    status: 422,
    body: { message: 'Heroku Scheduler is already installed on demo, and only once per app.' },
  });
  api.anApp('other');
  expect(await api.post('/addon-attachments', { addon: body.name, app: 'other' })).toMatchObject({
    status: 422,
  });
});

describe('the endpoints', () => {
  test('make, show, change and remove jobs', async () => {
    const addon = await aScheduler();
    expect((await api.get('/apps/demo/scheduled-jobs')).body).toEqual([]);
    const { body } = await add({
      command: ' bin/job ',
      frequency: 'Daily at 8:05',
      dyno_size: 'Standard-2X',
    });
    expect(body).toEqual({
      addon: { id: addon.id, name: expect.any(String) },
      command: 'bin/job',
      created_at: '2026-03-01T11:55:00.000Z',
      dyno_size: 'standard-2x',
      frequency: 'every day at 08:05 UTC',
      id: expect.any(String),
      last_run: null,
      next_due_at: '2026-03-02T08:05:00.000Z',
      updated_at: '2026-03-01T11:55:00.000Z',
    });
    const path = `/apps/demo/scheduled-jobs/${String(body.id)}`;
    expect((await api.get(path)).body).toEqual(body);
    expect((await api.get('/apps/demo/scheduled-jobs')).body).toEqual([body]);
    const changed = await api.patch(path, { frequency: 'cron 0 9 * * mon-fri', dyno_size: null });
    expect(changed.body).toMatchObject({
      command: 'bin/job',
      dyno_size: null,
      next_due_at: '2026-03-02T09:00:00.000Z',
    });
    const started = await api.post(`${path}/actions/run`);
    expect(started).toMatchObject({ status: 202, body: { last_run: { outcome: null } } });
    const dynos = (await api.get('/apps/demo/dynos')).body as {
      name: string;
      type: string;
      command: string;
    }[];
    expect(dynos).toEqual([
      expect.objectContaining({ type: 'scheduler', command: 'bin/job', state: 'starting' }),
    ]);
    expect(started.body.last_run.dyno).toBe(dynos[0]!.name);
    expect((await api.delete(path)).status).toBe(200);
    expect(await api.get(path)).toMatchObject({ status: 404, body: { id: 'not_found' } });
    const kinds = api.store.events.of(app.id).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith('scheduler.'))).toEqual([
      'scheduler.add', 'scheduler.change', 'scheduler.run', 'scheduler.remove',
    ]); // prettier-ignore
  });

  test.each([
    [{ frequency: 'every 10 minutes' }, 'A job needs a command and a frequency.'],
    [{ command: 'x' }, 'A job needs a command and a frequency.'],
    [{ command: ' ', frequency: 'hourly at :00' }, 'The command is empty.'],
    [{ command: 'x\ny', frequency: 'hourly at :00' }, 'one line'],
    [{ command: 'x'.repeat(4001), frequency: 'hourly at :00' }, '4001 characters of at most 4000'],
    [{ command: 1, frequency: 'hourly at :00' }, 'command must be a string.'],
    [
      { command: 'x', frequency: 'every minute' },
      'Frequency "every minute" is not understood. Say "every 10 minutes"',
    ],
    [{ command: 'x', frequency: 'hourly at :60' }, '60 is more than 59'],
    [{ command: 'x', frequency: 'daily at 24:00' }, '24 is more than 23'],
    [{ command: 'x', frequency: 'cron 0 0 31 2 *' }, 'is not understood: 31 2 is an impossible day'],
    [{ command: 'x', frequency: '0 0 * * 1#2' }, '1#2 is not supported'],
    [{ command: 'x', frequency: 'hourly at :00', dyno_size: 'huge' }, 'No such size as huge.'],
    [{}, 'Nothing is said'],
  ])('refuse %j', async (body, message) => {
    await aScheduler();
    const answer = await add(body);
    expect(answer).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
    expect(answer.body.message).toContain(message);
    expect((await api.get('/apps/demo/scheduled-jobs')).body).toEqual([]);
  });

  test('say what is missing: the add-on, the job, the app, a token', async () => {
    expect(await api.get('/apps/demo/scheduled-jobs')).toMatchObject({
      status: 404,
      body: {
        message: 'demo has no scheduler. To add one: heroku addons:create scheduler:standard --app demo',
      },
    });
    await aScheduler();
    const id = await aJob();
    api.anApp('other');
    await api.post('/apps/other/addons', { plan: 'scheduler' });
    for (const path of [
      `/apps/other/scheduled-jobs/${id}`,
      '/apps/demo/scheduled-jobs/nope',
      '/apps/nope/scheduled-jobs',
    ]) {
      expect(await api.get(path)).toMatchObject({ status: 404 });
    }
    expect(await api.delete(`/apps/other/scheduled-jobs/${id}`)).toMatchObject({ status: 404 });
    expect(await api.request('GET', '/apps/demo/scheduled-jobs', { anonymous: true })).toMatchObject({
      status: 401,
    });
  });

  test('take no more than a hundred jobs', async () => {
    await aScheduler();
    for (let count = 0; count < 100; count++) await aJob();
    expect(await add({ command: 'x', frequency: 'every 10 minutes' })).toMatchObject({ status: 422 });
  });
});

describe('the page', () => {
  let page: PageClient;
  const jobs = async (): Promise<{ id: string; command: string; frequency: string }[]> =>
    (await api.get('/apps/demo/scheduled-jobs')).body as never;

  beforeEach(async () => {
    page = new PageClient((await aScheduler()).web_url, api.server.port);
    await page.open();
  });

  test('adds, shows, changes, runs and deletes jobs', async () => {
    expect((await page.get()).text).toContain('There are no jobs yet.');
    const added = await page.submit('/jobs', {
      command: 'bin/job',
      frequency: 'every hour at :20',
      size: '',
    });
    expect(added).toMatchObject({ status: 303, headers: { location: '/' } });
    const [job] = await jobs();
    expect(job).toMatchObject({ command: 'bin/job', frequency: 'every hour at :20', dyno_size: null });
    const { text } = await page.get();
    for (const fact of ['bin/job', 'every hour at :20', '2026-03-01 12:20 UTC', 'never'])
      expect(text).toContain(fact);
    const form = (await page.get(`/jobs/${job!.id}`)).text;
    expect(form).toMatch(/name="command"[^>]*value="bin\/job"/);
    const change = { command: 'bin/other', frequency: 'every 10 minutes', size: 'eco' };
    expect((await page.submit(`/jobs/${job!.id}`, change)).status).toBe(303);
    expect(await jobs()).toEqual([expect.objectContaining({ command: 'bin/other', dyno_size: 'eco' })]);
    expect((await page.get(`/jobs/${job!.id}`)).text).toMatch(/<option value="eco" selected>/);
    expect((await page.submit(`/jobs/${job!.id}/run`, {})).status).toBe(303);
    expect((await page.get()).text).toMatch(
      /2026-03-01 11:55 UTC, <code>scheduler\.\d{4}<\/code>:\s+running/,
    );
    expect(api.store.events.of(app.id).find(({ kind }) => kind === 'scheduler.run')!.actor).toBe(
      api.account.email,
    );
    expect((await page.submit(`/jobs/${job!.id}/delete`, {})).status).toBe(303);
    expect(await jobs()).toEqual([]);
  });

  test('shows what is wrong with what was sent, and what was sent', async () => {
    const refused = await page.submit('/jobs', { command: 'bin/"job"', frequency: '<never>', size: 'eco' });
    expect(refused.status).toBe(422);
    expect(refused.text).toContain('Frequency &#34;&#60;never&#62;&#34;');
    expect(refused.text).toMatch(/name="command"[^>]*value="bin\/&#34;job&#34;"/);
    expect(refused.text).not.toContain('<never>');
    const id = await aJob();
    const change = await page.submit(`/jobs/${id}`, { command: '', frequency: 'every 10 minutes' });
    expect(change).toMatchObject({ status: 422 });
    expect(change.text).toContain('The command is empty.');
    expect((await page.submit(`/jobs/${id.replace(/^./, 'x')}/run`, {})).status).toBe(404);
  });

  test('escapes what jobs say', async () => {
    await aJob({ command: `</code><script>alert("x")</script><img src=x onerror='y'>` });
    const { text } = await page.get();
    expect(text).toContain('&#60;script&#62;');
    expect(text).not.toMatch(/<script|<img/);
    const [job] = await jobs();
    expect((await page.get(`/jobs/${job!.id}`)).text).not.toMatch(/<script|<img/);
  });

  test('does nothing for forms that are not its own', async () => {
    const fields = { command: 'rm -rf /', frequency: 'every 10 minutes', size: '' };
    expect((await page.post('/jobs', fields)).status).toBe(403);
    expect((await page.post('/jobs', { ...fields, form_token: 'f'.repeat(64) })).status).toBe(403);
    const token = /name="form_token" value="([0-9a-f]+)"/.exec((await page.get()).text)![1]!;
    const own = { ...fields, form_token: token };
    expect((await page.post('/jobs', own, { Origin: 'http://evil.example' })).status).toBe(403);
    expect((await page.post('/jobs', own, {})).status).toBe(403);
    // Of another session of the same page.
    const other = new PageClient(page.link, api.server.port);
    await other.open();
    expect((await other.post('/jobs', own)).status).toBe(403);
    page.cookie = `${page.cookie!.slice(0, -1)}${page.cookie!.endsWith('0') ? '1' : '0'}`;
    expect((await page.post('/jobs', own)).status).toBe(403);
    expect((await page.get()).status).toBe(403);
    expect(await jobs()).toEqual([]);
  });

  test('knows no other paths', async () => {
    const id = await aJob();
    for (const path of ['/jobs', `/jobs/${id}/run`, `/jobs/${id}/delete`, '/nope']) {
      expect((await page.get(path)).status).toBe(404);
    }
    expect((await page.submit('/nope', {})).status).toBe(404);
    expect(await jobs()).toHaveLength(1);
  });
});
