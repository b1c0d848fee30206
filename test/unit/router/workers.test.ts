import { silentLogger, type Logger } from '../../../src/lib/logger';
import { ROUTER_PROTOCOL_VERSION } from '../../../src/router/protocol';
import type { RouterOptions } from '../../../src/router/router';
import { HttpsBench } from '../../support/https-bench';
import {
  aDyno,
  anApp,
  aTable,
  eventually,
  HELLO,
  pause,
  RouterBench,
  statusOf,
} from '../../support/router-client';
import { forkWorker, isRunning } from '../../support/router-workers';

/** Processes have to start, on a machine that may have much to do. */
const START_MS = 20_000;
jest.setTimeout(60_000);

let bench: RouterBench;
beforeEach(() => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

/** A router of so many processes. */
async function start(workers: number, more: Partial<RouterOptions> = {}): Promise<void> {
  await bench.start({ workers, forkWorker, ...more });
  await eventually(() => bench.router.workerPids.length === workers - 1, 'workers ready', START_MS);
}

const times = <T>(count: number, make: (n: number) => T): T[] =>
  Array.from({ length: count }, (_, n) => make(n));
const ask = (n = 0) => bench.client().write(`GET /${n} HTTP/1.1\r\nHost: demo.localhost\r\n\r\n`);

describe('connections', () => {
  test('go to all processes in turns, each of which has limits of its own', async () => {
    await start(3, { limits: { requestsPerDyno: 1 } });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    times(3, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'one request of each at the dyno');
    for (const answer of await Promise.all(times(3, () => bench.get()))) expect(answer).toContain('H11');
  });

  test('tell every process who asks, and on which port', async () => {
    await start(2);
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    for (const answer of await Promise.all(times(2, () => bench.get()))) expect(statusOf(answer)).toBe(200);
    expect(dyno.received.match(/X-Forwarded-For: 127\.0\.0\.1\r\n/g)).toHaveLength(2);
    expect(
      dyno.received.match(new RegExp(`X-Forwarded-Port: ${bench.router.httpPort}\r\n`, 'g')),
    ).toHaveLength(2);
  });

  test('are as secure in every process, and a session that one began another resumes', async () => {
    const https = new HttpsBench();
    bench = https;
    await start(2, { listen: { hosts: ['127.0.0.1'], httpPort: 0, httpsPort: 0 } });
    const dyno = await bench.dyno(HELLO);
    await https.serve(await https.app({ dynos: [aDyno(dyno.port)] }));
    const head = 'GET / HTTP/1.1\nHost: demo.localhost';
    for (let n = 0; n < 4; n++) expect(await https.secureRequest(head, 'demo.localhost')).toContain('hello');
    expect(dyno.received.match(/X-Forwarded-Proto: https\r\n/g)).toHaveLength(4);
    const port = new RegExp(`X-Forwarded-Port: ${https.httpsPort}\r\n`, 'g');
    expect(dyno.received.match(port)).toHaveLength(4);

    const first = await https.connect('demo.localhost');
    first.resume();
    const session = await https.sessionOf(first);
    const resumed: boolean[] = [];
    for (let n = 0; n < 3; n++) {
      resumed.push((await https.connect('demo.localhost', { session })).isSessionReused());
    }
    expect(resumed).toEqual([true, true, true]);
  });

  test('may be closed to one half after the request', async () => {
    await start(2);
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const clients = times(2, ask);
    for (const client of clients) client.socket.end();
    await eventually(() => dyno.received.split('\r\n\r\n').length === 3, 'requests at the dyno');
    await pause(20);
    for (const socket of dyno.sockets) socket.write(HELLO);
    for (const client of clients) expect(await client.end()).toMatch(/hello$/);
  });

  test('may be upgraded, and closed to one half', async () => {
    await start(2);
    const dyno = await bench.dyno((socket) =>
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
        socket.pipe(socket);
      }),
    );
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const clients = times(2, () =>
      bench
        .client()
        .write('GET / HTTP/1.1\r\nHost: demo.localhost\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly'),
    );
    for (const client of clients) {
      await client.saw('\r\n\r\nearly');
      client.socket.end(' late');
      expect(await client.end()).toMatch(/early late$/);
    }
  });

  test('are served by the primary while no other is ready', async () => {
    await bench.start({ workers: 2, forkWorker });
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    for (const answer of await Promise.all(times(4, () => bench.get()))) expect(answer).toContain('H14');
  });
});

