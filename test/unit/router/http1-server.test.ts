import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { systemClock } from '../../../src/lib/clock';
import type { ClientExchange, ClientTls } from '../../../src/router/client';
import { Http1Server } from '../../../src/router/http1-server';
import { makeCertificate } from '../../support/certificates';
import { eventually, TestClient } from '../../support/router-client';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Says back what it is sent, and who asked. */
function echoing(): { http1: Http1Server; seen: ClientExchange[] } {
  const seen: ClientExchange[] = [];
  const http1 = new Http1Server({
    clock: systemClock,
    idleMs: 60_000,
    lingerMs: 1_000,
    onExchange: (client) => {
      seen.push(client);
      const ignore = (): void => undefined;
      client.start({
        onBody: (chunk) => {
          client.write(chunk);
          client.flush();
        },
        onBodyEnd: (trailers) => client.end(trailers),
        onBodyBroken: () => client.destroy(),
        onDrain: ignore,
        onFinish: ignore,
        onAbort: ignore,
      });
      client.resume();
      client.writeHead(200, 'OK', []);
      if (!client.hasBody) client.end();
    },
  });
  ends.push(() => http1.destroy());
  return { http1, seen };
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

const POST = 'POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('HTTP/1 server', () => {
  test('takes sockets over from whoever accepted them', async () => {
    const { http1, seen } = echoing();
    const accepted: Socket[] = [];
    const port = await listening(createServer({ pauseOnConnect: true }, (socket) => accepted.push(socket)));
    const client = new TestClient(port).write(POST);
    await eventually(() => accepted.length === 1, 'connection');
    http1.accept(accepted[0]!);
    client.write('2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n');
    expect(await client.end()).toMatch(/\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n$/);
    expect(seen[0]).toMatchObject({ remoteAddress: '127.0.0.1', localPort: port, tls: null });
    expect(seen[0]!.bytesWritten).toBe(client.text.length);
  });

  test('takes secure ones over, too', async () => {
    const { key, cert } = await makeCertificate({ names: ['localhost'], authority: true });
    const tls: ClientTls = { version: 'tlsv1.3', serverName: 'localhost', covers: () => true };
    const { http1, seen } = echoing();
    const server = createTlsServer({ key, cert }, (socket) => http1.accept(socket, tls));
    const port = await listening(server);
    const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: cert });
    ends.push(() => socket.destroy());
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    let ended = false;
    socket.on('end', () => (ended = true));
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await eventually(() => text.endsWith('0\r\n\r\n'), 'first answer');
    const body = '#'.repeat(300_000);
    socket.write(`POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await eventually(() => ended, 'end of the second');
    expect(text.split('#').length - 1).toBe(body.length);
    expect(text.endsWith('0\r\n\r\n')).toBe(true);
    expect(seen[1]!.tls).toBe(tls);
  });

  test('is drained when its connections are idle', async () => {
    const { http1 } = echoing();
    const port = await listening(createServer((socket) => http1.accept(socket)));
    const [busy, idle, half] = [new TestClient(port), new TestClient(port), new TestClient(port)];
    busy.write(`${POST}2\r\nhi\r\n`);
    half.write('GET / HT');
    await busy.saw('hi');
    let drained = false;
    const draining = http1.drain().then(() => (drained = true));
    await idle.end();
    half.write('TP/1.1\r\nHost: x\r\n\r\n');
    expect(await half.end()).toContain('Connection: close');
    expect(drained).toBe(false);
    busy.write('0\r\n\r\n');
    expect(await busy.end()).toMatch(/0\r\n\r\n$/);
    await draining;
  });
});
