import type { AppRoutes } from '../../../src/router/protocol';
import {
  aDyno,
  anApp,
  aTable,
  eventually,
  HELLO,
  pause,
  RouterBench,
  statusOf,
  type TestDyno,
} from '../../support/router-client';

let bench: RouterBench;
let dyno: TestDyno;

beforeEach(async () => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

const awake = (idleAfterMs: number | null, more: Partial<AppRoutes> = {}): AppRoutes =>
  anApp({ idle_after_ms: idleAfterMs, dynos: [aDyno(dyno.port)], ...more });
const asleep = (idleAfterMs = 30): AppRoutes =>
  awake(idleAfterMs, { dynos: [aDyno(null, { state: 'idle' })] });

async function begin(script: Parameters<RouterBench['dyno']>[0] = HELLO): Promise<void> {
  await bench.start();
  dyno = await bench.dyno(script);
}

const idles = (): number => bench.daemon.of('idle').length;

describe('an app without traffic', () => {
  test('is found quiet after its time, and its requests are held until the daemon has decided', async () => {
    await begin();
    await bench.daemon.serve(awake(30));
    await eventually(() => idles() === 1, 'idle');
    expect(bench.daemon.of('idle')).toEqual([
      { type: 'idle', app_id: 'app-1', quiet_ms: expect.any(Number) },
    ]);
    expect(bench.daemon.of('idle')[0]!.quiet_ms).toBeGreaterThanOrEqual(30);
    const waiting = bench.get();
    await pause(20);
    expect(dyno.received).toBe('');
    // Held, but nothing has to be woken as long as nothing sleeps.
    expect(bench.daemon.of('wake')).toEqual([]);
    await bench.daemon.serve(asleep());
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await bench.daemon.serve(awake(10_000));
    expect(statusOf(await waiting)).toBe(200);
  });

  test('goes on when the daemon does not put it to sleep', async () => {
    await begin();
    await bench.daemon.serve(awake(30));
    await eventually(() => idles() === 1, 'idle');
    const waiting = bench.get();
    await pause(10);
    bench.daemon.send({ type: 'stay_awake', app_id: 'app-1' });
    expect(statusOf(await waiting)).toBe(200);
    expect(bench.daemon.of('wake')).toEqual([]);
    await eventually(() => idles() === 2, 'found quiet again');
  });

  test('stays parked through tables in which it is awake: they may have been sent before', async () => {
    await begin();
    await bench.daemon.serve(awake(30));
    await eventually(() => idles() === 1, 'idle');
    await bench.daemon.serve(awake(30));
    const waiting = bench.get();
    await pause(20);
    expect(dyno.received).toBe('');
    bench.daemon.send({ type: 'stay_awake', app_id: 'app-1' });
    expect(statusOf(await waiting)).toBe(200);
  });

  test('is not found quiet if it never sleeps by itself, has no dyno up, or is gone', async () => {
    await begin();
    await bench.daemon.serve(awake(null));
    await pause(60);
    await bench.daemon.serve(awake(20, { dynos: [aDyno(dyno.port, { state: 'starting' })] }));
    await pause(60);
    await bench.daemon.serve(awake(40));
    await bench.daemon.serve();
    await pause(80);
    expect(idles()).toBe(0);
  });

  test('serves on while no daemon is there', async () => {
    await begin();
    await bench.daemon.serve(awake(30));
    await bench.daemon.close();
    await pause(80);
    expect(statusOf(await bench.get())).toBe(200);
  });
});

describe('traffic keeps an app awake', () => {
  test('while a request is at the dyno, however long that takes', async () => {
    await begin(() => undefined);
    await bench.daemon.serve(awake(30));
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.received !== '', 'request at the dyno');
    await pause(100);
    expect(idles()).toBe(0);
    client.socket.destroy();
    await eventually(() => idles() === 1, 'idle');
  });

  test('while bytes pass through a tunnel, and not when none do', async () => {
    await begin((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      });
    });
    await bench.daemon.serve(awake(500));
    const client = bench.client();
    client.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    await eventually(() => client.text.includes('\r\n\r\n'), '101');
    for (let i = 0; i < 40; i += 1) {
      client.write('ping');
      await pause(20);
      expect(idles()).toBe(0);
    }
    await eventually(() => idles() === 1, 'idle');
    await bench.daemon.serve(asleep());
    // The dyno is frozen or gone: the tunnel leads nowhere.
    await eventually(() => client.ended, 'tunnel ended');
  });
});

