import { eventually, type TestClient } from '../../support/router-client';
import { readAnswers, valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';
const ANSWER: readonly Step[] = [['body'], ['send', OK]];
const CLOSE = 'Connection: close';

/** Life and end of connections. */
export function describeConnections(rules: Rules): void {
  const { rule } = rules;
  const saying = (text: string): Step[] => [
    ['body'],
    ['send', `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`],
  ];

  describe('keep-alive', () => {
    rule('RFC 9112 §9.3', 'a connection serves one request after another', async () => {
      const client = rules.place.client();
      for (const word of ['first', 'second', 'third']) {
        client.write(rules.place.request(saying(word), { headers: [] }).text);
        await client.saw(word);
      }
      expect(client.ended).toBe(false);
    });

    rule('RFC 9112 §9.3.2', 'pipelined requests are answered in order, with bodies and without', async () => {
      const slow = rules.place.request([['gate', 'pipelined'], ...saying('one')], { headers: [] });
      const requests = [
        slow,
        rules.place.request(saying('two'), {
          method: 'POST',
          headers: ['Content-Length: 3'],
          body: 'abc',
        }),
        rules.place.request([['send', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n']], {
          method: 'HEAD',
          headers: [],
        }),
        rules.place.request(saying('four'), {
          method: 'PUT',
          headers: ['Transfer-Encoding: chunked'],
          body: '3\r\nabc\r\n0\r\n\r\n',
        }),
        rules.place.request(saying('five')),
      ];
      const client = rules.place.client().write(requests.map(({ text }) => text).join(''));
      await rules.place.recorded(slow.id, () => true, 'the first request');
      await rules.place.open('pipelined');
      const answers = readAnswers(await client.end(), ['GET', 'POST', 'HEAD', 'PUT', 'GET']);
      expect(answers.map(({ body }) => body)).toEqual(['one', 'two', '', 'four', 'five']);
      for (const { id } of requests) await rules.place.received(id);
    });

    rule('RFC 9112 §9.3.2', 'a thousand pipelined requests are all answered', async () => {
      const { text } = rules.place.request(saying('x'), { headers: [] });
      const last = rules.place.request(saying('last'));
      const bytes = await rules.place.send(text.repeat(1000) + last.text);
      const answers = readAnswers(
        bytes,
        Array.from({ length: 1001 }, () => 'GET'),
      );
      expect(answers.map(({ body }) => body).filter((body) => body === 'x')).toHaveLength(1000);
      expect(answers.at(-1)?.body).toBe('last');
    });

    rule(`${ROUTING}, Heroku router log format`, 'each line counts the bytes of its own answer', async () => {
      const requests = ['a', 'b'.repeat(1000), 'c'].map((word) =>
        rules.place.request(saying(word), { headers: [] }),
      );
      const last = rules.place.request(saying('d'));
      const bytes = await rules.place.send([...requests, last].map(({ text }) => text).join(''));
      const sizes = bytes.split(/(?=HTTP\/1\.1 )/).map(({ length }) => String(length));
      const logged: (string | undefined)[] = [];
      for (const { id } of [...requests, last]) {
        logged.push(/ bytes=(\d+) /.exec(await rules.place.line(id))?.[1]);
      }
      expect(logged).toEqual(sizes);
    });

    rule('RFC 9112 §9.6', 'Connection: close ends it behind the answer, which says so', async () => {
      const { answer } = await rules.place.ask(ANSWER);
      expect(valuesOf(answer.headers, 'connection')).toEqual(['close']);
    });

    rule('RFC 9112 §9.6', 'what comes behind a request with Connection: close is not served', async () => {
      const first = rules.place.request(ANSWER);
      const next = rules.place.request(ANSWER);
      const bytes = await rules.place.send(first.text + next.text);
      expect(readAnswers(bytes)).toHaveLength(1);
      expect(await rules.place.record(next.id)).toBeNull();
    });

    rule('RFC 9112 §9.3', 'HTTP/1.0 ends it behind the answer', async () => {
      const { answer } = await rules.place.ask(ANSWER, { version: '1.0', headers: [] });
      expect(answer.body).toBe('ok');
    });

    rule('RFC 9110 §7.6.1', 'a dyno that closes its connection does not close the client’s', async () => {
      const text = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\none';
      const first = rules.place.request([['send', text], ['end']], { headers: [] });
      const client = rules.place.client().write(first.text);
      await client.saw('one');
      client.write(rules.place.request(saying('two')).text);
      const answers = readAnswers(await client.end(), ['GET', 'GET']);
      expect(answers.map(({ body }) => body)).toEqual(['one', 'two']);
      expect(valuesOf(answers[0]!.headers, 'connection')).not.toContain('close');
    });

    rule('RFC 9112 §9.6', 'after a refusal the next request is served, or told that it is not', async () => {
      const { host, end } = await rules.subject.situation('blank');
      const next = rules.place.request(saying('served'));
      const text = rules.place.request([], { host, headers: [] }).text + next.text;
      const answers = readAnswers(await rules.place.send(text), ['GET', 'GET']);
      await end();
      expect(answers[0]?.status).toBe(503);
      if (valuesOf(answers[0]!.headers, 'connection').includes('close')) {
        expect(await rules.place.record(next.id)).toBeNull();
      } else expect(answers[1]).toMatchObject({ status: 200, body: 'served' });
    });

    rule(
      'RFC 9112 §11.2',
      'a request that is no HTTP ends it, unanswered requests before it aside',
      async () => {
        const bytes = await rules.place.send(
          `${rules.place.request([], { host: 'nobody', headers: [] }).text}\x16\x03\x01\r\n\r\n`,
        );
        expect(bytes).toMatch(/^HTTP\/1\.1 404 /);
        await rules.place.ask(ANSWER);
      },
    );

    rule('RFC 9112 §9.3.1', 'what may not be repeated never reaches a dyno twice', async () => {
      await rules.place.ask(ANSWER);
      const { answer, id } = await rules.place.ask([['destroy']], {
        method: 'POST',
        headers: ['Content-Length: 0', CLOSE],
      });
      expect(answer.status).toBe(503);
      expect(await rules.place.line(id)).toContain('code=H13');
      expect((await rules.place.record(id))?.times).toBe(1);
    });

    rule(
      `${ROUTING}, Timeouts`,
      'an idle one is closed after a while',
      async () => {
        const { place } = await rules.variant({ timeouts: { clientKeepAliveMs: 60 } });
        const client = place.client().write(place.request(saying('one'), { headers: [] }).text);
        expect(readAnswers(await client.end())[0]).toMatchObject({ body: 'one' });
        expect(await place.client().end()).toBe('');
      },
      { needs: 'own options' },
    );

    rule(
      `${ROUTING}, Timeouts`,
      'so is one on which half a head has come',
      async () => {
        const { place } = await rules.variant({ timeouts: { clientKeepAliveMs: 60 } });
        expect(await place.send('GET / HTTP/1.1\r\nHost: de')).toMatch(/^(HTTP\/1\.1 408 |$)/);
      },
      { needs: 'own options' },
    );
  });

  describe('half-closed connections', () => {
    const halfClosed = async (steps: readonly Step[], asked = {}) => {
      const request = rules.place.request(steps, asked);
      const client = rules.place.client();
      client.socket.end(request.text, 'latin1');
      return { request, client };
    };

    rule('RFC 9112 §9.6', 'a client that has ended its side gets its answer', async () => {
      const { client, request } = await halfClosed([['pause', 30], ...ANSWER], { headers: [] });
      expect(readAnswers(await client.end())[0]).toMatchObject({ status: 200, body: 'ok' });
      expect(await rules.place.line(request.id)).toMatch(/^at=info /);
    });

    rule('RFC 9112 §9.6', '… and the whole of it, with a body sent before', async () => {
      const { client } = await halfClosed(
        [
          ['body'],
          ['send', 'HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n'],
          ['pause', 30],
          ['flood', 3_000_000],
        ],
        { method: 'POST', headers: ['Content-Length: 4'], body: 'body' },
      );
      const [answer] = readAnswers(await client.end());
      expect(answer).toMatchObject({ status: 200, whole: true });
      expect(answer?.body).toHaveLength(3_000_000);
    });

    rule('RFC 9112 §9.6', 'one that ends in the head behind gets its answer, and the end', async () => {
      const { client } = await halfClosed([['pause', 30], ...ANSWER], {
        headers: [],
        body: 'GET /half HT',
      });
      const [, answer = ''] = (await client.end()).split('HTTP/1.1 ');
      expect(answer).toMatch(/^200 /);
    });

    rule('RFC 9112 §8', 'one that ends in the middle of its body is gone (H27)', async () => {
      const { client, request } = await halfClosed(ANSWER, {
        method: 'POST',
        headers: ['Content-Length: 10'],
        body: 'half',
      });
      await client.end();
      expect(await rules.place.line(request.id)).toMatch(/ code=H2[67] /);
      // With its end in the same packet it may be gone before anything went on.
      const record = await rules.place.record(request.id);
      if (record !== null) {
        expect(record.complete).toBe(false);
        await rules.place.recorded(request.id, ({ closed, ended }) => ended || closed !== null, 'its end');
      }
    });

    rule(
      'RFC 9112 §8',
      'one that ends in the middle of its head is answered 400, or not at all',
      async () => {
        const client = rules.place.client();
        client.socket.end('GET /half HTTP/1.1\r\nHost: ');
        expect(await client.end()).toMatch(/^(HTTP\/1\.1 400 |$)/);
      },
    );
  });

  describe('a client that goes away', () => {
    const gone = async (
      steps: readonly Step[],
      asked: { headers: string[]; body?: string; method?: string },
    ) => {
      const request = rules.place.request(steps, asked);
      const client = rules.place.client().write(request.text);
      await rules.place.recorded(request.id, () => true, 'the request');
      return { request, client };
    };
    const noticed = async (id: string, client: TestClient): Promise<void> => {
      client.socket.resetAndDestroy();
      expect(await rules.place.line(id)).toMatch(
        /^sock=client at=warning code=H27 desc="Client Request Interrupted" .* status=499 bytes=\d+ /,
      );
      await rules.place.recorded(id, ({ closed, ended }) => ended || closed !== null, 'the dyno hears of it');
    };

    rule('Error Codes, H27', '… while the dyno thinks: the dyno’s connection is closed', async () => {
      const { request, client } = await gone([['ended']], { headers: [] });
      await noticed(request.id, client);
    });

    rule('Error Codes, H27', '… while it sends its body: the dyno sees no complete request', async () => {
      const { request, client } = await gone([['ended']], {
        method: 'POST',
        headers: ['Transfer-Encoding: chunked'],
        body: '4\r\nbody\r\n',
      });
      await noticed(request.id, client);
      expect((await rules.place.record(request.id))?.complete).toBe(false);
    });

    rule('Error Codes, H27', '… while it reads: the dyno’s connection is closed', async () => {
      const { request, client } = await gone(
        [['send', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'], ['ended']],
        { headers: [] },
      );
      await client.saw('half');
      await noticed(request.id, client);
    });
  });

  describe('a router that stops', () => {
    rule(
      `${ROUTING}, Router shutdown`,
      'what is under way is finished, and told that it is the last',
      async () => {
        const { place, router } = await rules.variant({ timeouts: { drainMs: 5_000 } });
        const request = place.request([['gate', 'stopping'], ...ANSWER], { headers: [] });
        const client = place.client().write(request.text);
        await rules.place.recorded(request.id, () => true, 'the request');
        const stopped = router.stop();
        await rules.place.open('stopping');
        const [answer] = readAnswers(await client.end());
        expect(answer).toMatchObject({ status: 200, body: 'ok' });
        expect(valuesOf(answer!.headers, 'connection')).toEqual(['close']);
        await stopped;
        const late = place.client();
        await eventually(() => late.closed, 'no connection any more');
      },
      { needs: 'own options' },
    );
  });
}
