import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect, createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { createApiServer, PortInUseError } from '../../../src/api/server';
import type { Apps } from '../../../src/platform/apps/apps';
import { FakeClock } from '../../support/fake-clock';
import { TestApi } from '../../support/api';

interface RawAnswer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

let api: TestApi;
beforeEach(async () => {
  api = await TestApi.start();
});
afterEach(() => api.stop());

/** With all of a request's properties in our hands, as fetch does not give them. */
function raw(secure: boolean, options: RequestOptions, body?: Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(
      {
        host: '127.0.0.1',
        port: api.server.port,
        ca: api.tls.ca,
        servername: 'localhost',
        agent: false,
        ...options,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

describe('the port', () => {
  test.each([false, true])('serves the same with TLS or without (%p)', async (secure) => {
    const answer = await raw(secure, { path: '/account', headers: { Authorization: `Bearer ${api.token}` } });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({ email: 'a@b.example' });
  });

  test('listens on the IPv6 loopback as well, where there is one', async () => {
    const probe = createServer();
    const hasIpv6 = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(0, '::1', () => resolve(true));
    });
    if (hasIpv6) await new Promise((resolve) => probe.close(resolve));
    const answer = raw(false, {
      host: '::1',
      path: '/schema',
      headers: { Host: `[::1]:${api.server.port}` },
    });
    if (hasIpv6) expect((await answer).status).toBe(200);
    else await expect(answer).rejects.toThrow();
  });

  test.each([false, true])('keeps a connection for several requests (TLS %p)', async (secure) => {
    const { Agent } = secure ? await import('node:https') : await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<unknown>();
    agent.on('free', (socket: { localPort?: number }) => ports.add(socket.localPort));
    for (let round = 0; round < 3; round++) {
      expect((await raw(secure, { path: '/schema', agent })).status).toBe(200);
    }
    expect(ports.size).toBe(1);
    agent.destroy();
  });

  test.each([false, true])(
    'hands out URLs of the scheme and host that it was reached by (TLS %p)',
    async (secure) => {
      const app = api.anApp();
      const answer = await raw(secure, {
        method: 'POST',
        path: `/apps/${app.name}/log-sessions`,
        headers: { Authorization: `Bearer ${api.token}`, Host: `localhost:${api.server.port}` },
      });
      expect(JSON.parse(answer.text).logplex_url).toMatch(
        new RegExp(`^${secure ? 'https' : 'http'}://localhost:${api.server.port}/streams/logs/`),
      );
    },
  );

  test('in use is reported as such', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    await expect(TestApi.start({ listen: { port } })).rejects.toMatchObject({ name: 'PortInUseError', port });
    await expect(TestApi.start({ listen: { port } })).rejects.toBeInstanceOf(PortInUseError);
    await new Promise((resolve) => holder.close(resolve));
  });

  test('survives a connection that speaks neither, and one that says nothing', async () => {
    const silent = connect(api.server.port, '127.0.0.1');
    await once(silent, 'connect');
    const noise = connect(api.server.port, '127.0.0.1');
    noise.write(Buffer.from([0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]));
    noise.on('error', () => undefined);
    await once(noise, 'close');
    const garbage = connect(api.server.port, '127.0.0.1');
    garbage.write('hello?\r\n\r\n');
    const [reply] = (await once(garbage, 'data')) as [Buffer];
    expect(reply.toString()).toMatch(/^HTTP\/1\.1 400 /);
    silent.destroy();
    expect((await api.get('/account')).status).toBe(200);
  });
});

describe('stopping', () => {
  test('closes connections that are kept for later', async () => {
    const own = await TestApi.start();
    expect((await own.get('/account')).status).toBe(200);
    const idle = connect(own.server.port, '127.0.0.1');
    await once(idle, 'connect');
    const closed = once(idle, 'close');
    await own.stop();
    await closed;
    await expect(own.get('/account')).rejects.toThrow();
  });

  test('waits for answers under way, but not for ever', async () => {
    const clock = new FakeClock(new Date());
    const own = await TestApi.start({ clock, git: () => undefined });
    const request = httpRequest({ port: own.server.port, host: '127.0.0.1', path: '/demo.git/info/refs' });
    request.on('error', () => undefined);
    request.end();
    await once(request, 'finish');
    await clock.advance(0);
    let stopped = false;
    const stopping = own.stop().then(() => (stopped = true));
    await clock.advance(4_000);
    expect(stopped).toBe(false);
    await clock.advance(2_000);
    await stopping;
  });

  test('twice, or before starting, is fine', async () => {
    const own = await TestApi.start();
    await Promise.all([own.server.stop(), own.server.stop()]);
    await own.stop();
    await createApiServer({
      services: api.services,
      tls: api.tls,
      listen: { port: 0 },
      allowedHosts: [],
      git: () => undefined,
      bundledBuildpacks: [],
      requestsPerHour: null,
      logger: {
        error: jest.fn(),
        warn: jest.fn(),
        info: jest.fn(),
        debug: jest.fn(),
        child: jest.fn().mockReturnThis(),
      },
      clock: new FakeClock(),
    }).stop();
  });
});

