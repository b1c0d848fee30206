import { valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const ANSWER: readonly Step[] = [['send', OK]];
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const CLOSE = 'Connection: close';

/** What becomes of a request's headers on their way to the dyno. */
export function describeRequestHeaders(rules: Rules): void {
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

    rule('RFC 9110 §5.3', 'so does the order of different names', async () => {
      const own = ['X-A: 1', 'X-B: 2', 'X-A: 3', 'X-C: 4', 'X-B: 5'];
      const { id } = await ask(ANSWER, { headers: [...own, CLOSE] });
      const kept = (await received(id)).headers.filter(([name]) => /^X-[ABC]$/.test(name));
      expect(kept.map(([name, value]) => `${name}: ${value}`)).toEqual(own);
    });

    rule('RFC 6265 §5.4', 'two Cookie lines stay two', async () => {
      const { id } = await ask(ANSWER, { headers: ['Cookie: a=1', 'cookie: b=2', CLOSE] });
      expect(valuesOf((await received(id)).headers, 'cookie')).toEqual(['a=1', 'b=2']);
    });

    rule('RFC 9110 §5.1', 'a name may be any token, one that a language gives a meaning too', async () => {
      const { id } = await ask(ANSWER, { headers: ['__proto__: x', "!#$%&'*+-.^_`|~: y", CLOSE] });
      const { headers } = await received(id);
      expect(headers).toContainEqual(['__proto__', 'x']);
      expect(headers).toContainEqual(["!#$%&'*+-.^_`|~", 'y']);
    });

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
}
