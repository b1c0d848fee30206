import { connect } from 'node:net';
import { ScriptedBackend } from '../../support/scripted-backend';
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

let bench: RouterBench;
beforeEach(() => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

const sleeping = (): ReturnType<typeof anApp> => anApp({ dynos: [aDyno(null, { state: 'idle' })] });

describe('a request with no dyno up', () => {
  test.each([
    ['one that starts', [aDyno(null, { state: 'starting' })]],
    ['one that is up at no known address', [aDyno(null)]],
    ['none listed, as between two releases', []],
    ['a stopped one', [aDyno(null, { state: 'down' })]],
    [
      'a crashed one beside a starting one',
      [aDyno(null, { id: 'a', state: 'crashed' }), aDyno(null, { id: 'b', state: 'starting' })],
    ],
  ] as const)('waits for %s and goes on once one is up', async (_what, dynos) => {
    await bench.start();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [...dynos] }));
    const waiting = bench.get();
    await pause(20);
    expect(dyno.received).toBe('');
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    expect(statusOf(await waiting)).toBe(200);
    expect(bench.daemon.of('wake')).toEqual([]);
  });

  test('is H20 when none comes up in time', async () => {
    await bench.start({ timeouts: { bootMs: 30 } });
    await bench.daemon.serve(anApp({ dynos: [aDyno(null, { state: 'starting' })] }));
    expect(await bench.get()).toContain('H20');
    expect(await bench.daemon.line()).toMatch(/code=H20 desc="App boot timeout" .* dyno= connect= service= /);
  });

  test('is H10 as soon as the starting dyno crashes', async () => {
    await bench.start();
    await bench.daemon.serve(anApp({ dynos: [aDyno(null, { state: 'starting' })] }));
    const waiting = bench.get();
    await pause(10);
    await bench.daemon.serve(anApp({ dynos: [aDyno(null, { state: 'crashed' })] }));
    expect(await waiting).toContain('H10');
  });

  test('is a 404 when the app is destroyed meanwhile', async () => {
    await bench.start();
    await bench.daemon.serve(anApp());
    const waiting = bench.get();
    await pause(10);
    await bench.daemon.serve();
    expect(statusOf(await waiting)).toBe(404);
  });

  test('is H11 when too many wait already', async () => {
    await bench.start({ limits: { waitingPerApp: 1 } });
    await bench.daemon.serve(anApp());
    bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await pause(20);
    expect(await bench.get()).toContain('H11');
  });

  test('makes room when its client goes away', async () => {
    await bench.start({ limits: { waitingPerApp: 1 } });
    await bench.daemon.serve(anApp());
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await pause(20);
    client.socket.destroy();
    expect(await bench.daemon.line()).toContain('code=H27');
    const waiting = bench.get();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    expect(statusOf(await waiting)).toBe(200);
  });

  test('keeps its body until there is a dyno', async () => {
    await bench.start();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp());
    const waiting = bench.request('POST / HTTP/1.1\nHost: demo.localhost\nContent-Length: 4', 'body');
    await pause(20);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    expect(statusOf(await waiting)).toBe(200);
    expect(dyno.received.endsWith('\r\n\r\nbody')).toBe(true);
  });
});

describe('a sleeping dyno', () => {
  test('is woken once, however many requests wait', async () => {
    await bench.start();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(sleeping());
    const waiting = [bench.get('/first?x'), bench.get('/second'), bench.get('/third')];
    await eventually(() => bench.daemon.of('wake').length > 0, 'wake');
    await bench.daemon.serve(sleeping());
    await pause(10);
    expect(bench.daemon.of('wake')).toEqual([
      expect.objectContaining({ app_id: 'app-1', method: 'GET', fwd: '127.0.0.1', path: expect.any(String) }),
    ]);
    await bench.daemon.serve(anApp({ dynos: [aDyno(null, { state: 'starting' })] }));
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    for (const answer of await Promise.all(waiting)) expect(statusOf(answer)).toBe(200);
  });

  test('is asked for again by a daemon that comes back', async () => {
    await bench.start();
    await bench.daemon.serve(sleeping());
    void bench.get();
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await bench.daemon.close();
    const again = bench.connectDaemon();
    await eventually(() => again.of('wake').length === 1, 'wake again');
  });

  test('is asked for by a request that came while no daemon was there', async () => {
    await bench.start();
    await bench.daemon.serve(sleeping());
    await bench.daemon.close();
    void bench.get();
    await pause(20);
    const again = bench.connectDaemon();
    await eventually(() => again.of('wake').length === 1, 'wake');
  });

  test('is woken anew when it fell asleep again', async () => {
    await bench.start();
    await bench.daemon.serve(sleeping());
    void bench.get();
    await eventually(() => bench.daemon.of('wake').length === 1, 'wake');
    await bench.daemon.serve(anApp({ dynos: [aDyno(null, { state: 'starting' })] }));
    await bench.daemon.serve(sleeping());
    await eventually(() => bench.daemon.of('wake').length === 2, 'second wake');
  });
});

test('a request goes on with a dyno that vanishes from the table', async () => {
  await bench.start();
  const dyno = await bench.dyno(() => undefined);
  await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
  const waiting = bench.get();
  await eventually(() => dyno.received !== '', 'request at the dyno');
  bench.daemon.send({ type: 'routes', table: aTable(anApp()) });
  await pause(20);
  dyno.sockets[0]!.write(HELLO);
  expect(statusOf(await waiting)).toBe(200);
});

describe('a dyno that does not accept any more', () => {
  test.each([
    ['goes on with one that a newer table has', (port: number) => [aDyno(port)]],
    ['waits when a newer table has none', () => [aDyno(null, { state: 'starting' as const })]],
  ])('a request for it %s', async (_what, dynos) => {
    await bench.start({ timeouts: { connectMs: 300 } });
    const next = await bench.dyno(HELLO);
    // Stopped before it accepts anything: once its short queue is full, the kernel leaves a SYN unanswered.
    const deaf = await ScriptedBackend.start({ BACKLOG: '1' });
    deaf.signal('SIGSTOP');
    const queued = Array.from({ length: 8 }, () => connect(deaf.port, '127.0.0.1'));
    for (const socket of queued) socket.on('error', () => undefined);
    try {
      await bench.daemon.serve(anApp({ dynos: [aDyno(deaf.port)] }));
      const answer = bench.get();
      await pause(20);
      await bench.daemon.serve(anApp({ dynos: dynos(next.port) }));
      await pause(400);
      await bench.daemon.serve(anApp({ dynos: [aDyno(next.port)] }));
      expect(statusOf(await answer)).toBe(200);
    } finally {
      for (const socket of queued) socket.destroy();
      await deaf.stop();
    }
  });
});
