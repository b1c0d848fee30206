import { PassThrough } from 'node:stream';
import type { App } from '../../../src/domain/app';
import { dynoName, type Dyno } from '../../../src/domain/dyno';
import type { DynoId } from '../../../src/domain/ids';
import type { ProcessClient } from '../../../src/dyno-manager/process-client';
import { EngineError } from '../../../src/engine/engine';
import { Attachments } from '../../../src/platform/dynos/attachments';
import { OneOffService, type NewOneOff } from '../../../src/platform/dynos/one-offs';
import { DynoWorld } from '../../support/dyno-world';

const SECOND = 1000;
const R13 = 'heroku[run]: Error R13 (Attach error) -> Failed to attach to process';
const R16 =
  'heroku[run]: Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.';
const SIGHUP = 'heroku[run]: Client connection closed. Sending SIGHUP to all processes';

/** A client in memory, which takes everything at once unless it is told to be slow. */
class TestClient implements ProcessClient {
  readonly input = new PassThrough();
  readonly #gone = new AbortController();
  output = '';
  finished: number | null | undefined;
  /** Pending while a test holds the client's output up. */
  ready: Promise<void> = Promise.resolve();

  get gone(): AbortSignal {
    return this.#gone.signal;
  }
  async write(chunk: Buffer): Promise<void> {
    await this.ready;
    this.output += chunk.toString('utf8');
  }
  finish(exitCode: number | null): Promise<void> {
    this.finished = exitCode;
    this.close();
    return Promise.resolve();
  }
  close(): void {
    this.#gone.abort();
  }
}

