import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { tgzOf } from '../support/archives';
import { eventually, ROOT, TestPlatform } from '../support/platform';
import { packageJson, sampleApp } from '../support/sample-app';

jest.setTimeout(400_000);

const platform = new TestPlatform();

beforeAll(() => platform.start(), 240_000);
afterAll(() => platform.destroy(), 120_000);

interface Setup {
  id: string;
  app: { id: string; name: string };
  status: string;
  build: { id: string; status: string; output_stream_url: string } | null;
  failure_message: string | null;
  manifest_errors: string[];
  postdeploy: { output: string; exit_code: number } | null;
  resolved_success_url: string | null;
}

async function setUp(files: Record<string, string>, more: object): Promise<Setup> {
  const source: { source_blob: { put_url: string; get_url: string } } = (
    await platform.api('POST', '/sources')
  ).body;
  const { put_url: putUrl, get_url: url } = source.source_blob;
  const put = await fetch(putUrl, { method: 'PUT', body: new Uint8Array(await tgzOf(files)) });
  expect(put.status).toBe(200);
  const { status, body } = await platform.api('POST', '/app-setups', { source_blob: { url }, ...more });
  expect({ status, body }).toMatchObject({ status: 201, body: { status: 'pending', build: null } });
  return body;
}

function ended({ id }: Setup): Promise<Setup> {
  return eventually(
    'the set-up to end',
    async () => {
      const setup: Setup = (await platform.api('GET', `/app-setups/${id}`)).body;
      return setup.status === 'pending' ? undefined : setup;
    },
    300_000,
  );
}

function example(): Record<string, string> {
  const folder = path.join(ROOT, 'examples', 'app-json');
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, readFileSync(path.join(folder, name), 'utf8')]),
  );
}

test('an app is set up as its app.json says: add-on, config vars, dynos, and a seeded database', async () => {
  const setup = await setUp(example(), { app: { name: 'greeter' }, overrides: { env: { GREETED: 'Ada' } } });
  expect(await ended(setup)).toMatchObject({
    status: 'succeeded',
    failure_message: null,
    app: { name: 'greeter' },
    build: { status: 'succeeded' },
    postdeploy: { exit_code: 0, output: 'seeded 2 greetings\n' },
    resolved_success_url: `http://greeter.localhost:${platform.httpPort}/greetings`,
  });
  const page = await eventually(
    'the page',
    async () => {
      const answer = await platform.visit('greeter', '/greetings');
      return answer.status === 200 ? answer.body : undefined;
    },
    60_000,
  );
  expect(page).toBe('Hello, Ada!\nWelcome, Ada!\n');
  const { stdout } = await platform.heroku(['config', '--json', '--app', 'greeter']);
  expect(JSON.parse(stdout)).toMatchObject({
    GREETED: 'Ada',
    SESSION_SECRET: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    DATABASE_URL: expect.stringMatching(/^postgres:/) as string,
  });
});

test('a required config var without a value fails the set-up, and no app is left', async () => {
  const failed = await ended(await setUp(example(), { app: { name: 'nobody' } }));
  expect(failed).toMatchObject({
    status: 'failed',
    failure_message: 'invalid app.json',
    manifest_errors: ['config var GREETED is required'],
    app: { name: 'nobody' },
  });
  await eventually('the app to go', async () => (await platform.api('GET', '/apps/nobody')).status === 404);
});

test('a postdeploy script that fails, fails the set-up; the app stays', async () => {
  const files = Object.fromEntries(
    Object.entries({ ...sampleApp('here'), 'package.json': packageJson({}) }).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
  const manifest = { scripts: { postdeploy: { command: 'echo "no luck"; exit 3' } } };
  const failed = await ended(
    await setUp({ ...files, 'app.json': JSON.stringify(manifest) }, { app: { name: 'unlucky' } }),
  );
  expect(failed).toMatchObject({
    status: 'failed',
    failure_message: 'The postdeploy script exited with status 3.',
    postdeploy: { exit_code: 3, output: 'no luck\n' },
    build: { status: 'succeeded' },
    resolved_success_url: null,
  });
  expect((await platform.api('GET', '/apps/unlucky')).status).toBe(200);
});