describe('tables', () => {
  test('are confirmed once all processes serve them', async () => {
    await start(3);
    const dyno = await bench.dyno(HELLO);
    for (const round of [1, 2, 3]) {
      await bench.daemon.serve(anApp({ web_quantity: 0 }));
      for (const answer of await Promise.all(times(6, () => bench.get(`/${round}`))))
        expect(answer).toContain('H14');
      await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
      for (const answer of await Promise.all(times(6, () => bench.get(`/${round}`))))
        expect(answer).toContain('hello');
    }
  });

  test('are not confirmed before', async () => {
    await start(2);
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    const tables = [aTable(anApp()), aTable()];
    for (const table of tables) bench.daemon.send({ type: 'routes', table });
    await eventually(() => bench.router.tableVersion === tables[1]!.version, 'served by the primary');
    await pause(30);
    expect(bench.daemon.of('applied')).toEqual([]);
    process.kill(pid!, 'SIGCONT');
    await eventually(() => bench.daemon.of('applied').length === 2, 'both confirmed');
    expect(bench.daemon.of('applied').map((message) => message.table_version)).toEqual(
      tables.map((table) => table.version),
    );
    expect(bench.router.workerPids).toEqual([pid]);
  });

  test('are confirmed without a process that does not reply, which is replaced', async () => {
    await start(2, { workerTimings: { replyMs: 60 } });
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    expect(isRunning(pid!)).toBe(false);
    await eventually(() => bench.router.workerPids.length === 1, 'replacement', START_MS);
    expect(bench.router.workerPids).not.toContain(pid);
    for (const answer of await Promise.all(times(4, () => bench.get()))) expect(answer).toContain('H14');
  });
});

describe('what the daemon hears', () => {
  test('is each log line of every process, once', async () => {
    await start(3);
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    await Promise.all(times(12, (n) => bench.get(`/${n}`)));
    await eventually(() => bench.daemon.lines.length >= 12, 'lines');
    await bench.router.stop();
    expect(bench.daemon.lines.map(({ text }) => /path="([^"]*)".*status=200/.exec(text)?.[1]).sort()).toEqual(
      times(12, (n) => `/${n}`).sort(),
    );
  });

  test('is one greeting, of the primary', async () => {
    await start(2);
    await bench.daemon.serve(anApp());
    expect(bench.daemon.of('hello')).toEqual([
      {
        type: 'hello',
        protocol: ROUTER_PROTOCOL_VERSION,
        pid: process.pid,
        table_version: 0,
        http_port: bench.router.httpPort,
      },
    ]);
  });

  test('is one wake of an app, however many processes hold requests for it', async () => {
    await start(3, { limits: { waitingPerApp: 2 } });
    const asleep = anApp({ dynos: [aDyno(null, { state: 'idle' })] });
    await bench.daemon.serve(asleep);
    const held = times(6, ask);
    // Each process has as many as it may hold, and its lines come after its wakes.
    await Promise.all(times(3, () => bench.get('/more')));
    await eventually(() => bench.daemon.lines.length === 3, 'lines');
    for (const { text } of bench.daemon.lines) expect(text).toContain('code=H11');
    expect(bench.daemon.of('wake')).toMatchObject([{ app_id: 'app-1', method: 'GET' }]);

    const next = bench.connectDaemon();
    await Promise.all(times(3, () => bench.get('/more')));
    await eventually(() => next.lines.length === 3, 'lines at the next daemon');
    expect(next.of('wake')).toMatchObject([{ app_id: 'app-1' }]);

    const dyno = await bench.dyno(HELLO);
    await next.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    for (const client of held) await client.saw('hello');
    await next.serve(asleep);
    ask();
    await eventually(() => next.of('wake').length === 2, 'wake of the next sleep');
  });
});

