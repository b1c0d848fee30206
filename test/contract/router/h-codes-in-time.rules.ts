import type { Step } from '../../support/scripted-backend';
import { DISPATCHED, ends, logged, NOT_DISPATCHED } from './log-line';
import { OK } from './place';
import type { Rules } from './rules';

const CODES = 'Error Codes';

/** The outcomes that take a while, or many requests. */
export function describeHCodesInTime(rules: Rules): void {
  const { rule } = rules;

  describe('log lines that take a while, or many requests', () => {
    const slow = { needs: 'own options' } as const;

    rule(
      `${CODES}, H11`,
      'H11: more at a time than the dynos may have',
      async () => {
        const { place } = await rules.variant({ limits: { requestsPerDyno: 2 } });
        const open = [1, 2].map(() => {
          const request = place.request([['ended']], { headers: [] });
          place.client().write(request.text);
          return request;
        });
        for (const { id } of open) await rules.place.recorded(id, () => true, 'a request under way');
        const more = { code: 'H11', desc: 'Backlog too deep', at: 'error', status: 503 } as const;
        await ends(place, [], { ...more, ...NOT_DISPATCHED });
      },
      slow,
    );

    rule(
      `${CODES}, H12`,
      'H12: no first byte in time, and the dyno’s connection is closed',
      async () => {
        const { place } = await rules.variant({ timeouts: { firstByteMs: 80 } });
        const { id } = await ends(place, [['ended']], {
          code: 'H12',
          desc: 'Request timeout',
          at: 'error',
          status: 503,
          bytes: 0,
          ...DISPATCHED,
        });
        const service = Number(/ service=(\d+)ms /.exec(await place.line(id))?.[1]);
        expect(service).toBeGreaterThanOrEqual(80);
        await rules.place.recorded(id, ({ ended }) => ended, 'its end');
      },
      slow,
    );

    rule(
      `${CODES}, H12`,
      'the clock of H12 starts behind the request’s last byte',
      async () => {
        const { place } = await rules.variant({ timeouts: { firstByteMs: 400 } });
        const request = place.request([['body'], ['send', OK]], {
          method: 'POST',
          headers: ['Content-Length: 6', 'Connection: close'],
        });
        const client = place.client().write(request.text);
        for (let left = 6; left > 0; left--) {
          await new Promise((resolve) => setTimeout(resolve, 90));
          client.write('x');
        }
        expect(await client.end()).toMatch(/^HTTP\/1\.1 200 /);
      },
      slow,
    );

    rule(
      `${CODES}, H15`,
      'H15: the dyno falls silent in the middle',
      async () => {
        const { place } = await rules.variant({ timeouts: { idleMs: 80 } });
        const text = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf';
        const request = place.request([['send', text], ['ended']]);
        const bytes = await place.send(request.text);
        expect(bytes).toMatch(/half$/);
        await logged(place, request, {
          code: 'H15',
          desc: 'Idle connection',
          at: 'error',
          status: 503,
          bytes: bytes.length,
          ...DISPATCHED,
        });
      },
      slow,
    );

    rule(
      `${CODES}, H15`,
      '… not while bytes come',
      async () => {
        const { place } = await rules.variant({ timeouts: { idleMs: 500 } });
        const steps = Array.from({ length: 8 }, (): Step[] => [
          ['send', 'x'],
          ['pause', 90],
        ]).flat();
        const { answer } = await place.ask([
          ['send', 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n'],
          ...steps,
        ]);
        expect(answer).toMatchObject({ status: 200, body: 'xxxxxxxx', whole: true });
      },
      slow,
    );

    rule(
      `${CODES}, H19`,
      'H19: the dyno does not accept in time',
      async () => {
        const { place, router } = await rules.variant({ timeouts: { connectMs: 100 } });
        await ends(
          place,
          [],
          {
            code: 'H19',
            desc: 'Backend connection timeout',
            at: 'error',
            status: 503,
            dyno: 'web.1',
            connect: 'ms',
            service: '',
            bytes: '',
            host: router.hostOf('not accepting'),
          },
          { host: router.hostOf('not accepting') },
        );
      },
      slow,
    );

    rule(
      `${CODES}, H20`,
      'H20: no dyno comes up in time',
      async () => {
        const { place, router } = await rules.variant({ timeouts: { bootMs: 80 } });
        const host = router.hostOf('starting');
        const expected = { code: 'H20', desc: 'App boot timeout', at: 'error', status: 503, host } as const;
        await ends(place, [], { ...expected, ...NOT_DISPATCHED }, { host });
      },
      slow,
    );

    rule(
      `${CODES}, H24`,
      'H24: the router stops in the middle of a request',
      async () => {
        const { place, router } = await rules.variant({ timeouts: { drainMs: 50 } });
        const request = place.request([['ended']], { headers: [] });
        const client = place.client().write(request.text);
        await rules.place.recorded(request.id, () => true, 'the request');
        const stopped = router.stop();
        expect(await client.end()).toBe('');
        await stopped;
        await logged(place, request, {
          code: 'H24',
          desc: 'Forced close',
          at: 'error',
          status: '',
          bytes: 0,
          ...DISPATCHED,
        });
      },
      slow,
    );

    rule(
      `${CODES}, H28`,
      'H28: the client stops sending its body',
      async () => {
        const { place } = await rules.variant({ timeouts: { idleMs: 80 } });
        const request = place.request([['ended']], {
          method: 'POST',
          headers: ['Content-Length: 9'],
          body: 'x',
        });
        await place.send(request.text);
        await logged(place, request, {
          code: 'H28',
          desc: 'Client Connection Idle',
          at: 'warning',
          status: 499,
          bytes: 0,
          method: 'POST',
          ...DISPATCHED,
        });
      },
      slow,
    );

    rule(
      `${CODES}, H28`,
      'H28: the client stops reading',
      async () => {
        const { place } = await rules.variant({ timeouts: { idleMs: 600 } });
        const request = place.request([
          ['send', 'HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n'],
          ['flood', 99_000_000],
        ]);
        const client = place.client();
        client.socket.pause();
        client.write(request.text);
        expect(await place.line(request.id)).toMatch(
          /^at=warning code=H28 desc="Client Connection Idle" .* status=499 bytes=[1-9]\d* protocol=http1\.1 tls=false$/,
        );
      },
      slow,
    );

    rule(
      `${CODES}, H99`,
      'H99: all dynos stay quarantined',
      async () => {
        const { place, router } = await rules.variant({
          timeouts: { quarantineMs: 20_000, connectBudgetMs: 80 },
        });
        const host = router.hostOf('refusing');
        await place.ask([], { host });
        const expected = { code: 'H99', desc: 'Platform error', at: 'error', status: 503, host } as const;
        await ends(place, [], { ...expected, ...NOT_DISPATCHED }, { host });
      },
      slow,
    );

    rule(
      'HTTP Routing, Dyno connection behavior',
      'a dyno that refused is left alone, then tried again',
      async () => {
        const { place, router } = await rules.variant({
          timeouts: { quarantineMs: 60, connectBudgetMs: 5_000 },
        });
        const host = router.hostOf('refusing');
        for (let round = 0; round < 2; round++) {
          const { id, answer } = await place.ask([], { host });
          expect(answer.status).toBe(503);
          expect(await place.line(id)).toContain('code=H21');
        }
      },
      slow,
    );
  });
}
