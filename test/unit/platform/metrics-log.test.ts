import { silentLogger } from '../../../src/lib/logger';
import { MetricsLog } from '../../../src/platform/addons/metrics-log';
import { TestApi } from '../../support/api';

let api: TestApi;
let log: MetricsLog;
let asked: number;
let printed: { exitCode: number; stdout: string };
beforeEach(async () => {
  asked = 0;
  printed = { exitCode: 0, stdout: 'sample#tables=3\nsample#db_size=10bytes\nnoise\n' };
  api = await TestApi.start();
  api.addons.engine.behave(() => true, {
    exec: (argv) => {
      if (!argv.some((word) => word.includes('sample#'))) return { exitCode: 0, stdout: '', stderr: '' };
      asked += 1;
      return { ...printed, stderr: '' };
    },
  });
  log = new MetricsLog(api, { addons: api.services.addons, logger: silentLogger });
});
afterEach(() => api.stop());

const lines = (name: string): string[] =>
  api.logplex
    .history(api.services.apps.find(name).id, { source: 'app', dyno: 'heroku-postgres' }, 100)
    .map(({ line }) => line.text);

test('each app that has a database is told of it under its own name for it', async () => {
  api.anApp('demo');
  api.anApp('other');
  await api.post('/apps/demo/addons', { plan: 'heroku-postgresql', name: 'db' });
  await api.post('/addon-attachments', { addon: 'db', app: 'other', name: 'MAIN' });
  await log.write();
  expect(lines('demo')).toEqual(['source=DATABASE addon=db sample#tables=3 sample#db_size=10bytes']);
  expect(lines('other')).toEqual(['source=MAIN addon=db sample#tables=3 sample#db_size=10bytes']);
  expect(asked).toBe(1);
});

test('essential plans, caches and apps without a log are left alone', async () => {
  const app = api.anApp('demo');
  await api.post('/apps/demo/addons', { plan: 'heroku-postgresql:essential-0', name: 'small' });
  await api.post('/apps/demo/addons', { plan: 'heroku-redis', name: 'cache' });
  await log.write();
  expect(asked).toBe(0);
  await api.post('/apps/demo/addons', { plan: 'heroku-postgresql', name: 'db' });
  api.logplex.forget(app.id);
  await log.write();
  expect(asked).toBe(0);
});

test('a server that does not answer costs its line and nothing else', async () => {
  api.anApp('demo');
  await api.post('/apps/demo/addons', { plan: 'heroku-postgresql', name: 'db' });
  printed = { exitCode: 2, stdout: '' };
  await log.write();
  expect(lines('demo')).toEqual([]);
  printed = { exitCode: 0, stdout: 'sample#tables=4' };
  await log.write();
  expect(lines('demo')).toEqual(['source=DATABASE addon=db sample#tables=4']);
});
