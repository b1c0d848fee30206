import { once } from 'node:events';
import { Duplex, PassThrough, Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { setImmediate as tick } from 'node:timers/promises';
import fc from 'fast-check';
import { demultiplex, FrameDecoder, undivided, type Frame } from '../../../src/engine/frames';

const aFrame = fc.record({
  stream: fc.constantFrom<Frame['stream']>('stdout', 'stderr'),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

function encode(frames: readonly Frame[]): Buffer {
  return Buffer.concat(
    frames.map(({ stream, payload }) => {
      const header = Buffer.alloc(8);
      header[0] = stream === 'stdout' ? 1 : 2;
      header.writeUInt32BE(payload.length, 4);
      return Buffer.concat([header, payload]);
    }),
  );
}

function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const edges = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
}

describe('FrameDecoder', () => {
  test('gives the same frames however the bytes are split', () => {
    fc.assert(
      fc.property(fc.array(aFrame), fc.array(fc.nat()), (frames, cuts) => {
        const decoder = new FrameDecoder();
        const decoded = cutAt(encode(frames), cuts).flatMap((chunk) => decoder.push(chunk));
        expect(decoded).toEqual(frames);
        expect(decoder.incompleteBytes).toBe(0);
      }),
    );
  });

  test('keeps an incomplete frame to itself', () => {
    const decoder = new FrameDecoder();
    const bytes = encode([{ stream: 'stderr', payload: Buffer.from('hello') }]);
    expect(decoder.push(bytes.subarray(0, 10))).toEqual([]);
    expect(decoder.incompleteBytes).toBe(10);
  });

  test('refuses bytes that are no frames', () => {
    expect(() => new FrameDecoder().push(Buffer.from('plain text of a terminal'))).toThrow();
    const endless = Buffer.from([1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    expect(() => new FrameDecoder().push(endless)).toThrow();
  });
});

describe('demultiplex', () => {
  test('splits a connection into its two outputs', async () => {
    const frames: Frame[] = [
      { stream: 'stdout', payload: Buffer.from('out ') },
      { stream: 'stderr', payload: Buffer.from('err') },
      { stream: 'stdout', payload: Buffer.from('again') },
    ];
    const { stdout, stderr } = demultiplex(Readable.from([encode(frames)], { objectMode: false }));
    expect(await Promise.all([text(stdout), text(stderr)])).toEqual(['out again', 'err']);
  });

  test('reads no faster than its outputs are read', async () => {
    let produced = 0;
    const payload = Buffer.alloc(16 * 1024);
    const source = new Readable({
      read() {
        produced++;
        this.push(produced <= 100 ? encode([{ stream: 'stdout', payload }]) : null);
      },
    });
    const { stdout, stderr } = demultiplex(source);
    stderr.resume();
    for (let round = 0; round < 50; round++) await tick();
    expect(produced).toBeLessThan(20);
    expect(await buffer(stdout)).toHaveLength(100 * payload.length);
  });

  test('goes on with one output when the other was given up', async () => {
    const payload = Buffer.alloc(64 * 1024);
    const frames: Frame[] = Array.from({ length: 10 }, () => ({ stream: 'stderr', payload }));
    const all = encode([...frames, { stream: 'stdout', payload: Buffer.from('end') }]);
    const { stdout, stderr } = demultiplex(Readable.from([all], { objectMode: false }));
    stderr.destroy();
    expect(await text(stdout)).toBe('end');
  });

  test('tells both outputs when the connection breaks', async () => {
    const source = new PassThrough();
    const { stdout, stderr } = demultiplex(source);
    const failures = Promise.all([once(stdout, 'error'), once(stderr, 'error')]);
    source.destroy(new Error('cut'));
    expect(await failures).toMatchObject([[{ message: 'cut' }], [{ message: 'cut' }]]);
  });
});

describe('undivided', () => {
  test('passes a terminal’s bytes on as they are', async () => {
    const { stdout, stderr } = undivided(Duplex.from([Buffer.from('raw \u0001 bytes')]));
    expect(await Promise.all([text(stdout), text(stderr)])).toEqual(['raw \u0001 bytes', '']);
  });

  test('tells the output when the connection breaks', async () => {
    const source = new PassThrough();
    const { stdout } = undivided(source);
    const failure = once(stdout, 'error');
    source.destroy(new Error('cut'));
    expect(await failure).toMatchObject([{ message: 'cut' }]);
  });
});