describe('git', () => {
  test.each([false, true])('is handed over before anything is read or asked (TLS %p)', async (secure) => {
    const pack = Buffer.alloc(3 * 1024 * 1024, 7);
    const answer = await raw(
      secure,
      { method: 'POST', path: '/demo.git/git-receive-pack', headers: { 'Content-Length': pack.length } },
      pack,
    );
    expect(answer.text).toBe(`git ${pack.length}`);
    const refs = await raw(secure, { path: '/demo.git/info/refs?service=git-receive-pack' });
    expect(refs.text).toBe('git 0');
    expect(api.gitRequests).toEqual([
      `POST /demo.git/git-receive-pack ${pack.length}`,
      'GET /demo.git/info/refs?service=git-receive-pack 0',
    ]);
  });

  test('is only what has .git as its first part', async () => {
    expect((await api.get('/apps/demo.git/info')).status).toBe(404);
    expect((await api.get('/schema?x=/demo.git/')).status).toBe(200);
    expect(api.gitRequests).toEqual([]);
  });
});

describe('the Host header', () => {
  test.each(['localhost', 'LOCALHOST:1234', '127.0.0.1:80', '[::1]:5000', 'api.localhost:5000'])(
    '%s is ours',
    async (Host) => {
      expect((await raw(false, { path: '/schema', headers: { Host } })).status).toBe(200);
    },
  );

  test.each([
    'evil.example',
    'localhost.evil.example',
    'evil.example:5000',
    '127.0.0.1.nip.io',
    'a@localhost',
  ])('%j is refused', async (Host) => {
    for (const path of ['/schema', '/demo.git/info/refs']) {
      const answer = await raw(false, { path, headers: { Host } });
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.text)).toMatchObject({ id: 'forbidden', message: expect.any(String) });
    }
    expect(api.gitRequests).toEqual([]);
  });
});

test('a request without a Host header is refused', async () => {
  const socket = connect(api.server.port, '127.0.0.1');
  socket.write('GET /schema HTTP/1.0\r\n\r\n');
  const [reply] = (await once(socket, 'data')) as [Buffer];
  expect(reply.toString()).toMatch(/^HTTP\/1\.1 403 /);
  socket.destroy();
});

describe('authentication', () => {
  const basic = (user: string, password: string): string =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

  test('takes the token as Bearer, or as the password of any user', async () => {
    for (const authorization of [
      `Bearer ${api.token}`,
      `bearer ${api.token}`,
      basic('', api.token),
      basic('heroku', api.token),
      basic('a@b.example', api.token),
    ]) {
      expect((await api.get('/account', { Authorization: authorization })).status).toBe(200);
    }
  });

  test.each(['Bearer undefined', 'Bearer', 'Basic', 'Basic !!!', basic('x', ''), 'Token x'])(
    'refuses %j',
    async (authorization) => {
      for (const path of ['/account', '/apps/demo', '/nowhere']) {
        const answer = await api.get(path, { Authorization: authorization });
        expect(answer.status).toBe(401);
        expect(answer.body).toEqual({ id: 'unauthorized', message: 'Invalid credentials provided.' });
      }
    },
  );

  test('is asked of everything but the schema', async () => {
    expect((await api.request('GET', '/apps', { anonymous: true })).status).toBe(401);
    const schema = await api.request('GET', '/schema', { anonymous: true });
    expect(schema.headers.get('content-type')).toBe('application/schema+json; charset=utf-8');
    expect(JSON.parse(schema.text)).toMatchObject({ title: 'Heroku Platform API' });
  });
});

