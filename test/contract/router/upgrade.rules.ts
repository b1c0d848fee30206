import { eventually } from '../../support/router-client';
import { readAnswers, valuesOf } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK, type Asked } from './place';
import type { Rules } from './rules';

const ROUTING = 'HTTP Routing';

const switched = (protocol = 'websocket'): string =>
  `HTTP/1.1 101 Switching Protocols\r\nX-mIxEd: 1\r\nUpgrade: ${protocol}\r\nConnection: Upgrade\r\n\r\n`;
const ECHO: readonly Step[] = [['send', switched()], ['echo']];
const WEBSOCKET = ['Connection: keep-alive, Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: abc'];

/** Connections that change their protocol. */
export function describeUpgrades(rules: Rules): void {
  const { rule } = rules;
  const upgrade = (steps: readonly Step[], asked: Asked = {}) => {
    const request = rules.place.request(steps, { headers: WEBSOCKET, ...asked });
    return { request, client: rules.place.client().write(request.text) };
  };

  describe('upgrades', () => {
    rule(`${ROUTING}, WebSockets`, 'after 101 bytes pass both ways, as they are', async () => {
      const { request, client } = upgrade(ECHO);
      await client.saw('\r\n\r\n');
      const odd = 'GET / HTTP/1.1\r\n\r\n\0\xff\x81\x85\r\n0\r\n\r\n';
      client.write(odd);
      await client.saw(odd);
      const [answer] = readAnswers(client.text);
      expect(answer).toMatchObject({ status: 101, reason: 'Switching Protocols', body: odd });
      expect(valuesOf(answer!.headers, 'connection').join()).toMatch(/^upgrade$/i);
      expect(valuesOf(answer!.headers, 'upgrade')).toEqual(['websocket']);
      expect(valuesOf(answer!.headers, 'via')).toEqual(['1.1 heroku-router']);
      expect(answer!.headers).toContainEqual(['X-mIxEd', '1']);
      const seen = await rules.place.record(request.id);
      expect(seen?.raw).toMatch(/\r\nconnection: upgrade\r\n/i);
      expect(seen?.raw).toMatch(/\r\nupgrade: websocket\r\n/i);
      expect(seen?.raw).toContain('\r\nSec-WebSocket-Key: abc\r\n');
      expect(seen?.raw.endsWith(`\r\n\r\n${odd}`)).toBe(true);
    });

    rule(
      `${ROUTING}, Heroku router log format`,
      'one is logged when it ends, with all bytes sent',
      async () => {
        const { request, client } = upgrade(ECHO);
        await client.saw('101');
        client.write('ping');
        await client.saw('ping');
        expect(rules.place.linesOf(request.id)).toEqual([]);
        client.socket.end();
        await client.end();
        expect(await rules.place.line(request.id)).toMatch(
          new RegExp(
            `^at=info method=GET path="[^"]*" .* dyno=web\\.1 connect=\\d+ms service=\\d+ms status=101 bytes=${client.text.length} `,
          ),
        );
      },
    );

    for (const [method, protocol] of [
      ['GET', 'chat/2'],
      ['POST', 'tcp'],
      ['OPTIONS', 'TLS/1.2'],
      ['DELETE', 'a, b'],
    ] as const) {
      rule(`${ROUTING}, WebSockets`, `any protocol and any verb: ${method}, ${protocol}`, async () => {
        const { client } = upgrade([['send', `${switched(protocol)}hi`], ['echo']], {
          method,
          headers: ['Connection: upgrade', `Upgrade: ${protocol}`],
        });
        await client.saw('\r\n\r\nhi');
        expect(valuesOf(readAnswers(client.text)[0]!.headers, 'upgrade').join()).toBe(protocol);
        client.write('there');
        await client.saw('hithere');
      });
    }

    rule('RFC 9110 §7.8', 'no byte is lost that the client sends before the 101', async () => {
      const { request, client } = upgrade([['gate', 'early'], ...ECHO], { body: 'early ' });
      await rules.place.recorded(request.id, () => true, 'the request');
      client.write('birds');
      await rules.place.open('early');
      await client.saw('early birds');
    });

    rule('RFC 9110 §7.8', 'nor one that comes together with the 101', async () => {
      const { client } = upgrade([['send', `${switched()}first words`], ['echo']]);
      await client.saw('\r\n\r\nfirst words');
    });

    rule('RFC 9110 §7.8', 'a 101 may come byte by byte', async () => {
      const { client } = upgrade([['drip', `${switched()}hi`], ['echo']]);
      await client.saw('\r\n\r\nhi');
    });

    rule('RFC 9110 §7.8', 'much passes whole', async () => {
      const { client } = upgrade(ECHO);
      await client.saw('\r\n\r\n');
      const before = client.text.length;
      client.write('0123456789'.repeat(500_000));
      await eventually(() => client.text.length === before + 5_000_000, 'all is back', 10_000);
    });

    rule('RFC 9293 §3.6', 'a client that has ended its side still hears the dyno', async () => {
      const { client } = upgrade([
        ['send', switched()],
        ['keep'],
        ['ended'],
        ['send', 'last words'],
        ['end'],
      ]);
      await client.saw('101');
      client.socket.end();
      expect(await client.end()).toMatch(/last words$/);
    });

    rule('RFC 9293 §3.6', 'a dyno that has ended its side still hears the client', async () => {
      const { request, client } = upgrade([['send', `${switched()}bye`], ['keep'], ['end']]);
      await eventually(() => client.ended, 'the dyno’s end');
      client.write('still here');
      await rules.place.recorded(request.id, ({ raw }) => raw.endsWith('still here'), 'words of the client');
    });

    rule(`${ROUTING}, WebSockets`, 'a lost client ends the dyno’s side', async () => {
      const { request, client } = upgrade([['send', switched()], ['keep'], ['ended']]);
      await client.saw('101');
      client.socket.resetAndDestroy();
      await rules.place.recorded(
        request.id,
        ({ ended, closed }) => ended || closed !== null,
        'the dyno hears of it',
      );
    });

    rule(`${ROUTING}, WebSockets`, 'a lost dyno ends the client’s side', async () => {
      const { client } = upgrade([['send', switched()], ['keep'], ['gate', 'lose'], ['reset']]);
      await client.saw('101');
      await rules.place.open('lose');
      await client.end();
    });

    rule('RFC 9110 §7.8', 'a dyno may answer without switching', async () => {
      const { client } = upgrade([['send', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno']]);
      await client.saw('no');
      expect(readAnswers(client.text)[0]).toMatchObject({ status: 403, body: 'no', whole: true });
    });

    rule('RFC 9110 §7.8', 'an offer without Connection: upgrade is none', async () => {
      const { id, answer } = await rules.place.ask([['send', OK]], {
        headers: ['Upgrade: websocket', 'Connection: close'],
      });
      expect(answer.status).toBe(200);
      expect(valuesOf((await rules.place.received(id)).headers, 'upgrade')).toEqual([]);
    });

    rule('RFC 9110 §7.8', 'an offer in HTTP/1.0 is none', async () => {
      const { id, answer } = await rules.place.ask([['send', OK]], { version: '1.0', headers: WEBSOCKET });
      expect(answer.status).toBe(200);
      expect(valuesOf((await rules.place.received(id)).headers, 'upgrade')).toEqual([]);
    });

    rule('RFC 9113 §3.1', 'an offer beside a body does not cost the body', async () => {
      const { id, answer } = await rules.place.ask([['body'], ['send', OK]], {
        method: 'POST',
        headers: [
          'Connection: Upgrade, HTTP2-Settings, close',
          'Upgrade: h2c',
          'HTTP2-Settings: x',
          'Content-Length: 4',
        ],
        body: 'body',
      });
      expect(answer.status).toBe(200);
      expect(await rules.place.received(id)).toMatchObject({ body: 'body', framing: 'length' });
    });

    rule('Error Codes, H17', 'a 101 that nobody asked for is 503', async () => {
      const { answer, id } = await rules.place.ask([['send', `${switched()}GET`]]);
      expect(answer.status).toBe(503);
      expect(await rules.place.line(id)).toContain('code=H17 ');
    });

    rule(
      `${ROUTING}, Timeouts`,
      'one on which nothing passes ends (H15), not while something does',
      async () => {
        const { place } = await rules.variant({ timeouts: { idleMs: 400 } });
        const request = place.request(ECHO, { headers: WEBSOCKET });
        const client = place.client().write(request.text);
        await client.saw('101');
        for (let count = 0; count < 8; count++) {
          client.write('.');
          await eventually(() => client.text.endsWith('.'.repeat(count + 1)), 'the echo');
          await new Promise((resolve) => setTimeout(resolve, 80));
        }
        expect(client.ended).toBe(false);
        await client.end();
        expect(await place.line(request.id)).toMatch(
          /^at=error code=H15 desc="Idle connection" .* status=503 /,
        );
      },
      { needs: 'own options' },
    );

    rule(
      `${ROUTING}, Router shutdown`,
      'a stop ends tunnels',
      async () => {
        const { place, router } = await rules.variant({ timeouts: { drainMs: 5_000 } });
        const request = place.request(ECHO, { headers: WEBSOCKET });
        const client = place.client().write(request.text);
        await client.saw('101');
        const stopped = router.stop();
        await client.end();
        await stopped;
      },
      { needs: 'own options' },
    );
  });
}
