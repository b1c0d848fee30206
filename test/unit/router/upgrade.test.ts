import type { Socket } from 'node:net';
import {
  aDyno,
  anApp,
  eventually,
  HELLO,
  onHeads,
  pause,
  RouterBench,
  type TestClient,
} from '../../support/router-client';

let bench: RouterBench;
beforeEach(() => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

const HANDSHAKE =
  'GET /cable?x HTTP/1.1\r\nHost: demo.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n';
const SWITCHED =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-mIxEd: 1\r\n\r\n';

async function serving(script: (socket: Socket) => void, options = {}) {
  await bench.start(options);
  const dyno = await bench.dyno(script);
  await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
  return dyno;
}

/** Switches, then says back what it hears. */
const echo = (socket: Socket): void => {
  socket.once('data', () => {
    socket.write(SWITCHED);
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end());
  });
};

const statusOf = (client: TestClient): number => Number(client.text.split(' ')[1]);

describe('upgrade', () => {
  test('carries bytes both ways and is logged when it ends', async () => {
    const dyno = await serving(echo);
    const client = bench.client().write(HANDSHAKE);
    const head = await client.saw('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(head).toContain('\r\nX-mIxEd: 1\r\n');
    expect(head).toContain('\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    expect(dyno.received).toContain('\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n');
    expect(dyno.received).toContain('\r\nSec-WebSocket-Key: abc\r\n');
    client.write('ping');
    await client.saw('ping');
    await pause(10);
    expect(bench.daemon.lines).toEqual([]);
    client.socket.end();
    await client.end();
    expect(await bench.daemon.line()).toMatch(
      new RegExp(
        `^at=info method=GET path="/cable\\?x" .* dyno=web\\.1 .* status=101 bytes=${client.text.length} `,
      ),
    );
  });

  test('loses no byte that either side sends early', async () => {
    const dyno = await serving((socket) => {
      socket.once('data', () => {
        socket.write(`${SWITCHED}early from dyno`);
        socket.on('data', () => undefined);
      });
    });
    const client = bench.client().write(`${HANDSHAKE}early `).write('from client');
    await client.saw('early from dyno');
    await eventually(() => dyno.received.endsWith('\r\n\r\nearly from client'), 'early bytes');
  });

  test('takes any protocol and any verb', async () => {
    await serving((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\nhi');
      });
    });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: chat/2\r\n\r\n');
    await client.saw('\r\n\r\nhi');
    expect(client.text).toContain('101 Fine');
  });

  test('carries more than fits into any buffer', async () => {
    await serving(echo);
    const client = bench.client().write(HANDSHAKE);
    await client.saw('\r\n\r\n');
    const before = client.text.length;
    client.write('x'.repeat(5_000_000));
    await eventually(() => client.text.length === before + 5_000_000, 'all is back', 10_000);
  });

  test('lets a side that has ended go on reading', async () => {
    await serving((socket) => {
      socket.once('data', () => {
        socket.write(SWITCHED);
        socket.on('end', () => setTimeout(() => socket.end('last words'), 10));
      });
    });
    const client = bench.client().write(HANDSHAKE);
    await client.saw('101');
    client.socket.end();
    expect((await client.end()).endsWith('last words')).toBe(true);
    expect(await bench.daemon.line()).toContain('status=101');
  });

  test('ends with H15 when nothing passes, not while something does', async () => {
    await serving(echo, { timeouts: { idleMs: 250 } });
    const client = bench.client().write(HANDSHAKE);
    await client.saw('101');
    for (let i = 0; i < 6; i++) {
      client.write('.');
      await pause(70);
    }
    expect(client.ended).toBe(false);
    await client.end();
    expect(await bench.daemon.line()).toMatch(/^at=error code=H15 desc="Idle connection" .* status=503 /);
  });

  test('ends when the dyno is lost', async () => {
    const dyno = await serving(echo);
    const client = bench.client().write(HANDSHAKE);
    await client.saw('101');
    dyno.sockets[0]!.destroy();
    await client.end();
    expect(await bench.daemon.line()).toContain('status=101');
  });

  test('is an ordinary answer when the dyno does not switch', async () => {
    await serving((socket) => onHeads(socket, () => socket.write(HELLO)));
    const client = bench.client().write(HANDSHAKE);
    expect(await client.end()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*Connection: close\r\n[^]*hello$/);
    expect(await bench.daemon.line()).toContain('status=200');
  });

  test('is refused like any request', async () => {
    await bench.start();
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    const client = bench.client().write(HANDSHAKE);
    expect(await client.end()).toContain('H14');
    expect(statusOf(client)).toBe(503);
  });

  test('waits for a dyno that starts', async () => {
    await bench.start();
    await bench.daemon.serve(anApp());
    const client = bench.client().write(HANDSHAKE);
    await pause(20);
    const dyno = await bench.dyno(echo);
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    await client.saw('101');
  });

  test('is H27 when the client goes away before the dyno has switched', async () => {
    const dyno = await serving(() => undefined);
    const client = bench.client().write(HANDSHAKE);
    await eventually(() => dyno.received !== '', 'request at the dyno');
    client.socket.destroy();
    expect(await bench.daemon.line()).toContain('code=H27');
  });

  test('is ignored for a request with a body', async () => {
    const dyno = await serving((socket) => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk.toString();
        if (text.endsWith('body')) socket.write(HELLO);
      });
    });
    const client = bench
      .client()
      .write(
        'POST /p HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nContent-Length: 4\r\n\r\nbo',
      );
    await pause(10);
    client.write('dy');
    await client.saw('hello');
    expect(dyno.received).toContain('\r\ncontent-length: 4\r\n');
    expect(dyno.received).not.toMatch(/h2c|HTTP2-Settings/);
    // The connection goes on as any other.
    client.write('POST /p HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 4\r\n\r\nbody');
    await eventually(() => client.text.split('hello').length === 3, 'second answer');
  });

  test('that nobody asked for is H17', async () => {
    await serving((socket) => onHeads(socket, () => socket.write(SWITCHED)));
    const client = bench
      .client()
      .write('GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n');
    expect(await client.end()).toContain('H17');
  });

  test('does not hold up a stop', async () => {
    await serving(echo, { timeouts: { drainMs: 5000 } });
    const client = bench.client().write(HANDSHAKE);
    await client.saw('101');
    const startedAt = Date.now();
    await bench.router.stop();
    expect(Date.now() - startedAt).toBeLessThan(1500);
    await client.end();
  });
});
