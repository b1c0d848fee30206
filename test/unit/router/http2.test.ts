import { execFile } from 'node:child_process';
import { once } from 'node:events';
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { systemClock } from '../../../src/lib/clock';
import { http2Headers, readHttp2Head } from '../../../src/router/http2-head';
import { HttpsBench } from '../../support/https-bench';
import { aDyno, eventually, HELLO, onHeads, type TestDyno } from '../../support/router-client';

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  trailers: IncomingHttpHeaders;
  interim: IncomingHttpHeaders[];
  /** How the stream ended. */
  code: number;
}

let bench: HttpsBench;
const sessions: ClientHttp2Session[] = [];
beforeEach(async () => {
  bench = await new HttpsBench().start();
});
afterEach(async () => {
  for (const session of sessions.splice(0)) session.destroy();
  await bench.stop();
});

async function open(host = 'demo.localhost'): Promise<ClientHttp2Session> {
  const session = connect(`https://${host}:${bench.httpsPort}`, {
    ca: bench.ca.cert,
    servername: host,
    lookup: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }] as never, 4),
  });
  session.on('error', () => undefined);
  sessions.push(session);
  await once(session, 'connect');
  return session;
}

/** Collects the answer; resolves when the stream is closed, however that came. */
async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  const answer: Answer = { status: 0, headers: {}, body: '', trailers: {}, interim: [], code: 0 };
  stream.on('headers', (headers) => answer.interim.push(headers));
  stream.on('response', (headers) => {
    answer.status = headers[':status'] ?? 0;
    answer.headers = headers;
  });
  stream.on('data', (chunk: Buffer) => (answer.body += chunk.toString('latin1')));
  stream.on('trailers', (trailers: IncomingHttpHeaders) => (answer.trailers = trailers));
  stream.on('error', () => undefined);
  await eventually(() => stream.closed && (stream.readableEnded || stream.destroyed), 'the stream closes');
  answer.code = stream.rstCode;
  return answer;
}

function get(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
  return answerOf(session.request({ ':path': '/', ...headers }));
}

async function serve(dyno: TestDyno): Promise<void> {
  await bench.serve(await bench.app({ dynos: [aDyno(dyno.port)] }));
}

const answering = async (answer: string): Promise<TestDyno> => {
  const dyno = await bench.dyno(answer);
  await serve(dyno);
  return dyno;
};

