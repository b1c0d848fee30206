import { valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const ANSWER: readonly Step[] = [['send', OK]];
const CLOSE = 'Connection: close';

/** Target, method, version and limits of a request, and what it expects. */
export function describeRequestLines(rules: Rules): void {
  const { rule } = rules;
  const ask = (...args: Parameters<Rules['place']['ask']>) => rules.place.ask(...args);
  const received = (id: string) => rules.place.received(id);

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
      rule(`${ROUTING}, HTTP versions and methods`, `any token reaches the dyno: ${what}`, async () => {
        const { id, answer } = await ask(ANSWER, { method });
        expect(answer.status).toBe(200);
        expect((await received(id)).method).toBe(method);
      });
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
