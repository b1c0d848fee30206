import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import { Store } from '../../src/store/store';
import { eventually, execute, TestPlatform, words, type Answer } from '../support/platform';
import { seedSleepingApps } from '../support/seed-apps';
import { sleepyApp } from '../support/sleepy-app';
import { TestWebSocket } from '../support/web-socket';

jest.setTimeout(120_000);

const platform = new TestPlatform();
let folder: string;

interface SleepJson {
  state: string;
  overrides: Record<string, unknown>;
}

interface WakeJson {
  cause: { kind: string; method?: string; path?: string; request_id?: string; fwd?: string };
  depth: string;
  held: number | null;
  phases_ms: Record<'decision' | 'container' | 'boot' | 'first_byte' | 'total', number>;
}

async function heroku(...args: string[]): Promise<string> {
  const result = await platform.heroku([...args, '--app', 'nap']);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

async function dynodock(...args: string[]): Promise<string> {
  const result = await platform.dynodock(args);
  expect({ args, ...result }).toMatchObject({ exitCode: 0 });
  return words(result);
}

async function state(app = 'nap'): Promise<string> {
  return ((await platform.api('GET', `/apps/${app}/sleep`)).body as SleepJson).state;
}

/** What the engine says of the containers of the app's dynos. */
async function containers(): Promise<string[]> {
  const { stdout } = await execute('docker', [
    'ps', '--all', '--format', '{{.State}} {{.ID}}', '--filter', `label=dynodock.installation=${platform.installationId ?? ''}`,
    '--filter', 'label=dynodock.app-name=nap', '--filter', 'label=dynodock.role=dyno',
  ]); // prettier-ignore
  return stdout.split('\n').filter((line) => line !== '').sort(); // prettier-ignore
}

async function untilAllUp(): Promise<void> {
  await eventually('all dynos to be up', async () => {
    const dynos = (await platform.api('GET', '/apps/nap/dynos')).body as { state: string }[];
    return dynos.length > 0 && dynos.every((dyno) => dyno.state === 'up');
  });
}

async function untilAwake(): Promise<void> {
  await eventually('an answer', async () => (await platform.visit('nap')).status === 200);
  await eventually('the app to be awake', async () => (await state()) === 'awake');
  await untilAllUp();
}

/** Whatever it does before. */
async function idleNow(): Promise<void> {
  await untilAwake();
  await dynodock('idle', 'nap');
}

async function untilStopped(): Promise<void> {
  await eventually('no container', async () => (await containers()).length === 0);
}

async function untilFrozen(): Promise<void> {
  await eventually('paused containers', async () => {
    const states = (await containers()).map((line) => line.split(' ')[0]);
    return states.length > 0 && states.every((each) => each === 'paused');
  });
}

const count = async (): Promise<Answer> => platform.visit('nap', '/count');

/** Lines of the log since then, without their time, as `heroku logs` shows them. */
async function logSince(mark: Date, of: RegExp): Promise<string[]> {
  const { stdout } = await platform.heroku(['logs', '--num', '1500', '--app', 'nap']);
  return stdout.split('\n').flatMap((line) => {
    const [at = '', ...rest] = line.split(' ');
    const text = rest.join(' ');
    return at >= mark.toISOString().slice(0, -1) && of.test(text) ? [text] : [];
  });
}

/** Once there are as many. */
function untilLogged(mark: Date, of: RegExp, lines: number): Promise<string[]> {
  return eventually(`${lines} log lines of ${of.source}`, async () => {
    const found = await logSince(mark, of);
    return found.length >= lines && found;
  });
}

beforeAll(async () => {
  await platform.start();
  folder = await platform.repository(sleepyApp());
  expect(await platform.heroku(['create', 'nap'], { cwd: folder })).toMatchObject({ exitCode: 0 });
  expect(await platform.push(folder, 'nap')).toMatchObject({ exitCode: 0 });
  await heroku('ps:scale', 'worker=1');
  await untilAwake();
}, 240_000);
afterAll(() => platform.destroy(), 120_000);
afterEach(async () => {
  await platform.api('PATCH', '/apps/nap/sleep', {
    idle_after_seconds: null,
    depth: null,
    frozen_seconds: null,
  });
});

describe('an app that sleeps stopped', () => {
  test('goes and comes back as the log of Heroku shows it, its worker with it', async () => {
    expect((await count()).body).toBe('1');
    const asleepSince = new Date();
    expect(await dynodock('idle', 'nap')).toBe(
      'nap is asleep. It wakes with the next request, or with: dynodock wake nap',
    );
    await untilStopped();
    for (const dyno of ['web.1', 'worker.1']) {
      const lines = await untilLogged(asleepSince, new RegExp(`^heroku\\[${dyno}\\]`), 4);
      expect(lines).toEqual([
        `heroku[${dyno}]: Idling`,
        `heroku[${dyno}]: State changed from up to down`,
        `heroku[${dyno}]: Stopping all processes with SIGTERM`,
        `heroku[${dyno}]: Process exited with status 143`,
      ]);
    }
    expect(await heroku('ps')).toMatch(/web\.1: idle .*worker\.1: idle/);
    expect((await platform.api('GET', '/apps/nap/dynos')).body).toMatchObject([
      { name: 'web.1', state: 'idle' },
      { name: 'worker.1', state: 'idle' },
    ]);

    const wokenSince = new Date();
    // In a fresh dyno.
    expect(await count()).toMatchObject({ status: 200, body: '1' });
    const lines = await untilLogged(wokenSince, /^heroku\[(web\.1|router)\]/, 6);
    expect(lines.filter((line) => line.startsWith('heroku[web.1]'))).toEqual([
      'heroku[web.1]: Unidling',
      'heroku[web.1]: State changed from down to starting',
      'heroku[web.1]: Starting process with command `node server.js`',
      'heroku[web.1]: State changed from starting to up',
    ]);
    const router = lines.filter((line) => line.startsWith('heroku[router]'));
    expect(router).toHaveLength(2);
    expect(router).toContainEqual(
      expect.stringMatching(
        /^heroku\[router\]: at=info method=GET path="\/count" host=nap\.localhost\S* request_id=\S+ fwd="127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http/,
      ),
    );
    await untilAllUp();
  });

  test('is woken by any method, and a request keeps its body', async () => {
    await idleNow();
    const body = randomBytes(300_000);
    const posted = await platform.request('POST', 'nap', '/digest?wake', { body });
    expect(posted).toMatchObject({
      status: 200,
      body: `POST ${createHash('sha256').update(body).digest('hex')}`,
    });
    await idleNow();
    expect((await platform.request('OPTIONS', 'nap', '/')).status).toBe(200);
    await idleNow();
    const socket = await TestWebSocket.open(platform.httpPort, 'nap.localhost', '/live');
    await eventually('a greeting', () => socket.messages.length > 0);
    expect(socket.messages[0]).toMatch(/^hello from /);
    socket.close();
  });

  test('has its wakes accounted for, on the API, in the status and in the log', async () => {
    await idleNow();
    const mark = new Date();
    const requestId = 'a-request-id-of-the-client';
    const answers = await Promise.all([
      platform.visit('nap', '/first?x=1', { 'X-Request-ID': requestId }),
      ...Array.from({ length: 4 }, () => platform.visit('nap', '/first?x=1', { 'X-Request-ID': requestId })),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    const [wake] = await eventually('the wake', async () => {
      const wakes = (await platform.api('GET', '/apps/nap/wakes')).body as (WakeJson & {
        created_at: string;
      })[];
      const latest = wakes.filter(({ created_at: at, held }) => new Date(at) >= mark && held !== null);
      return latest.length > 0 && latest;
    });
    expect(wake).toMatchObject({
      cause: { kind: 'request', method: 'GET', path: '/first?x=1', request_id: requestId, fwd: '127.0.0.1' },
      depth: 'stopped',
      held: 5,
    });
    const { decision, container, boot, first_byte: firstByte, total } = wake!.phases_ms;
    expect(decision + container + boot + firstByte).toBe(total);
    expect(container).toBeGreaterThan(0);
    expect(boot).toBeGreaterThan(0);

    const [line] = await untilLogged(mark, /desc="Wake"/, 1);
    expect(line).toBe(
      `heroku[router]: at=info desc="Wake" depth=stopped dyno=web.1 cause=request method=GET path="/first?x=1" request_id=${requestId} fwd="127.0.0.1" held=5 decision=${decision}ms container=${container}ms boot=${boot}ms first_byte=${firstByte}ms total=${total}ms`,
    );
    const status = await dynodock('status', 'nap');
    expect(status).toContain('Sleep: awake after 30m without web traffic depth stopped');
    expect(status).toContain(
      `${total} ms, from stopped, 5 waited: GET /first?x=1 from 127.0.0.1 ms: decision ${decision}, container ${container}, boot ${boot}, first byte ${firstByte}`,
    );
  });

  test('is woken by a command as well', async () => {
    await idleNow();
    const mark = new Date();
    expect(await dynodock('wake', 'nap')).toBe('nap is waking up.');
    await eventually('the app', async () => (await state()) === 'awake');
    const [line] = await untilLogged(mark, /desc="Wake"/, 1);
    expect(line).toMatch(/ depth=stopped dyno=web\.1 cause=command held= .* first_byte= total=\d+ms$/);
  });

  test('answers a thousand requests at once after one start', async () => {
    await idleNow();
    await untilStopped();
    const mark = new Date();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => count()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    // Each once, and all by the same process.
    expect(new Set(answers.map(({ body }) => Number(body)))).toEqual(
      new Set(Array.from({ length: 1000 }, (_, index) => index + 1)),
    );
    const starts = await logSince(mark, /^heroku\[web\.\d+\]: Starting process/);
    expect(starts).toHaveLength(1);
  });
});

describe('an app that sleeps frozen', () => {
  test('keeps its memory, and one that sleeps stopped does not', async () => {
    expect(await dynodock('sleep', 'nap', '--depth', 'frozen')).toContain('depth frozen (set for this app)');
    const before = Number((await count()).body);
    const running = (await containers()).map((line) => line.split(' ')[1]);
    const asleepSince = new Date();
    await dynodock('idle', 'nap');
    await untilFrozen();
    expect(await heroku('ps')).toMatch(/web\.1: idle .*worker\.1: idle/);
    expect(await count()).toMatchObject({ status: 200, body: String(before + 1) });
    await eventually('both dynos to run', async () =>
      (await containers()).every((line) => line.startsWith('running')),
    );
    expect((await containers()).map((line) => line.split(' ')[1])).toEqual(running);
    expect(await untilLogged(asleepSince, /^heroku\[web\.1\]/, 5)).toEqual([
      'heroku[web.1]: Idling',
      'heroku[web.1]: State changed from up to down',
      'heroku[web.1]: Unidling',
      'heroku[web.1]: State changed from down to starting',
      'heroku[web.1]: State changed from starting to up',
    ]);

    await dynodock('sleep', 'nap', '--depth', 'stopped');
    await idleNow();
    await untilStopped();
    expect(await count()).toMatchObject({ status: 200, body: '1' });
  });

  test('and tiered is stopped when it has slept for long', async () => {
    await count();
    await dynodock('sleep', 'nap', '--depth', 'tiered', '--frozen-for', '8s');
    await idleNow();
    await untilFrozen();
    expect(Number((await count()).body)).toBeGreaterThan(1);
    await idleNow();
    await untilFrozen();
    await untilStopped();
    expect(await state()).toBe('asleep');
    expect(await heroku('ps')).toMatch(/web\.1: idle/);
    expect(await count()).toMatchObject({ status: 200, body: '1' });
  });
});

describe('without traffic', () => {
  /** States of the app while something goes on. */
  async function statesDuring(work: Promise<unknown>): Promise<Set<string>> {
    const seen = new Set<string>();
    const over = new AbortController();
    const done = work.finally(() => over.abort());
    while (!over.signal.aborted) seen.add(await state());
    await done;
    return seen;
  }

  beforeEach(untilAwake);

  test('it falls asleep by itself after its time, and wakes', async () => {
    expect(await dynodock('sleep', 'nap', '--after', '2s')).toContain('after 2s without web traffic');
    const mark = new Date();
    await platform.visit('nap');
    await eventually('sleep', async () => (await state()) === 'asleep');
    const [idling] = await logSince(mark, /^heroku\[web\.1\]: Idling$/);
    expect(idling).toBeDefined();
    expect((await platform.visit('nap')).status).toBe(200);
  });

  test('never with a request in flight, however quiet, nor while an answer streams', async () => {
    await dynodock('sleep', 'nap', '--after', '1s');
    const slow = platform.visit('nap', '/slow?ms=4000');
    expect(await statesDuring(slow)).toEqual(new Set(['awake']));
    expect(await slow).toMatchObject({ status: 200, body: 'slow' });
    const ticks = platform.visit('nap', '/ticks?every=300&ms=4000');
    expect(await statesDuring(ticks)).toEqual(new Set(['awake']));
    expect((await ticks).body).toMatch(/^(tick ){5,}end$/);
    await eventually('sleep', async () => (await state()) === 'asleep');
  });

  test('bytes in a WebSocket keep it awake, a silent one does not and is closed', async () => {
    await dynodock('sleep', 'nap', '--after', '2s');
    const socket = await TestWebSocket.open(platform.httpPort, 'nap.localhost', '/live');
    const talk = (async () => {
      for (let message = 1; message <= 12; message += 1) {
        socket.send(`message ${message}`);
        await eventually('an echo', () => socket.messages.includes(`echo: message ${message}`));
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
    })();
    expect(await statesDuring(talk)).toEqual(new Set(['awake']));
    expect(socket.closed).toBe(false);
    await eventually('sleep', async () => (await state()) === 'asleep');
    await eventually('the end of the socket', () => socket.closed);
  });
});

describe('what users do to a sleeping app', () => {
  test('maintenance mode answers for it and lets it sleep', async () => {
    await idleNow();
    await untilStopped();
    await heroku('maintenance:on');
    expect((await platform.visit('nap')).status).toBe(503);
    expect(await state()).toBe('asleep');
    expect(await containers()).toEqual([]);
    await heroku('maintenance:off');
    expect(await count()).toMatchObject({ status: 200, body: '1' });
  });

  test.each([
    ['config:set', ['config:set', 'COLOUR=blue']],
    ['ps:restart', ['ps:restart']],
    ['ps:scale', ['ps:scale', 'web=2']],
  ])('%s wakes it', async (_name, args) => {
    await idleNow();
    await heroku(...args);
    // Without any request.
    await eventually('the app to be awake', async () => (await state()) === 'awake');
    await untilAllUp();
    expect((await platform.visit('nap')).body).toBe('awake');
  });

  test('a deploy wakes it, with the new code', async () => {
    await heroku('ps:scale', 'web=1');
    await idleNow();
    const mark = new Date();
    await platform.commit(folder, 'Second', { 'note.txt': 'second' });
    expect(await platform.push(folder, 'nap')).toMatchObject({ exitCode: 0 });
    await eventually('the app', async () => (await state()) === 'awake');
    expect(await count()).toMatchObject({ status: 200, body: '1' });
    const starts = await logSince(mark, /^heroku\[web\.1\]: Starting process/);
    expect(starts).toHaveLength(1);
  });
});

describe('while the platform fails', () => {
  const routerPid = (): number => {
    const lines = platform.daemonOutput.split('\n').filter((line) => line.includes('"router linked"'));
    return (JSON.parse(lines.at(-1) ?? '{}') as { pid: number }).pid;
  };

  test.each(['stopped', 'frozen'])(
    'an app that sleeps %s sleeps on over a killed daemon, and wakes',
    async (depth) => {
      await dynodock('sleep', 'nap', '--depth', depth);
      const before = Number((await count()).body);
      await idleNow();
      await (depth === 'frozen' ? untilFrozen() : untilStopped());
      const asleep = await containers();
      await platform.restartDaemon('SIGKILL');
      expect(await state()).toBe('asleep');
      expect(await containers()).toEqual(asleep);
      expect(await count()).toMatchObject({
        status: 200,
        body: depth === 'frozen' ? String(before + 1) : '1',
      });
    },
  );

  test.each(['stopped', 'frozen'])(
    'a request that comes while no daemon runs is held, and answered (%s)',
    async (depth) => {
      await dynodock('sleep', 'nap', '--depth', depth);
      await idleNow();
      await (depth === 'frozen' ? untilFrozen() : untilStopped());
      await platform.stopDaemon('SIGKILL');
      const held = platform.visit('nap', '/held');
      platform.startDaemon();
      await platform.untilAnswering();
      expect(await held).toMatchObject({ status: 200, body: 'awake' });
    },
  );

  test.each([
    ['stopped', 5],
    ['stopped', 60],
    ['stopped', 200],
    ['frozen', 5],
    ['frozen', 15],
  ])(
    'a daemon killed during a wake (%s, after %i ms) leaves the request held, and the next answers it',
    async (depth, afterMs) => {
      await dynodock('sleep', 'nap', '--depth', depth);
      await idleNow();
      await (depth === 'frozen' ? untilFrozen() : untilStopped());
      const held = platform.visit('nap', `/during/${afterMs}`);
      // Wherever that is: the outcome is the same.
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      await platform.restartDaemon('SIGKILL');
      expect(await held).toMatchObject({ status: 200, body: 'awake' });
      await untilAllUp();
      expect((await containers()).map((line) => line.split(' ')[0])).toEqual(['running', 'running']);
    },
  );

  test('a router that is killed finds it asleep, and wakes it', async () => {
    await idleNow();
    await untilStopped();
    const router = routerPid();
    process.kill(router, 'SIGKILL');
    await eventually('another router', () => routerPid() !== router);
    expect(await state()).toBe('asleep');
    await eventually(
      'an answer',
      async () => (await platform.visit('nap').catch(() => undefined))?.status === 200,
    );
  });
});

describe('commands that make no sense', () => {
  const refusal = async (...args: string[]): Promise<string> => {
    const result = await platform.dynodock(args);
    expect({ args, ...result }).not.toMatchObject({ exitCode: 0 });
    return words(result);
  };

  test('are refused with the reason', async () => {
    await untilAwake();
    for (const command of ['idle', 'wake', 'sleep', 'status']) {
      expect(await refusal(command, 'nowhere')).toContain("Couldn't find that app.");
    }
    expect(await refusal('wake', 'nap')).toContain('nap is not asleep.');
    expect(await refusal('sleep', 'nap', '--after', 'soon')).toContain('--after soon is no time.');
    expect(await refusal('sleep', 'nap', '--after', '-5s')).toContain('--after -5s is no time.');
    expect(await refusal('sleep', 'nap', '--frozen-for', 'x')).toContain('--frozen-for x is no time.');
    expect(await refusal('sleep', 'nap', '--depth', 'deep')).toContain(
      'No such depth of sleep as deep: stopped, frozen, tiered.',
    );
    expect(await refusal('sleep', 'nap', '--after', '9999d')).toContain('must be a number of seconds from 0');
    const { status, body } = await platform.api('PATCH', '/apps/nap/sleep', { idle_after_seconds: '5' });
    expect({ status, body }).toMatchObject({ status: 422, body: { id: 'invalid_params' } });

    const slow = platform.visit('nap', '/slow?ms=3000');
    await eventually('the request to be under way', async () =>
      (await platform.dynodock(['idle', 'nap'])).stderr.includes('while 1 request is under way'),
    );
    expect((await slow).status).toBe(200);

    await idleNow();
    expect(await refusal('idle', 'nap')).toContain('nap is asleep already.');

    await heroku('ps:type', 'basic');
    await eventually('larger dynos', async () => (await state()) === 'sleepless');
    expect(await refusal('idle', 'nap')).toContain(
      'Cannot put nap to sleep: it has no web dyno of a size that sleeps. Change that with: heroku ps:type web=eco -a nap',
    );
    await heroku('ps:type', 'eco');
  });
});

test('fifty sleeping apps that are woken at once all answer', async () => {
  await heroku('ps:scale', 'worker=0');
  await idleNow();
  await untilStopped();
  await platform.stopDaemon();
  const store = Store.open(path.join(platform.data, 'dynodock.sqlite'));
  const names = seedSleepingApps(store, 'nap', 50);
  store.close();
  platform.startDaemon();
  await platform.untilAnswering();
  // Held for 75 s at most (H20), so that 200 says when as well.
  const answers = await Promise.all(names.map((name) => platform.visit(name)));
  expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200));
}, 180_000);
