import fc from 'fast-check';
import { MessageParser } from '../../../src/router/message-parser';

interface Seen {
  heads: string[][];
  bodies: string[];
  trailers: (readonly string[])[];
  fault: string | null;
}

/** Reads as many messages as there are in `pieces`. */
function parse(
  kind: 'request' | 'response',
  pieces: string[],
  more: { withoutBody?: boolean; ended?: boolean } = {},
): Seen {
  const parser = new MessageParser(kind, 100_000);
  parser.withoutBody = more.withoutBody ?? false;
  const seen: Seen = { heads: [], bodies: [], trailers: [], fault: null };
  const state = { complete: false };
  const handler = {
    onHead: () => {
      const start = kind === 'request' ? [parser.target] : [String(parser.status), parser.statusMessage];
      seen.heads.push([...start, ...parser.rawHeaders]);
      seen.bodies.push('');
    },
    onBody: (chunk: Buffer) => seen.bodies.push((seen.bodies.pop() ?? '') + chunk.toString('latin1')),
    onComplete: (trailers: readonly string[]) => {
      seen.trailers.push(trailers);
      state.complete = true;
    },
  };
  try {
    for (const piece of pieces) {
      const chunk = Buffer.from(piece, 'latin1');
      let at = 0;
      while (at < chunk.length) {
        if (state.complete) parser.next();
        state.complete = false;
        at = parser.feed(chunk, at, handler);
        if (at < 0) return { ...seen, fault: parser.fault };
      }
    }
    if (more.ended === true && !parser.finish(handler)) seen.fault = 'cut';
    return seen;
  } finally {
    parser.free();
  }
}

const request = (text: string): Seen => parse('request', [text]);
const response = (text: string, more = {}): Seen => parse('response', [text], more);

