import { readAnswers, valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK, type Asked, type Exchanged } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const CLOSE = 'Connection: close';

/** What becomes of a dyno's answer on its way to the client. */
export function describeResponses(rules: Rules): void {
  const { rule } = rules;
  const answered = (text: string, asked: Asked = {}, more: readonly Step[] = []) =>
    rules.place.ask([['send', text], ...more], asked);

  describe('response head', () => {
    for (const [what, line] of [
      ['a usual one', '200 OK'],
      ['words of its own', '404 Gone fishing, back at 5'],
      ['a status that nobody knows', '299 Custom'],
      ['the highest status', '999 Over the top'],
    ] as const) {
      rule(`${ROUTING}, Response handling`, `status and reason stay: ${what}`, async () => {
        const { answer, id } = await answered(`HTTP/1.1 ${line}\r\nContent-Length: 2\r\n\r\nok`);
        expect(`${answer.status} ${answer.reason}`).toBe(line);
        expect(await rules.place.line(id)).toContain(` status=${line.slice(0, 3)} `);
      });
    }

    rule('RFC 9110 §7.6.3', 'Via is added, to the dyno’s own', async () => {
      const { answer } = await answered('HTTP/1.1 200 OK\r\nVia: 1.1 varnish\r\nContent-Length: 0\r\n\r\n');
      expect(valuesOf(answer.headers, 'via').join(', ')).toBe('1.1 varnish, 1.1 heroku-router');
    });

    rule('RFC 9110 §7.6.1', 'what belongs to one connection is not passed on', async () => {
      const { answer } = await answered(
        'HTTP/1.1 200 OK\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\nkeep-alive: timeout=777\r\nProxy-Authenticate: Basic\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\nContent-Length: 0\r\n\r\n',
      );
      for (const name of ['x-own', 'proxy-authenticate', 'proxy-connection', 'upgrade']) {
        expect(valuesOf(answer.headers, name)).toEqual([]);
      }
      expect(valuesOf(answer.headers, 'keep-alive').join()).not.toContain('777');
      expect(valuesOf(answer.headers, 'x-kept')).toEqual(['yes']);
    });

    rule('RFC 9110 §5.3', 'case, order, repetition and bytes of the other headers stay', async () => {
      const own = [
        'set-cookie: a=1; Path=/',
        'Set-Cookie: b=2',
        'X-mIxEd: 1',
        'X-Odd: "\\;,\t=',
        'x-mixed: 2',
        'Set-Cookie: c=3',
        'X-Empty: ',
        'Server: Mine',
        'Date: Thu, 01 Jan 1970 00:00:00 GMT',
        '__proto__: x',
      ];
      const { answer } = await answered(
        `HTTP/1.1 200 OK\r\n${own.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`,
      );
      const lines = answer.headers.map(([name, value]) => `${name}: ${value}`);
      expect(lines.filter((line) => !/^(Content-Length|Via|Connection): /i.test(line))).toEqual(own);
    });

    rule(
      'RFC 9110 §5.5',
      'bytes above ASCII stay one byte each, in reason and values',
      async () => {
        const { answer } = await answered(
          'HTTP/1.1 200 F\xfcnf\r\nX-Bytes: h\xe9\xff\r\nContent-Length: 0\r\n\r\n',
        );
        expect(answer.reason).toBe('F\xfcnf');
        expect(valuesOf(answer.headers, 'x-bytes')).toEqual(['h\xe9\xff']);
      },
      { failing: 'they become UTF-8' },
    );

    rule(`${ROUTING}, Response handling`, 'it goes on before the body has come', async () => {
      const request = rules.place.request([
        ['send', 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n'],
        ['gate', 'head-seen'],
        ['send', 'data'],
        ['end'],
      ]);
      const client = rules.place.client().write(request.text);
      await client.saw('text/event-stream\r\n');
      await rules.place.open('head-seen');
      expect(readAnswers(await client.end())[0]).toMatchObject({ body: 'data', whole: true });
    });

    rule('RFC 9112 §2.2', 'it is the same when each byte comes by itself', async () => {
      const { answer } = await rules.place.ask([
        [
          'drip',
          'HTTP/1.1 201 Made\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n',
        ],
      ]);
      expect(answer).toMatchObject({ status: 201, reason: 'Made', body: 'abc', whole: true });
      expect(valuesOf(answer.headers, 'x-a')).toEqual(['b']);
      expect(answer.trailers).toEqual([['X-T', '1']]);
    });
  });

  describe('response body', () => {
    rule('RFC 9112 §6.2', 'one with a length arrives with that length, byte for byte', async () => {
      const body = Array.from({ length: 512 }, (_, at) => String.fromCharCode(at % 256)).join('');
      const { answer } = await answered(`HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\n${body}`);
      expect(answer).toMatchObject({ framing: 'length', body, whole: true });
    });

    rule('RFC 9112 §7.1', 'a chunked one arrives whole, with its trailers', async () => {
      const { answer } = await answered(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3;x=y\r\nabc\r\n00A\r\n0\r\n\r\n01234\r\n0\r\nX-Sum: 9\r\n\r\n',
      );
      expect(answer).toMatchObject({ framing: 'chunked', body: 'abc0\r\n\r\n01234', whole: true });
      expect(answer.trailers).toEqual([['X-Sum', '9']]);
    });

    rule('RFC 9110 §6.6.2', 'an announcement of trailers does no harm where none can be', async () => {
      const chunked =
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n';
      expect((await answered(chunked, { version: '1.0', headers: [] })).answer.body).toBe('ok');
      const head = chunked.slice(0, chunked.indexOf('2\r\nok'));
      expect((await answered(head, { method: 'HEAD' })).answer.status).toBe(200);
    });

    for (const version of ['1.0', '1.1']) {
      rule(
        'RFC 9112 §6.3',
        `one of HTTP/${version} that ends with its connection arrives whole`,
        async () => {
          const { answer } = await answered(`HTTP/${version} 200 OK\r\nX-A: b\r\n\r\nuntil the end`, {}, [
            ['end'],
          ]);
          expect(answer).toMatchObject({ status: 200, body: 'until the end', whole: true });
        },
      );
    }

    rule(`${ROUTING}, HTTP versions and methods`, 'an HTTP/1.0 client gets no chunks', async () => {
      const { answer, bytes } = await answered(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n',
        { version: '1.0', headers: [] },
      );
      expect(answer).toMatchObject({ framing: 'close', body: 'abcde' });
      expect(bytes).not.toMatch(/chunked|X-T/i);
    });

    rule(`${ROUTING}, HTTP versions and methods`, 'nor one that asks to keep its connection', async () => {
      const { answer } = await answered(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        { version: '1.0', headers: ['Connection: keep-alive'] },
      );
      expect(answer).toMatchObject({ framing: 'close', body: 'abc' });
    });

    for (const [method, head] of [
      ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n'],
      ['HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n'],
      ['HEAD', 'HTTP/1.1 404 Not Found\r\n'],
      ['GET', 'HTTP/1.1 204 No Content\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n'],
      ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n'],
    ] as const) {
      const status = head.split('\r\n').slice(0, 2).join(', ');
      rule('RFC 9112 §6.3', `no body for ${method}: ${status}`, async () => {
        const { answer, bytes, id } = await answered(`${head}\r\n`, { method });
        expect(bytes.endsWith('\r\n\r\n')).toBe(true);
        expect(answer.status).toBe(Number(head.slice(9, 12)));
        expect(await rules.place.line(id)).toMatch(/^at=info /);
        if (head.includes('ETag')) expect(valuesOf(answer.headers, 'etag')).toEqual(['"x"']);
      });

      rule('RFC 9112 §6.3', `… nor when the dyno sends one: ${method}, ${status}`, async () => {
        const first = rules.place.request([['send', `${head}\r\nwrong`]], { method, headers: [] });
        const next = rules.place.request([['send', OK]]);
        const client = rules.place.client().write(first.text);
        await client.saw('\r\n\r\n');
        client.write(next.text);
        const answers = readAnswers(await client.end(), [method, 'GET']);
        expect(answers.map(({ status }) => status)).toEqual([Number(head.slice(9, 12)), 200]);
        expect(answers[1]).toMatchObject({ body: 'ok', whole: true });
      });
    }

    rule('RFC 9112 §6.3', 'what a dyno says behind its answer is nobody’s answer', async () => {
      const first = rules.place.request([['send', `${OK}HTTP/1.1 666 Evil\r\nContent-Length: 0\r\n\r\n`]], {
        headers: [],
      });
      const client = rules.place.client().write(first.text);
      await client.saw('ok');
      client.write(rules.place.request([['send', OK]]).text);
      const bytes = await client.end();
      expect(bytes).not.toContain('Evil');
      expect(readAnswers(bytes, ['GET', 'GET']).map(({ status }) => status)).toEqual([200, 200]);
    });

    rule(`${ROUTING}, Response handling`, 'the client gets all, though the dyno is long gone', async () => {
      const size = 600_000;
      const request = rules.place.request([
        ['send', `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`],
        ['flood', size],
        ['end'],
      ]);
      const client = rules.place.client();
      client.socket.pause();
      client.write(request.text);
      await rules.place.recorded(request.id, ({ sentBytes }) => sentBytes > size, 'its end');
      client.socket.resume();
      expect(readAnswers(await client.end())[0]).toMatchObject({ whole: true });
    });

    rule(`${ROUTING}, Request buffering`, 'an answer of any size passes', async () => {
      const size = 30_000_000;
      const { answer, id } = await answered(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`, {}, [
        ['flood', size],
      ]);
      expect(answer.body).toHaveLength(size);
      expect(answer.whole).toBe(true);
      expect(Number(/ bytes=(\d+) /.exec(await rules.place.line(id))?.[1])).toBeGreaterThan(size);
    });
  });

  describe('interim answers', () => {
    const NOT_YET = { failing: 'they are dropped' };
    const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.css>\r\n\r\n';

    rule(
      'RFC 8297 §2',
      '103 reaches the client before the answer is there',
      async () => {
        const request = rules.place.request([
          ['send', HINTS],
          ['gate', 'hints-seen'],
          ['send', OK],
        ]);
        const client = rules.place.client().write(request.text);
        await client.saw('</b.css>\r\n\r\n');
        await rules.place.open('hints-seen');
        const [hints, answer] = readAnswers(await client.end());
        expect(hints).toMatchObject({ status: 103, reason: 'Early Hints' });
        expect(valuesOf(hints!.headers, 'link')).toEqual(['</a.css>; rel=preload', '</b.css>']);
        expect(answer).toMatchObject({ status: 200, body: 'ok' });
        expect(await rules.place.line(request.id)).toContain(' status=200 ');
      },
      NOT_YET,
    );

    rule(
      'RFC 9110 §15.2',
      'so do several, of any number',
      async () => {
        const { answers } = await answered(
          `HTTP/1.1 102 Processing\r\n\r\n${HINTS}HTTP/1.1 199 X\r\n\r\n${OK}`,
        );
        expect(answers.map(({ status }) => status)).toEqual([102, 103, 199, 200]);
      },
      NOT_YET,
    );

    rule('RFC 9110 §15.2', 'an HTTP/1.0 client gets none', async () => {
      const { answers } = await answered(HINTS + OK, { version: '1.0', headers: [] });
      expect(answers.map(({ status }) => status)).toEqual([200]);
    });

    rule(
      `${ROUTING}, Expect: 100-continue`,
      'the client sees one 100, though the dyno says it too',
      async () => {
        const { answers } = await answered(`HTTP/1.1 100 Continue\r\n\r\n${OK}`, {
          method: 'POST',
          headers: ['Expect: 100-continue', 'Content-Length: 4', CLOSE],
          body: 'body',
        });
        expect(answers.map(({ status }) => status)).toEqual([100, 200]);
      },
    );
  });

  describe('limits of an answer', () => {
    const sized = (line: string, size: number, more: string): Promise<Exchanged> =>
      rules.place.ask([
        ['send', `HTTP/1.1 200 OK\r\n${line}`],
        ['repeat', 'a', size - line.length],
        ['send', `${more}\r\nContent-Length: 0\r\n\r\n`],
      ]);

    const refused = async (exchanged: Exchanged, what: string): Promise<void> => {
      expect(exchanged.answer.status).toBe(502);
      expect(await rules.place.line(exchanged.id)).toMatch(
        new RegExp(`^at=error code=H25 desc="HTTP restriction: ${what}" .* status=502 bytes=\\d+ `),
      );
    };

    rule(`${ROUTING}, Response limits`, 'a header line of 512 KB passes', async () => {
      const { answer } = await sized('X-Long: ', 512 * 1024, '');
      expect(answer.status).toBe(200);
      expect(valuesOf(answer.headers, 'x-long')[0]).toHaveLength(512 * 1024 - 'X-Long: '.length);
    });
    rule(`${ROUTING}, Response limits`, 'a header line of one byte more is 502 (H25)', async () =>
      refused(await sized('X-Long: ', 512 * 1024 + 1, ''), 'oversized header'),
    );
    rule(`${ROUTING}, Response limits`, 'a cookie of 8,192 bytes passes', async () => {
      const { answer } = await sized('Set-Cookie: ', 8192 + 'Set-Cookie: '.length, '');
      expect(valuesOf(answer.headers, 'set-cookie')[0]).toHaveLength(8192);
    });
    rule(`${ROUTING}, Response limits`, 'a cookie of one byte more is 502 (H25)', async () =>
      refused(await sized('Set-Cookie: ', 8193 + 'Set-Cookie: '.length, ''), 'oversized cookie'),
    );
    rule(`${ROUTING}, Response limits`, 'a status line of 8,192 bytes passes', async () => {
      const line = 'HTTP/1.1 200 ';
      const { answer } = await answered(
        `${line}${'a'.repeat(8192 - line.length)}\r\nContent-Length: 0\r\n\r\n`.slice(0, 20),
        {},
        [
          ['repeat', 'a', 8192 - 20],
          ['send', '\r\nContent-Length: 0\r\n\r\n'],
        ],
      );
      expect(answer.reason).toHaveLength(8192 - line.length);
    });
    rule(
      `${ROUTING}, Response limits`,
      'a status line of one byte more is 502 (H25)',
      async () =>
        refused(
          await rules.place.ask([
            ['send', 'HTTP/1.1 200 '],
            ['repeat', 'a', 8193 - 'HTTP/1.1 200 '.length],
            ['send', '\r\nContent-Length: 0\r\n\r\n'],
          ]),
          'oversized status line',
        ),
      { failing: 'it has no limit of its own' },
    );

    for (const [what, lines] of [
      ['a length that is no number', 'Content-Length: ten'],
      ['a negative length', 'Content-Length: -1'],
      ['a length beyond any number', `Content-Length: ${'9'.repeat(30)}`],
      ['two lengths that differ', 'Content-Length: 1\r\nContent-Length: 2'],
    ] as const) {
      rule('RFC 9112 §6.3', `${what} is 502 (H25)`, async () =>
        refused(
          await rules.place.ask([['send', `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n0\r\n\r\n`]]),
          'invalid content length',
        ),
      );
    }

    for (const lines of [
      'Content-Length: 5\r\nTransfer-Encoding: chunked',
      'Transfer-Encoding: chunked\r\nContent-Length: 5',
    ]) {
      rule('RFC 9112 §6.3', `${lines.replace('\r\n', ', ')} is refused`, async () => {
        const { answer, id } = await rules.place.ask([
          ['send', `HTTP/1.1 200 OK\r\n${lines}\r\n\r\n0\r\n\r\n`],
        ]);
        expect([502, 503]).toContain(answer.status);
        expect(await rules.place.line(id)).toMatch(/^at=error code=H(17|25) /);
      });
    }
  });

  describe('early answers', () => {
    const early = async (more: readonly Step[]) => {
      const request = rules.place.request(
        [['got', 1], ['send', 'HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\n\r\nbig'], ...more],
        { method: 'POST', headers: ['Content-Length: 50000000'], body: 'x' },
      );
      const client = rules.place.client().write(request.text);
      return { request, client };
    };

    rule(
      'RFC 9112 §9.3',
      'an answer before the body’s end arrives at once, and ends the connection',
      async () => {
        const { request, client } = await early([]);
        await client.saw('big');
        const [answer] = readAnswers(client.text);
        expect(answer).toMatchObject({ status: 413, body: 'big', whole: true });
        expect(valuesOf(answer!.headers, 'connection')).toEqual(['close']);
        expect(await rules.place.line(request.id)).toContain(' status=413 ');
        // The dyno's connection still expects a body: it is of no more use.
        await rules.place.recorded(request.id, ({ ended, closed }) => ended || closed !== null, 'its end');
      },
      { failing: 'the answer promises to keep the connection' },
    );

    rule('RFC 9112 §9.6', 'a client that goes on sending does not lose it', async () => {
      const { client } = await early([['end']]);
      const block = 'x'.repeat(65536);
      for (let sent = 0; sent < 3_000_000 && !client.closed; sent += block.length) client.write(block);
      await client.saw('big');
      expect(readAnswers(client.text)[0]).toMatchObject({ status: 413, body: 'big', whole: true });
    });
  });
}
