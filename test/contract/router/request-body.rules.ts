import { valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK, type Asked } from './place';
import type { Rules } from './rules';

const ANSWER: readonly Step[] = [['body'], ['send', OK]];
const CLOSE = 'Connection: close';

/** Where a request's body begins and ends, and that everybody on the way agrees on it. */
export function describeRequestBodies(rules: Rules): void {
  const { rule } = rules;
  const post = (headers: readonly string[], body: string, more: Asked = {}) =>
    rules.place.ask(ANSWER, { method: 'POST', headers: [...headers, CLOSE], body, ...more });
  const chunked = (body: string, more: Asked = {}) => post(['Transfer-Encoding: chunked'], body, more);

  describe('request body', () => {
    rule('RFC 9112 §6.2', 'a body with a length arrives byte for byte, with that length', async () => {
      const body = Array.from({ length: 1024 }, (_, at) => String.fromCharCode(at % 256)).join('');
      const { id, answer } = await post([`Content-Length: ${body.length}`], body);
      expect(answer.status).toBe(200);
      const seen = await rules.place.received(id);
      expect(seen.framing).toBe('length');
      expect(seen.body).toBe(body);
      expect(valuesOf(seen.headers, 'content-length')).toEqual(['1024']);
    });

    for (const method of ['GET', 'DELETE', 'OPTIONS', 'HEAD']) {
      rule('RFC 9110 §9.3', `${method} may have a body too`, async () => {
        const { id, answer } = await rules.place.ask(
          [['body'], ['send', method === 'HEAD' ? OK.slice(0, -2) : OK]],
          { method, headers: ['Content-Length: 4', CLOSE], body: 'body' },
        );
        expect(answer.status).toBe(200);
        expect(await rules.place.received(id)).toMatchObject({ method, body: 'body' });
      });
    }

    for (const [what, headers] of [
      ['neither length nor chunks', []],
      ['a length of 0', ['Content-Length: 0']],
    ] as const) {
      rule('RFC 9112 §6.3', `a POST with ${what} has no body`, async () => {
        const { id, answer } = await post(headers, '');
        expect(answer.status).toBe(200);
        expect((await rules.place.received(id)).body).toBe('');
      });
    }

    rule('RFC 9112 §7.1', 'a chunked body arrives whole, however it was cut', async () => {
      const decoy = '\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n';
      const body = `1\r\na\r\n00A\r\nbcdefghijk\r\n${decoy.length.toString(16)}\r\n${decoy}\r\n0\r\n\r\n`;
      const { id, answer } = await chunked(body);
      expect(answer.status).toBe(200);
      const seen = await rules.place.received(id);
      expect(seen.framing).toBe('chunked');
      expect(seen.body).toBe(`abcdefghijk${decoy}`);
    });

    rule('RFC 9112 §7.1', 'an empty chunked body arrives as an empty body', async () => {
      const { id, answer } = await chunked('0\r\n\r\n', { method: 'PUT' });
      expect(answer.status).toBe(200);
      expect((await rules.place.received(id)).body).toBe('');
    });

    rule('RFC 9112 §7', 'the coding’s name has no case', async () => {
      const { id, answer } = await post(['TRANSFER-ENCODING: \t Chunked '], '4\r\nbody\r\n0\r\n\r\n');
      expect(answer.status).toBe(200);
      expect(await rules.place.received(id)).toMatchObject({ framing: 'chunked', body: 'body' });
    });

    rule('RFC 9112 §7.1.1', 'chunk extensions end at the router', async () => {
      const { id, answer } = await chunked('4;a=b;c\r\nbody\r\n0;last\r\n\r\n');
      expect(answer.status).toBe(200);
      expect((await rules.place.received(id)).body).toBe('body');
      const record = await rules.place.record(id);
      expect(record?.raw.split('\r\n\r\n')[1]).not.toContain(';');
    });

    rule('RFC 9112 §7.1.1', 'a quoted extension is one too', async () => {
      const { id, answer } = await chunked('4;c="d;\\"e"\r\nbody\r\n0\r\n\r\n');
      expect(answer.status).toBe(200);
      expect((await rules.place.received(id)).body).toBe('body');
    });

    rule('RFC 9112 §7.1.2', 'trailers arrive', async () => {
      const { id, answer } = await chunked('4\r\nbody\r\n0\r\nX-Sum: 7\r\nx-sum:  8\r\n\r\n');
      expect(answer.status).toBe(200);
      const { trailers } = await rules.place.received(id);
      expect(valuesOf(trailers, 'x-sum').join()).toBe('7,8');
    });

    rule('RFC 9110 §6.5.1', 'a trailer says nothing about framing, route or sender', async () => {
      const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${rules.place.host}\r\n\r\n`;
      const { id, bytes } = await chunked(
        `4\r\nbody\r\n0\r\nContent-Length: ${smuggled.length}\r\nTransfer-Encoding: chunked\r\nHost: other\r\nX-Forwarded-For: 1\r\n\r\n`,
      );
      if (!bytes.startsWith('HTTP/1.1 400 ')) {
        const seen = await rules.place.received(id);
        expect(seen).toMatchObject({ framing: 'chunked', body: 'body' });
        expect(valuesOf(seen.headers, 'host')).toEqual([rules.place.host]);
      }
    });

    rule(
      'HTTP Routing, Request buffering',
      'a body is streamed: its beginning arrives before its end',
      async () => {
        const request = rules.place.request(
          [['got', 5], ['send', 'HTTP/1.1 103 Early Hints\r\n\r\n'], ...ANSWER],
          {
            method: 'POST',
            headers: ['Content-Length: 10', CLOSE],
            body: '01234',
          },
        );
        const client = rules.place.client().write(request.text);
        await rules.place.recorded(request.id, ({ bodyBytes }) => bodyBytes === 5, 'the first half');
        client.write('56789');
        expect(await client.end()).toContain('HTTP/1.1 200 OK');
        expect((await rules.place.received(request.id)).body).toBe('0123456789');
      },
    );

    rule('HTTP Routing, Request buffering', 'so is a chunked one', async () => {
      const request = rules.place.request(ANSWER, {
        method: 'POST',
        headers: ['Transfer-Encoding: chunked', CLOSE],
        body: '5\r\n01234\r\n',
      });
      const client = rules.place.client().write(request.text);
      await rules.place.recorded(request.id, ({ raw }) => raw.includes('01234'), 'the first chunk');
      client.write('5\r\n56789\r\n0\r\n\r\n');
      expect(await client.end()).toContain('HTTP/1.1 200 OK');
      expect((await rules.place.received(request.id)).body).toBe('0123456789');
    });
  });
}
