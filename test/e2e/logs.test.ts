import { eventually, TestPlatform } from '../support/platform';
import { sampleApp } from '../support/sample-app';

jest.setTimeout(120_000);

const platform = new TestPlatform();

/** The lines without their time stamps. */
async function logs(...args: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await platform.heroku(['logs', '--app', 'chatty', ...args]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  return withoutTimes(stdout);
}

function withoutTimes(output: string): string[] {
  return output.split('\n').flatMap((line) => {
    if (line === '') return [];
    expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 (app|heroku)\[[\w.-]+\]: /);
    return [line.slice(line.indexOf(' ') + 1)];
  });
}

/** The lines of one process, among which the order is certain. */
function linesOf(process: string, lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.startsWith(`${process}: `))
    .map((line) => line.slice(process.length + 2));
}

async function say(text: string): Promise<void> {
  expect((await platform.visit('chatty', `/log?${encodeURIComponent(text)}`)).body).toBe('logged');
}

beforeAll(async () => {
  await platform.start();
  const folder = await platform.repository(sampleApp());
  expect(await platform.heroku(['create', 'chatty'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'chatty')).toMatchObject({ exitCode: 0 });
  await eventually('the app', async () => (await platform.visit('chatty')).status === 200);
}, 240_000);
afterAll(() => platform.destroy(), 120_000);

test("a deploy leaves Heroku's lines", async () => {
  const lines = await logs();
  const user = 'by user user@example.com';
  expect(linesOf('app[api]', lines)).toEqual([
    `Initial release ${user}`,
    `Release v1 created ${user}`,
    `Enable Logplex ${user}`,
    `Release v2 created ${user}`,
    `Build started ${user}`,
    `Scaled to web@1:Eco worker@0:Eco ${user}`,
    expect.stringMatching(/^Deploy [0-9a-f]{8} by user user@example\.com$/),
    `Release v3 created ${user}`,
    'Build succeeded',
  ]);
  expect(linesOf('heroku[web.1]', lines)).toEqual([
    'Starting process with command `node server.js`',
    'State changed from starting to up',
  ]);
  expect(linesOf('app[web.1]', lines)).toEqual(['Listening']);
  expect(linesOf('heroku[router]', lines).at(-1)).toMatch(
    /^at=info method=GET path="\/" host=chatty\.localhost request_id=[0-9a-f-]{36} fwd="127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http1\.1 tls=false$/,
  );
});

test('a config var restarts the dynos, in lines', async () => {
  await platform.heroku(['config:set', 'A=1', '--app', 'chatty']);
  const lines = await eventually('the restart', async () => {
    const all = await logs('-n', '30');
    return linesOf('heroku[web.1]', all).filter((line) => line.endsWith('to up')).length === 2 && all;
  });
  const api = linesOf('app[api]', lines);
  expect(api.slice(-2)).toEqual([
    'Set A config vars by user user@example.com',
    'Release v4 created by user user@example.com',
  ]);
  const dyno = linesOf('heroku[web.1]', lines).slice(2);
  expect(dyno.slice(0, 3)).toEqual([
    'Restarting',
    'State changed from up to starting',
    'Stopping all processes with SIGTERM',
  ]);
  expect([...dyno.slice(3)].sort()).toEqual([
    'Process exited with status 0',
    'Starting process with command `node server.js`',
    'State changed from starting to up',
  ]);
});

test('are filtered by number, source and dyno', async () => {
  await say('first words');
  await say('last words');
  await eventually('the last words', async () =>
    (await logs('-n', '5')).some((line) => line.includes('last words')),
  );
  expect(await logs('--dyno-name', 'web.1', '--source', 'app', '-n', '2')).toEqual([
    'app[web.1]: first words',
    'app[web.1]: last words',
  ]);
  expect(await logs('-n', '1')).toHaveLength(1);
  const heroku = await logs('--source', 'heroku');
  expect(heroku.length).toBeGreaterThan(0);
  expect(heroku.filter((line) => !line.startsWith('heroku['))).toEqual([]);
  expect(await logs('--process-type', 'worker')).toEqual([]);
  const wrong = await platform.heroku(['logs', '--source', 'nobody', '--app', 'chatty']);
  expect(wrong.exitCode).not.toBe(0);
  expect(wrong.stderr).toContain('Log source nobody is not one of: app, heroku.');
});

test('are followed as they come, whatever letters and however long', async () => {
  const tail = platform.startCommand('heroku', ['logs', '--tail', '-n', '1', '--app', 'chatty']);
  await eventually('the tail', () => tail.output().includes('\n'));
  await say('one');
  await eventually('a line', () => tail.output().includes('app[web.1]: one\n'), 5_000);
  await say('zwei Zeilen: Grüße\nund noch eine');
  await say('x'.repeat(3_000));
  await eventually('all lines', () => tail.output().includes('x'.repeat(3_000)), 5_000);
  await platform.heroku(['ps:scale', 'worker=1', '--app', 'chatty']);
  await eventually('the worker', () =>
    /heroku\[worker\.1\]: State changed from starting to up/.test(tail.output()),
  );
  const lines = withoutTimes(tail.output());
  expect(linesOf('app[web.1]', lines).slice(-4)).toEqual([
    'one',
    'zwei Zeilen: Grüße',
    'und noch eine',
    'x'.repeat(3_000),
  ]);
  expect(lines).toContain('app[api]: Scaled to worker@1:Eco by user user@example.com');
  await tail.stop('SIGINT');
});

test('a crash shows, to its visitors as H10', async () => {
  await platform.heroku(['ps:scale', 'worker=0', '--app', 'chatty']);
  const folder = await platform.repository(sampleApp('broken', { 'server.js': 'process.exit(3);\n' }));
  await platform.git(folder, ['push', '--force', platform.remote('chatty'), 'main']);
  const lines = await eventually('the crash', async () => {
    const all = await logs('--dyno-name', 'web.1', '--source', 'heroku', '-n', '9');
    return all.filter((line) => line.includes('to crashed')).length === 2 && all;
  });
  // The first crash is followed by a start at once, the second by a cool-off.
  const attempt = [
    'Starting process with command `node server.js`',
    'Process exited with status 3',
    'State changed from starting to crashed',
  ];
  const dyno = linesOf('heroku[web.1]', lines);
  // The end of the old dyno may come in between.
  expect(dyno.filter((line) => line !== 'Process exited with status 0').slice(-7)).toEqual([
    ...attempt,
    'State changed from crashed to starting',
    ...attempt,
  ]);
  expect((await platform.visit('chatty')).status).toBe(503);
  await eventually('the H10', async () => {
    const router = linesOf('heroku[router]', await logs('-n', '5'));
    return router.some((line) => line.startsWith('at=error code=H10 desc="App crashed" method=GET path="/"'));
  });
});
