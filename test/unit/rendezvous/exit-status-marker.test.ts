import fc from 'fast-check';
import { ExitStatusMarker } from '../../../src/rendezvous/exit-status-marker';

const LINE = '\uFFFF heroku-command-exit-status: 3\r\n';
/** Chunks are cut anywhere, also within a character. */
const cut = (bytes: Buffer, sizes: number[]): Buffer[] => {
  const chunks: Buffer[] = [];
  let start = 0;
  for (const size of [...sizes, bytes.length]) {
    if (start < bytes.length) chunks.push(bytes.subarray(start, start + size));
    start += size;
  }
  return chunks;
};

describe('ExitStatusMarker', () => {
  test('sends the marker’s line alone and whole, however it comes', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 })), (sizes) => {
        const marker = new ExitStatusMarker();
        const pieces = cut(Buffer.from(`out\n${LINE}rest`), sizes).flatMap((chunk) => marker.push(chunk));
        expect(pieces.filter(({ apart }) => apart).map(({ bytes }) => bytes.toString())).toEqual([LINE]);
        expect(Buffer.concat(pieces.map(({ bytes }) => bytes)).toString()).toBe(`out\n${LINE}rest`);
        expect(marker.seen).toBe(true);
      }),
    );
  });

  test('changes no byte of anything, and holds back no more than a line', () => {
    const parts = fc.constantFrom(
      '\uFFFF',
      '\uFFFE',
      LINE,
      LINE.slice(0, 9),
      '\n',
      'text',
      '\uFFFF\uFFFF heroku',
    );
    const bytes = fc.array(fc.oneof(parts, fc.string())).map((all) => Buffer.from(all.join('')));
    fc.assert(
      fc.property(bytes, fc.array(fc.integer({ min: 1, max: 50 })), (content, sizes) => {
        const marker = new ExitStatusMarker();
        let sent = 0;
        let received = 0;
        const out: Buffer[] = [];
        for (const chunk of cut(content, sizes)) {
          received += chunk.length;
          for (const piece of marker.push(chunk)) {
            sent += piece.bytes.length;
            out.push(piece.bytes);
          }
          expect(received - sent).toBeLessThan(256);
        }
        expect(Buffer.concat([...out, marker.flush()]).equals(content)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('holds back nothing of plain text', () => {
    const marker = new ExitStatusMarker();
    expect(marker.push(Buffer.from('$ '))).toEqual([{ bytes: Buffer.from('$ '), apart: false }]);
    expect(marker.isHolding).toBe(false);
  });

  test('takes what is longer than any marker for data', () => {
    const marker = new ExitStatusMarker();
    const long = Buffer.from(`\uFFFF heroku-command-exit-status:${'x'.repeat(300)}`);
    expect(Buffer.concat(marker.push(long).map(({ bytes }) => bytes)).equals(long)).toBe(true);
    expect(marker.seen).toBe(false);
  });
});
