import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSocketServer, type AddressInfo } from 'node:net';
import { runLoad, type LoadOptions } from '../../../src/cli/bench/load';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function serve(listener: RequestListener): Promise<{ server: Server; origin: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function options(origin: string, more: Partial<LoadOptions> = {}): LoadOptions {
  return {
    origin,
    host: 'shop.localhost',
    path: '/page?a=b',
    method: 'GET',
    headers: [],
    body: undefined,
    connections: 4,
    durationMs: 200,
    requestId: 'dynodock-bench-test-test',
    signal: new AbortController().signal,
    ...more,
  };
}

describe('a load', () => {
  test('sends what it is told to, on so many connections, and counts what comes back', async () => {
    const heads = new Set<string>();
    let requests = 0;
    let connections = 0;
    const { server, origin } = await serve((request, response) => {
      requests += 1;
      const { host, 'x-request-id': id, 'x-more': more } = request.headers;
      heads.add([request.method, request.url, host, id, more].map(String).join(' '));
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        heads.add(Buffer.concat(chunks).toString());
        response.statusCode = requests % 2 === 0 ? 200 : 503;
        response.end('12 bytes long'.slice(1));
      });
    });
    server.on('connection', () => (connections += 1));
    const result = await runLoad(
      options(origin, { method: 'POST', body: 'a body', headers: [['X-More', 'yes']] }),
    );
    expect([...heads]).toEqual(['POST /page?a=b shop.localhost dynodock-bench-test-test yes', 'a body']);
    expect(connections).toBe(4);
    expect(result.sent).toBe(requests);
    expect(result.answered).toBe(requests);
    expect((result.statuses.get(200) ?? 0) + (result.statuses.get(503) ?? 0)).toBe(requests);
    expect(result.statuses.get(503)).toBe(Math.ceil(requests / 2));
    expect(result.bodyBytes).toBe(requests * 12);
    expect(result.errors.size).toBe(0);
    expect(result.requestsPerSecond).toBeGreaterThan(0);
    expect(result.latencyMs.p50).toBeLessThanOrEqual(result.latencyMs.p99);
  });

  test('takes the time of each answer right where the server closes connections', async () => {
    const { origin } = await serve((_request, response) => {
      setTimeout(() => response.setHeader('Connection', 'close').end('closing'), 20);
    });
    const startedAt = performance.now();
    const result = await runLoad(options(origin, { connections: 1, durationMs: 300 }));
    const tookMs = performance.now() - startedAt;
    expect(result.answered).toBeGreaterThan(1);
    expect(result.latencyMs.p50).toBeGreaterThanOrEqual(19);
    // Requests follow each other, so that all latencies together fit into the time; half of them are p50 or more.
    expect((result.latencyMs.p50 * result.answered) / 2).toBeLessThanOrEqual(tookMs);
  });

  test('waits for the answers under way when the time is over', async () => {
    let requests = 0;
    const { origin } = await serve((_request, response) => {
      requests += 1;
      setTimeout(() => response.end('late'), 150);
    });
    const result = await runLoad(options(origin, { connections: 3, durationMs: 50 }));
    expect({ requests, sent: result.sent, answered: result.answered }).toEqual({
      requests: 3,
      sent: 3,
      answered: 3,
    });
    expect(result.requestsPerSecond).toBe(0);
  });

  test('counts what is not answered, and goes on', async () => {
    let connections = 0;
    const server = createSocketServer((socket) => {
      connections += 1;
      socket.on('error', () => undefined);
      socket.once('data', () =>
        connections === 1
          ? socket.destroy()
          : socket.end('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n'),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const result = await runLoad(options(origin, { connections: 1 }));
    expect([...result.errors.values()]).toEqual([1]);
    expect(result.statuses.get(204)).toBe(result.sent - 1);
  });

  test('ends at once when it is called off', async () => {
    const calledOff = new AbortController();
    const { origin } = await serve(() => calledOff.abort(new Error('called off')));
    await expect(runLoad(options(origin, { durationMs: 60_000, signal: calledOff.signal }))).rejects.toThrow(
      'called off',
    );
  });
});
