import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { createGunzip, gunzipSync } from 'node:zlib';
import { parallelGzip, toBlocks } from '../../../src/build/parallel-gzip';

const MIB = 1024 * 1024;

/** Bytes that follow from the seed alone; half of them compress. */
function bytesOf(seed: string, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let number = 0; parts.length * 64 < length; number += 1) {
    parts.push(createHash('sha256').update(`${seed}${number}`).digest(), Buffer.alloc(96, 'text'));
  }
  return Buffer.concat(parts).subarray(0, length);
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function gzip(bytes: Buffer, pieces: number): Promise<Buffer> {
  return buffer(parallelGzip(toBlocks(inPieces(bytes, pieces))));
}

test.each([0, 1, MIB - 1, MIB, MIB + 1, 7 * MIB + 12_345])('gives back %i bytes', async (length) => {
  const bytes = bytesOf('a', length);
  const packed = await gzip(bytes, 32_768);
  expect(gunzipSync(packed).equals(bytes)).toBe(true);
  const streamed = await buffer(Readable.from([packed]).pipe(createGunzip()));
  expect(streamed.equals(bytes)).toBe(true);
});

test('gives the same file in whatever pieces the bytes come', async () => {
  const bytes = bytesOf('b', 3 * MIB + 77);
  const packed = await gzip(bytes, 1000);
  expect((await gzip(bytes, 5 * MIB)).equals(packed)).toBe(true);
  expect(packed.length).toBeLessThan(bytes.length);
});

test('fails with what its source fails with', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield* inPieces(bytesOf('c', 2 * MIB), MIB);
    throw new Error('gone');
  }
  await expect(buffer(parallelGzip(toBlocks(broken())))).rejects.toThrow('gone');
});