describe('HTTP/2', () => {
  test('is a request like any other to the dyno, and named in the log', async () => {
    const dyno = await answering(
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Case: Kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVary: A\r\nVary: B\r\n\r\nhello',
    );
    const session = await open();
    const answer = await get(session, {
      ':path': '/a?b=c',
      cookie: ['x=1', 'y=2'],
      accept: 'text/html',
      te: 'trailers',
    });
    expect(answer).toMatchObject({ status: 200, body: 'hello', code: 0 });
    expect(answer.headers).toMatchObject({
      'x-case': 'Kept',
      'set-cookie': ['a=1', 'b=2'],
      vary: 'A, B',
      via: '1.1 heroku-router',
    });
    const [line, ...fields] = dyno.received.split('\r\n');
    expect(line).toBe('GET /a?b=c HTTP/1.1');
    expect(
      fields.filter((field) =>
        /^(host|cookie|accept|te|connection|via|x-forwarded-(proto|port)):/i.test(field),
      ),
    ).toEqual([
      `Host: demo.localhost:${bench.httpsPort}`,
      'accept: text/html',
      'cookie: x=1; y=2',
      'Connection: keep-alive',
      'X-Forwarded-Proto: https',
      `X-Forwarded-Port: ${bench.httpsPort}`,
      'Via: 2.0 heroku-router',
    ]);
    expect(await bench.daemon.line()).toMatch(
      /^at=info method=GET path="\/a\?b=c" host=demo\.localhost request_id=\S+ fwd="127\.0\.0\.1" dyno=web\.1 connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http2\.0 tls=true tls_version=tls1\.3$/,
    );
  });

  test('serves many streams at once, each when its answer comes', async () => {
    const waiting = new Map<string, () => void>();
    const dyno = await bench.dyno((socket) =>
      onHeads(socket, (head) => {
        const path = head.split(' ')[1] ?? '';
        waiting.set(path, () =>
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`),
        );
      }),
    );
    await serve(dyno);
    const session = await open();
    const paths = Array.from({ length: 50 }, (_, number) => `/${number}`);
    const answers = paths.map((path) => get(session, { ':path': path }));
    await eventually(() => waiting.size === paths.length, 'all requests are with the dyno');
    for (const answer of [...waiting.values()].reverse()) answer();
    expect((await Promise.all(answers)).map(({ body }) => body)).toEqual(paths);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
    expect(session.remoteSettings.enableConnectProtocol).toBe(false);
  });

  test('gives way to HTTP/1.1 for clients that want that', async () => {
    await answering(HELLO);
    const socket = await bench.connect('demo.localhost', { ALPNProtocols: ['http/1.1'] });
    expect(socket.alpnProtocol).toBe('http/1.1');
    const without = await bench.secureRequest('GET / HTTP/1.1\nHost: demo.localhost', 'demo.localhost', {
      ALPNProtocols: [],
    });
    expect(without).toContain('hello');
  });

  test('curl gets along with it', async () => {
    await answering(HELLO);
    const ca = join(bench.dir, 'ca.pem');
    writeFileSync(ca, bench.ca.cert);
    const { stdout } = await promisify(execFile)('curl', [
      '--silent', '--show-error', '--http2', '--cacert', ca, '--write-out', ' %{http_version}',
      '--connect-to', `demo.localhost:443:127.0.0.1:${bench.httpsPort}`, 'https://demo.localhost/',
    ]); // prettier-ignore
    expect(stdout).toBe('hello 2');
  });

  test('streams bodies both ways: counted, of unknown length, and with trailers', async () => {
    const dyno = await bench.dyno((socket, it) => {
      socket.on('data', () => {
        if (!it.received.endsWith('\r\n\r\n') && !it.received.endsWith('counted')) return;
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n3\r\nabc\r\n');
        socket.write('2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n');
      });
    });
    await serve(dyno);
    const session = await open();
    const chunked = session.request(
      { ':method': 'POST', ':path': '/chunked' },
      { endStream: false, waitForTrailers: true },
    );
    chunked.on('wantTrailers', () => chunked.sendTrailers({ 'x-digest': 'abc', 'content-type': 'never' }));
    chunked.write('one ');
    chunked.end('two');
    const answer = await answerOf(chunked);
    expect(answer).toMatchObject({ status: 200, body: 'abcde', trailers: { 'x-sum': '5' }, code: 0 });
    expect(dyno.received).toContain('transfer-encoding: chunked\r\n');
    expect(dyno.received).toMatch(/\r\n0\r\nx-digest: abc\r\n\r\n$/);
    expect(dyno.received.replace(/[0-9a-f]+\r\n|\r\n/g, '')).toContain('one two');
    const counted = session.request(
      { ':method': 'POST', ':path': '/', 'content-length': 7 },
      { endStream: false },
    );
    counted.end('counted');
    expect((await answerOf(counted)).body).toBe('abcde');
    expect(dyno.received).toContain('content-length: 7\r\n');
  });

  test('holds a body back while the other side does not take it', async () => {
    const size = 8_000_000;
    let sent = 0;
    const dyno = await bench.dyno((socket) =>
      onHeads(socket, () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        const piece = Buffer.alloc(64_000, 'x');
        const pump = (): void => {
          while (sent < size) {
            sent += piece.length;
            if (!socket.write(piece)) break;
          }
        };
        socket.on('drain', pump);
        pump();
      }),
    );
    await serve(dyno);
    const session = await open();
    const stream = session.request({ ':path': '/' });
    await once(stream, 'response');
    // The client reads nothing. What the sockets between hold is a few megabytes at most.
    let before = -1;
    await eventually(() => {
      const stalled = sent === before;
      before = sent;
      return stalled && sent > 0;
    }, 'the dyno is held back');
    expect(sent).toBeLessThan(size);
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => (bytes += chunk.length));
    await eventually(() => bytes === size, 'the whole body', 10_000);
  });

  test('holds an upload back while the dyno does not read', async () => {
    const size = 30_000_000;
    const dyno = await bench.dyno((socket) => {
      socket.once('data', () => socket.pause());
    });
    await serve(dyno);
    const session = await open();
    const stream = session.request(
      { ':method': 'POST', ':path': '/', 'content-length': size },
      { endStream: false },
    );
    stream.on('error', () => undefined);
    let sent = 0;
    const piece = Buffer.alloc(64_000, 'y');
    const pump = (): void => {
      while (sent < size && stream.write(piece)) sent += piece.length;
    };
    stream.on('drain', pump);
    pump();
    let before = -1;
    await eventually(() => {
      const stalled = sent === before;
      before = sent;
      return stalled && dyno.received.length > 0;
    }, 'the client is held back');
    expect(sent).toBeLessThan(size);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 200],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 304],
  ])('ends an answer to %s without a body with its head: %j', async (method, answer, status) => {
    await answering(answer);
    expect(await get(await open(), { ':method': method })).toMatchObject({ status, body: '', code: 0 });
    expect(await bench.daemon.line()).toContain(` status=${status} `);
  });

  test('passes interim answers on, and says 100 itself', async () => {
    const dyno = await bench.dyno((socket) =>
      onHeads(socket, () => {
        socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n');
        socket.write(HELLO);
      }),
    );
    await serve(dyno);
    const stream = (await open()).request(
      { ':method': 'PUT', ':path': '/', expect: '100-continue' },
      { endStream: false },
    );
    stream.on('continue', () => stream.end('body'));
    const answer = await answerOf(stream);
    expect(answer).toMatchObject({ status: 200, body: 'hello' });
    expect(answer.interim.map((headers) => [String(headers[':status']), headers.link])).toEqual([
      ['100', undefined],
      ['103', '</a.css>'],
    ]);
    expect(dyno.received).not.toMatch(/expect/i);
  });

  test('tells the dyno when the client calls a request off: H27', async () => {
    const dyno = await bench.dyno(() => undefined);
    await serve(dyno);
    const session = await open();
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => undefined);
    await eventually(() => dyno.received.includes('\r\n\r\n'), 'the request');
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(
      () => dyno.sockets[0]?.readableEnded === true || dyno.sockets[0]?.closed === true,
      'the dyno sees it',
    );
    expect(await bench.daemon.line()).toMatch(
      /^sock=client at=warning code=H27 .* status=499 .* protocol=http2\.0 /,
    );
    expect(session.closed).toBe(false);
  });

  test.each([
    ['counted', 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf'],
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
  ])('shows that an answer (%s) was cut off: H18', async (_kind, answer) => {
    const dyno = await bench.dyno((socket) => onHeads(socket, () => socket.end(answer)));
    await serve(dyno);
    const session = await open();
    const cut = await get(session);
    expect(cut).toMatchObject({ status: 200 });
    expect(cut.code).not.toBe(constants.NGHTTP2_NO_ERROR);
    expect(await bench.daemon.line()).toMatch(/code=H18 /);
    expect((await get(session)).status).toBe(200);
  });

  test('stops a client whose request is answered before it is whole', async () => {
    await answering('HTTP/1.1 413 Payload Too Large\r\nContent-Length: 4\r\n\r\nmuch');
    const session = await open();
    const stream = session.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
    stream.write('some');
    const answer = await answerOf(stream);
    expect(answer).toMatchObject({ status: 413, body: 'much', code: constants.NGHTTP2_NO_ERROR });
    expect(await bench.daemon.line()).toContain(' status=413 ');
    expect(session.closed).toBe(false);
  });

  test('answers with pages of its own as HTTP/1.1 does', async () => {
    await bench.serve(
      await bench.app({}),
      await bench.app({ app_id: 'off', hosts: ['off.localhost'], maintenance: true }),
    );
    const off = await get(await open('off.localhost'), { accept: 'application/json' });
    expect(off.status).toBe(503);
    expect(JSON.parse(off.body)).toMatchObject({ id: 'maintenance', code: 'H80' });
    expect(await bench.daemon.line()).toMatch(/^at=info code=H80 .* protocol=http2\.0 /);
    const session = await open();
    expect(await get(session, { ':authority': 'nobody.localhost' })).toMatchObject({ status: 404 });
    const refused = await answerOf(
      session.request({ ':method': 'CONNECT', ':authority': 'demo.localhost:443' }),
    );
    expect(refused).toMatchObject({ status: 405, headers: { allow: expect.stringContaining('GET') } });
  });

  test.each([
    ['a line', { 'x-long': 'x'.repeat(8192) }],
    ['a name', { [`x-${'n'.repeat(1000)}`]: '1' }],
    ['a path', { ':path': `/${'p'.repeat(8200)}` }],
    ['the number', Object.fromEntries(Array.from({ length: 1001 }, (_, number) => [`x-${number}`, '1']))],
    ['one host and another', { ':authority': 'demo.localhost', host: 'other.localhost' }],
  ])('refuses what breaks a limit in %s with 400 and H26', async (_what, headers) => {
    const dyno = await answering(HELLO);
    const session = await open();
    expect((await get(session, headers)).status).toBe(400);
    expect(await bench.daemon.line()).toMatch(
      /^at=error code=H26 desc="Request Error" cause="bad header" .* status=400 bytes= protocol=http2\.0 /,
    );
    expect(dyno.received).toBe('');
    expect((await get(session)).body).toBe('hello');
  });

  test('takes requests for another host of its certificate, and sends others away: 421', async () => {
    const dyno = await bench.dyno(HELLO);
    const both = await bench.certificate(['one.example', 'two.example']);
    const one = await bench.app({
      hosts: ['one.example'],
      certificates: { 'one.example': both },
      dynos: [aDyno(dyno.port)],
    });
    const two = await bench.app({ app_id: 'two', hosts: ['two.example'], dynos: [aDyno(dyno.port)] });
    const three = await bench.app({ app_id: 'three', hosts: ['three.example'], dynos: [aDyno(dyno.port)] });
    await bench.serve(one, two, three);
    const session = await open('one.example');
    expect(await get(session, { ':authority': 'two.example' })).toMatchObject({ status: 200 });
    expect(await get(session, { ':authority': 'three.example' })).toMatchObject({ status: 421 });
    expect(await bench.daemon.line(1)).toMatch(
      /^at=error code=H32 desc="TLS Certificate Mismatch" .* host=three\.example .* status=421 bytes= protocol=http2\.0 tls=true/,
    );
  });

  test('lets streams end when the router stops, and takes no new ones', async () => {
    let answer = (): void => undefined;
    const dyno = await bench.dyno((socket) => onHeads(socket, () => (answer = () => socket.write(HELLO))));
    await serve(dyno);
    const session = await open();
    const idle = await open();
    const busy = get(session);
    await eventually(() => dyno.received.includes('\r\n\r\n'), 'the request');
    let goaway = false;
    session.on('goaway', () => (goaway = true));
    const stopped = bench.router.stop();
    await eventually(() => goaway && idle.closed, 'GOAWAY');
    answer();
    expect((await busy).body).toBe('hello');
    await stopped;
    expect(await bench.daemon.line()).toContain(' status=200 ');
  });

  test('cuts off what does not end in time when the router stops: H24', async () => {
    const dyno = await bench.dyno(() => undefined);
    await serve(dyno);
    const busy = get(await open());
    await eventually(() => dyno.received.includes('\r\n\r\n'), 'the request');
    await bench.router.stop();
    expect((await busy).code).not.toBe(constants.NGHTTP2_NO_ERROR);
    expect(await bench.daemon.line()).toMatch(/code=H24 /);
  });

  test('does not wait for ever for a client that ignores GOAWAY', async () => {
    await bench.stop();
    bench = await new HttpsBench().start({ timeouts: { clientKeepAliveMs: 50 } });
    await bench.serve(await bench.app({}));
    const socket = await bench.connect('demo.localhost', {
      ALPNProtocols: ['h2'],
      allowHalfOpen: true,
    } as never);
    // The preface and empty settings, as bytes (RFC 9113 §3.4), and then not a word.
    socket.write(
      Buffer.concat([
        Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
      ]),
    );
    socket.resume();
    await eventually(() => socket.closed || socket.destroyed || socket.readableEnded, 'the router ends it');
    await bench.router.stop();
  });

  test('closes a connection without requests after a while, and none with one', async () => {
    await bench.stop();
    bench = await new HttpsBench().start({ clock: systemClock, timeouts: { clientKeepAliveMs: 300 } });
    let answer = (): void => undefined;
    const dyno = await bench.dyno((socket) => onHeads(socket, () => (answer = () => socket.write(HELLO))));
    await serve(dyno);
    const busy = await open();
    const idle = await open();
    const pending = get(busy);
    await eventually(() => idle.closed, 'the idle one is closed');
    expect(busy.closed).toBe(false);
    answer();
    expect((await pending).body).toBe('hello');
    await eventually(() => busy.closed, 'the other one is closed, too');
  });
});

describe('heads of HTTP/2', () => {
  const head = (more: string[] = [], path = '/'): ReturnType<typeof readHttp2Head> =>
    readHttp2Head([
      ':method',
      'GET',
      ':scheme',
      'https',
      ':authority',
      'demo.localhost',
      ':path',
      path,
      ...more,
    ]);

  test('are those of HTTP/1.1', () => {
    expect(head(['accept', 'a', 'cookie', 'x=1', 'accept', 'b', 'cookie', 'y=2'], '/a?b')).toEqual({
      method: 'GET',
      target: '/a?b',
      httpVersion: '2.0',
      rawHeaders: ['host', 'demo.localhost', 'accept', 'a', 'accept', 'b', 'cookie', 'x=1; y=2'],
    });
    expect(head(['host', 'demo.localhost'])?.rawHeaders).toEqual(['host', 'demo.localhost']);
    expect(head(['host', 'other.localhost'])?.rawHeaders).toEqual([
      'host',
      'demo.localhost',
      'host',
      'other.localhost',
    ]);
    expect(readHttp2Head([':method', 'GET', ':path', '/', 'host', 'a.b'])?.rawHeaders).toEqual([
      'host',
      'a.b',
    ]);
    expect(readHttp2Head([':method', 'OPTIONS', ':path', '*'])?.target).toBe('*');
  });

  test.each([
    ['a line end in a value', ['x-a', 'b\r\nx-evil: 1']],
    ['a NUL in a value', ['x-a', '\0']],
    ['a line end in a name', ['x-a: 1\r\nx-evil', '1']],
    ['a colon in a name', ['x:a', '1']],
    ['a name in capitals', ['X-A', '1']],
    ['a protocol', [':protocol', 'websocket']],
  ])('with %s are none', (_what, fields) => {
    expect(head(fields)).toBeNull();
  });

  test.each(['', 'x', 'http://a/', '/a b', '/a\r\n', '/\0', '/é\u0100', '**'])(
    'with the path %j are none',
    (path) => {
      expect(head([], path)).toBeNull();
    },
  );

  test('need a method and a path', () => {
    expect(readHttp2Head([':path', '/'])).toBeNull();
    expect(readHttp2Head([':method', 'GET'])).toBeNull();
    expect(readHttp2Head([':method', 'G T', ':path', '/'])).toBeNull();
  });

  test('of answers have one list per name, but for cookies', () => {
    const raw = [
      'Vary',
      'A',
      'vary',
      'B',
      'Set-Cookie',
      'a=1',
      'set-cookie',
      'b=2',
      'SET-COOKIE',
      'c=3',
      '__proto__',
      'x',
    ];
    expect({ ...http2Headers([...raw, 'HTTP2-Settings', 'AAA']) }).toEqual({
      vary: 'A, B',
      'set-cookie': ['a=1', 'b=2', 'c=3'],
      ['__proto__']: 'x',
    });
  });
});