describe('an app that is wanted asleep now', () => {
  test('is parked at once if nothing is under way', async () => {
    await begin();
    await bench.daemon.serve(awake(null));
    bench.daemon.send({ type: 'park', app_id: 'app-1' });
    await eventually(() => idles() === 1, 'idle');
    expect(bench.daemon.of('busy')).toEqual([]);
  });

  test('is not while requests are under way, which is told', async () => {
    await begin(() => undefined);
    await bench.daemon.serve(awake(null));
    for (let i = 0; i < 2; i += 1) bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.sockets.length === 2, 'requests at the dyno');
    bench.daemon.send({ type: 'park', app_id: 'app-1' });
    await eventually(() => bench.daemon.of('busy').length === 1, 'busy');
    expect(bench.daemon.of('busy')).toEqual([{ type: 'busy', app_id: 'app-1', in_flight: 2 }]);
  });
});

describe('a wake', () => {
  test('is reported with its first byte and how many had waited, once', async () => {
    await begin();
    await bench.daemon.serve(asleep());
    const waiting = [bench.get('/a'), bench.get('/b'), bench.get('/c')];
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await pause(20);
    expect(Date.now() - Date.parse(bench.daemon.of('wake')[0]!.at)).toBeLessThan(10_000);
    await bench.daemon.serve(awake(10_000));
    for (const answer of await Promise.all(waiting)) expect(statusOf(answer)).toBe(200);
    await bench.get();
    expect(bench.daemon.of('woken')).toEqual([
      { type: 'woken', app_id: 'app-1', held: 3, at: expect.any(String) },
    ]);
  });

  test('answers all who waited, though a dyno takes only so many at a time', async () => {
    bench = new RouterBench();
    await bench.start({ limits: { requestsPerDyno: 2, waitingPerApp: 40 } });
    let most = 0;
    let now = 0;
    dyno = await bench.dyno((socket) => {
      socket.on('data', () => {
        now += 1;
        most = Math.max(most, now);
        setTimeout(() => {
          now -= 1;
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        }, 5);
      });
    });
    await bench.daemon.serve(asleep());
    const waiting = Array.from({ length: 20 }, () => bench.get());
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await pause(30);
    await bench.daemon.serve(awake(10_000));
    // Those that come while others still wait get into line.
    waiting.push(...Array.from({ length: 5 }, () => bench.get()));
    for (const answer of await Promise.all(waiting)) expect(statusOf(answer)).toBe(200);
    expect(most).toBeLessThanOrEqual(2);
    expect(bench.daemon.of('wake')).toHaveLength(1);
  });

  test('lets those wait, too, who come when all who waited for it have gone on', async () => {
    bench = new RouterBench();
    await bench.start({ limits: { requestsPerDyno: 1 } });
    dyno = await bench.dyno((socket) => {
      socket.on('data', () => {
        setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 30);
      });
    });
    await bench.daemon.serve(asleep());
    const first = bench.get();
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await bench.daemon.serve(awake(10_000));
    expect(statusOf(await first)).toBe(200);
    const crowd = await Promise.all(Array.from({ length: 5 }, () => bench.get()));
    expect(crowd.map(statusOf)).toEqual([200, 200, 200, 200, 200]);
  });

  test('goes on when the client that caused it has gone', async () => {
    await begin();
    await bench.daemon.serve(asleep());
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    client.socket.destroy();
    expect(await bench.daemon.line()).toContain('code=H27');
    await bench.daemon.serve(awake(10_000));
    expect(statusOf(await bench.get())).toBe(200);
    expect(bench.daemon.of('wake')).toHaveLength(1);
  });
});

test('a maintenance page neither wakes an app nor keeps it awake', async () => {
  await begin();
  await bench.daemon.serve({ ...asleep(), maintenance: true });
  expect(statusOf(await bench.get())).toBe(503);
  expect(bench.daemon.of('wake')).toEqual([]);
  const table = aTable({ ...awake(60), maintenance: true });
  bench.daemon.send({ type: 'routes', table });
  const beat = setInterval(() => void bench.get(), 15);
  await eventually(() => idles() === 1, 'idle');
  clearInterval(beat);
});

test('an app whose dyno hours are used up is H82, and is not woken', async () => {
  await begin();
  await bench.daemon.serve({ ...asleep(), quota_exhausted: true });
  expect(await bench.get()).toContain('Asleep until next month');
  expect(await bench.daemon.line()).toMatch(
    /^at=info code=H82 desc="You've used up your dyno hour pool" method=GET .* dyno= connect= service= status=503 bytes=/,
  );
  expect(bench.daemon.of('wake')).toEqual([]);
});