describe('message parser', () => {
  test('reads head, body and trailers of one message after another', () => {
    const text =
      'GET /a?b HTTP/1.1\r\nHost: x\r\nEmpty:\r\nPadded:  \t y \t\r\nhost-ish: \xe9\r\n\r\n' +
      'POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody' +
      'POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nSum: 9 \r\n\r\n' +
      'HEAD /d HTTP/1.0\r\n\r\n';
    const whole = request(text);
    expect(whole).toEqual({
      heads: [
        ['/a?b', 'Host', 'x', 'Empty', '', 'Padded', 'y', 'host-ish', '\xe9'],
        ['/b', 'Host', 'x', 'Content-Length', '4'],
        ['/c', 'Host', 'x', 'Transfer-Encoding', 'chunked'],
        ['/d'],
      ],
      bodies: ['', 'body', 'abcde', ''],
      trailers: [[], [], ['Sum', '9'], []],
      fault: null,
    });
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: text.length - 1 }), { maxLength: 40 }), (cuts) => {
        const at = [0, ...[...new Set(cuts)].sort((a, b) => a - b), text.length];
        const pieces = at.slice(1).map((end, i) => text.slice(at[i], end));
        expect(parse('request', pieces)).toEqual(whole);
      }),
      { numRuns: 200 },
    );
  });

  test('reads heads and chunks larger than its windows', () => {
    const long = 'v'.repeat(20_000);
    const body = 'b'.repeat(200_000);
    const seen = request(
      `POST /${long} HTTP/1.1\r\nX: ${long}\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    );
    expect(seen.heads[0]).toEqual([`/${long}`, 'X', long, 'Transfer-Encoding', 'chunked']);
    expect(seen.bodies[0]).toBe(body);
    expect(request(`GET / HTTP/1.1\r\nX: ${'v'.repeat(100_000)}\r\n\r\n`).fault).toBe('size');
    const head = 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect(request(`${head}0\r\nX: ${'v'.repeat(20_000)}\r\n\r\n`).fault).toBe('size');
    expect(request(`${head}0\r\n${'X: v\r\n'.repeat(4_000)}\r\n`).fault).toBe('size');
    expect(request(`${head}1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`).fault).toBe('size');
    expect(request(`${head}${`1;${'x'.repeat(9_000)}\r\na\r\n`.repeat(9)}0\r\n\r\n`).fault).toBe(null);
  });

  // RFC 9112 §5, §6.1, §6.3, §7.1, §11.2: what two parsers could understand differently is not understood at all.
  test.each([
    ['a length and chunks', 'Content-Length: 1\r\nTransfer-Encoding: chunked'],
    ['chunks and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 1'],
    ['two lengths that differ', 'Content-Length: 1\r\nContent-Length: 2'],
    ['a list of lengths', 'Content-Length: 1, 1'],
    ['a signed length', 'Content-Length: +1'],
    ['a negative length', 'Content-Length: -1'],
    ['a hexadecimal length', 'Content-Length: 0x1'],
    ['an empty length', 'Content-Length:'],
    ['a length beyond all numbers', `Content-Length: ${'9'.repeat(30)}`],
    ['a length beyond exact numbers', 'Content-Length: 9007199254740993'],
    ['a coding that is not chunked', 'Transfer-Encoding: xchunked'],
    ['a coding besides chunked', 'Transfer-Encoding: gzip, chunked'],
    ['chunked twice', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked'],
    ['chunked that is not last', 'Transfer-Encoding: chunked, identity'],
    ['a space before the colon', 'Transfer-Encoding : chunked'],
    ['a space before the colon of any header', 'X : a'],
    ['a name with a space', 'X Y: a'],
    ['a folded line', 'X: a\r\n b'],
    ['a folded coding', 'Transfer-Encoding:\r\n chunked'],
    ['a bare line feed', 'X: a\nContent-Length: 5'],
    ['a bare carriage return', 'X: a\rContent-Length: 5'],
    ['a NUL', 'X: a\0b'],
    ['a name that is no token', 'X(: a'],
    ['no name', ': a'],
  ])('refuses a request with %s', (_what, headers) => {
    const seen = request(`POST / HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n1\r\na\r\n0\r\n\r\n`);
    expect(seen.heads).toEqual([]);
    expect(seen.fault).toMatch(/malformed|length/);
  });

  test.each([
    ['a chunked body under HTTP/1.0', 'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['line feeds only', 'GET / HTTP/1.1\nHost: x\n\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['a target above ASCII', 'GET /\xe9 HTTP/1.1\r\n\r\n'],
    ['a target with a tab', 'GET /a\tb HTTP/1.1\r\n\r\n'],
    ['no target', 'GET HTTP/1.1\r\n\r\n'],
    ['an unknown version', 'GET / HTTP/3.1\r\n\r\n'],
    ['another protocol', 'GET / RTSP/1.0\r\n\r\n'],
  ])('refuses a request with %s', (_what, text) => {
    const seen = request(text);
    expect(seen.heads).toEqual([]);
    expect(seen.fault).toBe('malformed');
  });

  test.each([
    ['no number', 'zz\r\n'],
    ['a signed size', '+1\r\na\r\n0\r\n\r\n'],
    ['a hexadecimal prefix', '0x1\r\na\r\n0\r\n\r\n'],
    ['a size beyond all numbers', `${'f'.repeat(17)}\r\na\r\n0\r\n\r\n`],
    ['a line feed only', '1\na\n0\n\n'],
    ['too many bytes', '1\r\nab\r\n0\r\n\r\n'],
  ])('refuses a chunk with %s', (_what, body) => {
    const seen = request(`POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    expect(seen.heads).toHaveLength(1);
    expect(seen.trailers).toEqual([]);
    expect(seen.fault).toBe('malformed');
  });

  test.each([
    ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 'ok'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 'ok'],
    ['the end of its connection', 'HTTP/1.0 200 OK\r\n\r\nok', 'ok'],
    ['nothing, being a 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n', ''],
    ['nothing, being a 204', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n', ''],
    ['nothing, being a 103', 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n', ''],
  ])('ends a response by %s', (_what, text, body) => {
    const seen = response(text, { ended: true });
    expect(seen).toMatchObject({ bodies: [body], trailers: [[]], fault: null });
  });

  test('knows that an answer to HEAD has no body', () => {
    const text = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n';
    expect(response(text + text, { withoutBody: true }).trailers).toHaveLength(2);
    expect(response(text, { ended: true })).toMatchObject({ trailers: [], fault: 'cut' });
  });

  test('tells where a response has no reason, and what it refuses', () => {
    expect(response('HTTP/1.1 200\r\n\r\n').heads[0]).toEqual(['200', '']);
    expect(response('HTTP/1.1 200 \r\n\r\n').heads[0]).toEqual(['200', '']);
    expect(response('SPAM\r\n\r\n').fault).toBe('malformed');
    expect(response('HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n').fault).toBe('length');
    expect(response('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n').fault).toBe(
      'malformed',
    );
    expect(response('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n').fault).toBe('malformed');
  });
});
