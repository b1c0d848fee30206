import { DISPATCHED, ends, logged, NOT_DISPATCHED } from './log-line';
import { OK } from './place';
import type { Rules } from './rules';

const CODES = 'Error Codes';

/** Outcomes of a request, with status and whole log line (Dev Center "Error Codes"). */
export function describeHCodes(rules: Rules): void {
  const { rule } = rules;

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

    for (const [what, text] of [
      ['no HTTP', 'SPAM and eggs\r\n\r\n'],
      ['an unknown version', 'HTTP/3.0 200 OK\r\n\r\n'],
      ['a status that is no number', 'HTTP/1.1 abc OK\r\n\r\n'],
      ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
      ['a space before a colon', 'HTTP/1.1 200 OK\r\nX : y\r\n\r\n'],
      ['a folded header', 'HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 0\r\n\r\n'],
      ['a NUL in a header', 'HTTP/1.1 200 OK\r\nX: \0\r\n\r\n'],
      ['a header without a colon', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
      ['a bare CR in a header', 'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n'],
      ['no reason phrase', 'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n'],
      ['not even the space before it', 'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'],
    ] as const) {
      rule(`${CODES}, H17`, `H17: the dyno’s answer has ${what}`, async () => {
        await ends(rules.place, [['send', text]], {
          code: 'H17',
          desc: 'Poorly formatted HTTP response',
          at: 'error',
          status: 503,
          bytes: 0,
          ...DISPATCHED,
        });
      });
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
}
