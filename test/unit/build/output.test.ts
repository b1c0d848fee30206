import { complaint, detail, formatSize, heading, LineOutput } from '../../../src/build/output';

describe('build output', () => {
  test('marks steps, what belongs to them, and complaints like Heroku', () => {
    expect([heading('Compressing...'), detail('Done: 1M'), complaint('Push failed')]).toEqual([
      '-----> Compressing...',
      '       Done: 1M',
      ' !     Push failed',
    ]);
  });

  test.each([
    [0, '0B'],
    [1023, '1023B'],
    [10_240, '10.0K'],
    [47_395_635, '45.2M'],
    [500 * 1024 ** 2, '500M'],
    [524_392_858, '500.1M'],
    [3 * 1024 ** 3, '3G'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  test('puts own lines on lines of their own, whatever was printed before', async () => {
    const chunks: Buffer[] = [];
    const output = new LineOutput({
      write: async (chunk) => void chunks.push(Buffer.from(chunk as Uint8Array)),
    });
    await output.lines('one');
    await output.raw(Buffer.from([0xff, 0x00, 0x61]));
    await output.raw(Buffer.alloc(0));
    await output.lines('two', 'three');
    await output.raw(Buffer.from('raw\n'));
    await output.lines('', 'four');
    await output.lines();
    expect(Buffer.concat(chunks).toString('latin1')).toBe('one\n\xff\x00a\ntwo\nthree\nraw\n\nfour\n');
  });
});
