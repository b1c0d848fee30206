import type { Step } from '../../support/scripted-backend';
import { OK, type Asked, type Exchanged, type Place } from './place';
import type { Rules } from './rules';

interface Expected {
  code?: string;
  desc?: string;
  cause?: string;
  sock?: 'client' | 'backend';
  at: 'info' | 'warning' | 'error';
  status: number | '';
  /** `-`: empty; `ms`: a number of them. */
  dyno: 'web.1' | '';
  connect: 'ms' | '';
  service: 'ms' | '';
  bytes: number | '';
  method?: string;
  host?: string;
}

const NOT_DISPATCHED = { dyno: '', connect: '', service: '', bytes: '' } as const;
const DISPATCHED = { dyno: 'web.1', connect: 'ms', service: 'ms' } as const;

/** The whole line, field by field in Heroku's order. */
function lineOf(place: Place, request: { id: string; path: string }, expected: Expected): RegExp {
  const { sock, at, code, desc, cause } = expected;
  const fields = [
    ...(sock === undefined ? [] : [`sock=${sock}`]),
    `at=${at}`,
    ...(code === undefined ? [] : [`code=${code}`, `desc="${desc ?? ''}"`]),
    ...(cause === undefined ? [] : [`cause="${cause}"`]),
    `method=${expected.method ?? 'GET'}`,
    `path="${request.path}"`,
    `host=${expected.host ?? place.host}`,
    `request_id=${request.id}`,
    'fwd="[0-9a-f.:]+"',
    `dyno=${expected.dyno}`,
    `connect=${expected.connect === 'ms' ? '\\d+ms' : ''}`,
    `service=${expected.service === 'ms' ? '\\d+ms' : ''}`,
    `status=${expected.status}`,
    `bytes=${expected.bytes}`,
    'protocol=http',
  ];
  return new RegExp(`^${fields.join(' ').replaceAll('.', '\\.').replace('[0-9a-f\\.:]', '[0-9a-f.:]')}$`);
}

