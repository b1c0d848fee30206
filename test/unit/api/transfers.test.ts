import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { AddOn } from '../../../src/domain/addon';
import type { App } from '../../../src/domain/app';
import type { Transfer } from '../../../src/domain/transfer';
import { deferred, type Deferred } from '../../../src/lib/deferred';
import { TestApi, type Answer, type TestApiOptions } from '../../support/api';
import { FakeClock } from '../../support/fake-clock';

const DUMP = Buffer.from('PGDMP and what follows it');
const DATABASE = '/client/v11/databases/db';
const TRANSFERS = '/client/v11/apps/demo/transfers';

let api: TestApi;
let app: App;
/** What was asked of servers, statement by statement. */
let asked: string[];
let programs: { argv: readonly string[]; input: string }[];
/** Held open until it is resolved. */
let gate: Deferred<void> | undefined;
/** What the server prints. */
let answers: (statement: string) => string | undefined;
/** How pg_dump and pg_restore end. */
let ends: { dump: { exitCode: number; stderr: string }; restore: { exitCode: number; stderr: string } };

async function start(options: TestApiOptions = {}): Promise<void> {
  asked = [];
  programs = [];
  gate = undefined;
  answers = () => undefined;
  ends = { dump: { exitCode: 0, stderr: '' }, restore: { exitCode: 0, stderr: '' } };
  api = await TestApi.start(options);
  api.addons.engine.behave(() => true, {
    exec: (argv) => {
      // Whatever ends a transfer's programs ends those that are held open.
      if (argv.some((word) => word.startsWith('PGAPPNAME='))) gate?.resolve();
      const statements = argv.flatMap((word) => /^--command=([^]*)$/.exec(word)?.[1] ?? []);
      asked.push(...statements);
      const last = statements.at(-1) ?? '';
      const usual = last.includes('AS bytes') ? '[{"bytes":1000}]' : '';
      return { exitCode: 0, stdout: answers(last) ?? usual, stderr: '' };
    },
    command: async (argv, _options, { stdin, stdout, stderr }) => {
      const end = argv.includes('pg_dump') ? ends.dump : ends.restore;
      if (argv.includes('pg_dump')) stdout.write(DUMP);
      // Cut off, it ends like any program whose input does.
      const input = argv.includes('pg_restore') ? await buffer(stdin).catch(() => undefined) : '';
      programs.push({ argv, input: String(input) });
      if (input === undefined) return 1;
      if (gate !== undefined) await gate.promise;
      stderr.write(end.stderr);
      return end.exitCode;
    },
  });
  app = api.anApp();
  expect(await add('heroku-postgresql', 'db')).toMatchObject({ status: 201 });
}
beforeEach(() => start());
afterEach(() => api.stop());

const add = (plan: string, name: string, config?: object, of = 'demo'): Promise<Answer> =>
  api.post(`/apps/${of}/addons`, { plan, name, ...(config === undefined ? {} : { config }) });