describe('a one-off dyno', () => {
  let world: DynoWorld;
  let app: App;
  let service: OneOffService;
  let attachments: Attachments;

  beforeEach(async () => {
    world = new DynoWorld();
    await world.start();
    app = await world.createApp({ web: 'web', worker: 'work hard' });
    world.formation.batchUpdate(world.account, app, [{ type: 'web', quantity: 0 }]);
    await world.settle();
    attachments = new Attachments(world.clock);
    service = new OneOffService(world.context, attachments);
  });
  afterEach(() => world.stop());

  const start = async (input: Partial<NewOneOff> = {}): Promise<{ dyno: Dyno; secret: string }> => {
    const { dyno, attachUrl } = service.create(world.account, app, {
      command: 'bash',
      attach: true,
      ...input,
    });
    await world.settle();
    return { dyno, secret: attachUrl?.split('/').at(-1) ?? '' };
  };
  const attach = async (secret: string): Promise<TestClient> => {
    const client = new TestClient();
    attachments.claim(secret)?.open(client);
    await world.settle();
    return client;
  };
  /** The log since the dyno was asked for, its number left out. */
  const log = (): string[] => {
    const lines = world.log(app).map((line) => line.replace(/run\.\d{4}/g, 'run'));
    return lines.slice(lines.findIndex((line) => line.startsWith('app[api]: Starting process')));
  };
  const state = (id: DynoId): string | undefined => world.store.dynos.get(id)?.state;
  const containerName = (): string => world.engine.containers()[0]?.name ?? '';

  test('awaits its client, runs while it is there, and ends with its process', async () => {
    world.behave((spec) => spec.openStdin === true, { echoesInput: true });
    const { dyno, secret } = await start({ env: { COLUMNS: 100, LINES: 30, A: '1' } });
    expect(state(dyno.id)).toBe('up');
    expect(world.engine.containers()).toMatchObject([
      {
        state: 'created',
        spec: { tty: true, openStdin: true, discardLog: true, env: { A: '1', DYNO: dynoName(dyno) } },
      },
    ]);
    expect(world.engine.containers()[0]?.spec.env).not.toHaveProperty('PORT');
    const client = await attach(secret);
    expect(world.engine.running()).toHaveLength(1);
    client.input.write('hello');
    await world.settle();
    expect(client.output).toBe('hello');
    client.input.end();
    await world.settle();
    expect(client.finished).toBe(0);
    expect(log()).toEqual([
      'app[api]: Starting process with command `bash` by user user@example.com',
      'heroku[run]: State changed from starting to up',
      'heroku[run]: Awaiting client',
      'heroku[run]: Starting process with command `bash`',
      'heroku[run]: Process exited with status 0',
      'heroku[run]: State changed from up to complete',
    ]);
    expect(state(dyno.id)).toBeUndefined();
    expect(world.engine.containers()).toEqual([]);
  });

  test("is refused beyond Heroku's limit for its size where that holds", async () => {
    const settings = { ...world.context.settings, herokuLimits: true };
    service = new OneOffService({ ...world.context, settings }, attachments);
    await start({ size: 'eco' });
    await expect(start({ size: 'eco' })).rejects.toThrow('Cannot run more than 1 Eco size dynos.');
    await start({ size: 'basic' });
    expect(
      world.store.dynos
        .of(app.id)
        .map(({ size }) => size)
        .sort(),
    ).toEqual(['basic', 'eco']);
  });

  test('counts as crashed when its process fails', async () => {
    world.behave((spec) => spec.openStdin === true, { exitAfterMs: 1, exitCode: 3, prints: ['bye'] });
    const { secret } = await start();
    const client = await attach(secret);
    await world.advance(1);
    expect(client).toMatchObject({ output: 'bye\n', finished: 3 });
    expect(log().slice(-2)).toEqual([
      'heroku[run]: Process exited with status 3',
      'heroku[run]: State changed from up to crashed',
    ]);
  });

  test('takes a client that comes before its container is there', async () => {
    world.engine.delay('create', 5 * SECOND);
    const { secret } = await start();
    await attach(secret);
    expect(world.engine.running()).toEqual([]);
    await world.advance(5 * SECOND);
    expect(world.engine.running()).toHaveLength(1);
  });

  test('takes one client only', async () => {
    const { dyno, secret } = await start();
    const first = await attach(secret);
    expect(attachments.claim(secret)).toBeUndefined();
    const second = new TestClient();
    world.manager.attach(dyno.id, second);
    expect(second.gone.aborted).toBe(true);
    expect(first.gone.aborted).toBe(false);
  });

  test('is given up without a client in 30 seconds (R13)', async () => {
    const { dyno, secret } = await start();
    await world.advance(30 * SECOND - 1);
    expect(state(dyno.id)).toBe('up');
    await world.advance(1);
    expect(log().slice(-3)).toEqual([
      R13,
      'heroku[run]: Process exited with status 128',
      'heroku[run]: State changed from up to crashed',
    ]);
    expect(state(dyno.id)).toBeUndefined();
    expect(world.engine.containers()).toEqual([]);
    expect((await attach(secret)).gone.aborted).toBe(true);
  });

  test('is sent SIGHUP when its client leaves', async () => {
    const { secret } = await start();
    const client = await attach(secret);
    client.close();
    await world.settle();
    expect(log().slice(-3)).toEqual([
      SIGHUP,
      // The world's processes end with this status, whatever the signal.
      'heroku[run]: Process exited with status 143',
      'heroku[run]: State changed from up to crashed',
    ]);
    expect(world.engine.containers()).toEqual([]);
  });

  test('is reported when it ignores SIGHUP (R16), and killed after all', async () => {
    world.behave((spec) => spec.openStdin === true, { ignoresSigterm: true });
    const { dyno, secret } = await start();
    (await attach(secret)).close();
    await world.settle();
    await world.advance(15 * SECOND - 1);
    const before = log().filter((line) => line === SIGHUP || line === R16);
    expect(before).toEqual([SIGHUP, SIGHUP, SIGHUP]);
    await world.advance(1);
    expect(log().slice(-2)).toEqual([R16, SIGHUP]);
    await world.advance(15 * SECOND - 1);
    expect(state(dyno.id)).toBe('up');
    await world.advance(1);
    expect(log().slice(-3)).toEqual([
      'heroku[run]: Stopping remaining processes with SIGKILL',
      'heroku[run]: Process exited with status 137',
      'heroku[run]: State changed from up to crashed',
    ]);
    expect(state(dyno.id)).toBeUndefined();
  });

  test('is stopped by name, while its client sees the rest of its output', async () => {
    const { dyno, secret } = await start();
    const client = await attach(secret);
    world.dynos.stop(world.account, app, { name: dynoName(dyno) });
    await world.settle();
    expect(client.finished).toBe(143);
    expect(log().slice(-3)).toEqual([
      'heroku[run]: Stopping all processes with SIGTERM',
      'heroku[run]: Process exited with status 143',
      'heroku[run]: State changed from up to complete',
    ]);
    expect(world.engine.containers()).toEqual([]);
  });

  test('is stopped before its client came', async () => {
    const { dyno, secret } = await start();
    world.dynos.stop(world.account, app, { name: dynoName(dyno) });
    await world.settle();
    expect(log().at(-1)).toBe('heroku[run]: State changed from up to complete');
    expect(state(dyno.id)).toBeUndefined();
    expect((await attach(secret)).gone.aborted).toBe(true);
  });

  test('is stopped in the middle of being hung up on', async () => {
    let ignoring = true;
    world.behave((spec) => spec.openStdin === true, {
      ignoresSigterm: true,
      exec: (argv, _options, container) => {
        if (!ignoring) setImmediate(() => world.engine.exit(container.spec.name, 143));
        return { exitCode: argv.length > 0 ? 0 : 1, stdout: '', stderr: '' };
      },
    });
    const { dyno, secret } = await start();
    (await attach(secret)).close();
    await world.settle();
    ignoring = false;
    world.dynos.stop(world.account, app, { name: dynoName(dyno) });
    await world.settle();
    expect(state(dyno.id)).toBeUndefined();
    expect(log().slice(-3)).toEqual([
      'heroku[run]: Stopping all processes with SIGTERM',
      'heroku[run]: Process exited with status 143',
      'heroku[run]: State changed from up to complete',
    ]);
  });

  test('ignores restarts, releases and scaling', async () => {
    const { dyno, secret } = await start();
    await attach(secret);
    world.dynos.restart(world.account, app, { all: true });
    world.configVars.update(world.account, app, { A: '1' });
    world.formation.batchUpdate(world.account, app, [{ type: 'web', size: 'standard-2x' }]);
    await world.settle();
    expect(world.store.dynos.get(dyno.id)).toMatchObject({ state: 'up', releaseVersion: 3 });
    expect(world.engine.running()).toHaveLength(1);
  });

  test('is stopped when its time to live is over', async () => {
    const { dyno, secret } = await start({ timeToLiveSeconds: 60 });
    await attach(secret);
    await world.advance(59_999);
    expect(state(dyno.id)).toBe('up');
    await world.advance(1);
    expect(state(dyno.id)).toBeUndefined();
    expect(log()).toContain('heroku[run]: Stopping all processes with SIGTERM');
  });

  test('is ended after a while as all dynos are, and not started again', async () => {
    const { dyno } = await start({ attach: false });
    // Its own time, by its id: 20 minutes in this world, and up to 216 more.
    const minutes = 20 + (parseInt(dyno.id.slice(0, 8), 16) / 0xffffffff) * 216;
    await world.advance(Math.round(minutes * 60 * SECOND) - 1000);
    expect(state(dyno.id)).toBe('up');
    await world.advance(1000);
    expect(log().slice(-4)).toEqual([
      'heroku[run]: Cycling',
      'heroku[run]: Stopping all processes with SIGTERM',
      'heroku[run]: Process exited with status 143',
      'heroku[run]: State changed from up to complete',
    ]);
    expect(world.store.dynos.of(app.id)).toEqual([]);
    expect(world.engine.containers()).toEqual([]);
  });

  test('keeps its row until its client has all of its output', async () => {
    world.behave((spec) => spec.openStdin === true, { prints: ['last words'], exitAfterMs: 1 });
    const { dyno, secret } = await start();
    const client = new TestClient();
    let release = (): void => undefined;
    client.ready = new Promise((resolve) => (release = resolve));
    attachments.claim(secret)?.open(client);
    await world.settle();
    await world.advance(10 * SECOND);
    expect(world.engine.containers()).toMatchObject([{ state: 'exited' }]);
    expect(state(dyno.id)).toBe('up');
    release();
    await world.settle();
    expect(client).toMatchObject({ output: 'last words\n', finished: 0 });
    expect(state(dyno.id)).toBeUndefined();
  });

  test('is hung up on after a restart of the daemon, since its client is gone', async () => {
    const { dyno, secret } = await start();
    const client = await attach(secret);
    await world.restartManager();
    expect(client.gone.aborted).toBe(true);
    expect(log()).toContain(SIGHUP);
    expect(state(dyno.id)).toBeUndefined();
  });

  test('still awaits its client after a restart of the daemon, in vain', async () => {
    const { dyno } = await start();
    await world.restartManager();
    expect(state(dyno.id)).toBe('up');
    await world.advance(30 * SECOND);
    expect(log()).toContain(R13);
    expect(state(dyno.id)).toBeUndefined();
  });

  test('says why the engine refused it, and sends its client away', async () => {
    world.engine.failNext('start', new EngineError('other', 'no such runtime'));
    const { dyno, secret } = await start();
    const client = await attach(secret);
    expect(client.gone.aborted).toBe(true);
    expect(log().slice(-2)).toEqual([
      'heroku[run]: Error R99 (Platform error) -> Failed to launch the dyno: no such runtime',
      'heroku[run]: State changed from up to crashed',
    ]);
    expect(state(dyno.id)).toBeUndefined();
    expect(world.engine.containers()).toEqual([]);
  });

  test('connects once an unreachable engine is back', async () => {
    const { secret } = await start();
    world.engine.failNext('attach', new EngineError('unreachable', 'gone'));
    const client = await attach(secret);
    expect(client.gone.aborted).toBe(false);
    await world.advance(SECOND);
    expect(world.engine.running()).toHaveLength(1);
  });

  test('is gone when its container was removed by hand', async () => {
    const { dyno, secret } = await start();
    const client = await attach(secret);
    world.engine.vanish(containerName());
    await world.settle();
    expect(client.gone.aborted).toBe(true);
    expect(state(dyno.id)).toBeUndefined();
  });

  test('logs its output if it is detached, and is gone when it ends', async () => {
    world.behave((spec) => spec.openStdin !== true, { prints: ['working'], exitAfterMs: SECOND });
    const { dyno, secret } = await start({ attach: false, command: 'worker --once' });
    expect(secret).toBe('');
    await world.advance(SECOND);
    expect(log()).toEqual([
      'app[api]: Starting process with command `work hard --once` by user user@example.com',
      'heroku[run]: Starting process with command `work hard --once`',
      'heroku[run]: State changed from starting to up',
      'app[run]: working',
      'heroku[run]: Process exited with status 0',
      'heroku[run]: State changed from up to complete',
    ]);
    expect(state(dyno.id)).toBeUndefined();
    expect(world.engine.containers()).toEqual([]);
    await world.advance(60 * 60 * SECOND);
    expect(world.engine.containers()).toEqual([]);
  });

  test('goes on detached over a restart of the daemon, and says how it ended while that was away', async () => {
    const { dyno } = await start({ attach: false });
    await world.restartManager();
    expect(state(dyno.id)).toBe('up');
    await world.manager.stop();
    world.engine.print(containerName(), 'unseen');
    world.engine.exit(containerName(), 4);
    await world.restartManager();
    expect(log().slice(-3)).toEqual([
      'app[run]: unseen',
      'heroku[run]: Process exited with status 4',
      'heroku[run]: State changed from up to crashed',
    ]);
    expect(state(dyno.id)).toBeUndefined();
  });

  test('that is refused by the engine is not tried again', async () => {
    world.engine.failNext('start', new EngineError('other', 'no such runtime'));
    const { dyno } = await start({ attach: false });
    expect(state(dyno.id)).toBeUndefined();
    expect(world.engine.containers()).toEqual([]);
  });
});

