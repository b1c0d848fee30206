import { eventually } from '../../support/router-client';
import { readStrictly } from '../../support/http-messages';
import type { Step } from '../../support/scripted-backend';
import { OK } from './place';
import type { Rules } from './rules';

const ANSWER: readonly Step[] = [['body'], ['send', OK]];

/** Requests that two readers could take for different ones: refused, and never seen by a dyno. */
export function describeMalformedRequests(rules: Rules): void {
  const { rule } = rules;

  describe('contradictory or malformed requests', () => {
    /** A second request that hides in the body, for whoever gets the framing wrong. */
    const hidden = (id: string): string =>
      `GET /s/hidden-${id}/W10 HTTP/1.1\r\nHost: ${rules.place.host}\r\n\r\n`;

    /**
     * Sends the head with these lines and `body`, and then `hidden`. `refused`: it must be; otherwise the dyno may
     * also see exactly one request, `body` being its body.
     */
    const attempt = async (
      lines: readonly string[],
      body: string,
      outcome: 'refused' | { body: string },
    ): Promise<void> => {
      const request = rules.place.request(ANSWER, {
        method: 'POST',
        headers: [...lines, 'X-Last: 1'],
        body,
      });
      const client = rules.place.client().write(request.text + hidden(request.id));
      // One that is not refused is kept open for the next one: nobody waits for its end.
      await eventually(
        () => client.closed || client.ended || /^HTTP\/1\.1 \d/.test(client.text),
        'an answer',
      );
      const status = /^HTTP\/1\.1 (\d+) /.exec(client.text)?.[1];
      if (status === '400') {
        await eventually(() => client.ended || client.closed, 'the end of the connection');
        expect(client.text.match(/^HTTP\/1\.1 (?!400 ).*/gm)).toBeNull();
        const record = await rules.place.record(request.id);
        // A fault in the middle of a body comes to light when its head is with the dyno.
        if (record !== null) expect(record.complete).toBe(false);
        expect(await rules.place.record(`hidden-${request.id}`)).toBeNull();
        return;
      }
      expect({ answered: client.text, outcome }).toEqual({ answered: client.text, outcome: { body } });
      const seen = await rules.place.received(request.id);
      expect(seen.body).toBe(outcome === 'refused' ? null : outcome.body);
    };

    /** Only whether it is refused matters; the body is what it would be under one of the readings. */
    const refused = (source: string, text: string, lines: readonly string[], body = ''): void => {
      rule(source, `${text} is refused with 400`, () => attempt(lines, body, 'refused'));
    };
    const CHUNKED = '0\r\n\r\n';
    const TE = 'Transfer-Encoding';
    const CL = 'Content-Length';
    const S61 = 'RFC 9112 §6.1';
    const S63 = 'RFC 9112 §6.3';

    refused(S63, 'a length and chunks', [`${CL}: 5`, `${TE}: chunked`], CHUNKED);
    refused(S63, 'chunks and a length', [`${TE}: chunked`, `${CL}: 5`], CHUNKED);
    refused(S63, 'chunks and a length of 0', [`${TE}: chunked`, `${CL}: 0`], CHUNKED);
    refused(S63, 'a length and an unknown coding', [`${CL}: 0`, `${TE}: x`], CHUNKED);
    for (const value of ['xchunked', 'chunkedx', 'chunked, identity', 'identity', 'gzip']) {
      refused(S63, `the coding ${JSON.stringify(value)}`, [`${TE}: ${value}`], CHUNKED);
    }
    for (const value of [
      '"chunked"',
      'chunked;q=1',
      'chunked chunked',
      'x chunked',
      'chunked\x0b',
      '\x0cchunked',
    ]) {
      refused(S63, `the coding ${JSON.stringify(value)}`, [`${TE}: ${value}`], CHUNKED);
    }
    refused(S61, 'a coding beside chunked, which would be lost', [`${TE}: gzip, chunked`], CHUNKED);
    refused(S61, 'identity beside chunked', [`${TE}: identity, chunked`], CHUNKED);
    refused(S63, 'an empty coding', [`${TE}:`], CHUNKED);
    refused(S61, 'chunked twice in a list', [`${TE}: chunked, chunked`], CHUNKED);
    refused(S61, 'chunked twice in two lines', [`${TE}: chunked`, `${TE}: chunked`], CHUNKED);
    refused(S61, 'chunked behind another line', [`${TE}: identity`, `${TE}: chunked`], CHUNKED);
    refused(S61, 'chunked before another line', [`${TE}: chunked`, `${TE}: x`], CHUNKED);

    for (const value of [
      '-1',
      '+5',
      '0x5',
      '5,6',
      '5 5',
      '1e1',
      '5.0',
      '\xb2',
      '5abc',
      '',
      ' ',
      '5;',
      "'5'",
    ]) {
      refused(S63, `the length ${JSON.stringify(value)}`, [`${CL}: ${value}`], 'aaaaa');
    }
    for (const value of ['18446744073709551616', '18446744073709551621', '9'.repeat(40)]) {
      refused(S63, `the length ${value}, beyond any number`, [`${CL}: ${value}`], 'aaaaa');
    }
    refused(S63, 'two lengths that differ', [`${CL}: 5`, `${CL}: 6`], 'aaaaa');
    refused(S63, 'two lengths of which one is empty', [`${CL}: 5`, `${CL}:`], 'aaaaa');
    for (const [text, lines] of [
      ['two equal lengths', [`${CL}: 5`, `${CL}: 5`]],
      ['two equal lengths in a list', [`${CL}: 5, 5`]],
      ['a length with a 0 before it', [`${CL}: 05`]],
    ] as const) {
      rule(S63, `${text}: refused, or one length for the dyno`, () =>
        attempt(lines, 'aaaaa', { body: 'aaaaa' }),
      );
    }

    const S51 = 'RFC 9112 §5.1';
    refused(S51, 'a space before the colon', [`${TE} : chunked`], CHUNKED);
    refused(S51, 'a tab before the colon', [`${TE}\t: chunked`], CHUNKED);
    refused(S51, 'a space before the colon of a length', [`${CL} : 5`], 'aaaaa');
    refused(S51, 'a line without a colon', ['nonsense']);
    refused(S51, 'an empty name', [': x']);
    refused(S51, 'a name with a space', ['X Y: x']);
    refused(S51, 'a name with a byte above ASCII', ['X\xe9: x']);
    refused(S51, 'a name with a NUL', ['X\0: x']);
    refused(S51, 'a name with brackets', ['X(y): x']);
    const S52 = 'RFC 9112 §5.2';
    refused(S52, 'a folded line', ['X-Folded: a', ' b']);
    refused(S52, 'a folded line by a tab', ['X-Folded: a', '\tb']);
    refused(S52, 'a folded coding', [`${TE}:`, ' chunked'], CHUNKED);
    refused(S52, 'a folded length', [`${CL}:`, ' 5'], 'aaaaa');
    const S55 = 'RFC 9110 §5.5';
    refused(S55, 'a NUL in a value', ['X: a\0b']);
    refused(S55, 'a control character in a value', ['X: a\x01b']);
    refused(S55, 'a DEL in a value', ['X: a\x7fb']);
    refused(S55, 'a bare CR in a value', ['X: a\rb']);
    const S22 = 'RFC 9112 §2.2';
    refused(S22, 'a bare LF behind a value', [`X: a\n${TE}: chunked`], CHUNKED);
    refused(S22, 'a bare CR as a line’s end', [`X: a\r${TE}: chunked`], CHUNKED);
    refused(S22, 'CR CR LF as a line’s end', [`X: a\r`]);

    rule(S61, 'chunks in HTTP/1.0 are refused with 400, or end the connection', async () => {
      const request = rules.place.request(ANSWER, {
        method: 'POST',
        version: '1.0',
        headers: ['Transfer-Encoding: chunked', 'Connection: keep-alive'],
        body: CHUNKED,
      });
      const bytes = await rules.place.send(request.text + hidden(request.id));
      expect(bytes.split('HTTP/1.1 ')).toHaveLength(2);
      expect(await rules.place.record(`hidden-${request.id}`)).toBeNull();
    });

    const line = (text: string, change: (line: string) => string): void => {
      rule('RFC 9112 §3', `${text} is refused with 400`, async () => {
        const request = rules.place.request(ANSWER);
        const [first = ''] = request.text.split('\r\n');
        const bytes = await rules.place.send(request.text.replace(first, () => change(first)));
        expect(bytes).toMatch(/^HTTP\/1\.1 400 /);
        expect(await rules.place.record(request.id)).toBeNull();
      });
    };
    for (const [where, change] of [
      ['target', (text: string) => text.replace(' ', '  ')],
      ['version', (text: string) => text.replace(' HTTP', '  HTTP')],
    ] as const) {
      rule('RFC 9112 §3', `two spaces before the ${where}: refused, or one for the dyno`, async () => {
        const request = rules.place.request(ANSWER);
        const bytes = await rules.place.send(change(request.text));
        if (bytes.startsWith('HTTP/1.1 400 ')) expect(await rules.place.record(request.id)).toBeNull();
        else expect((await rules.place.received(request.id)).target).toBe(request.path);
      });
    }
    line('a request line with a tab before its target', (text) => text.replace(' ', '\t'));
    line('a request line with a tab before its version', (text) => text.replace(' HTTP', '\tHTTP'));
    line('a request line with a space before it', (text) => ` ${text}`);
    line('a request line with a space behind it', (text) => `${text} `);
    line('a request line with a space in its target', (text) => text.replace(' HTTP', ' x HTTP'));
    line('a request line with a NUL in its target', (text) => text.replace(' HTTP', '\0 HTTP'));
    line('a request line with a control character in its target', (text) =>
      text.replace(' HTTP', '\x01 HTTP'),
    );
    line('a request line with a bare CR in its target', (text) => text.replace(' HTTP', '\rx HTTP'));
    line('a request line that ends in a bare CR', (text) => `${text}\rX: `);
    line('a request line that ends in a bare LF', (text) => `${text}\nX: 1`);
    line('a target that is no path', (text) => text.replace(' /', ' '));
    line('a request line without a target', (text) => text.replace(/ .* /, ' '));
  });

  describe('malformed chunks', () => {
    const bad = (text: string, body: string): void => {
      rule(
        'RFC 9112 §7.1',
        `${text} is refused with 400 (H26), and the dyno never sees a complete request`,
        async () => {
          const request = rules.place.request(ANSWER, {
            method: 'POST',
            headers: ['Transfer-Encoding: chunked'],
            body,
          });
          const bytes = await rules.place.send(
            `${request.text}GET /s/hidden-${request.id}/W10 HTTP/1.1\r\nHost: ${rules.place.host}\r\n\r\n`,
          );
          expect(bytes).toMatch(/^HTTP\/1\.1 400 /);
          expect(bytes.split('HTTP/1.1 ')).toHaveLength(2);
          expect(await rules.place.line(request.id)).toMatch(
            /^at=error code=H26 desc="Request Error" cause="bad chunk" .* status=400 /,
          );
          const record = await rules.place.record(request.id);
          if (record !== null) {
            await rules.place.recorded(
              request.id,
              ({ ended, closed }) => ended || closed !== null,
              'the end of the connection to the dyno',
            );
            expect(record.complete).toBe(false);
            expect(readStrictly(record.raw)).toMatchObject({ requests: [], rest: 'body' });
          }
          expect(await rules.place.record(`hidden-${request.id}`)).toBeNull();
        },
      );
    };
    bad('a size that is no number', 'zz\r\nbody\r\n0\r\n\r\n');
    bad('a negative size', '-4\r\nbody\r\n0\r\n\r\n');
    bad('a size with a sign', '+4\r\nbody\r\n0\r\n\r\n');
    bad('a size with 0x', '0x4\r\nbody\r\n0\r\n\r\n');
    bad('an empty size', '\r\nbody\r\n0\r\n\r\n');
    bad('a space before the size', ' 4\r\nbody\r\n0\r\n\r\n');
    bad('a size beyond any number', 'ffffffffffffffff1\r\nbody\r\n0\r\n\r\n');
    bad('a size that wraps around to 4', '10000000000000004\r\nbody\r\n0\r\n\r\n');
    bad('a chunk that is longer than its size', '4\r\nbodyx\r\n0\r\n\r\n');
    bad('a chunk without a line’s end behind it', '4\r\nbody0\r\n\r\n');
    bad('a chunk with a bare LF behind it', '4\r\nbody\n0\r\n\r\n');
    bad('a chunk with a bare CR behind it', '4\r\nbody\r0\r\n\r\n');
    bad('a size with a bare LF behind it', '4\nbody\r\n0\r\n\r\n');
    bad('a size with a bare CR behind it', '4\rbody\r\n0\r\n\r\n');
    bad('an extension with a bare LF', '4;a\nbody\r\n0\r\n\r\n');
    bad('an extension with a bare CR', '4;a\rb\r\nbody\r\n0\r\n\r\n');
    bad('an extension with a NUL', '4;a\0\r\nbody\r\n0\r\n\r\n');
    bad('an extension that never ends', `4;${'a'.repeat(20_000)}\r\nbody\r\n0\r\n\r\n`);
    bad('a trailer without a colon', '4\r\nbody\r\n0\r\nnonsense\r\n\r\n');
    bad('a trailer with a space before its colon', '4\r\nbody\r\n0\r\nX : y\r\n\r\n');
    bad('a folded trailer', '4\r\nbody\r\n0\r\nX: y\r\n z\r\n\r\n');
    bad('a trailer with a NUL', '4\r\nbody\r\n0\r\nX: \0\r\n\r\n');
    bad('a trailer with a bare LF', '4\r\nbody\r\n0\r\nX: y\n\r\n');
    bad('a trailer of 20,000 lines', `4\r\nbody\r\n0\r\n${'X: y\r\n'.repeat(20_000)}\r\n`);
  });
}
