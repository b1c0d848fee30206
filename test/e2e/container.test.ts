import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, execute, ROOT, TestPlatform, words, type CommandResult } from '../support/platform';

jest.setTimeout(180_000);

const platform = new TestPlatform();
/** Of the app `boxed`. */
let folder: string;

function heroku(...args: string[]): Promise<CommandResult> {
  return platform.heroku([...args, '--app', 'boxed'], { timeoutMs: 120_000 });
}

function push(): Promise<CommandResult> {
  return platform.git(folder, ['push', 'heroku', 'main'], { timeoutMs: 180_000 });
}

function lines({ stderr }: { stderr: string }): string[] {
  return stderr.split(/[\r\n]+/).map((line) => line.trimEnd());
}

interface ReleaseAnswer {
  version: number;
  status: string;
  description: string;
  current: boolean;
  slug: unknown;
  artifacts: { type: string }[];
}

async function releases(): Promise<ReleaseAnswer[]> {
  return (await platform.api('GET', '/apps/boxed/releases')).body;
}

async function current(): Promise<number> {
  return (await releases()).find((release) => release.current)?.version ?? 0;
}

function untilAnswered(answer: string): Promise<unknown> {
  return eventually(
    `the answer ${answer}`,
    async () => (await platform.visit('boxed')).body.trim() === answer,
    90_000,
  );
}

/** Ids and images of the dynos that run. */
async function inspectDynos(format: string): Promise<string[]> {
  const ids = await platform.containers('dyno');
  const { stdout } = await execute('docker', ['inspect', '--format', format, ...ids]);
  return stdout.split('\n').filter((line) => line !== '');
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository('examples/heroku-yml');
}, 180_000);
afterAll(() => platform.destroy(), 120_000);

test('heroku create --manifest reads heroku.yml', async () => {
  const created = await platform.heroku(['create', 'boxed', '--manifest'], { cwd: folder });
  expect(created).toMatchObject({ exitCode: 0 });
  expect(words(created)).toContain('stack is container');
  expect((await heroku('config:get', 'GREETING')).stdout).toBe('Hello from an image\n');
});

test('a push builds the Dockerfile, runs the release command and scales web', async () => {
  const result = await push();
  expect(result).toMatchObject({ exitCode: 0 });
  const shown = lines(result);
  expect(shown).toEqual(
    expect.arrayContaining([
      'remote: === Fetching app code',
      'remote: === Building web (Dockerfile)',
      'remote: Step 1/6 : FROM dynodock/heroku:24',
      'remote:  !     Release command declared: this new release will not be available until the command succeeds.',
      'remote: Running release command....',
      'remote: Waiting for release.... done.',
    ]),
  );
  expect(shown.join('\n')).toMatch(/Migrating as user [1-9]\d{4}$/m);
  expect(shown.join('\n')).not.toContain('LABEL');
  await untilAnswered('Hello from an image, built for dynodock');
  const release = (await releases()).at(-1);
  expect(release).toMatchObject({ current: true, slug: null, artifacts: [{ type: 'docker-image' }] });
  const { body } = await platform.api('GET', '/apps/boxed/formation');
  expect(body).toMatchObject([
    { type: 'release', quantity: 0 },
    { type: 'web', quantity: 1, command: 'python3 server.py' },
    { type: 'worker', quantity: 0, command: 'python3 worker.py' },
  ]);
  expect(words(await heroku('ps'))).toContain('web (Eco): python3 server.py (1)');
});

test('a worker of another process type runs beside it, and config vars restart both', async () => {
  expect(await heroku('ps:scale', 'worker=1')).toMatchObject({ exitCode: 0 });
  await eventually('the worker', async () =>
    words(await heroku('logs', '-n', '200')).includes('app[worker.1]: Worker is up'),
  );
  // No dyno is root, whatever the image says.
  for (const user of await inspectDynos('{{.Config.User}}')) expect(user).toMatch(/^[1-9]\d{4}:[1-9]\d{4}$/);
  expect(await heroku('config:set', 'GREETING=Good day')).toMatchObject({ exitCode: 0 });
  await untilAnswered('Good day, built for dynodock');
});

test('heroku run runs in the image, and tells how it ended', async () => {
  const run = await heroku('run', '--exit-code', 'echo "$GREETING in $PWD as $(id -u)"; exit 3');
  expect(run).toMatchObject({ exitCode: 3 });
  expect(run.stdout).toMatch(/^Good day in \/app as [1-9]\d{4}\s*$/m);
  expect((await heroku('run', '--no-tty', 'python3 -c "print(6*7)"')).stdout).toContain('42');
});

test('a new version and a rollback', async () => {
  const before = await current();
  await platform.commit(folder, 'Another build argument', {
    'heroku.yml': readFileSync(path.join(ROOT, 'examples/heroku-yml/heroku.yml'), 'utf8').replace(
      'BUILT_FOR: dynodock',
      'BUILT_FOR: somebody',
    ),
  });
  expect(await push()).toMatchObject({ exitCode: 0 });
  await untilAnswered('Good day, built for somebody');
  expect(await heroku('rollback', `v${before}`)).toMatchObject({ exitCode: 0 });
  await untilAnswered('Good day, built for dynodock');
});

