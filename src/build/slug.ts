import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { slugTooLarge } from './build-failure';
import { formatSize } from './output';

export interface SlugArchive {
  /** `SHA256:<hex>` of the gzipped archive. */
  checksum: string;
  /** Bytes of it. */
  size: number;
}

export interface SlugTarget {
  /** Where the gzipped archive is to be; it appears there whole or not at all. */
  archivePath: string;
  /** Where the plain tar goes, as an image's layer. */
  layerPath: string;
  maxBytes: number;
}

/** Fast rather than small: the archive stays on this machine. */
const GZIP_LEVEL = 1;

/**
 * Writes a slug's tar as it comes, once compressed (under a temporary name until `keepSlug`) and once plain. Throws
 * BuildFailure if it gets too large.
 */
export async function writeSlug(
  tar: AsyncIterable<Uint8Array>,
  target: SlugTarget,
  signal: AbortSignal,
): Promise<SlugArchive> {
  const partial = partialPath(target.archivePath);
  const hash = createHash('sha256');
  let size = 0;
  const layer = await open(target.layerPath, 'w', 0o600);
  try {
    await pipeline(
      tar,
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          if (size <= target.maxBytes) await layer.writeFile(chunk);
          yield chunk;
        }
      },
      createGzip({ level: GZIP_LEVEL }),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          size += chunk.length;
          // Beyond the limit nothing is written any more, only counted: Heroku says how large it would have been.
          if (size > target.maxBytes) continue;
          hash.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(partial, { mode: 0o600 }),
      { signal },
    );
    if (size > target.maxBytes) throw slugTooLarge(formatSize(size), formatSize(target.maxBytes));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    await layer.close();
  }
  return { checksum: `SHA256:${hash.digest('hex')}`, size };
}

export async function keepSlug(target: SlugTarget): Promise<void> {
  await rename(partialPath(target.archivePath), target.archivePath);
}

export async function discardSlug(target: SlugTarget): Promise<void> {
  await rm(partialPath(target.archivePath), { force: true });
}

export const PARTIAL_SUFFIX = '.partial';

function partialPath(archivePath: string): string {
  return `${archivePath}${PARTIAL_SUFFIX}`;
}