describe('headers', () => {
  test('give the client its request id back, or a new one', async () => {
    const ids = 'a4d3c8e0-0000-4000-8000-000000000001,a4d3c8e0-0000-4000-8000-000000000002';
    expect((await api.get('/account', { 'Request-Id': ids })).headers.get('request-id')).toBe(
      ids.split(',')[0],
    );
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
    expect((await api.get('/account')).headers.get('request-id')).toMatch(uuid);
    expect((await api.get('/account', { 'Request-Id': '<script>' })).headers.get('request-id')).toMatch(uuid);
    expect((await api.get('/nowhere')).headers.get('request-id')).toMatch(uuid);
  });

  test('tell the rest of the conventions', async () => {
    const { headers } = await api.get('/apps');
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(headers.get('ratelimit-remaining')).toBe('4500');
    expect(headers.get('cache-control')).toBe('private, no-cache');
    expect(headers.get('accept-ranges')).toBe('name, id, updated_at');
    expect(headers.get('x-powered-by')).toBeNull();
  });

  test('save sending what the client has', async () => {
    const etag = (await api.get('/account')).headers.get('etag')!;
    expect(etag).toMatch(/^"/);
    const again = await raw(false, {
      path: '/account',
      headers: { Authorization: `Bearer ${api.token}`, 'If-None-Match': etag },
    });
    expect(again).toMatchObject({ status: 304, text: '' });
    expect((await api.get('/account', { 'If-None-Match': '"other"' })).status).toBe(200);
  });

  test.each([
    'application/vnd.heroku+json; version=3',
    'application/vnd.heroku+json; version=3.sdk',
    'application/vnd.heroku+json; version=3.buildpack-registry',
    'application/vnd.heroku+json',
    'application/json',
    'text/html, */*;q=0.8',
  ])('accept %j', async (Accept) => {
    expect((await api.get('/account', { Accept })).status).toBe(200);
  });

  test.each([
    'application/vnd.heroku+json; version=2',
    'application/vnd.heroku+json; version=33',
    'text/html',
  ])('do not accept %j', async (Accept) => {
    expect(await api.get('/account', { Accept })).toMatchObject({ status: 400, body: { id: 'bad_request' } });
  });
});

describe('errors', () => {
  test('for a body that is not JSON', async () => {
    const answer = await api.request('POST', '/apps', { body: '{"name":' });
    expect(answer).toMatchObject({ status: 400, body: { id: 'bad_request' } });
  });

  test('for a body that is too large', async () => {
    const answer = await api.request('POST', '/apps', { body: { name: 'x'.repeat(1024 * 1024) } });
    expect(answer).toMatchObject({ status: 413, body: { id: 'payload_too_large' } });
  });

  test('for a path that can not be decoded', async () => {
    expect(await api.get('/apps/%E0%A4%A')).toMatchObject({ status: 400, body: { id: 'bad_request' } });
  });

  test('for an endpoint that there is not, in words', async () => {
    const answer = await api.get('/no/such/thing');
    expect(answer).toMatchObject({ status: 404, body: { id: 'not_found' } });
    expect(answer.body.message).toContain('GET /no/such/thing');
  });

  test('for a range that makes no sense', async () => {
    for (const Range of ['bytes=0-5', 'colour ..', 'id ..; max=0', 'id ..; order=up']) {
      const answer = await api.get('/apps', { Range });
      expect(answer).toMatchObject({ status: 416, body: { id: 'requested_range_not_satisfiable' } });
    }
  });

  test('of our own are logged whole and told to nobody', async () => {
    const cause = new Error('the secret cause');
    const broken = {
      list: () => {
        throw cause;
      },
    } as unknown as Apps;
    const own = await TestApi.start({ services: { apps: broken } });
    const answer = await own.get('/apps', { 'Request-Id': 'r-1' });
    await own.stop();
    expect(answer).toMatchObject({ status: 500, body: { id: 'internal_server_error' } });
    expect(answer.body.message).toContain('r-1');
    expect(answer.text).not.toContain('secret');
    expect(own.errors).toEqual([
      { message: 'request failed', fields: { requestId: 'r-1', method: 'GET', path: '/apps', error: cause } },
    ]);
  });
});

describe('the rate limit', () => {
  test('ends in 429 and comes back with time', async () => {
    const clock = new FakeClock(new Date());
    const own = await TestApi.start({ clock, requestsPerHour: 3 });
    const remaining: unknown[] = [];
    for (let round = 0; round < 3; round++) {
      const answer = await own.get('/account');
      expect(answer.status).toBe(200);
      remaining.push(answer.headers.get('ratelimit-remaining'));
    }
    expect(remaining).toEqual(['2', '1', '0']);
    expect(await own.get('/account')).toMatchObject({ status: 429, body: { id: 'rate_limit' } });
    expect((await own.get('/account/rate-limits')).body).toEqual({ remaining: 0 });
    await clock.advance(20 * 60 * 1000);
    expect((await own.get('/account')).status).toBe(200);
    expect((await own.get('/account')).status).toBe(429);
    await own.stop();
  });
});
