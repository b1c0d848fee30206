import { readAnswers, valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK, type Asked, type Exchanged } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const CLOSE = 'Connection: close';

/** What becomes of a dyno's answer on its way to the client. */
export function describeResponseHeads(rules: Rules): void {
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

    rule('RFC 9110 §5.5', 'bytes above ASCII stay one byte each, in reason and values', async () => {
      const { answer } = await answered(
        'HTTP/1.1 200 F\xfcnf\r\nX-Bytes: h\xe9\xff\r\nContent-Length: 0\r\n\r\n',
      );
      expect(answer.reason).toBe('F\xfcnf');
      expect(valuesOf(answer.headers, 'x-bytes')).toEqual(['h\xe9\xff']);
    });

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

  describe('interim answers', () => {
    const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.css>\r\n\r\n';

    rule('RFC 8297 §2', '103 reaches the client before the answer is there', async () => {
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
    });

    rule('RFC 9110 §15.2', 'so do several, of any number', async () => {
      const { answers } = await answered(
        `HTTP/1.1 102 Processing\r\n\r\n${HINTS}HTTP/1.1 199 X\r\n\r\n${OK}`,
      );
      expect(answers.map(({ status }) => status)).toEqual([102, 103, 199, 200]);
    });

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
    rule(`${ROUTING}, Response limits`, 'a status line of one byte more is 502 (H25)', async () =>
      refused(
        await rules.place.ask([
          ['send', 'HTTP/1.1 200 '],
          ['repeat', 'a', 8193 - 'HTTP/1.1 200 '.length],
          ['send', '\r\nContent-Length: 0\r\n\r\n'],
        ]),
        'oversized status line',
      ),
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
}
