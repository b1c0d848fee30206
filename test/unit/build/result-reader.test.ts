import { Readable } from 'node:stream';
import fc from 'fast-check';
import { parseResult, ResultReader } from '../../../src/build/result-reader';

const SLUG = { app: 'Node.js', buildpacks: ['heroku/nodejs'], procfile: null, release: '--- {}\n' };

describe('ResultReader', () => {
  test('finds header and tar however the bytes are cut', async () => {
    const tar = Buffer.from([0, 10, 255, 10, 1, 2, 3]);
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify({ slug: SLUG })}\n`), tar]);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: bytes.length })), async (cuts) => {
        const chunks: Buffer[] = [];
        let start = 0;
        for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
          if (cut > start) chunks.push(bytes.subarray(start, cut));
          start = Math.max(start, cut);
        }
        const reader = new ResultReader(Readable.from(chunks, { objectMode: false }));
        expect(await reader.header()).toEqual({ slug: SLUG });
        const rest: Uint8Array[] = [];
        for await (const chunk of reader.tar()) rest.push(chunk);
        expect(Buffer.concat(rest)).toEqual(tar);
      }),
      { numRuns: 50 },
    );
  });

  test('knows a result that was cut off', async () => {
    expect(await new ResultReader(Readable.from([Buffer.from('{"sl')])).header()).toBeUndefined();
  });

  test('does not take a header without end', async () => {
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(1024 * 1024, 'x');
      })(),
    );
    await expect(new ResultReader(endless).header()).rejects.toThrow(RangeError);
  });

  test.each(['', 'x', '[]', '{}', '{"slug":{}}', '{"slug":{"app":1}}', '{"failure":{"kind":"x"}}', 'null'])(
    'refuses %j',
    (line) => {
      expect(() => parseResult(line)).toThrow(RangeError);
    },
  );
});
