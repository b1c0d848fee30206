import { parseSyslog } from '../../../src/domain/syslog';

const frame = (line: string): string => `${Buffer.byteLength(line)} ${line}`;
const parse = (text: string): unknown => parseSyslog(Buffer.from(text));

test('lines are counted in bytes, and may have line ends inside', () => {
  expect(
    parse(
      frame('<134>1 2026-01-01T00:00:00Z h app acme - - größer\nals eins\n') +
        frame('<134>1 2026-01-01T00:00:00Z h app - - no structured data') +
        frame('<134>1 2026-01-01T00:00:00Z h app x ID1 [a@1 b="]"][c@1] text') +
        frame('<134>1 2026-01-01T00:00:00Z h app x -'),
    ),
  ).toEqual([
    { process: 'acme', text: 'größer\nals eins' },
    { process: null, text: 'no structured data' },
    { process: 'x', text: expect.stringContaining('text') },
    { process: 'x', text: '' },
  ]);
  expect(parse('')).toEqual([]);
});

test.each([
  ['12 short', 'shorter than its length'],
  ['no length', 'does not begin with its length'],
  ['0 ', 'does not begin with its length'],
  [frame('just text'), 'not of RFC 5424'],
])('%j is refused', (text, reason) => {
  expect(() => parse(text)).toThrow(reason);
});
