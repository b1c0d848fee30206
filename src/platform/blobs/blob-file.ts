import { randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { formatSize } from '../../build/output';
import { PlatformError } from '../../domain/errors';

/** Marks what is not whole yet. */
export const PARTIAL_SUFFIX = '.partial';

/** A file that is served, open. */
export interface OpenBlob {
  size: number;
  /** To be read to its end or destroyed, which closes the file. */
  content: Readable;
}

export interface BlobLimits {
  maxBytes: number;
  /** With less left on the disk afterwards nothing is taken. */
  minFreeBytes: number;
}

/** What a client sends. */
export interface Upload {
  content: Readable;
  /** As announced; undefined for one of unknown length. */
  length: number | undefined;
}

/**
 * Writes what a client uploads to `file`, where it appears whole or not at all; one that was there is replaced. Answers
 * its size. Throws PlatformError for what is too large or does not fit on the disk; an upload that the client breaks
 * off leaves nothing and rejects.
 */
export async function receiveBlob(file: string, upload: Upload, limits: BlobLimits): Promise<number> {
  const tooLarge = (size: string): PlatformError =>
    new PlatformError(
      'payload_too_large',
      `The upload is too large: ${size} where at most ${formatSize(limits.maxBytes)} are taken.`,
    );
  if (upload.length !== undefined && upload.length > limits.maxBytes)
    throw tooLarge(formatSize(upload.length));
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const { bavail, bsize } = await statfs(path.dirname(file));
  if (bavail * bsize - (upload.length ?? 0) < limits.minFreeBytes) {
    throw diskFull(`The disk is nearly full: ${formatSize(bavail * bsize)} left.`);
  }
  const partial = `${file}.${randomUUID()}${PARTIAL_SUFFIX}`;
  let size = 0;
  try {
    await pipeline(
      upload.content,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          size += chunk.length;
          if (size > limits.maxBytes) throw tooLarge(`more than ${formatSize(limits.maxBytes)}`);
          yield chunk;
        }
      },
      createWriteStream(partial, { mode: 0o600, flush: true }),
    );
    await rename(partial, file);
    return size;
  } catch (error) {
    await rm(partial, { force: true });
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    throw diskFull('The disk is full.', error);
  }
}

/** undefined where there is no such file. */
export async function openBlob(file: string): Promise<OpenBlob | undefined> {
  try {
    const handle = await open(file, 'r');
    const { size } = await handle.stat();
    return { size, content: handle.createReadStream() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function diskFull(message: string, cause?: unknown): PlatformError {
  return new PlatformError('service_unavailable', `${message} Nothing was stored.`, undefined, { cause });
}