describe('a command inside a dyno', () => {
  let world: DynoWorld;
  beforeEach(async () => {
    world = new DynoWorld();
    await world.start();
  });
  afterEach(() => world.stop());

  const begin = async (): Promise<{ dyno: Dyno; client: TestClient; executed: string[] }> => {
    const executed: string[] = [];
    world.behave(() => true, {
      exec: (argv) => {
        executed.push(argv.at(-1) ?? '');
        return { exitCode: 0, stdout: '', stderr: '' };
      },
    });
    const app = await world.createApp({ worker: 'x' });
    world.formation.batchUpdate(world.account, app, [{ type: 'worker', quantity: 1 }]);
    await world.settle();
    const dyno = world.dynos.find(app, 'worker.1');
    const attachments = new Attachments(world.clock);
    const { attachUrl } = new OneOffService(world.context, attachments).runInside(world.account, app, dyno, {
      command: 'cat',
      forceNoTty: true,
    });
    const client = new TestClient();
    attachments.claim(attachUrl?.split('/').at(-1) ?? '')?.open(client);
    await world.settle();
    return { dyno, client, executed };
  };

  test('has its streams carried both ways and tells how it ended', async () => {
    const { client } = await begin();
    client.input.end('hello');
    await world.settle();
    expect(client).toMatchObject({ output: 'hello', finished: 0 });
    expect(world.engine.running()).toHaveLength(1);
  });

  test('is sent SIGHUP when its client leaves, then SIGKILL', async () => {
    const { client, executed } = await begin();
    client.close();
    await world.settle();
    expect(executed).toEqual(['HUP']);
    await world.advance(10_000);
    expect(executed).toEqual(['HUP', 'KILL']);
    expect(world.engine.running()).toHaveLength(1);
  });

  test('ends with its dyno', async () => {
    const { client } = await begin();
    world.engine.exit(world.engine.running()[0] ?? '', 1);
    await world.settle();
    expect(client.gone.aborted).toBe(true);
  });
});
