import { readAnswers, readStrictly } from '../../support/http-messages';

/** The judge of the other tests must itself be strict. */
describe('the strict reader', () => {
  const head = (...lines: string[]): string =>
    `POST / HTTP/1.1\r\n${['Host: x', ...lines].join('\r\n')}\r\n\r\n`;

  test('reads what is well-formed, one request after another', () => {
    const text = `${head('Content-Length: 4')}body${head('Transfer-Encoding: Chunked')}3;a="b"\r\nabc\r\n0\r\nX: y\r\n\r\n${head()}`;
    const { requests, rest } = readStrictly(text);
    expect(rest).toBe('nothing');
    expect(requests.map(({ framing, body }) => [framing, body])).toEqual([
      ['length', 'body'],
      ['chunked', 'abc'],
      ['none', ''],
    ]);
    expect(requests[1]?.trailers).toEqual([['X', 'y']]);
  });

  test.each([
    ['both framings', head('Content-Length: 4', 'Transfer-Encoding: chunked')],
    ['a length twice', head('Content-Length: 4', 'Content-Length: 4')],
    ['a length with a sign', head('Content-Length: +4')],
    ['a coding that is not chunked', head('Transfer-Encoding: xchunked')],
    ['a folded line', head('X: a', ' b')],
    ['a bare LF', head('X: a\nY: b')],
    ['a bare CR', head('X: a\rY: b')],
    ['a NUL', head('X: \0')],
    ['a space before the colon', head('X : a')],
    ['two hosts', head('Host: y')],
    ['no host', 'GET / HTTP/1.1\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['HTTP/0.9', 'GET /\r\n\r\n'],
    ['an empty line first', `\r\n${head()}`],
    ['a chunk that is too long', `${head('Transfer-Encoding: chunked')}3\r\nabcd\r\n0\r\n\r\n`],
    ['a chunk size with 0x', `${head('Transfer-Encoding: chunked')}0x3\r\nabc\r\n0\r\n\r\n`],
  ])('does not take %s', (_what, text) => {
    expect(readStrictly(text)).toMatchObject({ requests: [], rest: 'malformed' });
  });

  test('tells what is incomplete from what is malformed', () => {
    expect(readStrictly('POST / HTTP/1.1\r\nHost:')).toMatchObject({ requests: [], rest: 'head' });
    expect(readStrictly(`${head('Content-Length: 4')}bod`)).toMatchObject({ requests: [], rest: 'body' });
  });

  test('does not take an answer for another one’s', () => {
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
    expect(readAnswers(answer.repeat(2), ['GET', 'GET'])).toHaveLength(2);
    expect(() => readAnswers(answer.repeat(2), ['GET'])).toThrow('nobody asked for');
    expect(() => readAnswers(answer, ['HEAD'])).toThrow('bytes are missing');
  });
});
