import { readAnswers, valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK, type Asked } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';

/** What becomes of a dyno's answer on its way to the client. */
export function describeResponseBodies(rules: Rules): void {
  const { rule } = rules;
  const answered = (text: string, asked: Asked = {}, more: readonly Step[] = []) =>
    rules.place.ask([['send', text], ...more], asked);

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
      const size = 12_000_000;
      const { answer, id } = await answered(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`, {}, [
        ['flood', size],
      ]);
      expect(answer.body).toHaveLength(size);
      expect(answer.whole).toBe(true);
      expect(Number(/ bytes=(\d+) /.exec(await rules.place.line(id))?.[1])).toBeGreaterThan(size);
    });
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
