import { Crc32c } from '@aws-crypto/crc32c';
import { Crc64Nvme } from '@aws-sdk/crc64-nvme';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { notImplemented, S3Error } from './errors.ts';

/** One of S3's additional checksums (Amazon S3 User Guide, "Checking object integrity"). */
export interface Checksum {
  /** `crc32`, as in `x-amz-checksum-crc32` */
  algorithm: string;
  /** Base64 of the bytes, the most significant one first. */
  value: string;
}

interface Digest {
  update(chunk: Buffer): void;
  /** Base64. */
  digest(): Promise<string>;
}

const PREFIX = 'x-amz-checksum-';
/** Which begin like checksums and are none. */
const NOT_VALUES = new Set(['mode', 'algorithm', 'type']);
const DIGESTS: Readonly<Record<string, () => Digest>> = {
  crc32: () => {
    let value = 0;
    return {
      update: (chunk) => (value = crc32(chunk, value)),
      digest: () => Promise.resolve(bigEndian(value)),
    };
  },
  crc32c: () => {
    const crc = new Crc32c();
    return {
      update: (chunk) => void crc.update(chunk),
      digest: () => Promise.resolve(bigEndian(crc.digest())),
    };
  },
  crc64nvme: () => {
    const crc = new Crc64Nvme();
    return {
      update: (chunk) => crc.update(chunk),
      digest: async () => Buffer.from(await crc.digest()).toString('base64'),
    };
  },
  sha1: () => hashed('sha1'),
  sha256: () => hashed('sha256'),
};

/** What headers, or what follows a body, say of one; undefined if they say nothing. */
export function findChecksum(headers: Readonly<Record<string, string | undefined>>): Checksum | undefined {
  for (const [name, value] of Object.entries(headers)) {
    const algorithm = name.slice(PREFIX.length);
    if (!name.startsWith(PREFIX) || value === undefined || NOT_VALUES.has(algorithm)) continue;
    assertKnown(algorithm);
    return { algorithm, value };
  }
  return undefined;
}

/** `x-amz-checksum-crc32` → `crc32`; undefined for another name. */
export function checksumAlgorithm(headerName: string): string | undefined {
  if (!headerName.startsWith(PREFIX)) return undefined;
  const algorithm = headerName.slice(PREFIX.length);
  assertKnown(algorithm);
  return algorithm;
}

export function startDigest(algorithm: string): Digest {
  const start = DIGESTS[algorithm];
  if (start === undefined) throw notImplemented(`The checksum algorithm ${algorithm}`);
  return start();
}

/** As answers have it. */
export function checksumHeader({ algorithm, value }: Checksum): [string, string] {
  return [PREFIX + algorithm, value];
}

/** `ChecksumCRC32`, as XML has it. */
export function checksumElement({ algorithm }: Checksum): string {
  return `Checksum${algorithm.toUpperCase()}`;
}

export function assertSame(expected: Checksum, actual: string): void {
  if (expected.value !== actual) {
    throw new S3Error(
      'BadDigest',
      `The ${expected.algorithm.toUpperCase()} you specified did not match the calculated checksum.`,
    );
  }
}

function assertKnown(algorithm: string): void {
  if (!Object.hasOwn(DIGESTS, algorithm)) throw notImplemented(`The checksum algorithm ${algorithm}`);
}

function hashed(name: string): Digest {
  const hash = createHash(name);
  return { update: (chunk) => void hash.update(chunk), digest: () => Promise.resolve(hash.digest('base64')) };
}

function bigEndian(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes.toString('base64');
}
