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

// Real sockets and processes, on a machine that may have much else to do.
jest.setTimeout(20_000);

let bench: RouterBench;
beforeEach(() => {
  bench = new RouterBench();
});
afterEach(() => bench.stop());

const serving: RouterBench['serving'] = (...args) => bench.serving(...args);

const request = (path = '/', more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: demo.localhost\r\n${more}\r\n`;

describe('methods', () => {
  // "HTTP Routing": any method but CONNECT, up to 127 characters.
  test.each(['FOO', 'PURGE2', 'PROPFIND', 'M-SEARCH', 'get', "!#$%&'*+-.^_`|~", 'M'.repeat(127)])(
    'pass unchanged: %s',
    async (method) => {
      const dyno = await serving((socket, self) => {
        socket.on('data', () => {
          if (self.received.endsWith('body')) socket.write(HELLO);
        });
      });
      const answer = await bench.request(
        `${method} /x HTTP/1.1\nHost: demo.localhost\nContent-Length: 4`,
        'body',
      );
      expect(statusOf(answer)).toBe(200);
      expect(dyno.received.startsWith(`${method} /x HTTP/1.1\r\n`)).toBe(true);
      expect(await bench.daemon.line()).toContain(` method=${method.replace(/=/g, '')} `);
    },
  );

  test.each([
    ['too long', `${'M'.repeat(128)} / HTTP/1.1\nHost: demo.localhost`],
    ['no token', 'G(T / HTTP/1.1\nHost: demo.localhost'],
    ['empty', ' / HTTP/1.1\nHost: demo.localhost'],
    ['another protocol', '\x16\x03\x01\x02'],
  ])('are refused when they are %s', async (_what, head) => {
    const dyno = await serving(HELLO);
    expect(statusOf(await bench.request(head))).toBe(400);
    expect(dyno.received).toBe('');
  });

  test('are read however they are split', async () => {
    const dyno = await serving(HELLO);
    const client = bench.client();
    client.socket.setNoDelay(true);
    for (const piece of ['\r\n', 'PUR', 'GE /a HTTP/1.1\r\nHo', 'st: demo.localhost\r\n\r\n', 'GE']) {
      client.write(piece);
      await pause(3);
    }
    client.write(request('/b').slice(2));
    await eventually(() => client.text.split('hello').length === 3, 'both answers');
    expect(dyno.received).toMatch(/^PURGE \/a HTTP\/1\.1[^]*GET \/b HTTP\/1\.1/);
  });
});

describe('framing', () => {
  // RFC 9112 §6.1: what is done to the body besides chunks the dyno could not be told.
  test.each([
    ['a coding besides chunked', 'Transfer-Encoding: gzip, chunked', '1.1'],
    ['chunks under HTTP/1.0', 'Transfer-Encoding: chunked', '1.0'],
    ['a folded line', 'X: a\n b', '1.1'],
  ])('is refused with %s', async (_what, header, version) => {
    const dyno = await serving(HELLO);
    const answer = await bench.request(
      `POST / HTTP/${version}\nHost: demo.localhost\n${header}`,
      '0\r\n\r\n',
    );
    expect(statusOf(answer)).toBe(400);
    expect(dyno.received).toBe('');
  });

  test('of trailers cannot be said by trailers', async () => {
    const dyno = await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.includes('0\r\n')) socket.write(HELLO);
      });
    });
    await bench.request(
      'POST / HTTP/1.1\nHost: demo.localhost\nTransfer-Encoding: chunked',
      '1\r\na\r\n0\r\nHost: other\r\nX-Sum: 1\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n',
    );
    expect(dyno.received.endsWith('\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n')).toBe(true);
  });
});

describe('a body', () => {
  test('is held back from a dyno that does not read, with bounded memory', async () => {
    const dyno = await serving((socket) => void socket.pause());
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 200000000\r\n\r\n');
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    const more = (): void => {
      while (sent < 190_000_000 && client.socket.write(chunk)) sent += chunk.length;
    };
    client.socket.on('drain', more);
    more();
    let last = -1;
    while (last !== sent || dyno.sockets.length === 0) {
      last = sent;
      await pause(100);
    }
    expect(sent).toBeLessThan(50_000_000);
    dyno.sockets[0]!.resume();
    await eventually(() => sent > last, 'goes on');
  });

  test('waits unread while there is no dyno, but for a little', async () => {
    await bench.start();
    await bench.daemon.serve(anApp());
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 9000000\r\n\r\n');
    client.write('x'.repeat(9_000_000));
    await pause(50);
    let body = 0;
    const dyno = await bench.dyno((socket) => {
      socket.on('data', (chunk) => {
        body += chunk.length;
        if (body > 9_000_000) socket.write(HELLO);
      });
    });
    await bench.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    await client.saw('hello');
    expect(dyno.received.endsWith('x'.repeat(100))).toBe(true);
  });
});

