import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { ROUTER_PROTOCOL_VERSION } from '../../../src/router/protocol';
import {
  TestDaemon,
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

describe('control socket', () => {
  test('greets with protocol, port and table', async () => {
    await bench.start();
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

  test('is open to its owner only', async () => {
    await bench.start();
    expect(statSync(bench.socketPath).mode & 0o777).toBe(0o600);
  });

  test('belongs to the newest connection', async () => {
    await bench.start();
    const newer = bench.connectDaemon();
    await newer.serve(anApp({ web_quantity: 0 }));
    await eventually(() => bench.daemon.closed, 'older one is closed');
    await bench.get();
    expect(await newer.line()).toContain('code=H14');
    expect(bench.daemon.lines).toEqual([]);
  });

  test('ignores an older table on the same connection, not from a new one', async () => {
    await bench.start();
    const older = aTable();
    const newer = aTable(anApp());
    bench.daemon.send({ type: 'routes', table: newer });
    bench.daemon.send({ type: 'routes', table: older });
    await eventually(() => bench.daemon.of('applied').length === 2, 'both answered');
    expect(bench.router.tableVersion).toBe(newer.version);
    const restored = bench.connectDaemon();
    restored.send({ type: 'routes', table: older });
    await eventually(() => bench.router.tableVersion === older.version, 'older table of a new daemon');
  });

  test.each([
    ['no JSON', 'spam\n'],
    ['an unknown type', '{"type":"dance"}\n'],
    ['half a table', '{"type":"routes","table":{"version":9,"apps":[{}]}}\n'],
    [
      'an impossible port',
      `${JSON.stringify({ type: 'routes', table: aTable(anApp({ dynos: [aDyno(70000)] })) })}\n`,
    ],
    ['an endless line', 'x'.repeat(17 * 1024 * 1024)],
  ])('closes a connection that sends %s, and serves on', async (_what, text) => {
    await bench.start();
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    bench.daemon.socket.write(text);
    await eventually(() => bench.daemon.closed, 'closed');
    expect(await bench.get()).toContain('H14');
  });

  test('takes over the socket file of a router that was killed', async () => {
    await bench.start();
    const path = join(bench.dir, 'stale.sock');
    // A bound socket whose owner closes it without removing the file.
    const server = createServer().listen(path);
    await eventually(() => server.listening, 'stale socket');
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => server.close(resolve));
    renameSync(`${path}.kept`, path);
    await bench.another({ socketPath: path });
  });

  test('refuses to start beside another router', async () => {
    await bench.start();
    await expect(bench.another()).rejects.toThrow('another router is running');
    await pause(10);
    expect(bench.daemon.closed).toBe(false);
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    await bench.get();
    expect(await bench.daemon.line()).toContain('code=H14');
  });

  test('passes on that the router is to end', async () => {
    let asked = 0;
    await bench.start({ onShutdown: () => (asked += 1) });
    bench.daemon.send({ type: 'shutdown' });
    await eventually(() => asked === 1, 'shutdown');
  });
});

describe('without a daemon', () => {
  test('the router serves on by its last table', async () => {
    await bench.start();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    await bench.daemon.close();
    expect(statusOf(await bench.get())).toBe(200);
  });

  test('log lines are not lost to somebody who only looks whether a router runs', async () => {
    await bench.start();
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    await bench.daemon.close();
    await bench.get('/meanwhile');
    const looking = new TestDaemon(bench.socketPath, { silent: true });
    await eventually(() => looking.of('hello').length > 0, 'greeting');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(looking.lines).toEqual([]);
    await looking.close();
    expect(await bench.connectDaemon().line()).toContain('path="/meanwhile"');
  });

  test('log lines wait, and the oldest are dropped and counted beyond the bound', async () => {
    await bench.start({ limits: { bufferedLogLines: 3 } });
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    await bench.daemon.close();
    for (const n of [1, 2, 3, 4, 5]) await bench.get(`/${n}`);
    const again = bench.connectDaemon();
    await eventually(() => again.lines.length === 4, 'lines');
    expect(again.lines[0]!.text).toMatch(/^at=warning desc="Router log lines dropped" count=2 since=/);
    expect(again.lines.slice(1).map((line) => /path="([^"]*)"/.exec(line.text)?.[1])).toEqual([
      '/3',
      '/4',
      '/5',
    ]);
  });

  test('a restarted router serves the table on disk', async () => {
    await bench.start();
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    await bench.router.stop();
    expect(statSync(join(bench.dir, 'router-table.json')).mode & 0o777).toBe(0o600);
    bench.router = await bench.another();
    expect(statusOf(await bench.get())).toBe(200);
  });

  test.each(['', '{"version":', '{"version":1,"apps":[{"app_id":5}]}'])(
    'a restarted router starts empty on the snapshot %j and says so',
    async (content) => {
      await bench.start();
      await bench.router.stop();
      writeFileSync(join(bench.dir, 'router-table.json'), content);
      const warnings: string[] = [];
      const logger = {
        error: () => undefined,
        warn: (message: string) => void warnings.push(message),
        info: () => undefined,
        debug: () => undefined,
        child: () => logger,
      };
      bench.router = await bench.another({ logger });
      expect(bench.router.tableVersion).toBe(0);
      expect(warnings).toEqual(['route table snapshot unusable, starting empty']);
    },
  );

  test('the snapshot is always the newest table', async () => {
    await bench.start();
    for (let i = 0; i < 20; i++) bench.daemon.send({ type: 'routes', table: aTable(anApp()) });
    await eventually(() => bench.daemon.of('applied').length === 20, 'all applied');
    await bench.router.stop();
    const { version } = JSON.parse(readFileSync(join(bench.dir, 'router-table.json'), 'utf8'));
    expect(version).toBe(bench.router.tableVersion);
  });
});

describe('stopping', () => {
  test('lets a request under way end, and takes no new ones', async () => {
    await bench.start({ timeouts: { drainMs: 2000 } });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.received !== '', 'request at the dyno');
    const stopped = bench.router.stop();
    await pause(10);
    expect(await bench.client().end()).toBe('');
    dyno.sockets[0]!.write(HELLO);
    expect(await client.end()).toContain('Connection: close');
    await stopped;
    await eventually(() => bench.daemon.lines.length === 1, 'last log line');
    expect(bench.daemon.lines[0]!.text).toContain('status=200');
  });

  test('cuts what does not end in time, as H24', async () => {
    await bench.start({ timeouts: { drainMs: 20 } });
    const dyno = await bench.dyno(() => undefined);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.received !== '', 'request at the dyno');
    await bench.router.stop();
    expect(await client.end()).toBe('');
    await eventually(() => bench.daemon.lines.length === 1, 'last log line');
    expect(bench.daemon.lines[0]!.text).toMatch(/code=H24 desc="Forced close" .* status= /);
  });

  test('does not wait for a client that keeps its connection', async () => {
    await bench.start({ timeouts: { drainMs: 5000 } });
    const dyno = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await client.saw('hello');
    const startedAt = Date.now();
    await bench.router.stop();
    expect(Date.now() - startedAt).toBeLessThan(1000);
  });
});
