import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { slugTooLarge } from './build-failure';
import { formatSize } from './output';
import { parallelGzip, toBlocks } from './parallel-gzip';

export interface SlugArchive {
  /** `SHA256:<hex>` of the gzipped archive. */
  checksum: string;
  /** Bytes of it. */
  size: number;
  /** Of the plain tar: what the image's layer is known by. */
  layer: { diffId: string; sizeBytes: number };
}

export interface SlugTarget {
  /** Where the gzipped archive is to be; it appears there whole or not at all. */
  archivePath: string;
  /** Where the plain tar goes, as an image's layer. */
  layerPath: string;
  maxBytes: number;
}

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
  const layerHash = createHash('sha256');
  let size = 0;
  let layerBytes = 0;
  const layer = await open(target.layerPath, 'w', 0o600);
  try {
    await pipeline(
      toBlocks(tar),
      async function* (blocks: AsyncIterable<Uint8Array>) {
        for await (const block of blocks) {
          if (size <= target.maxBytes) await layer.writeFile(block);
          layerHash.update(block);
          layerBytes += block.length;
          yield block;
        }
      },
      async function* (blocks: AsyncIterable<Uint8Array>) {
        yield* parallelGzip(blocks);
      },
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
  return {
    checksum: `SHA256:${hash.digest('hex')}`,
    size,
    layer: { diffId: `sha256:${layerHash.digest('hex')}`, sizeBytes: layerBytes },
  };
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
