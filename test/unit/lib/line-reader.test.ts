import fc from 'fast-check';
import { LineReader } from '../../../src/lib/line-reader';

describe('line reader', () => {
  test('gives the same lines however the bytes are cut', () => {
    const line = fc
      .string({ unit: 'grapheme', minLength: 1 })
      .filter((text) => text.trim() !== '' && !text.includes('\n'));
    fc.assert(
      fc.property(
        fc.array(line),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (lines, cuts) => {
          const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
          const read: string[] = [];
          const reader = new LineReader(10_000, (text) => read.push(text));
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = cuts[i % cuts.length]!;
            reader.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(read).toEqual(lines);
        },
      ),
    );
  });

  test('refuses a line that is too long, in however many pieces', () => {
    const reader = new LineReader(10, () => undefined);
    reader.push(Buffer.from('12345\n12345'));
    reader.push(Buffer.from('12345'));
    expect(() => reader.push(Buffer.from('1'))).toThrow('longer than 10 bytes');
  });
});