describe('a push is refused, and everything stays as it is', () => {
  const dockerfile = readFileSync(path.join(ROOT, 'examples/heroku-yml/Dockerfile'), 'utf8');

  async function refused(files: Record<string, string>): Promise<string> {
    const before = await current();
    await platform.commit(folder, 'Broken', files);
    const result = await push();
    expect(result.exitCode).toBe(1);
    expect(lines(result)).toContain('remote: !\tPush rejected to boxed.');
    await platform.git(folder, ['reset', '--quiet', '--hard', 'HEAD~1']);
    expect(await current()).toBe(before);
    expect((await platform.visit('boxed')).status).toBe(200);
    return lines(result).join('\n');
  }

  test('a step that fails shows its last lines', async () => {
    const shown = await refused({
      Dockerfile: `${dockerfile}RUN echo preparing && echo broken >&2 && exit 7\n`,
    });
    // Of its two outputs, each in its own order.
    expect(shown).toMatch(/^remote: preparing$/m);
    expect(shown).toMatch(/^remote: broken$/m);
    expect(shown).toContain('remote: =!= Build failed due to an error:');
    expect(shown).toMatch(/=!= build step: .* returned a non-zero code: 7$/m);
  });

  test('an image to start from that is nowhere', async () => {
    const shown = await refused({ Dockerfile: 'FROM dynodock-test/nowhere\nCMD ["true"]\n' });
    expect(shown).toContain('=!= FROM dynodock-test/nowhere: the container engine does not have this image');
    expect(shown).toContain('dynodock/heroku:24');
  });

  test('a heroku.yml with a typing error', async () => {
    expect(await refused({ 'heroku.yml': 'build:\n  dockr:\n    web: Dockerfile\n' })).toContain(
      '=!= heroku.yml: build.dockr: not known; known are docker, config',
    );
  });

  test('no heroku.yml at all', async () => {
    await platform.git(folder, ['rm', '--quiet', 'heroku.yml']);
    expect(await refused({})).toContain(
      'remote: =!= Your app does not include a heroku.yml build manifest. To deploy your app, either create a heroku.yml: https://devcenter.heroku.com/articles/build-docker-images-heroku-yml',
    );
  });

  test('somebody who leaves', async () => {
    const before = await current();
    await platform.commit(folder, 'Slow', { Dockerfile: `${dockerfile}RUN echo started && sleep 300\n` });
    const pushing = platform.startCommand('git', ['push', 'heroku', 'main'], { cwd: folder });
    await eventually('the build', () => /^remote: started/m.test(pushing.output()), 60_000);
    await pushing.stop('SIGINT');
    await eventually('the end of the build', async () => {
      const { body } = await platform.api('GET', '/apps/boxed/builds');
      return (body as { status: string }[]).at(-1)?.status === 'failed';
    });
    await eventually('the end of its processes', async () => {
      const { stdout } = await execute('docker', ['ps', '--no-trunc', '--format', '{{.Command}}']);
      return !stdout.includes('echo started && sleep 300');
    });
    await platform.git(folder, ['reset', '--quiet', '--hard', 'HEAD~1']);
    expect(await current()).toBe(before);
  });
});

describe('images that were made elsewhere', () => {
  test('dynodock container:push builds and releases in one', async () => {
    const directory = await platform.repository({
      'Dockerfile.web':
        'FROM dynodock/heroku:24\nARG WHO\nWORKDIR /srv/site\nRUN echo "pushed by $WHO" > index.html\nCMD python3 -m http.server $PORT\n',
      'clock/Dockerfile.clock': 'FROM dynodock/heroku:24\nENTRYPOINT ["sleep"]\nCMD ["600"]\n',
    });
    const pushed = await platform.dynodock([
      'container:push',
      'boxed',
      '--recursive',
      '--arg',
      'WHO=me',
      `${directory}/`,
    ]);
    expect(pushed).toMatchObject({ exitCode: 0 });
    expect(pushed.stdout).toContain('=== Building web (Dockerfile.web)');
    expect(pushed.stdout).toMatch(
      /Released v\d+ of boxed: Deployed web \([0-9a-f]{12}\), clock \([0-9a-f]{12}\)/,
    );
    await untilAnswered('pushed by me');
    const failed = await platform.dynodock(['container:push', 'boxed', 'web', '-f', 'none', directory]);
    expect(failed).toMatchObject({ exitCode: 1 });
    await untilAnswered('pushed by me');
  });

  test('a formation takes an image of the engine by its id, and heroku container:rm takes it away', async () => {
    const [image = ''] = await inspectDynos('{{.Image}}');
    const { status, body } = await platform.api('PATCH', '/apps/boxed/formation', {
      updates: [{ type: 'side', docker_image: image, quantity: 1 }],
    });
    expect(status).toBe(200);
    expect(body).toMatchObject([{ type: 'side', quantity: 1 }]);
    expect((await releases()).at(-1)?.description).toMatch(/^Deployed side \([0-9a-f]{12}\)$/);
    expect(await heroku('container:rm', 'side')).toMatchObject({ exitCode: 0 });
    expect((await releases()).at(-1)?.description).toBe('Removed side');
    // It takes effect when its release command has succeeded.
    await eventually('the end of the process type', async () => {
      const { body: left } = await platform.api('GET', '/apps/boxed/formation');
      return !(left as { type: string }[]).some(({ type }) => type === 'side');
    });
    const unknown = await platform.api('PATCH', '/apps/boxed/formation', {
      updates: [{ type: 'web', docker_image: `sha256:${'0'.repeat(64)}` }],
    });
    expect(unknown).toMatchObject({ status: 422, body: { id: 'invalid_params' } });
  });

  test('a sleeping dyno of an image wakes', async () => {
    expect(await heroku('ps:type', 'eco')).toMatchObject({ exitCode: 0 });
    await untilAnswered('pushed by me');
    await eventually('sleep', async () => (await platform.dynodock(['idle', 'boxed'])).exitCode === 0);
    await untilAnswered('pushed by me');
  });
});
