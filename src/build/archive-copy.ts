import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, type Pack } from 'tar-stream';
import { formatSize } from './output';
import { DYNO_UID } from './tar-entry';

/** Something in an archive that nobody should unpack. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

/** What one thing may take when it is unpacked, over all archives that it consists of. */
export class UnpackBudget {
  #bytes = 0;
  #entries = 0;
  #read = 0;

  constructor(
    readonly maxBytes: number,
    readonly maxEntries: number,
  ) {}

  /** Of what an archive is when it is no longer compressed: there may be more in it than its entries say. */
  read(bytes: number): void {
    this.#read += bytes;
    if (this.#read > this.maxBytes + this.maxEntries * 1024) throw this.#tooLarge();
  }

  /** For an entry. Throws ArchiveError once it is used up. */
  take(bytes: number): void {
    this.#bytes += bytes;
    this.#entries += 1;
    if (this.#bytes > this.maxBytes) throw this.#tooLarge();
    if (this.#entries > this.maxEntries) throw new ArchiveError(`it has more than ${this.maxEntries} files`);
  }

  #tooLarge(): ArchiveError {
    return new ArchiveError(`unpacked it is larger than ${formatSize(this.maxBytes)}`);
  }
}

/**
 * Copies what is in a tar into `pack` below `folder`, as the build's user's; without `pack` it is only looked at.
 * Devices and the like are left out. Throws ArchiveError for what is no tar, is too large, or names a place outside.
 */
export async function copyArchive(
  tar: Readable,
  pack: Pack | undefined,
  folder: string,
  budget: UnpackBudget,
  signal: AbortSignal,
): Promise<void> {
  const entries = extract();
  const copied = (async () => {
    for await (const entry of entries) {
      const { type, size, mode, linkname } = entry.header;
      budget.take(size);
      const name = insideName(entry.header.name);
      if (pack === undefined || name === '' || !isKept(type)) {
        entry.resume();
        continue;
      }
      const header = {
        name: `${folder}/${name}${type === 'directory' ? '/' : ''}`,
        type,
        mode: type === 'directory' ? 0o755 : mode & 0o777,
        uid: DYNO_UID,
        gid: DYNO_UID,
        ...(linkname ? { linkname: type === 'link' ? `${folder}/${insideName(linkname)}` : linkname } : {}),
      };
      if (type !== 'file') {
        pack.entry(header, '');
        entry.resume();
        continue;
      }
      await pipeline(
        entry as unknown as NodeJS.ReadableStream,
        pack.entry({ ...header, size }) as unknown as NodeJS.WritableStream,
      );
    }
  })();
  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      budget.read(chunk.length);
      yield chunk;
    }
  }
  // Both fail when one does; the first to say why is the one that is thrown.
  copied.catch((error: unknown) => tar.destroy(error as Error));
  try {
    const fed = pipeline(tar, counted, entries as unknown as NodeJS.WritableStream, { signal });
    await Promise.all([copied, fed]);
  } catch (error) {
    signal.throwIfAborted();
    await copied.catch((first: unknown) => {
      if (first instanceof ArchiveError) throw first;
    });
    if (error instanceof ArchiveError || (error as NodeJS.ErrnoException).syscall !== undefined) throw error;
    throw new ArchiveError(`it is no archive: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

type EntryType = 'file' | 'directory' | 'symlink' | 'link';

function isKept(type: string | null | undefined): type is EntryType {
  return type === 'file' || type === 'directory' || type === 'symlink' || type === 'link';
}

/** Relative, without `.`; '' for the folder itself. */
function insideName(name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw new ArchiveError('it names a file outside of itself');
  return parts.join('/');
}
