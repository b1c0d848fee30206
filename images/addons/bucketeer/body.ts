import { createHash } from 'node:crypto';
import { assertSame, checksumAlgorithm, findChecksum, startDigest, type Checksum } from './checksums.ts';
import { decodeChunked } from './chunked.ts';
import { notImplemented, S3Error } from './errors.ts';
import type { S3Request } from './request.ts';
import { isSame, UNSIGNED_PAYLOAD, type Signed } from './signature.ts';

/** What came with a body that has been read to its end and found to be what its sender says. */
export interface Received {
  size: number;
  /** 32 hexadecimal digits. */
  md5: string;
  checksum: Checksum | undefined;
}

/** "PutObject": in one request. */
const MAX_BODY = 5 * 1024 ** 3;
const STREAMING = /^STREAMING-(AWS4-HMAC-SHA256|UNSIGNED)-PAYLOAD(-TRAILER)?$/;

/**
 * The bytes of a request's body, without framing. Its end throws if sums, signatures or lengths do not hold, so that
 * whoever keeps the bytes has to drop them then; `received` is told before that, if all is well.
 */
export async function* readBody(
  request: S3Request,
  signed: Signed | undefined,
  received: (facts: Received) => void,
): AsyncGenerator<Buffer> {
  const { headers } = request;
  const payload = signed?.payload ?? headers['x-amz-content-sha256'] ?? UNSIGNED_PAYLOAD;
  const streaming = STREAMING.exec(payload);
  if (payload.startsWith('STREAMING-') && streaming === null)
    throw notImplemented(`A body that is ${payload}`);
  const length = lengthOf(headers[streaming === null ? 'content-length' : 'x-amz-decoded-content-length']);
  if (length > MAX_BODY) throw new S3Error('EntityTooLarge');

  let checksum = findChecksum(headers);
  const announced = headers['x-amz-trailer'];
  const algorithm =
    checksum?.algorithm ??
    (announced === undefined ? undefined : checksumAlgorithm(announced.trim().toLowerCase()));
  const digest = algorithm === undefined ? undefined : startDigest(algorithm);
  const sha256 = /^[0-9a-f]{64}$/i.test(payload) ? createHash('sha256') : undefined;
  if (sha256 === undefined && streaming === null && payload !== UNSIGNED_PAYLOAD) {
    throw new S3Error(
      'InvalidArgument',
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-… or a valid sha256 value.',
    );
  }
  const source: AsyncIterable<Buffer> = request.message;
  const bytes =
    streaming === null
      ? source
      : decodeChunked({
          source,
          signed: streaming[1] === 'UNSIGNED' ? undefined : signed,
          hasTrailer: streaming[2] !== undefined,
          onTrailer: (name, value) => (checksum ??= findChecksum({ [name]: value })),
        });

  const md5 = createHash('md5');
  let size = 0;
  for await (const chunk of bytes) {
    size += chunk.length;
    if (size > length) throw new S3Error('IncompleteBody');
    md5.update(chunk);
    sha256?.update(chunk);
    digest?.update(chunk);
    yield chunk;
  }
  if (size !== length) throw new S3Error('IncompleteBody');
  if (sha256 !== undefined && !isSame(sha256.digest('hex'), payload.toLowerCase())) {
    throw new S3Error('XAmzContentSHA256Mismatch');
  }
  const md5Digest = md5.digest();
  assertMd5(headers['content-md5'], md5Digest);
  if (digest !== undefined) {
    if (checksum === undefined)
      throw new S3Error('InvalidRequest', 'The checksum that was announced is missing.');
    assertSame(checksum, await digest.digest());
  }
  received({ size, md5: md5Digest.toString('hex'), checksum });
}

/** Of requests whose body is XML. */
export async function readText(
  request: S3Request,
  signed: Signed | undefined,
  maxBytes: number,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of readBody(request, signed, () => undefined)) {
    size += chunk.length;
    if (size > maxBytes) throw new S3Error('MaxMessageLengthExceeded');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function lengthOf(header: string | undefined): number {
  if (header === undefined) throw new S3Error('MissingContentLength');
  if (!/^\d{1,15}$/.test(header))
    throw new S3Error('InvalidArgument', 'The length of the body is not a number.');
  return Number(header);
}

function assertMd5(header: string | undefined, actual: Buffer): void {
  if (header === undefined) return;
  const expected = Buffer.from(header, 'base64');
  if (expected.length !== 16) throw new S3Error('InvalidDigest');
  if (!expected.equals(actual)) throw new S3Error('BadDigest');
}
