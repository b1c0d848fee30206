import fc from 'fast-check';
import { createHash, createHmac } from 'node:crypto';
import { decodeChunked } from '../../../../images/addons/bucketeer/chunked';
import type { Signed } from '../../../../images/addons/bucketeer/signature';

const SIGNED: Signed = {
  payload: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
  signature: 'a'.repeat(64),
  time: '20260101T000000Z',
  scope: '20260101/us-east-1/s3/aws4_request',
  key: Buffer.from('key'),
};
const EMPTY = createHash('sha256').digest('hex');

function sign(kind: string, previous: string, ...rest: string[]): string {
  const text = [`AWS4-HMAC-SHA256-${kind}`, SIGNED.time, SIGNED.scope, previous, ...rest].join('\n');
  return createHmac('sha256', SIGNED.key).update(text).digest('hex');
}
function hash(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

/** As clients frame it. */
function frame(
  pieces: readonly Buffer[],
  { isSigned, trailer }: { isSigned: boolean; trailer: string },
): Buffer {
  const parts: Buffer[] = [];
  let previous = SIGNED.signature;
  for (const piece of [...pieces, Buffer.alloc(0)]) {
    if (isSigned) previous = sign('PAYLOAD', previous, EMPTY, hash(piece));
    parts.push(
      Buffer.from(`${piece.length.toString(16)}${isSigned ? `;chunk-signature=${previous}` : ''}\r\n`),
      piece,
    );
    if (piece.length > 0) parts.push(Buffer.from('\r\n'));
  }
  if (trailer !== '') parts.push(Buffer.from(`x-amz-checksum-crc32:${trailer}\r\n`));
  if (isSigned && trailer !== '') {
    const signature = sign('TRAILER', previous, hash(`x-amz-checksum-crc32:${trailer}\n`));
    parts.push(Buffer.from(`x-amz-trailer-signature:${signature}\r\n`));
  }
  return Buffer.concat([...parts, Buffer.from('\r\n')]);
}

/** In pieces of this size, wherever that cuts. */
async function* inPieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield await Promise.resolve(data.subarray(at, at + size));
}

async function decode(
  data: Buffer,
  { isSigned, trailer, size = 7 }: { isSigned: boolean; trailer: string; size?: number },
): Promise<{ data: Buffer; trailers: [string, string][] }> {
  const trailers: [string, string][] = [];
  const chunks: Buffer[] = [];
  for await (const chunk of decodeChunked({
    source: inPieces(data, size),
    signed: isSigned ? SIGNED : undefined,
    hasTrailer: trailer !== '',
    onTrailer: (name, value) => trailers.push([name, value]),
  })) {
    chunks.push(Buffer.from(chunk));
  }
  return { data: Buffer.concat(chunks), trailers };
}

const KINDS = [true, false].flatMap((isSigned) => ['', 'AAAAAA=='].map((trailer) => ({ isSigned, trailer })));
const PIECES = fc.array(
  fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 5 },
);

test.each(KINDS)('what was framed comes out, however the network cuts it (%j)', async (kind) => {
  await fc.assert(
    fc.asyncProperty(PIECES, fc.integer({ min: 1, max: 90 }), async (pieces, size) => {
      const decoded = await decode(frame(pieces, kind), { ...kind, size });
      expect(decoded.data.equals(Buffer.concat(pieces))).toBe(true);
      expect(decoded.trailers).toEqual(kind.trailer === '' ? [] : [['x-amz-checksum-crc32', kind.trailer]]);
    }),
  );
});

test('a changed byte of a signed body is noticed, wherever it is', async () => {
  const kind = { isSigned: true, trailer: 'AAAAAA==' };
  await fc.assert(
    fc.asyncProperty(PIECES, fc.nat(), async (pieces, position) => {
      const data = frame(pieces, kind);
      const at = position % data.length;
      const changed = Buffer.from(data);
      changed[at] = changed[at]! ^ 1;
      await expect(decode(changed, kind)).rejects.toThrow();
    }),
  );
});

test.each(KINDS)('a body that ends early, or goes on, is noticed (%j)', async (kind) => {
  const data = frame([Buffer.from('hello'), Buffer.from('world')], kind);
  for (let length = 0; length < data.length; length += 1) {
    await expect(decode(data.subarray(0, length), kind)).rejects.toThrow();
  }
  await expect(decode(Buffer.concat([data, Buffer.from('x')]), kind)).rejects.toThrow();
});

test('lines without an end are not collected for ever', async () => {
  await expect(
    decode(Buffer.from('a'.repeat(10_000)), { isSigned: false, trailer: '', size: 1000 }),
  ).rejects.toThrow('not well-formed');
});