describe('an app sleeps', () => {
  const awake = (port: number) => anApp({ idle_after_ms: 60, dynos: [aDyno(port)] });
  const asleep = anApp({ dynos: [aDyno(null, { state: 'idle' })] });

  test('once it is quiet in all processes, which then all hold its requests', async () => {
    await start(3);
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(awake(dyno.port));
    const clients = times(3, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'requests at the dyno');
    for (const socket of dyno.sockets) {
      await pause(80);
      expect(bench.daemon.of('idle')).toEqual([]);
      socket.write(HELLO);
    }
    for (const client of clients) await client.saw('hello');
    await eventually(() => bench.daemon.of('idle').length === 1, 'idle');
    expect(bench.daemon.of('idle')[0]!.quiet_ms).toBeGreaterThanOrEqual(60);
    const held = times(3, ask);
    await pause(30);
    expect(dyno.received.split('\r\n\r\n')).toHaveLength(4);
    expect(bench.daemon.of('wake')).toEqual([]);
    bench.daemon.send({ type: 'stay_awake', app_id: 'app-1' });
    await eventually(() => dyno.received.split('\r\n\r\n').length === 7, 'held requests at the dyno');
    for (const socket of dyno.sockets) socket.write(HELLO);
    for (const client of held) await client.saw('hello');
  });

  test('not while requests are under way, counted over all processes', async () => {
    await start(3);
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(awake(dyno.port));
    times(5, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 6, 'requests at the dyno');
    bench.daemon.send({ type: 'park', app_id: 'app-1' });
    await eventually(() => bench.daemon.of('busy').length === 1, 'busy');
    expect(bench.daemon.of('busy')).toEqual([{ type: 'busy', app_id: 'app-1', in_flight: 5 }]);
  });

  test('and a process that comes meanwhile holds its requests too', async () => {
    await start(2);
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(awake(dyno.port));
    await eventually(() => bench.daemon.of('idle').length === 1, 'idle');
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGKILL');
    await eventually(
      () => bench.router.workerPids.length === 1 && !bench.router.workerPids.includes(pid!),
      'replacement',
      START_MS,
    );
    const held = times(4, ask);
    await pause(50);
    expect(dyno.received).toBe('');
    await bench.daemon.serve(asleep);
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await bench.daemon.serve(awake(dyno.port));
    for (const client of held) await client.saw('hello');
  });

  test('and one report says how many waited in all processes when it woke', async () => {
    await start(3);
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(asleep);
    const held = times(7, ask);
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    // What all of them hold is told with the refusal to park the app.
    await eventually(() => {
      bench.daemon.send({ type: 'park', app_id: 'app-1' });
      return bench.daemon.of('busy').at(-1)?.in_flight === 7;
    }, 'all held');
    await bench.daemon.serve(awake(dyno.port));
    for (const client of held) await client.saw('hello');
    await eventually(() => bench.daemon.of('woken').length === 1, 'woken');
    expect(bench.daemon.of('woken')).toMatchObject([{ app_id: 'app-1', held: 7 }]);
    await pause(20);
    expect(bench.daemon.of('woken')).toHaveLength(1);
  });
});

