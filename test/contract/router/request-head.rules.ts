import { valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const ANSWER: readonly Step[] = [['send', OK]];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CLOSE = 'Connection: close';

/** What becomes of a request's head on its way to the dyno. */
export function describeRequestHeads(rules: Rules): void {
  const { rule } = rules;
  const ask = (...args: Parameters<Rules['place']['ask']>) => rules.place.ask(...args);
  const received = (id: string) => rules.place.received(id);

  describe('headers for the dyno', () => {
    rule(`${ROUTING}, Heroku headers`, 'the dyno is told who asked, how and when', async () => {
      const before = Date.now();
      const { id } = await ask(ANSWER);
      const { headers } = await received(id);
      expect(valuesOf(headers, 'x-forwarded-for')).toEqual([expect.stringMatching(/^[0-9a-f.:]+$/)]);
      expect(valuesOf(headers, 'x-forwarded-proto')).toEqual(['http']);
      expect(valuesOf(headers, 'x-forwarded-port')).toEqual([String(rules.place.port)]);
      expect(valuesOf(headers, 'via')).toEqual(['1.1 heroku-router']);
      const [start] = valuesOf(headers, 'x-request-start');
      expect(start).toMatch(/^\d{13}$/);
      expect(Number(start)).toBeGreaterThanOrEqual(before);
      expect(Number(start)).toBeLessThanOrEqual(Date.now());
    });

    rule(
      `${ROUTING}, Heroku headers`,
      'the client is appended to X-Forwarded-For, lines joined',
      async () => {
        const { id } = await ask(ANSWER, {
          headers: ['X-Forwarded-For: 1.2.3.4, 5.6.7.8', 'x-forwarded-for: 9.9.9.9', CLOSE],
        });
        const [list, ...more] = valuesOf((await received(id)).headers, 'x-forwarded-for');
        expect(more).toEqual([]);
        expect(list).toMatch(/^1\.2\.3\.4, ?5\.6\.7\.8, ?9\.9\.9\.9, ?[0-9a-f.:]+$/);
        expect(await rules.place.line(id)).toMatch(/ fwd="1\.2\.3\.4,5\.6\.7\.8,9\.9\.9\.9,[0-9a-f.:]+" /);
      },
    );

    rule(`${ROUTING}, Heroku headers`, 'a client cannot say these itself', async () => {
      const { id } = await ask(ANSWER, {
        headers: [
          'X-Forwarded-Proto: https',
          'x-forwarded-port: 443',
          'X-REQUEST-START: 1',
          'X-Forwarded-Proto: https',
          CLOSE,
        ],
      });
      const { headers } = await received(id);
      expect(valuesOf(headers, 'x-forwarded-proto')).toEqual(['http']);
      expect(valuesOf(headers, 'x-forwarded-port')).toEqual([String(rules.place.port)]);
      expect(valuesOf(headers, 'x-request-start')).toEqual([expect.stringMatching(/^\d{13}$/)]);
    });

    rule('RFC 9110 §7.6.3', 'Via grows at its end', async () => {
      const { id } = await ask(ANSWER, { headers: ['Via: 1.0 fred, 1.1 p.example', CLOSE] });
      const via = valuesOf((await received(id)).headers, 'via').join(', ');
      expect(via).toBe('1.0 fred, 1.1 p.example, 1.1 heroku-router');
    });

    rule(`${ROUTING}, Heroku headers`, 'X-Forwarded-Host is passed as it came', async () => {
      const { id } = await ask(ANSWER, { headers: ['X-Forwarded-Host: evil.example', CLOSE] });
      expect(valuesOf((await received(id)).headers, 'x-forwarded-host')).toEqual(['evil.example']);
    });

    rule('RFC 9110 §7.6.1', 'what belongs to one connection is not passed on', async () => {
      const own = ['Keep-Alive', 'Proxy-Authenticate', 'Proxy-Authorization', 'Proxy-Connection', 'TE'];
      const { id } = await ask(ANSWER, {
        headers: [...own.map((name) => `${name}: x`), 'Upgrade: x', CLOSE, 'X-Kept: yes'],
      });
      const { headers } = await received(id);
      for (const name of [...own, 'Upgrade']) expect(valuesOf(headers, name.toLowerCase())).toEqual([]);
      expect(valuesOf(headers, 'connection').join()).not.toMatch(/close/i);
      expect(valuesOf(headers, 'x-kept')).toEqual(['yes']);
    });

    rule('RFC 9110 §7.6.1', 'what Connection names is not passed on, in any case and line', async () => {
      const { id } = await ask(ANSWER, {
        headers: [
          'connection: X-One,x-TWO , close',
          'X-One: 1',
          'x-two: 2',
          'Connection: x-three',
          'X-Three: 3',
          'X-Four: 4',
        ],
      });
      const { headers } = await received(id);
      for (const name of ['x-one', 'x-two', 'x-three']) expect(valuesOf(headers, name)).toEqual([]);
      expect(valuesOf(headers, 'x-four')).toEqual(['4']);
      expect(valuesOf(headers, 'connection').join()).not.toMatch(/x-|close/i);
    });

    rule('RFC 9110 §7.6.1', 'Connection cannot name away what others rely on', async () => {
      const { id } = await ask([['body'], ...ANSWER], {
        method: 'POST',
        headers: [
          'Connection: close, Host, Content-Length, X-Forwarded-For, X-Request-ID, X-Forwarded-Proto, Via, Content-Type, X-Request-Start',
          'Content-Type: text/plain',
          'Content-Length: 4',
        ],
        body: 'body',
      });
      const request = await received(id);
      expect(request.body).toBe('body');
      for (const name of ['host', 'x-forwarded-for', 'x-forwarded-proto', 'via', 'content-type']) {
        expect({ name, values: valuesOf(request.headers, name) }).toEqual({
          name,
          values: [expect.any(String)],
        });
      }
      expect(valuesOf(request.headers, 'x-request-id')).toEqual([id]);
      expect(valuesOf(request.headers, 'x-request-start')).toHaveLength(1);
    });

    rule('RFC 9110 §5.3', 'case, repetition and the order of equal names stay', async () => {
      const own = [
        ['X-mIxEd', '1'],
        ['X-List', 'a=1'],
        ['x-b', '3'],
        ['X-List', 'b=2'],
        ['constructor', 'y'],
      ];
      const { id } = await ask(ANSWER, {
        headers: [...own.map(([name, value]) => `${name}: ${value}`), CLOSE],
      });
      const names = new Set(own.map(([name]) => name));
      const { headers } = await received(id);
      const kept = headers.filter(([name]) => names.has(name));
      expect(kept).toHaveLength(own.length);
      expect(kept).toEqual(expect.arrayContaining(own));
      expect(valuesOf(kept, 'x-list')).toEqual(['a=1', 'b=2']);
    });

    rule(
      'RFC 9110 §5.3',
      'so does the order of different names',
      async () => {
        const own = ['X-A: 1', 'X-B: 2', 'X-A: 3', 'X-C: 4', 'X-B: 5'];
        const { id } = await ask(ANSWER, { headers: [...own, CLOSE] });
        const kept = (await received(id)).headers.filter(([name]) => /^X-[ABC]$/.test(name));
        expect(kept.map(([name, value]) => `${name}: ${value}`)).toEqual(own);
      },
      { failing: 'equal names are put together' },
    );

    rule(
      'RFC 6265 §5.4',
      'two Cookie lines stay two',
      async () => {
        const { id } = await ask(ANSWER, { headers: ['Cookie: a=1', 'cookie: b=2', CLOSE] });
        expect(valuesOf((await received(id)).headers, 'cookie')).toEqual(['a=1', 'b=2']);
      },
      { failing: 'they are joined' },
    );

    rule(
      'RFC 9110 §5.1',
      'a name may be any token, one that a language gives a meaning too',
      async () => {
        const { id } = await ask(ANSWER, { headers: ['__proto__: x', "!#$%&'*+-.^_`|~: y", CLOSE] });
        const { headers } = await received(id);
        expect(headers).toContainEqual(['__proto__', 'x']);
        expect(headers).toContainEqual(["!#$%&'*+-.^_`|~", 'y']);
      },
      { failing: '__proto__ is lost' },
    );

    rule('RFC 9110 §6.6.2', 'a Trailer header without chunks does no harm', async () => {
      const { answer } = await ask([['send', OK.replace('\r\n\r\n', '\r\nTrailer: X-Sum\r\n\r\n')]], {
        headers: ['Trailer: X-Sum', CLOSE],
      });
      expect(answer).toMatchObject({ status: 200, body: 'ok' });
    });

    rule('RFC 9110 §5.5', 'values keep every byte, less the space around them', async () => {
      const { id } = await ask(ANSWER, {
        headers: ['X-Bytes: \t h\xc3\xa9 \xff\t"; \\ \t', 'X-Empty:', 'X-Tight:x', CLOSE],
      });
      const { headers } = await received(id);
      expect(valuesOf(headers, 'x-bytes')).toEqual(['h\xc3\xa9 \xff\t"; \\']);
      expect(valuesOf(headers, 'x-empty')).toEqual(['']);
      expect(valuesOf(headers, 'x-tight')).toEqual(['x']);
    });
  });

  describe('request id', () => {
    const sent = async (...lines: string[]): Promise<{ seen: string; log: string }> => {
      const request = rules.place.request(ANSWER);
      await rules.place.send(
        request.text.replace(
          /X-Request-ID: .*\r\n/,
          lines.map((line) => `X-Request-ID: ${line}\r\n`).join(''),
        ),
      );
      const ids = valuesOf((await received(request.id)).headers, 'x-request-id');
      expect(ids).toHaveLength(1);
      const line = await rules.place.lineWith(request.path);
      return { seen: ids[0]!, log: / request_id=(\S*) /.exec(line)?.[1] ?? '' };
    };

    for (const [what, id] of [
      ['20 characters', 'x'.repeat(20)],
      ['200 characters', 'y'.repeat(200)],
      ['any allowed character', 'AZaz09+/=-'.repeat(2)],
    ] as const) {
      rule('HTTP Request IDs', `a client’s id of ${what} is kept`, async () => {
        const { seen, log } = await sent(id);
        expect(seen).toBe(id);
        // An unquoted value of a log line holds no "=".
        expect(log).toBe(id.replaceAll('=', '\\u003d'));
      });
    }

    for (const [what, ids] of [
      ['of 19 characters', ['x'.repeat(19)]],
      ['of 201 characters', ['x'.repeat(201)]],
      ['with an underscore', [`${'x'.repeat(20)}_`]],
      ['with a space', [`${'x'.repeat(20)} x`]],
      ['with a byte above ASCII', [`${'x'.repeat(20)}\xe9`]],
      ['that is empty', ['']],
      ['that is said twice', ['x'.repeat(20), 'y'.repeat(20)]],
    ] as const) {
      rule('HTTP Request IDs', `an id ${what} is replaced`, async () => {
        const { seen, log } = await sent(...ids);
        expect(seen).toMatch(UUID);
        expect(log).toBe(seen);
      });
    }

    rule('HTTP Request IDs', 'a request without one gets a UUID, another each time', async () => {
      const first = await sent();
      const second = await sent();
      expect(first.seen).toMatch(UUID);
      expect(second.seen).toMatch(UUID);
      expect(first.seen).not.toBe(second.seen);
      expect(first.log).toBe(first.seen);
    });
  });

  describe('host', () => {
    const asked = async (host: string) => {
      const { id, answer } = await ask(ANSWER, { host });
      return { id, status: answer.status };
    };

    rule(
      `${ROUTING}, Heroku headers`,
      'the dyno sees Host as it came; case and port do not matter',
      async () => {
        const host = `${rules.place.host.toUpperCase()}:1234`;
        const { id, status } = await asked(host);
        expect(status).toBe(200);
        expect(valuesOf((await received(id)).headers, 'host')).toEqual([host]);
        expect(await rules.place.line(id)).toContain(` host=${rules.place.host} `);
      },
    );

    rule('RFC 1034 §3.1', 'a dot at its end does not matter', async () => {
      expect((await asked(`${rules.place.host}.`)).status).toBe(200);
    });

    rule(`${ROUTING}, Routing`, 'a host that no app has is 404, without a log line', async () => {
      const { id, status } = await asked('nobody.localhost');
      expect(status).toBe(404);
      const next = await ask(ANSWER);
      await rules.place.line(next.id);
      expect(rules.place.linesOf(id)).toEqual([]);
      expect(await rules.place.record(id)).toBeNull();
    });

    for (const [what, text] of [
      ['HTTP/1.1 without Host', 'GET /x HTTP/1.1\r\nConnection: close\r\n\r\n'],
      ['HTTP/1.0 without Host', 'GET /x HTTP/1.0\r\n\r\n'],
      ['an empty Host', 'GET /x HTTP/1.1\r\nConnection: close\r\nHost:\r\n\r\n'],
    ] as const) {
      rule('RFC 9112 §3.2', `${what} is refused with 400`, async () => {
        expect(await rules.place.send(text)).toMatch(/^HTTP\/1\.1 400 /);
      });
    }

    rule('RFC 9112 §3.2', 'two Host lines are refused with 400, equal ones too', async () => {
      const { id, answer } = await ask(ANSWER, { headers: [`Host: ${rules.place.host}`, CLOSE] });
      expect(answer.status).toBe(400);
      expect(await rules.place.record(id)).toBeNull();
    });

    for (const [what, host] of [
      ['a path', 'demo/x'],
      ['a user', 'user@'],
      ['a list', 'a.example,'],
      ['a space', 'a b '],
    ] as const) {
      rule('RFC 9112 §3.2', `a Host with ${what} in it serves no app`, async () => {
        const { id, status } = await asked(`${host}${rules.place.host}`);
        expect([400, 404]).toContain(status);
        expect(await rules.place.record(id)).toBeNull();
      });
    }
  });

  describe('target', () => {
    const target = async (text: string, more: { host?: string } = {}) => {
      const request = rules.place.request(ANSWER, more);
      const bytes = await rules.place.send(request.text.replace(request.path, () => text));
      return { ...request, bytes };
    };

    rule(`${ROUTING}, Request validation`, 'path and query reach the dyno as they were written', async () => {
      const tail = `//a/./../%2F%zz|{}"<>\\^\`;,@:[]#?q=//x?y&z=%00'#f`;
      const request = await ask(ANSWER, { tail });
      expect((await received(request.id)).target).toBe(request.path);
      expect(await rules.place.line(request.id)).toContain(
        ` path="${request.path.replace(/["\\]/g, '\\$&')}" `,
      );
    });

    rule('RFC 3986 §2', 'a target with bytes above ASCII is refused with 400', async () => {
      const { id, answer } = await ask(ANSWER, { tail: '/h\xc3\xa9' });
      expect(answer.status).toBe(400);
      expect(await rules.place.record(id)).toBeNull();
    });

    rule('RFC 9112 §3.2.2', 'an absolute target counts, not the Host beside it', async () => {
      const request = rules.place.request(ANSWER, { host: 'other.example' });
      await rules.place.send(
        request.text.replace(request.path, (path) => `http://${rules.place.host}${path}?q`),
      );
      const seen = await received(request.id);
      expect(seen.target).toBe(`${request.path}?q`);
      expect(valuesOf(seen.headers, 'host')).toEqual([rules.place.host]);
    });

    rule('RFC 9112 §3.2.2', 'an absolute target for nobody’s host is 404, whatever Host says', async () => {
      const { bytes, id } = await target('http://other.example/');
      expect(bytes).toMatch(/^HTTP\/1\.1 404 /);
      expect(await rules.place.record(id)).toBeNull();
    });

    rule('RFC 9112 §3.2.1', 'an absolute target without a path asks for /', async () => {
      const { bytes, id } = await target(`http://${rules.place.host}?x=${Date.now()}`);
      expect(bytes).toMatch(/^HTTP\/1\.1 200 /);
      expect(await rules.place.line(id)).toMatch(/ path="\/\?x=\d+" /);
    });

    rule('RFC 9112 §3.2.4', 'OPTIONS * reaches the dyno', async () => {
      const { bytes, id } = await target('*');
      // GET has no use for it, but it is the dyno's to say so.
      expect(bytes).toMatch(/^HTTP\/1\.1 (200|400) /);
      const options = rules.place.request(ANSWER, { method: 'OPTIONS' });
      const text = options.text.replace(options.path, '*');
      expect(await rules.place.send(text)).toMatch(/^HTTP\/1\.1 200 /);
      expect(await rules.place.line(options.id)).toContain(' method=OPTIONS path="*" ');
      expect(id).not.toBe(options.id);
    });
  });

  describe('method', () => {
    const standard = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];
    for (const method of [...standard, 'PROPFIND', 'REPORT', 'PURGE', 'M-SEARCH']) {
      rule(`${ROUTING}, HTTP versions and methods`, `${method} reaches the dyno`, async () => {
        const { id, answer } = await ask(ANSWER, { method });
        expect(answer.status).toBe(200);
        expect((await received(id)).method).toBe(method);
      });
    }

    for (const [what, method] of [
      ['one that nobody knows', 'FOO'],
      ['one in lower case', 'get'],
      ['one of odd characters', "!#$%&'*+-.^_`|~09aZ"],
      ['one of 127 characters', 'M'.repeat(127)],
    ] as const) {
      rule(
        `${ROUTING}, HTTP versions and methods`,
        `any token reaches the dyno: ${what}`,
        async () => {
          const { id, answer } = await ask(ANSWER, { method });
          expect(answer.status).toBe(200);
          expect((await received(id)).method).toBe(method);
        },
        { failing: 'its parser knows a list of methods' },
      );
    }

    for (const [what, method] of [
      ['over 127 characters', 'M'.repeat(128)],
      ['with a character that no token has', 'G(T'],
      ['with a byte above ASCII', 'G\xe9T'],
    ] as const) {
      rule(`${ROUTING}, Request validation`, `a method ${what} is refused with 400`, async () => {
        const { id, answer } = await ask(ANSWER, { method });
        expect(answer.status).toBe(400);
        expect(await rules.place.record(id)).toBeNull();
      });
    }

    rule(`${ROUTING}, Not supported`, 'CONNECT is refused with 405', async () => {
      const bytes = await rules.place.send(
        `CONNECT ${rules.place.host}:80 HTTP/1.1\r\nHost: ${rules.place.host}\r\n\r\n`,
      );
      expect(bytes).toMatch(/^HTTP\/1\.1 405 /);
    });
  });

  describe('version', () => {
    for (const [what, line] of [
      ['HTTP/0.9', 'GET /zero-nine'],
      ['HTTP/0.9 by name', 'GET /zero-nine HTTP/0.9'],
      ['HTTP/2 in clear text', 'PRI * HTTP/2.0'],
      ['HTTP/3.0', 'GET /three HTTP/3.0'],
      ['a version in lower case', 'GET /lower http/1.1'],
      ['a version without its dot', 'GET /dot HTTP/11'],
      ['a version of two digits', 'GET /digits HTTP/1.10'],
    ] as const) {
      rule(`${ROUTING}, HTTP versions and methods`, `${what} is refused`, async () => {
        const bytes = await rules.place.send(`${line}\r\nHost: ${rules.place.host}\r\n\r\n`);
        expect(bytes).toMatch(/^(HTTP\/1\.1 (400|505) |$)/);
      });
    }

    rule(
      `${ROUTING}, HTTP versions and methods`,
      'HTTP/1.0 is served; the dyno is asked in 1.1',
      async () => {
        const { id, answer } = await ask(ANSWER, { version: '1.0', headers: [] });
        expect(answer).toMatchObject({ status: 200, body: 'ok' });
        expect((await received(id)).version).toBe('1.1');
      },
    );

    rule('RFC 9112 §2.2', 'an empty line before a request is overlooked', async () => {
      const request = rules.place.request(ANSWER);
      expect(await rules.place.send(`\r\n${request.text}`)).toMatch(/^HTTP\/1\.1 200 /);
      await received(request.id);
    });
  });

  describe('limits', () => {
    const filled = (line: string, size: number): string => line + 'a'.repeat(size - line.length);
    const refused = async (request: { id: string; text: string; path: string }): Promise<void> => {
      expect(await rules.place.send(request.text)).toMatch(/^HTTP\/1\.1 400 /);
      expect(await rules.place.lineWith(request.path.slice(0, 60))).toMatch(
        /^at=error code=H26 desc="Request Error" cause="bad header" .* dyno= connect= service= status=400 bytes= /,
      );
      expect(await rules.place.record(request.id)).toBeNull();
    };
    const lineOf = (size: number) => {
      const request = rules.place.request(ANSWER, { tail: '/' });
      const path = filled(request.path, size - 'GET  HTTP/1.1'.length);
      return { ...request, path, text: request.text.replace(request.path, path) };
    };

    rule(`${ROUTING}, Request validation`, 'a request line of 8,192 bytes is served', async () => {
      const request = lineOf(8192);
      expect(await rules.place.send(request.text)).toMatch(/^HTTP\/1\.1 200 /);
      expect((await received(request.id)).target).toBe(request.path);
    });
    rule(`${ROUTING}, Request validation`, 'a request line of 8,193 bytes is refused', () =>
      refused(lineOf(8193)),
    );

    rule(`${ROUTING}, Request validation`, 'a header line of 8,192 bytes is served', async () => {
      const { id, answer } = await ask(ANSWER, { headers: [filled('X-Long: ', 8192), CLOSE] });
      expect(answer.status).toBe(200);
      expect(valuesOf((await received(id)).headers, 'x-long')[0]).toHaveLength(8192 - 'X-Long: '.length);
    });
    rule(`${ROUTING}, Request validation`, 'a header line of 8,193 bytes is refused', () =>
      refused(rules.place.request(ANSWER, { headers: [filled('X-Long: ', 8193), CLOSE] })),
    );

    rule(`${ROUTING}, Request validation`, 'a header name of 1,000 bytes is served', async () => {
      const name = filled('X-', 1000);
      const { id, answer } = await ask(ANSWER, { headers: [`${name}: 1`, CLOSE] });
      expect(answer.status).toBe(200);
      expect(valuesOf((await received(id)).headers, name.toLowerCase())).toEqual(['1']);
    });
    rule(`${ROUTING}, Request validation`, 'a header name of 1,001 bytes is refused', () =>
      refused(rules.place.request(ANSWER, { headers: [`${filled('X-', 1001)}: 1`, CLOSE] })),
    );

    // Beside Host, X-Request-ID and Connection.
    const many = (count: number) => Array.from({ length: count - 3 }, (_, index) => `X-${index}: ${index}`);
    rule(`${ROUTING}, Request validation`, '1,000 headers are served', async () => {
      const { id, answer } = await ask(ANSWER, { headers: [...many(1000), CLOSE] });
      expect(answer.status).toBe(200);
      expect((await received(id)).headers.filter(([name]) => /^X-\d+$/.test(name))).toHaveLength(997);
    });
    rule(`${ROUTING}, Request validation`, '1,001 headers are refused', () =>
      refused(rules.place.request(ANSWER, { headers: [...many(1001), CLOSE] })),
    );
  });

  describe('Expect', () => {
    const body = { method: 'POST', body: 'body', headers: ['Content-Length: 4', CLOSE] };
    const withExpect = (value: string) => ({ ...body, headers: [...body.headers, `Expect: ${value}`] });

    rule(
      `${ROUTING}, Expect: 100-continue`,
      'the router says 100 itself, before the body has come',
      async () => {
        const request = rules.place.request([['body'], ...ANSWER], {
          ...withExpect('100-Continue'),
          body: '',
        });
        const client = rules.place.client().write(request.text);
        await client.saw('HTTP/1.1 100 Continue\r\n\r\n');
        client.write('body');
        expect(await client.end()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
        const seen = await received(request.id);
        expect(seen.body).toBe('body');
        expect(valuesOf(seen.headers, 'expect')).toEqual([]);
      },
    );

    rule('RFC 9110 §10.1.1', 'a client that does not wait for it is served as well', async () => {
      const { answer, id } = await ask([['body'], ...ANSWER], withExpect('100-continue'));
      expect(answer.status).toBe(200);
      expect((await received(id)).body).toBe('body');
    });

    rule('RFC 9110 §10.1.1', 'an HTTP/1.0 client gets no 100', async () => {
      const { bytes, id } = await ask([['body'], ...ANSWER], {
        ...withExpect('100-continue'),
        version: '1.0',
      });
      expect(bytes).toMatch(/^HTTP\/1\.1 200 /);
      expect((await received(id)).body).toBe('body');
    });

    rule('RFC 9110 §10.1.1', 'a request that is refused gets no 100', async () => {
      const { host, end } = await rules.subject.situation('blank');
      const request = rules.place.request(ANSWER, { ...withExpect('100-continue'), body: '', host });
      expect(await rules.place.client().write(request.text).saw('</html>')).toMatch(/^HTTP\/1\.1 503 /);
      await end();
    });

    rule('Error Codes, H26', 'any other expectation is 417', async () => {
      const { answer, id } = await ask(ANSWER, withExpect('miracles'));
      expect(answer.status).toBe(417);
      expect(await rules.place.line(id)).toContain(
        'at=error code=H26 desc="Request Error" cause="unsupported expect header value" ',
      );
      expect(await rules.place.record(id)).toBeNull();
    });
  });
}
