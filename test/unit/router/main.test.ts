import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/lib/logger';
import { runRouter } from '../../../src/router/main';
import { LineReader } from '../../../src/lib/line-reader';
import { aDyno, anApp, eventually, TestClient, TestDaemon, TestDyno } from '../../support/router-client';
import { isRunning, TYPESCRIPT } from '../../support/router-workers';

let dir: string;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'router-'))));
afterEach(() => rm(dir, { recursive: true, force: true }));

const config = () => ({
  dataDir: dir,
  listen: { hosts: ['127.0.0.1', '::1'], httpPort: 0 },
  logger: silentLogger,
});

async function connected(): Promise<TestDaemon> {
  for (;;) {
    const daemon = new TestDaemon(join(dir, 'router.sock'));
    await eventually(() => daemon.closed || daemon.of('hello').length === 1, 'answer or none');
    if (!daemon.closed) return daemon;
  }
}

describe('router process', () => {
  test.each([
    ['shutdown', (daemon: TestDaemon) => daemon.send({ type: 'shutdown' })],
    ['SIGTERM', () => void process.emit('SIGTERM')],
    ['SIGINT', () => void process.emit('SIGINT')],
  ])('ends on %s', async (_reason, end) => {
    const listeners = process.listenerCount('SIGTERM');
    const running = runRouter(config());
    end(await connected());
    await running;
    expect(process.listenerCount('SIGTERM')).toBe(listeners);
  });

  test('fails when its port is taken', async () => {
    const running = runRouter(config());
    const daemon = await connected();
    const [hello] = daemon.of('hello');
    await expect(
      runRouter({
        ...config(),
        dataDir: join(dir, 'other'),
        listen: { hosts: ['127.0.0.1'], httpPort: hello!.http_port },
      }),
    ).rejects.toThrow('EADDRINUSE');
    daemon.send({ type: 'shutdown' });
    await running;
  });
});

describe('router processes', () => {
  /** On a machine that may have much to do. */
  const START_MS = 20_000;
  jest.setTimeout(60_000);
  let primary: ChildProcess;
  let workers: number[];
  /** Messages of its own log. */
  let said: string[];
  let daemon: TestDaemon;
  let dyno: TestDyno;
  let clients: TestClient[];

  /** Three processes, each with a request that the dyno does not answer. */
  async function serving(drainMs: number): Promise<number> {
    const { dataDir, listen } = config();
    const script = join(__dirname, '../../support/router-process.ts');
    const argument = JSON.stringify({ dataDir, listen, workers: 3, timeouts: { drainMs } });
    primary = spawn(process.execPath, [...TYPESCRIPT, script, argument], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    workers = [];
    said = [];
    const reader = new LineReader(1 << 16, (line) => {
      const { message, pid } = JSON.parse(line) as { message: string; pid: number };
      said.push(message);
      if (message === 'router worker ready') workers.push(pid);
    });
    primary.stderr!.on('data', (chunk: Buffer) => reader.push(chunk));
    await eventually(() => workers.length === 2, 'workers', START_MS);
    daemon = await connected();
    dyno = await TestDyno.start(() => undefined);
    await daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const port = daemon.of('hello')[0]!.http_port;
    clients = [1, 2, 3].map(() =>
      new TestClient(port).write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n'),
    );
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'requests at the dyno');
    return port;
  }

  afterEach(async () => {
    primary.kill('SIGKILL');
    for (const client of clients) client.socket.destroy();
    daemon.socket.destroy();
    await dyno.stop();
    await eventually(() => !workers.some(isRunning), 'no worker is left');
  });

  test('end with a primary that is killed, whose port is free at once', async () => {
    const port = await serving(200);
    // Written in the background, which takes a busy disk its time.
    await eventually(() => existsSync(join(dir, 'router-table.json')), 'table on disk', START_MS);
    const ended = once(primary, 'exit');
    primary.kill('SIGKILL');
    await ended;
    const next = runRouter({ ...config(), listen: { hosts: ['127.0.0.1'], httpPort: port } });
    const nextDaemon = await connected();
    const client = new TestClient(port).write('GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n');
    await eventually(
      () => dyno.received.split('\r\n\r\n').length === 5,
      'request through the next router',
      20_000,
    );
    await eventually(() => !workers.some(isRunning), 'workers end');
    for (const { socket } of [client, nextDaemon]) socket.destroy();
    process.emit('SIGTERM');
    await next;
  });

  test('finish what they have when their primary is killed', async () => {
    await serving(10_000);
    const ended = once(primary, 'exit');
    primary.kill('SIGKILL');
    await ended;
    for (const socket of dyno.sockets) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    const answers = await Promise.all(clients.map((client) => client.end()));
    expect(answers.filter((answer) => answer.endsWith('hello'))).toHaveLength(2);
    await eventually(() => !workers.some(isRunning), 'workers end');
  });

  test('end in order on SIGTERM to all of them', async () => {
    await serving(10_000);
    const ended = once(primary, 'exit');
    for (const pid of [...workers, primary.pid!]) process.kill(pid, 'SIGTERM');
    await eventually(() => said.includes('router stopping'), 'stopping');
    for (const socket of dyno.sockets) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
    for (const client of clients) expect(await client.end()).toMatch(/hello$/);
    expect(await ended).toEqual([0, null]);
    expect(workers.filter(isRunning)).toEqual([]);
    await eventually(() => daemon.lines.length === 3, 'log lines');
  });

  test('end at once on a second SIGTERM', async () => {
    await serving(60_000);
    const ended = once(primary, 'exit');
    primary.kill('SIGTERM');
    await eventually(() => said.includes('router stopping'), 'stopping');
    primary.kill('SIGTERM');
    expect(await ended).toEqual([1, null]);
    await eventually(() => !workers.some(isRunning), 'workers end');
  });
});
