import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { formatSize } from '../../../build/output';
import { notFound } from '../../../domain/errors';
import { isUuid } from '../../../domain/ids';
import { download, DownloadError } from '../../../lib/download';
import { openBlob, PARTIAL_SUFFIX, type OpenBlob } from '../../blobs/blob-file';
import { TransferError } from './transfer-error';

export interface BackupFilesOptions {
  /** `<id of the transfer>.dump` */
  directory: string;
  /** With less left on the disk nothing more is written. */
  minFreeBytes: number;
}

const EXTENSION = '.dump';
/** Of what is fetched from elsewhere. */
const MAX_DOWNLOAD_BYTES = 64 * 1024 ** 3;
const DOWNLOAD_IDLE_MS = 60_000;
/** So much is written between two looks at the disk. */
const LOOK_EVERY_BYTES = 32 * 1024 ** 2;
/** With which a dump in the custom format begins (PostgreSQL, pg_backup_archiver.h). */
const MAGIC = 'PGDMP';

/** The files of backups. One appears whole or not at all, and is flushed to the disk by then. */
export class BackupFiles {
  readonly #options: BackupFilesOptions;

  constructor(options: BackupFilesOptions) {
    this.#options = options;
  }

  /** Removes what belongs to none of `known`, and what an earlier run of the daemon left half done. */
  async start(known: ReadonlySet<string>): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    await this.#sweep((id, isPartial) => isPartial || !known.has(id));
  }

  /** Removes what belongs to none of `known`; what is being written belongs to a known one. */
  async sweep(known: () => ReadonlySet<string>): Promise<void> {
    await this.#sweep((id) => !known().has(id));
  }

  /** Throws not_found once it is gone. */
  async open(id: string): Promise<OpenBlob> {
    const blob = await openBlob(this.#path(id));
    if (blob === undefined) throw notFound('backup');
    return blob;
  }

  async remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
    await rm(this.#partial(id), { force: true });
  }

  /** Throws a TransferError where the disk is nearly full. */
  async assertSpace(): Promise<number> {
    const { directory, minFreeBytes } = this.#options;
    const { bavail, bsize } = await statfs(directory);
    const free = bavail * bsize;
    if (free >= minFreeBytes) return free - minFreeBytes;
    throw new TransferError(
      `The disk is nearly full: ${formatSize(free)} left where ${formatSize(minFreeBytes)} are to stay free.`,
    );
  }

  /**
   * Takes what `content` brings, to its end; it becomes the backup's file when `keep` says so afterwards. Answers its
   * size. Nothing is left of one that fails.
   */
  async write(
    id: string,
    content: Readable,
    options: { onBytes: (bytes: number) => void; keep: () => Promise<void>; signal: AbortSignal },
  ): Promise<number> {
    const partial = this.#partial(id);
    let size = 0;
    let unlooked = 0;
    const watched = async function* (
      this: BackupFiles,
      chunks: AsyncIterable<Buffer>,
    ): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        size += chunk.length;
        unlooked += chunk.length;
        if (unlooked >= LOOK_EVERY_BYTES) {
          unlooked = 0;
          await this.assertSpace();
        }
        options.onBytes(chunk.length);
        yield chunk;
      }
    }.bind(this);
    try {
      await this.assertSpace();
      await pipeline(content, watched, createWriteStream(partial, { mode: 0o600, flush: true }), {
        signal: options.signal,
      });
      await options.keep();
      options.signal.throwIfAborted();
      await rename(partial, this.#path(id));
      await flushFolder(this.#options.directory);
      return size;
    } catch (error) {
      await rm(partial, { force: true });
      throw isDiskFull(error)
        ? new TransferError('The disk is full. Nothing was stored.', { cause: error })
        : error;
    }
  }

  /** Of a backup of ours. Throws a TransferError once it is gone. */
  async read(id: string): Promise<OpenBlob> {
    const blob = await openBlob(this.#path(id));
    if (blob === undefined) throw new TransferError('The backup is there no more.');
    return blob;
  }

  /** A dump from elsewhere, which lies in a file of this transfer's until `remove`. */
  async fetch(id: string, url: URL, signal: AbortSignal): Promise<OpenBlob> {
    const file = this.#partial(id);
    const free = await this.assertSpace();
    const maxBytes = Math.min(MAX_DOWNLOAD_BYTES, free);
    try {
      await download(url, { file, maxBytes, idleTimeoutMs: DOWNLOAD_IDLE_MS, signal });
    } catch (error) {
      await rm(file, { force: true });
      if (isDiskFull(error)) throw new TransferError('The disk is full.', { cause: error });
      if (!(error instanceof DownloadError)) throw error;
      throw new TransferError(
        error.reason === 'too_large'
          ? `The dump is too large: at most ${formatSize(maxBytes)} fit.`
          : `The dump can't be fetched from ${error.host}: ${error.message}.`,
        { cause: error },
      );
    }
    const { size } = await stat(file);
    return { size, content: createReadStream(file) };
  }

  async #sweep(isDoomed: (id: string, isPartial: boolean) => boolean): Promise<void> {
    const { directory } = this.#options;
    for (const name of await readdir(directory)) {
      const [id = ''] = name.split('.');
      if (isUuid(id) && isDoomed(id, name.endsWith(PARTIAL_SUFFIX))) {
        await rm(path.join(directory, name), { force: true });
      }
    }
  }

  #path(id: string): string {
    return path.join(this.#options.directory, `${id}${EXTENSION}`);
  }
  #partial(id: string): string {
    return `${this.#path(id)}${PARTIAL_SUFFIX}`;
  }
}

/** Passes a dump on. Throws a TransferError for what is none, before its first byte is given away. */
export async function* assertDump(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  let isChecked = false;
  for await (const chunk of chunks) {
    if (isChecked) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < MAGIC.length) continue;
    if (head.toString('latin1', 0, MAGIC.length) !== MAGIC) break;
    isChecked = true;
    yield head;
  }
  if (!isChecked) {
    throw new TransferError('That is no dump in the custom format of PostgreSQL (pg_dump --format=custom).');
  }
}

/** So that a power cut after this does not lose the name. */
async function flushFolder(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}