describe('requests sent ahead', () => {
  test('are answered in order, each with bytes of its own', async () => {
    await serving((socket) =>
      onHeads(socket, (head) => {
        const path = head.split(' ')[1] ?? '';
        const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`;
        // The first one is the slowest.
        setTimeout(() => socket.write(answer), path === '/1' ? 20 : 0);
      }),
    );
    const client = bench.client().write(request('/1') + request('/22') + request('/333'));
    await client.saw('/333');
    const answers = client.text.split(/(?=HTTP\/1\.1)/);
    expect(answers.map((answer) => answer.split('\r\n\r\n')[1])).toEqual(['/1', '/22', '/333']);
    await bench.daemon.line(2);
    expect(bench.daemon.lines.map(({ text }) => /bytes=(\d+)/.exec(text)?.[1])).toEqual(
      answers.map(({ length }) => String(length)),
    );
  });

  test('wait behind a body, and are still served when the client has ended its side', async () => {
    const dyno = await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.endsWith('body') || self.received.includes('/next')) socket.write(HELLO);
      });
    });
    const client = bench.client();
    client.write(
      `POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 4\r\n\r\nbody${request('/next')}`,
    );
    client.socket.end();
    expect((await client.end()).split('hello')).toHaveLength(3);
    expect(dyno.received).toContain('GET /next');
  });
});

describe('a client that ends its side', () => {
  test('still gets its answer', async () => {
    await serving((socket) => onHeads(socket, () => setTimeout(() => socket.write(HELLO), 20)));
    const client = bench.client().write(request());
    client.socket.end();
    expect(await client.end()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*hello$/);
    expect(await bench.daemon.line()).toContain('at=info');
  });

  test('gets it after a while too, told meanwhile that the router is there', async () => {
    const dyno = await serving(() => undefined);
    const client = bench.client().write(request());
    client.socket.end();
    await client.saw('HTTP/1.1 100 Continue\r\n\r\n');
    dyno.sockets[0]!.write(HELLO);
    expect(await client.end()).toMatch(/^(HTTP\/1\.1 100 Continue\r\n\r\n)+HTTP\/1\.1 200 OK\r\n[^]*hello$/);
  });

  test('in the middle of its request has given up', async () => {
    const dyno = await serving(() => undefined);
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 9\r\n\r\nhalf');
    await eventually(() => dyno.received.endsWith('half'), 'half at the dyno');
    let closed = false;
    dyno.sockets[0]!.on('end', () => (closed = true));
    client.socket.end();
    expect(await bench.daemon.line()).toContain('code=H27');
    await eventually(() => closed, 'dyno sees its connection closed');
  });

  test('in the middle of a head is told so', async () => {
    await serving(HELLO);
    const client = bench.client().write('GET / HTTP/1.1\r\nHost: de');
    client.socket.end();
    expect(statusOf(await client.end())).toBe(400);
  });
});

describe('interim answers', () => {
  const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\n\r\n';

  test('of a dyno are relayed', async () => {
    await serving(`${HINTS}HTTP/1.1 102 Processing\r\n\r\n${HELLO}`);
    const answer = await bench.get();
    expect(answer).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nVia: 1\.1 heroku-router\r\nLink: <\/a\.css>\r\n\r\nHTTP\/1\.1 102 Processing\r\n[^]*\r\n\r\nHTTP\/1\.1 200 OK\r\n[^]*hello$/,
    );
    expect(await bench.daemon.line()).toContain(`status=200 bytes=${answer.length} `);
  });

  test('are not for HTTP/1.0', async () => {
    await serving(HINTS + HELLO);
    const answer = await bench.client().write('GET / HTTP/1.0\r\nHost: demo.localhost\r\n\r\n').end();
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  test('are not said twice', async () => {
    await serving((socket, self) => {
      socket.on('data', () => {
        if (self.received.endsWith('body')) socket.write(`HTTP/1.1 100 Continue\r\n\r\n${HELLO}`);
      });
    });
    const client = bench
      .client()
      .write('POST / HTTP/1.1\r\nHost: demo.localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n');
    await client.saw('100 Continue');
    client.write('body');
    expect((await client.saw('hello')).split('100 Continue')).toHaveLength(2);
  });

  test('give the dyno the time that an answer under way has', async () => {
    await serving((socket) => onHeads(socket, () => socket.write(HINTS)), {
      timeouts: { firstByteMs: 20, idleMs: 80 },
    });
    expect(await bench.get()).toContain('H15');
  });
});

describe('an answer', () => {
  test.each([
    ['H17', 'without a reason phrase', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', 503],
    ['H17', 'with a coding besides chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n', 503],
    [
      'H25 desc="HTTP restriction: oversized status line"',
      'whose status line is too long',
      `HTTP/1.1 200 ${'a'.repeat(8180)}\r\n\r\n`,
      502,
    ],
    [
      'H25 desc="HTTP restriction: oversized header"',
      'whose head never ends',
      `HTTP/1.1 200 OK\r\n${`X: ${'a'.repeat(500_000)}\r\n`.repeat(3)}\r\n`,
      502,
    ],
    ['H18', 'with a broken chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 200],
  ])('is %s %s', async (line, _what, text, status) => {
    await serving(text);
    expect(statusOf(await bench.get())).toBe(status);
    expect(await bench.daemon.line()).toContain(`code=${line}`);
  });

  test('gets a date when it has none, once', async () => {
    await serving('HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n');
    expect((await bench.get()).match(/date:/gi)).toHaveLength(1);
    const other = await bench.get('/', '');
    expect(other).toContain('date: Thu, 01 Jan 1970');
    expect(await bench.request('GET / HTTP/1.1\nHost: other')).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} /);
  });

  test('that ends with its connection is chunked for HTTP/1.1', async () => {
    await serving((socket) => onHeads(socket, () => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it')));
    const client = bench.client().write(request());
    await client.saw('9\r\nall of it\r\n0\r\n\r\n');
    expect(client.text).toContain('\r\nConnection: keep-alive\r\n');
  });

  test('with more behind it than it said costs the dyno its connection', async () => {
    const dyno = await serving(`${HELLO}HTTP/1.1 200 OK\r\n\r\nsmuggled`);
    expect(await bench.get()).not.toContain('smuggled');
    await bench.get();
    expect(dyno.sockets).toHaveLength(2);
  });

  test('is held back for a client that does not read, with bounded memory', async () => {
    let sent = 0;
    await serving((socket) =>
      onHeads(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        const chunk = Buffer.alloc(64 * 1024);
        const more = (): void => {
          while (sent < 200_000_000 && socket.write(chunk)) sent += chunk.length;
        };
        socket.on('drain', more);
        more();
      }),
    );
    const client = bench.client();
    client.socket.pause();
    client.write(request());
    let last = -1;
    while (last !== sent || sent === 0) {
      last = sent;
      await pause(100);
    }
    expect(sent).toBeLessThan(50_000_000);
    client.socket.resume();
    await eventually(() => sent > last, 'goes on');
  });
});

describe('a connection', () => {
  test('is told 408 when its request does not arrive in time', async () => {
    await bench.start({ timeouts: { clientKeepAliveMs: 60 } });
    expect(statusOf(await bench.client().write('GET / HT').end())).toBe(408);
    expect(statusOf(await bench.client().write('GE').end())).toBe(408);
  });

  test('of HTTP/1.0 stays when it is asked to and can', async () => {
    await serving(HELLO);
    const client = bench.client();
    const head = 'GET / HTTP/1.0\r\nHost: demo.localhost\r\nConnection: keep-alive\r\n\r\n';
    client.write(head);
    await client.saw('hello');
    client.write(head);
    await eventually(() => client.text.split('hello').length === 3, 'second answer');
  });

  test('ends after the answer that was under way when the router stops', async () => {
    const dyno = await serving(() => undefined, { timeouts: { drainMs: 5000 } });
    const [busy, idle] = [bench.client().write(request()), bench.client()];
    await eventually(() => dyno.received !== '', 'request at the dyno');
    const stopped = bench.router.stop();
    await idle.end();
    dyno.sockets[0]!.write(HELLO);
    expect(await busy.end()).toMatch(/\r\nConnection: close\r\n[^]*hello$/);
    await stopped;
  });
});
