import {
  aDyno,
  anApp,
  eventually,
  HELLO,
  onHeads,
  pause,
  RouterBench,
  statusOf,
} from '../../support/router-client';

let bench: RouterBench;
beforeEach(() => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

const serving: RouterBench['serving'] = (...args) => bench.serving(...args);

describe('forwarding', () => {
  test('brings the answer of a dyno and logs the request', async () => {
    await serving(HELLO);
    const answer = await bench.get('/a?b=c');
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\nVia: 1\.1 heroku-router\r\n/);
    expect(answer.endsWith('\r\n\r\nhello')).toBe(true);
    expect(await bench.daemon.line()).toMatch(
      new RegExp(
        `^at=info method=GET path="/a\\?b=c" host=demo\\.localhost request_id=[0-9a-f-]{36} fwd="127\\.0\\.0\\.1" dyno=web\\.1 connect=\\d+ms service=\\d+ms status=200 bytes=${answer.length} protocol=http1\\.1 tls=false$`,
      ),
    );
    expect(bench.daemon.lines[0]!.app_id).toBe('app-1');
  });

  test('tells the dyno who asks, and how', async () => {
    const dyno = await serving(HELLO);
    await bench.get(
      '/',
      '\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nVia: 1.0 other\nX-Request-Start: 1',
    );
    expect(dyno.received).toContain('\r\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n');
    expect(dyno.received).toContain('\r\nX-Forwarded-Proto: http\r\n');
    expect(dyno.received).toContain(`\r\nX-Forwarded-Port: ${bench.router.httpPort}\r\n`);
    expect(dyno.received).toMatch(/\r\nX-Request-Start: \d{13}\r\n/);
    expect(dyno.received).toMatch(/\r\nX-Request-ID: [0-9a-f-]{36}\r\n/);
    expect(dyno.received).toContain('\r\nVia: 1.0 other, 1.1 heroku-router\r\n');
    expect(dyno.received).toContain('\r\nHost: demo.localhost\r\n');
    expect(dyno.received).not.toContain('https');
    expect(await bench.daemon.line()).toContain('fwd="1.2.3.4,127.0.0.1"');
  });

  test('keeps a well-formed request id and replaces any other', async () => {
    const dyno = await serving(HELLO);
    await bench.get('/', `\nX-Request-ID: ${'a'.repeat(20)}`);
    expect(dyno.received).toContain(`X-Request-ID: ${'a'.repeat(20)}\r\n`);
    expect(await bench.daemon.line()).toContain(`request_id=${'a'.repeat(20)} `);
    await bench.get('/', '\nX-Request-ID: short');
    expect(dyno.received).not.toContain('short');
  });

  test('strips what belongs to one connection, both ways', async () => {
    const dyno = await serving(
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=3\r\nX-Kept: yes\r\n\r\nok',
    );
    const answer = await bench
      .client()
      .write(
        'GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close, X-Secret, Host\r\nX-Secret: 1\r\nTE: trailers\r\nProxy-Connection: x\r\nX-Kept: yes\r\n\r\n',
      )
      .end();
    expect(dyno.received).not.toMatch(/X-Secret|TE:|Proxy-Connection/);
    expect(dyno.received).toContain('\r\nHost: demo.localhost\r\n');
    expect(dyno.received).toContain('\r\nX-Kept: yes\r\n');
    expect(answer).not.toMatch(/X-Own|timeout=3/);
    expect(answer).toContain('\r\nX-Kept: yes\r\n');
  });

  test('keeps case, order and repetition of header names and the path as it is', async () => {
    const dyno = await serving(
      'HTTP/1.1 200 Fine\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-mIxEd: 1\r\nContent-Length: 0\r\n\r\n',
    );
    const answer = await bench.get('//a//b/%2F?q=//x?y', '\nX-mIxEd: 1\nX-mIxEd: 2\nx-b: 3');
    expect(dyno.received).toMatch(/^GET \/\/a\/\/b\/%2F\?q=\/\/x\?y HTTP\/1\.1\r\n/);
    expect(dyno.received).toMatch(/X-mIxEd: 1\r\nX-mIxEd: 2\r\nx-b: 3\r\n/);
    expect(answer).toMatch(/^HTTP\/1\.1 200 Fine\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nX-mIxEd: 1\r\n/);
  });

  test('goes by an absolute target rather than the Host header', async () => {
    const dyno = await serving(HELLO);
    const answer = await bench.request('GET http://demo.localhost/x HTTP/1.1\nHost: other.localhost');
    expect(statusOf(answer)).toBe(200);
    expect(dyno.received).toMatch(/^GET \/x HTTP\/1\.1\r\nHost: demo\.localhost\r\n/);
  });

  test('streams a body with its length', async () => {
    const dyno = await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.endsWith('0123456789')) socket.write(HELLO);
      });
    });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 10\r\n\r\n01234');
    await eventually(() => dyno.received.endsWith('01234'), 'first half');
    client.write('56789');
    await client.saw('hello');
    expect(dyno.received).toContain('\r\ncontent-length: 10\r\n');
    expect(dyno.received).not.toContain('ransfer-');
  });

  test('streams a chunked body, of a DELETE too, with its trailers', async () => {
    const dyno = await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.includes('0\r\n')) socket.write(HELLO);
      });
    });
    const answer = await bench.request(
      'DELETE / HTTP/1.1\nHost: demo.localhost\nTransfer-Encoding: chunked\nTrailer: X-Sum',
      '5\r\nabcde\r\n0\r\nX-Sum: 7\r\n\r\n',
    );
    expect(statusOf(answer)).toBe(200);
    expect(dyno.received).toContain('5\r\nabcde\r\n0\r\n');
    await eventually(() => dyno.received.endsWith('0\r\nX-Sum: 7\r\n\r\n'), 'trailer');
    expect(dyno.received).not.toContain('content-length');
  });

  test('passes chunks and trailers of an answer', async () => {
    await serving(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n',
    );
    const answer = await bench.get();
    expect(answer).toContain('Transfer-Encoding: chunked');
    expect(answer.endsWith('3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n')).toBe(true);
  });

  test('survives a Trailer header on a message without chunks, both ways', async () => {
    await serving('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTrailer: X-Sum\r\n\r\nok');
    expect(statusOf(await bench.get('/', '\nTrailer: X-Sum'))).toBe(200);
    expect(statusOf(await bench.get())).toBe(200);
  });

  test('unchunks an answer for an HTTP/1.0 client and ends it by closing', async () => {
    await serving('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n');
    const answer = await bench.client().write('GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n').end();
    expect(answer).not.toMatch(/chunked/i);
    expect(answer.endsWith('\r\n\r\nabcde')).toBe(true);
  });

  test.each([
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n', 'Content-Length: 5'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n', 'ETag: "x"'],
  ])('sends no body for %s %j', async (method, answered, header) => {
    await serving(answered);
    const answer = await bench.request(`${method} / HTTP/1.1\nHost: demo.localhost`);
    expect(answer.endsWith('\r\n\r\n')).toBe(true);
    expect(answer.split('\r\n\r\n')).toHaveLength(2);
    expect(answer).toContain(header);
    expect(await bench.daemon.line()).toContain('at=info');
  });

  test('sends the head of an answer before its body comes', async () => {
    await serving((socket) =>
      onHeads(socket, () => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n')),
    );
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await client.saw('text/event-stream');
  });

  test('answers Expect: 100-continue itself, once a dyno is connected', async () => {
    const dyno = await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.endsWith('body')) socket.write(HELLO);
      });
    });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    await client.saw('HTTP/1.1 100 Continue\r\n\r\n');
    client.write('body');
    await client.saw('hello');
    expect(dyno.received).not.toMatch(/expect/i);
  });

  test('serves requests one after another over one connection, to the dyno too', async () => {
    const dyno = await serving(HELLO);
    const client = bench.client();
    for (const count of [1, 2, 3]) {
      client.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
      await eventually(() => client.text.split('hello').length === count + 1, `answer ${count}`);
      await pause(5);
    }
    expect(dyno.sockets).toHaveLength(1);
  });

  test('repeats a request over a fresh connection when the kept one dies under it', async () => {
    const dyno = await serving((socket, self) => {
      let answered = 0;
      onHeads(socket, () => {
        answered += 1;
        if (self.sockets[0] === socket && answered === 2) socket.destroy();
        else socket.write(HELLO);
      });
    });
    await bench.get();
    expect(statusOf(await bench.get())).toBe(200);
    expect(dyno.sockets).toHaveLength(2);
  });

  test('takes a fresh connection for what cannot be repeated', async () => {
    const dyno = await serving(HELLO);
    await bench.get();
    await bench.request('POST / HTTP/1.1\nHost: demo.localhost\nContent-Length: 0');
    expect(dyno.sockets).toHaveLength(2);
  });

  test('gives an early answer although the body is still coming', async () => {
    await serving('HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\n\r\nbig', { timeouts: { lingerMs: 30 } });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 1000\r\n\r\nx');
    await client.saw('big');
    expect(await bench.daemon.line()).toContain('status=413');
    await client.end();
  });

  test('gives the same result however a request head is split', async () => {
    const dyno = await serving(HELLO);
    const text = 'GET /split?x=y HTTP/1.1\r\nHost: demo.localhost\r\nX-One: 1\r\nConnection: close\r\n\r\n';
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    const seen = new Set<string>();
    for (let round = 0; round < 15; round++) {
      const before = dyno.received.length;
      const client = bench.client();
      client.socket.setNoDelay(true);
      for (let at = 0; at < text.length;) {
        const size = 1 + Math.floor(random() * 30);
        client.write(text.slice(at, at + size));
        at += size;
        if (random() < 0.5) await pause(1);
      }
      const answer = await client.end();
      seen.add(
        `${dyno.received.slice(before)}${answer}`
          .replace(/X-Request-(ID|Start): .*/g, '')
          .replace(/Date: .*/g, ''),
      );
    }
    expect(seen.size).toBe(1);
  });
});

