import { postgresLogLine } from '../../../src/addons/postgres';
import { TestApi } from '../../support/api';
import { eventually } from '../../support/platform';

jest.setTimeout(40_000);

/** Once both apps have it. */
const PRINTED_AFTER_MS = 1500;

let api: TestApi;
beforeEach(async () => {
  api = await TestApi.start();
});
afterEach(() => api.stop());

const lines = (name: string): string[] =>
  api.logplex
    .history(api.services.apps.find(name).id, { source: 'app' }, 1500)
    .filter(({ line }) => line.process.startsWith('heroku-redis'))
    .map(({ line }) => `${line.process}: ${line.text}`);

async function print(...texts: string[]): Promise<void> {
  api.addons.engine.behave((spec) => spec.name.includes('add-on'), {
    prints: texts.map((text) => ({ text, afterMs: PRINTED_AFTER_MS })),
  });
  api.anApp('demo');
  api.anApp('other');
  await api.post('/apps/demo/addons', { plan: 'heroku-redis', name: 'cache' });
  await api.post('/addon-attachments', { addon: 'cache', app: 'other', name: 'SHARED' });
  await eventually('what it printed', () => lines('other').length >= Math.min(texts.length, 200));
}

test('what a server prints is in the log of each of its apps, by its own name, without passwords', async () => {
  const password = `p${'s'.repeat(64)}`;
  await print('Ready to accept connections', `CONFIG SET requirepass ${password}`);
  expect(lines('demo')).toEqual([
    'heroku-redis: [REDIS] Ready to accept connections',
    'heroku-redis: [REDIS] CONFIG SET requirepass [REDACTED]',
  ]);
  expect(lines('other')).toEqual([
    'heroku-redis: [SHARED] Ready to accept connections',
    'heroku-redis: [SHARED] CONFIG SET requirepass [REDACTED]',
  ]);
});

test('a server that talks without end is cut short', async () => {
  await print(...Array.from({ length: 600 }, (_, index) => `line ${index}`));
  expect(lines('demo').length).toBeGreaterThanOrEqual(200);
  expect(lines('demo').length).toBeLessThan(260);
});

test('lines of Postgres look as on Heroku, and its owner is not told what dynodock does in there', () => {
  expect(
    postgresLogLine('71 5 user=u1 sql_error_code = 42601 ERROR:  syntax error at or near "x"', 'DATABASE'),
  ).toEqual({
    process: 'postgres.71',
    text: '[DATABASE] [5-1] sql_error_code = 42601 ERROR:  syntax error at or near "x"',
  });
  expect(
    postgresLogLine('71 5 user=postgres sql_error_code = 00000 LOG:  connection authorized', 'A'),
  ).toBeNull();
  expect(postgresLogLine('\tFROM b', 'A')).toEqual({ process: 'postgres', text: '[A] \tFROM b' });
});