function row(name = 'db'): AddOn {
  const found = api.store.addons.findByName(name);
  if (found === undefined) throw new Error(`no add-on ${name}`);
  return found;
}
const files = (): string[] => readdirSync(path.join(api.outputDir, 'backups'));
const fileOf = (id: string): string => path.join(api.outputDir, 'backups', `${id}.dump`);
const url = (of: App, name = 'DATABASE_URL'): string => api.store.configVars.get(of.id)[name] ?? '';

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn += 1) {
    if (turn > 2000) throw new Error('it does not come about');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
async function ended(num: number | string): Promise<Answer['body']> {
  const at = `${TRANSFERS}/${num}?verbose=true`;
  for (;;) {
    const { body } = await api.get(at);
    if (body.finished_at !== null) return body;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
async function capture(): Promise<Transfer['id']> {
  const { status, body } = await api.post(`${DATABASE}/backups`);
  expect(status).toBe(201);
  expect(await ended(body.uuid)).toMatchObject({ succeeded: true });
  return (body as { uuid: Transfer['id'] }).uuid;
}
const said = (transfer: { logs: { message: string }[] }): string =>
  transfer.logs.map(({ message }) => message).join('\n');

describe('backups', () => {
  test('are made, shown, downloaded and deleted', async () => {
    const { status, body } = await api.post(`${DATABASE}/backups`);
    expect(status).toBe(201);
    expect(body).toMatchObject({
      num: 1, from_type: 'pg_dump', to_type: 'gof3r', from_name: 'DATABASE', schedule: null, finished_at: null, to_url: null,
    }); // prettier-ignore
    const done = await ended(1);
    expect(done).toMatchObject({
      uuid: body.uuid,
      succeeded: true,
      source_bytes: 1000,
      processed_bytes: DUMP.length,
    });
    expect(done.created_at).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000$/);
    expect(said(done)).toContain('Backup b001 has finished.');
    expect(programs[0]?.argv).toEqual(expect.arrayContaining(['--format=custom', '--no-owner', '--no-acl']));
    const list = (await api.get(TRANSFERS)).body;
    expect(list).toEqual([expect.objectContaining({ num: 1, to_url: expect.stringMatching(/^https:/) })]);
    expect(list[0]).not.toHaveProperty('logs');
    // By the app's id, too.
    expect((await api.get(`/client/v11/apps/${app.id}/transfers/${body.uuid}`)).body.num).toBe(1);

    const link = await api.post(`${TRANSFERS}/1/actions/public-url`);
    expect(link.body.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/blobs\/backups\/[0-9a-f-]{36}\.dump\?/);
    const target = new URL(link.body.url as string);
    const download = await api.request('GET', `${target.pathname}${target.search}`, { anonymous: true });
    expect(download).toMatchObject({ status: 200, text: DUMP.toString() });
    expect((await api.request('GET', target.pathname, { anonymous: true })).status).toBe(403);
    expect((await api.request('PUT', `${target.pathname}${target.search}`, { anonymous: true })).status).toBe(
      403,
    );

    expect((await api.delete(`${TRANSFERS}/1`)).status).toBe(200);
    expect(files()).toEqual([]);
    expect((await api.get(`${TRANSFERS}/1`)).status).toBe(404);
    expect((await api.request('GET', `${target.pathname}${target.search}`, { anonymous: true })).status).toBe(
      404,
    );
    // A number is given once.
    await capture();
    expect((await api.get(TRANSFERS)).body[0].num).toBe(2);
  });

  test('are failures where pg_dump says so, however much it has printed', async () => {
    ends.dump = { exitCode: 1, stderr: 'pg_dump: error: query failed: out of memory\n' };
    await api.post(`${DATABASE}/backups`);
    const failed = await ended(1);
    expect(failed).toMatchObject({ succeeded: false, to_url: null, canceled_at: null });
    expect(said(failed)).toContain('query failed: out of memory');
    expect(files()).toEqual([]);
    expect((await api.post(`${TRANSFERS}/1/actions/public-url`)).status).toBe(422);
  });

  test('are refused by a full disk in words, and nothing is left', async () => {
    await api.stop();
    await start({ minFreeBackupBytes: Number.MAX_SAFE_INTEGER });
    await api.post(`${DATABASE}/backups`);
    expect(said(await ended(1))).toContain('The disk is nearly full');
    expect(files()).toEqual([]);
  });

  test('of one database take turns, and are canceled before and in the middle', async () => {
    gate = deferred();
    const [first, second] = [await api.post(`${DATABASE}/backups`), await api.post(`${DATABASE}/backups`)];
    await until(() => programs.length === 1);
    expect((await api.get(`${TRANSFERS}/2`)).body.started_at).toBeNull();
    expect((await api.delete(`${TRANSFERS}/1`)).body.message).toContain('Cancel it first');
    expect((await api.post(`${TRANSFERS}/${second.body.uuid}/actions/cancel`)).body).toMatchObject({
      succeeded: false,
      canceled_at: expect.any(String),
    });
    const canceled = await api.post(`${TRANSFERS}/${first.body.uuid}/actions/cancel`);
    expect(canceled.body).toMatchObject({ succeeded: false, canceled_at: expect.any(String) });
    expect(asked.join('\n')).toContain(`pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'dynodock transfer ${first.body.uuid}'`);
    expect(files()).toEqual([]);
    expect((await api.post(`${TRANSFERS}/1/actions/cancel`)).status).toBe(422);
    gate = undefined;
    await capture();
    expect(programs).toHaveLength(2);
  });

  test('end with their container', async () => {
    gate = deferred();
    await api.post(`${DATABASE}/backups`);
    await until(() => programs.length === 1);
    const [container] = api.addons.engine.containers();
    await api.addons.engine.kill(container?.id ?? ('' as never), 'SIGKILL');
    expect(await ended(1)).toMatchObject({ succeeded: false });
    expect(files()).toEqual([]);
  });

  test('know neither strangers nor what is not there', async () => {
    await add('heroku-redis', 'cache');
    for (const [method, target] of [
      ['POST', '/client/v11/databases/nope/backups'],
      ['POST', '/client/v11/databases/cache/backups'],
      ['GET', '/client/v11/apps/nope/transfers'],
      ['GET', `${TRANSFERS}/7`],
      ['GET', `${TRANSFERS}/x`],
      ['DELETE', `${TRANSFERS}/7`],
      ['POST', `${TRANSFERS}/7/actions/cancel`],
      ['POST', `${TRANSFERS}/7/actions/public-url`],
    ] as const) {
      expect(await api.request(method, target)).toMatchObject({ status: 404, body: { id: 'not_found' } });
    }
    await capture();
    api.services.apps.create(api.account, { name: 'other' });
    expect((await api.get(`/client/v11/apps/other/transfers/${(await ended(1)).uuid}`)).status).toBe(404);
  });

  test('go with the data of their add-on, and come back with it', async () => {
    const id = await capture();
    const other = api.services.apps.create(api.account, { name: 'other' });
    await api.services.addons.destroy(api.account, app, row(), { force: false });
    await api.addons.backends.idle();
    expect((await api.get(TRANSFERS)).body).toHaveLength(1);
    await api.services.addons.undelete(api.account, 'db', other);
    expect((await api.get(TRANSFERS)).body).toEqual([]);
    expect((await api.get('/client/v11/apps/other/transfers')).body).toEqual([
      expect.objectContaining({ uuid: id, num: 1 }),
    ]);
    await api.services.postgres.runScheduled();
    expect(existsSync(fileOf(id))).toBe(true);
    api.store.addons.delete(row().id);
    await api.services.postgres.runScheduled();
    expect(files()).toEqual([]);
  });
});

describe('restores', () => {
  async function restore(backupUrl: string, more: object = {}): Promise<Answer> {
    return api.post(`${DATABASE}/restores`, { backup_url: backupUrl, ...more });
  }
  const backupUrl = async (): Promise<string> =>
    ((await api.get(TRANSFERS)).body as { to_url: string }[]).at(-1)?.to_url ?? '';

  test('go into a fresh database, which takes the other one’s place at the end', async () => {
    await capture();
    asked.length = 0;
    const { status, body } = await restore(await backupUrl(), { extensions: ['hstore', 'more.citext'] });
    expect(status).toBe(201);
    expect(body).toMatchObject({ num: 2, to_type: 'pg_restore', to_name: 'DATABASE' });
    expect(body.from_type).not.toBe('pg_dump');
    expect(await ended(2)).toMatchObject({ succeeded: true, warnings: 0, processed_bytes: DUMP.length });
    const { input } = programs.at(-1) ?? { input: '' };
    const { user, password } = row().config.credentials['default'] ?? { user: '', password: '' };
    const database = row().config.values['database'] ?? '';
    expect(input).toBe(
      `[transfer]\nhost=/tmp\ndbname=${database}_restoring\nuser=${user}\npassword=${password}\n\n${DUMP.toString()}`,
    );
    const order = [
      'CREATE DATABASE',
      'EXTENSION IF NOT EXISTS "hstore"',
      'SCHEMA "more"',
      `RENAME TO "${database}"`,
      'DROP DATABASE',
    ];
    const all = asked.join('\n');
    const at = order.map((part) => all.lastIndexOf(part));
    expect(at).not.toContain(-1);
    expect([...at].sort((a, b) => a - b)).toEqual(at);
    expect(files()).toHaveLength(1);
  });

  test('that fail leave the database alone', async () => {
    await capture();
    ends.restore = {
      exitCode: 1,
      stderr: 'pg_restore: error: COPY failed for table "x": ERROR:  no space\n',
    };
    await restore(await backupUrl());
    const failed = await ended(2);
    expect(failed).toMatchObject({ succeeded: false });
    expect(said(failed)).toContain('COPY failed for table "x"');
    expect(asked.join('\n')).not.toContain('RENAME');
    expect(asked.at(-1)).toContain('DROP DATABASE');
  });

  test('are canceled without a trace', async () => {
    await capture();
    gate = deferred();
    await restore(await backupUrl());
    await until(() => programs.length === 2);
    expect((await api.post(`${TRANSFERS}/2/actions/cancel`)).body).toMatchObject({
      canceled_at: expect.any(String),
    });
    expect(asked.join('\n')).not.toContain('RENAME');
  });

  test('take a dump from elsewhere, and say what is none', async () => {
    const id = await capture();
    writeFileSync(fileOf(id), 'no dump');
    await restore(await backupUrl());
    expect(said(await ended(2))).toContain('no dump in the custom format');
    const secret = 'http://user:word@127.0.0.1:9/my.dump?signature=hidden';
    await restore(secret);
    const failed = await ended(3);
    expect(said(failed)).toContain("can't be fetched from 127.0.0.1:9");
    expect(JSON.stringify(failed)).not.toMatch(/hidden|word/);
    expect(files()).toEqual([`${id}.dump`]);
  });

  test.each([
    ['file:///etc/passwd', {}],
    ['nonsense', {}],
    [7, {}],
    ['https://example.com/x', { extensions: ['evil"; DROP'] }],
    ['https://example.com/x', { extensions: ['pg_catalog.hstore'] }],
  ])('%j %j is invalid', async (bad, more) => {
    expect(await restore(bad as string, more)).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
  });

  test('of a backup that is gone, or by a URL that has expired, are refused', async () => {
    await capture();
    const link = await backupUrl();
    await api.delete(`${TRANSFERS}/1`);
    expect((await restore(link)).body.message).toContain('there no more');
  });
});

test('after a start nothing runs that was running before, and what is in place is a success', async () => {
  await capture();
  const { store } = api;
  const [model] = store.transfers.of(app.id);
  if (model === undefined) throw new Error('none');
  const left = (id: string, more: Partial<Transfer>): Transfer =>
    store.transfers.insert({
      ...model,
      id: `00000000-0000-4000-8000-00000000000${id}` as Transfer['id'],
      finishedAt: null,
      ...more,
    });
  const running = left('1', { state: 'running', schedule: 'DATABASE_URL' });
  const inPlace = left('2', { state: 'running', kind: 'restore' });
  const waiting = left('3', { state: 'pending', kind: 'restore', startedAt: null });
  const taken = left('4', { state: 'pending', startedAt: null });
  writeFileSync(`${fileOf(running.id)}.partial`, 'half');
  writeFileSync(fileOf('00000000-0000-4000-8000-000000000009'), 'of nobody');
  answers = (statement) =>
    statement.includes(`shobj_description`) && statement.includes(inPlace.id) ? 't' : undefined;
  const interrupted: string[] = [];
  await api.services.postgres.transfers.start(({ id }) => interrupted.push(id));
  expect(await ended(running.id)).toMatchObject({ succeeded: false });
  expect(await ended(inPlace.id)).toMatchObject({ succeeded: true });
  expect(await ended(waiting.id)).toMatchObject({ succeeded: false });
  expect(await ended(taken.id)).toMatchObject({ succeeded: true });
  expect(said(await ended(running.id))).toContain('dynodock was stopped while it ran.');
  expect(said(await ended(waiting.id))).toContain('dynodock was stopped before it began.');
  expect(asked.join('\n')).toContain(`dynodock transfer ${running.id}`);
  expect(interrupted.sort()).toEqual([running.id, waiting.id]);
  expect(files().sort()).toEqual([`${model.id}.dump`, `${taken.id}.dump`].sort());
});

describe('copies and forks', () => {
  const names = { from_name: 'DATABASE', to_name: 'PINK' };

  test('go from one container to the other', async () => {
    await add('heroku-postgresql', 'second');
    // Names of databases are random; here they are all the same.
    const { config } = row('second');
    api.services.addons.changeConfig(row('second'), { ...config, values: { database: 'dsecond' } });
    const second = Object.entries(api.store.configVars.get(app.id)).find(
      ([name, value]) => name !== 'DATABASE_URL' && value !== url(app),
    )?.[1];
    const { status, body } = await api.post('/client/v11/databases/second/transfers', {
      ...names,
      from_url: url(app),
      to_url: second,
    });
    expect(status).toBe(201);
    expect(body).toMatchObject({ from_type: 'pg_dump', to_type: 'pg_restore', ...names });
    const done = await ended(1);
    expect(done).toMatchObject({ succeeded: true, processed_bytes: DUMP.length });
    expect(programs.find(({ argv }) => argv.includes('pg_restore'))?.input).toContain(DUMP.toString());
    expect(JSON.stringify(done)).not.toContain('sssss');
    expect(JSON.stringify(api.errors)).not.toContain('sssss');
    const same = await api.post(`${DATABASE}/transfers`, { ...names, from_url: url(app), to_url: url(app) });
    expect(same.body.message).toContain('onto itself');
  });

  test('reach databases elsewhere, whose passwords appear nowhere', async () => {
    const secret = 'postgres://u:hidden@db.example:5433/prod?sslmode=require';
    await api.post(`${DATABASE}/transfers`, { ...names, from_url: secret, to_url: url(app) });
    expect(await ended(1)).toMatchObject({ succeeded: true });
    await api.post(`${DATABASE}/transfers`, { ...names, from_url: url(app), to_url: secret });
    expect(await ended(2)).toMatchObject({ succeeded: true });
    const { argv, input } = programs.at(-1) ?? { argv: [], input: '' };
    expect(argv).toContain('--single-transaction');
    expect(input).toContain(
      'host=db.example\nport=5433\ndbname=prod\nuser=u\npassword=hidden\nsslmode=require\n\n',
    );
    expect(JSON.stringify([api.store.transfers.of(app.id), argv, asked])).not.toContain('hidden');
  });

  test.each([
    ['nonsense', 'postgres://u:p@h/d'],
    ['mysql://u:p@h/d', 'postgres://u:p@h/d'],
    ['postgres://u:p@h/d', 'postgres://h'],
    ['postgres://u:p@h/d', 'postgres://u:p@other/d'],
  ])('%s to %s is invalid', async (from_url, to_url) => {
    expect(await api.post(`${DATABASE}/transfers`, { ...names, from_url, to_url })).toMatchObject({
      status: 422,
      body: { id: 'invalid_params' },
    });
  });

  test('a fork is provisioned once it is filled', async () => {
    gate = deferred();
    const forking = add('heroku-postgresql:standard-0', 'fork', { fork: 'DATABASE' });
    await until(() => programs.length > 0);
    expect(row('fork').state).toBe('provisioning');
    gate.resolve();
    expect(await forking).toMatchObject({ status: 201, body: { state: 'provisioned' } });
    expect(row('fork').options).toEqual({ fork: row().id });
    expect((await api.get(TRANSFERS)).body[0]).toMatchObject({
      from_name: 'db',
      to_name: 'fork',
      succeeded: true,
    });
  });

  test('a fork that can not be filled fails with the reason', async () => {
    ends.dump = { exitCode: 1, stderr: 'pg_dump: error: no memory\n' };
    const { status, body } = await add('heroku-postgresql:standard-0', 'fork', { fork: 'db' });
    expect(status).toBe(503);
    expect(body.message).toContain('no memory');
  });

  test.each([
    [{ fork: 'NOPE' }, 'heroku-postgresql', 404, "Couldn't find that add-on."],
    [{ fork: 'DATABASE' }, 'heroku-postgresql:essential-0', 422, 'not available on Essential-tier databases'],
    [{ follow: 'DATABASE' }, 'heroku-postgresql', 501, 'does not support followers'],
    [{ rollback: 'DATABASE' }, 'heroku-postgresql', 501, 'does not support rollbacks'],
    [{ nonsense: 'x' }, 'heroku-postgresql', 422, 'Its options: version, fork.'],
  ])('%j of %s is refused', async (config, plan, status, message) => {
    const answer = await add(plan, 'new', config);
    expect(answer.status).toBe(status);
    expect(answer.body.message).toContain(message);
  });
});

describe('schedules', () => {
  const SCHEDULES = `${DATABASE}/transfer-schedules`;
  const asks = (more: object = {}): object => ({
    hour: '02',
    timezone: 'UTC',
    schedule_name: 'DATABASE_URL',
    ...more,
  });

  test('are made, replaced, listed for any database of the app, and removed', async () => {
    await add('heroku-postgresql', 'second');
    const { status, body } = await api.post(SCHEDULES, asks());
    expect({ status, body }).toMatchObject({
      status: 201,
      body: { name: 'DATABASE_URL', hour: 2, timezone: 'UTC' },
    });
    const again = await api.post(SCHEDULES, asks({ hour: 5, timezone: 'Europe/Paris' }));
    expect(again.body.uuid).toBe(body.uuid);
    expect((await api.get('/client/v11/databases/second/transfer-schedules')).body).toEqual([again.body]);
    expect((await api.delete(`/client/v11/databases/second/transfer-schedules/${body.uuid}`)).status).toBe(
      404,
    );
    expect((await api.delete(`${SCHEDULES}/${body.uuid}`)).status).toBe(200);
    expect((await api.get(SCHEDULES)).body).toEqual([]);
    expect((await api.delete(`${SCHEDULES}/nonsense`)).status).toBe(404);
  });

  test.each([
    { hour: 24 },
    { hour: '2:30' },
    { hour: null },
    { timezone: 'Mars/Base' },
    { schedule_name: "'; --" },
  ])('%j is invalid', async (more) => {
    expect(await api.post(SCHEDULES, asks(more))).toMatchObject({
      status: 422,
      body: { id: 'invalid_params' },
    });
  });

  test('run once a day; nightly without having been asked for; and again when they were cut off', async () => {
    await api.stop();
    const clock = new FakeClock(new Date('2026-01-10T12:00:00Z'));
    await start({ clock });
    const { schedules } = api.services.postgres;
    const count = (): number => api.store.transfers.of(app.id).length;
    await add('heroku-postgresql:essential-0', 'small');
    const settled = async (): Promise<void> => {
      await until(() => api.store.transfers.underWay().length === 0);
    };
    schedules.run();
    expect(count()).toBe(0);
    await clock.advance(15 * 3_600_000 + 60_000);
    schedules.run();
    schedules.run();
    await settled();
    // Of the standard plan, not of the essential one.
    expect(api.store.transfers.of(app.id)).toEqual([
      expect.objectContaining({ addonId: row().id, schedule: 'NIGHTLY' }),
    ]);
    expect((await api.get(SCHEDULES)).body).toEqual([]);
    expect((await api.get(TRANSFERS)).body[0].schedule).not.toBeNull();

    for (const name of ['db', 'small']) {
      const made = await api.post(`/client/v11/databases/${name}/transfer-schedules`, asks({ hour: 4 }));
      expect(made.status).toBe(201);
    }
    await clock.advance(25 * 3_600_000);
    schedules.run();
    await settled();
    expect(count()).toBe(3);
    const [last] = api.store.transfers.of(app.id);
    if (last === undefined) throw new Error('none ran');
    schedules.interrupted(last);
    schedules.run();
    await settled();
    expect(api.store.transfers.of(app.id)[0]?.num).toBe(4);
  });
});