/** Every outcome of a request, with its status and its whole log line (Dev Center "Error Codes"). */
export function describeHCodes(rules: Rules): void {
  const { rule } = rules;
  const CODES = 'Error Codes';

  const logged = async (place: Place, exchanged: { id: string; path: string }, expected: Expected) =>
    expect(await place.line(exchanged.id)).toMatch(lineOf(place, exchanged, expected));

  /** One line, as expected; the answer has that status. */
  const ends = async (
    place: Place,
    steps: readonly Step[],
    expected: Omit<Expected, 'bytes'> & { bytes?: number | '' },
    asked: Asked = {},
  ): Promise<Exchanged> => {
    const exchanged = await place.ask(steps, asked);
    expect(exchanged.answer.status).toBe(expected.status);
    await logged(place, exchanged, { bytes: exchanged.bytes.length, ...expected });
    expect(place.linesOf(exchanged.id)).toHaveLength(1);
    return exchanged;
  };

  describe('log lines', () => {
    rule('HTTP Routing, Heroku router log format', 'a request that is served', async () => {
      await ends(rules.place, [['send', OK]], { at: 'info', status: 200, ...DISPATCHED });
    });

    rule('HTTP Routing, Heroku router log format', 'what a client says cannot forge a field', async () => {
      const forged = '/x"code=H99%22';
      const { id, path } = await rules.place.ask([['send', OK]], {
        tail: forged,
        headers: ['X-Forwarded-For: 1" code=H98 x="', 'Connection: close'],
      });
      const line = await rules.place.line(id);
      expect(line).toContain(` path="${path.replace('"', '\\"')}" `);
      expect(line).toContain('fwd="1\\" code=H98 x=\\",');
      expect(line.replace(/"(?:[^"\\]|\\.)*"/g, '""')).not.toMatch(/code=/);
    });

    for (const [situation, expected] of [
      ['crashed', { code: 'H10', desc: 'App crashed', at: 'error' }],
      ['scaled to zero', { code: 'H14', desc: 'No web processes running', at: 'error' }],
      ['maintenance', { code: 'H80', desc: 'Maintenance mode', at: 'info' }],
      ['blank', { code: 'H81', desc: 'Blank app', at: 'info' }],
    ] as const) {
      rule(`${CODES}, ${expected.code}`, `${expected.code}: ${situation}`, async () => {
        const { host, end } = await rules.subject.situation(situation);
        try {
          await ends(rules.place, [], { ...expected, ...NOT_DISPATCHED, status: 503, host }, { host });
        } finally {
          await end();
        }
      });
    }

    rule(`${CODES}, H21`, 'H21: the dyno refuses connections', async () => {
      const { host, end } = await rules.subject.situation('refusing');
      try {
        await ends(
          rules.place,
          [],
          {
            code: 'H21',
            desc: 'Backend connection refused',
            at: 'error',
            status: 503,
            dyno: 'web.1',
            connect: 'ms',
            service: '',
            bytes: '',
            host,
          },
          { host },
        );
      } finally {
        await end();
      }
    });

    rule(`${CODES}, H13`, 'H13: the dyno closes without an answer', async () => {
      for (const step of ['destroy', 'end', 'reset'] as const) {
        await ends(
          rules.place,
          [['body'], [step]],
          {
            code: 'H13',
            desc: 'Connection closed without response',
            at: 'error',
            status: 503,
            bytes: 0,
            method: 'POST',
            ...DISPATCHED,
          },
          { method: 'POST' },
        );
      }
    });

    for (const [what, text, failing] of [
      ['no HTTP', 'SPAM and eggs\r\n\r\n'],
      ['an unknown version', 'HTTP/3.0 200 OK\r\n\r\n'],
      ['a status that is no number', 'HTTP/1.1 abc OK\r\n\r\n'],
      ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
      ['a space before a colon', 'HTTP/1.1 200 OK\r\nX : y\r\n\r\n'],
      ['a folded header', 'HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n'],
      ['a NUL in a header', 'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n'],
      ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
      ['a bare CR in a header', 'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n'],
      ['no reason phrase', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n', 'it is let through'],
      ['not even the space before it', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n', 'it is let through'],
    ] as const) {
      rule(
        `${CODES}, H17`,
        `H17: the dyno’s answer has ${what}`,
        async () => {
          await ends(rules.place, [['send', text]], {
            code: 'H17',
            desc: 'Poorly formatted HTTP response',
            at: 'error',
            status: 503,
            bytes: 0,
            ...DISPATCHED,
          });
        },
        failing === undefined ? {} : { failing },
      );
    }

    for (const [what, head] of [
      ['by its length', 'Content-Length: 10\r\n\r\nhalf'],
      ['by its chunks', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'],
      ['in a chunk', 'Transfer-Encoding: chunked\r\n\r\n9\r\nhalf'],
    ] as const) {
      for (const step of ['end', 'reset'] as const) {
        rule(
          `${CODES}, H18`,
          `H18: the dyno is gone (${step}) before its answer’s end, ${what}`,
          async () => {
            const request = rules.place.request([
              ['send', `HTTP/1.1 200 OK\r\n${head}`],
              ['gate', `cut-${step}`],
              [step],
            ]);
            const client = rules.place.client().write(request.text);
            await client.saw('half');
            await rules.place.open(`cut-${step}`);
            const bytes = await client.end();
            // The client can tell that this was not all.
            expect(bytes.endsWith('0\r\n\r\n')).toBe(false);
            await logged(rules.place, request, {
              sock: 'backend',
              code: 'H18',
              desc: 'Server Request Interrupted',
              at: 'error',
              status: 503,
              bytes: bytes.length,
              ...DISPATCHED,
            });
          },
        );
      }
    }

    rule(`${CODES}, H18`, 'a bad chunk cuts the answer', async () => {
      const request = rules.place.request([
        ['send', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n'],
      ]);
      const bytes = await rules.place.send(request.text);
      expect(bytes).toContain('half');
      expect(bytes.endsWith('0\r\n\r\n')).toBe(false);
      expect(await rules.place.line(request.id)).toMatch(/ code=H1[78] /);
    });

    rule(`${CODES}, H25`, 'H25: an answer beyond a limit', async () => {
      await ends(
        rules.place,
        [
          ['send', 'HTTP/1.1 200 OK\r\nSet-Cookie: '],
          ['repeat', 'a', 8193],
          ['send', '\r\n\r\n'],
        ],
        {
          code: 'H25',
          desc: 'HTTP restriction: oversized cookie',
          at: 'error',
          status: 502,
          bytes: 0,
          ...DISPATCHED,
        },
      );
    });

    rule(`${CODES}, H26`, 'H26: an unsupported Expect', async () => {
      await ends(
        rules.place,
        [],
        {
          code: 'H26',
          desc: 'Request Error',
          cause: 'unsupported expect header value',
          at: 'error',
          status: 417,
          ...NOT_DISPATCHED,
        },
        { headers: ['Expect: x', 'Connection: close'] },
      );
    });

    rule(`${CODES}, H26`, 'H26: a header beyond a limit', async () => {
      await ends(
        rules.place,
        [],
        {
          code: 'H26',
          desc: 'Request Error',
          cause: 'bad header',
          at: 'error',
          status: 400,
          ...NOT_DISPATCHED,
        },
        { headers: [`X: ${'a'.repeat(9000)}`, 'Connection: close'] },
      );
    });

    rule(`${CODES}, H26`, 'H26: a bad chunk, when the rest is with the dyno', async () => {
      const request = rules.place.request([['ended']], {
        method: 'POST',
        headers: ['Transfer-Encoding: chunked'],
        body: '4\r\nbody\r\n',
      });
      const client = rules.place.client().write(request.text);
      await rules.place.recorded(request.id, () => true, 'the request');
      client.write('zz\r\n');
      expect(await client.end()).toMatch(/^HTTP\/1\.1 400 /);
      await logged(rules.place, request, {
        code: 'H26',
        desc: 'Request Error',
        cause: 'bad chunk',
        at: 'error',
        status: 400,
        bytes: 0,
        method: 'POST',
        ...DISPATCHED,
      });
    });

    rule(`${CODES}, H27`, 'H27: the client goes away', async () => {
      const request = rules.place.request([['ended']], { headers: [] });
      const client = rules.place.client().write(request.text);
      await rules.place.recorded(request.id, () => true, 'the request');
      client.socket.resetAndDestroy();
      await logged(rules.place, request, {
        sock: 'client',
        code: 'H27',
        desc: 'Client Request Interrupted',
        at: 'warning',
        status: 499,
        bytes: 0,
        ...DISPATCHED,
      });
    });
  });

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
          /^at=warning code=H28 desc="Client Connection Idle" .* status=499 bytes=[1-9]\d* protocol=http$/,
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