describe('refusing', () => {
  test('says that there is no such app, without a log line', async () => {
    await serving(HELLO);
    const answer = await bench.request('GET / HTTP/1.1\nHost: <b>.localhost');
    expect(statusOf(answer)).toBe(404);
    expect(answer).toContain('No such app');
    expect(answer).not.toContain('<b>');
    await bench.get();
    expect(await bench.daemon.line()).toContain('status=200');
  });

  test.each([
    ['H80', 'at=info code=H80 desc="Maintenance mode"', { maintenance: true }, 'maintenance'],
    ['H81', 'at=info code=H81 desc="Blank app"', { has_code: false }, 'git push heroku main'],
    ['H14', 'at=error code=H14 desc="No web processes running"', { web_quantity: 0 }, 'H14'],
    ['H10', 'at=error code=H10 desc="App crashed"', { dynos: [aDyno(null, { state: 'crashed' })] }, 'H10'],
  ] as const)('answers %s at once', async (_code, line, app, text) => {
    await bench.start();
    await bench.daemon.serve(anApp({ ...app, dynos: 'dynos' in app ? [...app.dynos] : [] }));
    const answer = await bench.get();
    expect(statusOf(answer)).toBe(503);
    expect(answer).toContain(text);
    expect(await bench.daemon.line()).toMatch(
      new RegExp(`^${line} .* dyno= connect= service= status=503 bytes= `),
    );
  });

  test('answers in JSON who prefers it', async () => {
    await bench.start();
    await bench.daemon.serve(anApp({ web_quantity: 0 }));
    const answer = await bench.get('/', '\nAccept: application/json');
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ code: 'H14' });
    expect(await bench.get('/', '\nAccept: text/html, application/json')).toContain('<!DOCTYPE html>');
    expect(await bench.get('/', '\nAccept: */*')).toContain('<!DOCTYPE html>');
  });

  test("shows the app's own error and maintenance pages in a frame, the status stays", async () => {
    await bench.start();
    const pages = { error_page_url: '//e.example/"x', maintenance_page_url: 'https://m.example/' };
    await bench.daemon.serve(anApp({ web_quantity: 0, ...pages }));
    const error = await bench.get();
    expect(statusOf(error)).toBe(503);
    expect(error).toContain('<iframe src="//e.example/&#34;x"');
    await bench.daemon.serve(anApp({ maintenance: true, ...pages }));
    expect(await bench.get()).toContain('<iframe src="https://m.example/"');
    await bench.daemon.serve(anApp({ web_quantity: 0, error_page_url: 'javascript:alert(1)' }));
    expect(await bench.get()).not.toContain('iframe src');
  });

  test.each([
    ['a request line over 8,192 bytes', `GET /${'a'.repeat(8192)} HTTP/1.1\nHost: demo.localhost`],
    ['a header line over 8,192 bytes', `GET / HTTP/1.1\nHost: demo.localhost\nX: ${'a'.repeat(8192)}`],
    ['more than 1,000 headers', `GET / HTTP/1.1\nHost: demo.localhost${'\nX: 1'.repeat(1000)}`],
    ['two hosts', 'GET / HTTP/1.1\nHost: demo.localhost\nHost: demo.localhost'],
  ])('refuses %s with H26', async (_what, head) => {
    const dyno = await serving(HELLO);
    expect(statusOf(await bench.request(head))).toBe(400);
    expect(await bench.daemon.line()).toContain('code=H26 desc="Request Error" cause="bad header"');
    expect(dyno.received).toBe('');
  });

  test.each([
    [
      'two lengths that differ',
      'POST / HTTP/1.1\nHost: demo.localhost\nContent-Length: 1\nContent-Length: 2',
    ],
    [
      'a length beside chunks',
      'POST / HTTP/1.1\nHost: demo.localhost\nContent-Length: 1\nTransfer-Encoding: chunked',
    ],
    ['HTTP/0.9', 'GET /\nHost: demo.localhost'],
    ['a coding beside chunked', 'POST / HTTP/1.1\nHost: demo.localhost\nTransfer-Encoding: gzip, chunked'],
    ['chunks in HTTP/1.0', 'POST / HTTP/1.0\nHost: demo.localhost\nTransfer-Encoding: chunked'],
    ['a bare garbage line', 'nonsense'],
    ['no host', 'GET / HTTP/1.0\nX: 1'],
  ])('refuses %s with 400', async (_what, head) => {
    const dyno = await serving(HELLO);
    expect(statusOf(await bench.request(head))).toBe(400);
    expect(dyno.received).toBe('');
  });

  test('refuses a broken chunk in the middle of a request', async () => {
    await serving(() => undefined);
    const answer = await bench.request(
      'POST / HTTP/1.1\nHost: demo.localhost\nTransfer-Encoding: chunked',
      '5\r\nabcde\r\nzz\r\n',
    );
    expect(statusOf(answer)).toBe(400);
    expect(await bench.daemon.line()).toContain('code=H26 desc="Request Error" cause="bad chunk"');
  });

  test('refuses CONNECT', async () => {
    await serving(HELLO);
    const answer = await bench.request('CONNECT demo.localhost:80 HTTP/1.1\nHost: demo.localhost');
    expect(answer).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/);
    expect(answer).toContain('Allow: GET');
  });

  test.each([
    [
      'an upgrade',
      'GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      'HTTP/1.1 200',
    ],
    ['a CONNECT', 'CONNECT demo.localhost:80 HTTP/1.1\r\nHost: demo.localhost\r\n\r\n', 'HTTP/1.1 405'],
    ['garbage', '\x16\x03\x01\r\n\r\n', 'HTTP/1.1 400'],
  ])('deals with %s behind an unanswered request in its turn', async (_what, text, second) => {
    const dyno = await serving((socket, self) =>
      onHeads(socket, () => {
        if (self.received.split('HTTP/1.1').length > 2) socket.write(HELLO);
      }),
    );
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.received !== '', 'request at the dyno');
    client.write(text);
    await pause(10);
    expect(client.text).toBe('');
    dyno.sockets[0]!.write(HELLO);
    const [, first = '', rest = ''] = (await client.end()).split('HTTP/1.1 ');
    expect(first).toMatch(/^200 OK[^]*hello$/);
    expect(`HTTP/1.1 ${rest}`.startsWith(second)).toBe(true);
    expect(await bench.daemon.line()).toContain(`status=200 bytes=${`HTTP/1.1 ${first}`.length} `);
  });

  test('survives an upgrade right behind a request that it refuses', async () => {
    await serving(HELLO);
    await bench
      .client()
      .write(
        'GET / HTTP/1.1\r\nHost: other\r\n\r\nGET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
      )
      .end();
    expect(statusOf(await bench.get())).toBe(200);
  });

  test('refuses any other expectation with 417', async () => {
    await serving(HELLO);
    expect(statusOf(await bench.get('/', '\nExpect: miracles'))).toBe(417);
    expect(await bench.daemon.line()).toContain('cause="unsupported expect header value"');
  });

  test('refuses more than its share of requests at a time with H11', async () => {
    await serving(() => undefined, { limits: { requestsPerDyno: 2 } });
    const open = [bench.client(), bench.client()];
    for (const client of open) client.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await pause(20);
    expect(await bench.get()).toContain('H11');
  });
});