describe('a worker that hangs', () => {
  test('is passed over while connections wait for it', async () => {
    await start(2, { workerTimings: { takeMs: 20 } });
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    const waiting = times(2, ask);
    await eventually(() => waiting.some((client) => client.text.includes('H14')), 'answer of the primary');
    await pause(40);
    for (const answer of await Promise.all(times(4, () => bench.get()))) expect(answer).toContain('H14');
    process.kill(pid!, 'SIGCONT');
    for (const client of waiting) await client.saw('H14');
    expect(bench.router.workerPids).toEqual([pid]);
  });

  test('is ended when it takes none for long, and they are served all the same', async () => {
    await start(2, { workerTimings: { replyMs: 60 } });
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    const clients = times(6, ask);
    for (const client of clients) await client.saw('H14');
    expect(isRunning(pid!)).toBe(false);
  });
});

describe('a worker that is killed', () => {
  test('is replaced, and nothing of the others suffers', async () => {
    const warnings: unknown[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (message, fields) => void warnings.push({ message, ...fields }),
      child: () => logger,
    };
    await start(3, { logger });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const clients = times(3, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'requests at the dyno');
    const [pid, other] = bench.router.workerPids;
    process.kill(pid!, 'SIGKILL');
    await eventually(
      () => clients.filter((client) => client.closed || client.ended).length === 1,
      'one is cut off',
    );
    await eventually(
      () => bench.router.workerPids.length === 2 && !bench.router.workerPids.includes(pid!),
      'replacement',
      START_MS,
    );
    expect(bench.router.workerPids).toContain(other);
    expect(warnings).toEqual([{ message: 'router worker ended', pid, code: null, signal: 'SIGKILL' }]);
    for (const socket of dyno.sockets) socket.write(HELLO);
    await eventually(
      () => clients.filter((client) => client.text.endsWith('hello')).length === 2,
      'the other two',
    );
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    for (const answer of await Promise.all(times(6, () => bench.get()))) expect(answer).toContain('H14');
  });

  test('loses no connection that had not reached it', async () => {
    await start(2);
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    const clients = times(6, ask);
    await eventually(
      () => clients.filter((client) => client.text.includes('H14')).length === 3,
      'answers of one',
    );
    process.kill(pid!, 'SIGKILL');
    for (const client of clients) await client.saw('H14');
    await eventually(() => bench.daemon.lines.length === 6, 'log lines');
  });
});

describe('stopping', () => {
  test('waits for requests in other processes, and for their log lines', async () => {
    await start(3, { timeouts: { drainMs: 5_000 } });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const { workerPids } = bench.router;
    const clients = times(3, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'requests at the dyno');
    const stopped = bench.router.stop();
    // Until the other processes have heard of it, which nothing shows.
    await pause(300);
    expect(await bench.client().end()).toBe('');
    for (const socket of dyno.sockets) socket.write(HELLO);
    for (const client of clients) {
      const answer = await client.end();
      expect(answer).toContain('Connection: close');
      expect(answer).toMatch(/hello$/);
    }
    await stopped;
    expect(workerPids.filter(isRunning)).toEqual([]);
    await eventually(() => bench.daemon.lines.length === 3, 'log lines');
    for (const { text } of bench.daemon.lines) expect(text).toContain('status=200');
  });

  test('cuts what does not end in time, as H24', async () => {
    await start(3, { timeouts: { drainMs: 20 } });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const clients = times(3, ask);
    await eventually(() => dyno.received.split('\r\n\r\n').length === 4, 'requests at the dyno');
    await bench.router.stop();
    for (const client of clients) expect(await client.end()).toBe('');
    await eventually(() => bench.daemon.lines.length === 3, 'log lines');
    for (const { text } of bench.daemon.lines) expect(text).toContain('code=H24');
  });

  test('ends a process that does not drain', async () => {
    await start(2, { timeouts: { drainMs: 20 }, workerTimings: { endMs: 20 } });
    const [pid] = bench.router.workerPids;
    process.kill(pid!, 'SIGSTOP');
    await bench.router.stop();
    expect(isRunning(pid!)).toBe(false);
  });

  test('ends processes that are still starting', async () => {
    await bench.start({ workers: 3, forkWorker });
    await bench.router.stop();
    expect(bench.router.workerPids).toEqual([]);
  });
});