describe('connections to a dyno', () => {
  test('are all kept from one crowd of requests to the next', async () => {
    const CROWD = 256;
    const waiting: (() => void)[] = [];
    await bench.start();
    const dyno = await bench.dyno((socket) =>
      onHeads(socket, () => {
        waiting.push(() => socket.write('HTTP/1.1 204 No Content\r\n\r\n'));
        // All of them are at the dyno at the same time.
        if (waiting.length === CROWD) for (const answer of waiting.splice(0)) answer();
      }),
    );
    await bench.daemon.serve(anApp({ web_quantity: 2, dynos: [aDyno(dyno.port)] }));
    const clients = Array.from({ length: CROWD }, () => bench.client());
    for (const round of [1, 2]) {
      for (const client of clients) client.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
      await eventually(
        () => clients.every(({ text }) => text.split('204 No Content').length === round + 1),
        `answers of round ${round}`,
      );
    }
    expect(dyno.sockets.length).toBe(CROWD);
  });
});

describe('a dyno that fails', () => {
  test('is left alone while another one serves', async () => {
    await bench.start({ random: () => 0 });
    const gone = await bench.dyno(HELLO);
    const { port } = gone;
    await gone.stop();
    const good = await bench.dyno(HELLO);
    await bench.daemon.serve(
      anApp({ web_quantity: 2, dynos: [aDyno(port), aDyno(good.port, { name: 'web.2' })] }),
    );
    const body = 'kept whole';
    const answer = await bench.request(
      `POST / HTTP/1.1\nHost: demo.localhost\nContent-Length: ${body.length}`,
      body,
    );
    expect(statusOf(answer)).toBe(200);
    expect(good.received.endsWith(body)).toBe(true);
    expect(await bench.daemon.line()).toContain('dyno=web.2');
  });

  test('is H21 when every one refuses, and waited for while quarantined', async () => {
    await bench.start({ timeouts: { quarantineMs: 60 } });
    const gone = await bench.dyno(HELLO);
    const { port } = gone;
    await gone.stop();
    await bench.daemon.serve(anApp({ dynos: [aDyno(port)] }));
    expect(await bench.get()).toContain('H21');
    expect(await bench.daemon.line()).toMatch(
      /code=H21 .* dyno=web\.1 connect=\d+ms service= status=503 bytes= /,
    );
    const startedAt = Date.now();
    const waiting = bench.get();
    const good = await bench.dyno(HELLO);
    await bench.daemon.serve(anApp({ dynos: [aDyno(good.port)] }));
    expect(statusOf(await waiting)).toBe(200);
    expect(Date.now() - startedAt).toBeLessThan(2000);
  });

  test('is H99 when all stay quarantined', async () => {
    await bench.start({ timeouts: { quarantineMs: 5000, connectBudgetMs: 40 } });
    const gone = await bench.dyno(HELLO);
    const { port } = gone;
    await gone.stop();
    await bench.daemon.serve(anApp({ dynos: [aDyno(port)] }));
    await bench.get();
    expect(await bench.get()).toContain('H99');
  });

  test('is H12 when it says nothing in time', async () => {
    await serving(() => undefined, { timeouts: { firstByteMs: 40 } });
    expect(await bench.get()).toContain('H12');
    expect(await bench.daemon.line()).toMatch(
      /^at=error code=H12 desc="Request timeout" .* dyno=web\.1 connect=\d+ms service=\d+ms status=503 bytes=0 /,
    );
  });

  test('is H13 when it closes without an answer', async () => {
    await serving((socket) => onHeads(socket, () => socket.destroy()));
    expect(statusOf(await bench.get())).toBe(503);
    expect(await bench.daemon.line()).toContain('code=H13 desc="Connection closed without response"');
  });

  test('is H17 when its answer is no HTTP', async () => {
    await serving('SPAM and eggs\r\n\r\n');
    expect(statusOf(await bench.get())).toBe(503);
    expect(await bench.daemon.line()).toContain('code=H17');
  });

  test('is H18 when it closes in the middle, and the client sees a cut connection', async () => {
    await serving((socket) =>
      onHeads(socket, () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')),
    );
    const answer = await bench.get();
    expect(answer.endsWith('half')).toBe(true);
    expect(await bench.daemon.line()).toMatch(/^sock=backend at=error code=H18 .* status=503 bytes=[1-9]/);
  });

  test('is H15 when it falls silent in the middle', async () => {
    await serving(
      (socket) => onHeads(socket, () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf')),
      { timeouts: { idleMs: 40 } },
    );
    await bench.get();
    expect(await bench.daemon.line()).toContain('code=H15 desc="Idle connection"');
  });

  test('may take its time as long as bytes come', async () => {
    await serving(
      (socket) =>
        onHeads(socket, () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n');
          let left = 8;
          const timer = setInterval(() => {
            socket.write('x');
            left -= 1;
            if (left === 0) clearInterval(timer);
          }, 80);
        }),
      { timeouts: { idleMs: 400 } },
    );
    expect((await bench.get()).endsWith('xxxxxxxx')).toBe(true);
  });

  test.each([
    ['oversized cookie', `Set-Cookie: ${'a'.repeat(8193)}\r\nContent-Length: 0`],
    ['oversized header', `X: ${'a'.repeat(520 * 1024)}\r\nContent-Length: 0`],
    ['invalid content length', 'Content-Length: ten'],
  ])('is H25 with an %s', async (what, header) => {
    await serving(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n`);
    expect(statusOf(await bench.get())).toBe(502);
    expect(await bench.daemon.line()).toContain(`code=H25 desc="HTTP restriction: ${what}"`);
  });
});

describe('a client that fails', () => {
  test('is H27 when it goes away, and the dyno hears of it', async () => {
    const dyno = await serving(() => undefined);
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    await eventually(() => dyno.received !== '', 'request at the dyno');
    client.socket.destroy();
    expect(await bench.daemon.line()).toMatch(/^sock=client at=warning code=H27 .* status=499 bytes=0 /);
  });

  test('is H28 when it stops sending its body', async () => {
    await serving(() => undefined, { timeouts: { idleMs: 40 } });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 9\r\n\r\nx');
    await client.end();
    expect(await bench.daemon.line()).toContain('at=warning code=H28 desc="Client Connection Idle"');
  });

  test('is H28 when it stops reading', async () => {
    await serving(
      (socket) =>
        onHeads(socket, () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n');
          socket.write(Buffer.alloc(30_000_000));
        }),
      { timeouts: { idleMs: 600 } },
    );
    const client = bench.client();
    client.socket.pause();
    client.write('GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n');
    expect(await bench.daemon.line()).toContain('code=H28');
  });

  test('loses a connection on which it asks nothing', async () => {
    await bench.start({ timeouts: { clientKeepAliveMs: 50 } });
    expect(await bench.client().end()).toBe('');
  });
});
