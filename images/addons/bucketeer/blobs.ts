import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { link, mkdir, open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Writable } from 'node:stream';

/** A file with bytes of an object. */
export interface Blob {
  id: string;
  size: number;
}

/**
 * Contents, as files that are written once under a random name and never changed. A file counts only when a row of the
 * index names it; what no row names is left of a crash and goes with the next start. One that is being read stays until
 * it has been.
 */
export class Blobs {
  readonly #folder: string;
  readonly #readers = new Map<string, number>();
  readonly #discarded = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Before the first request. */
  async open(isWanted: (id: string) => boolean): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    for (const id of await readdir(this.#folder)) if (!isWanted(id)) await rm(this.#path(id));
  }

  /** On the disk, name and all, when it returns; nothing is left of it when it throws. */
  async write(bytes: AsyncIterable<Buffer>): Promise<Blob> {
    const id = randomUUID();
    let size = 0;
    try {
      const file = await open(this.#path(id), 'wx');
      try {
        for await (const chunk of bytes) {
          await file.writeFile(chunk);
          size += chunk.length;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#syncFolder();
    } catch (error) {
      await rm(this.#path(id), { force: true });
      throw error;
    }
    return { id, size };
  }

  /** The same bytes under another name, for another object. */
  async copy({ id, size }: Blob): Promise<Blob> {
    const copy = randomUUID();
    await link(this.#path(id), this.#path(copy));
    await this.#syncFolder();
    return { id: copy, size };
  }

  /** Until `release`, they can be read, whatever happens to their object. */
  hold(blobs: readonly Blob[]): void {
    for (const { id } of blobs) this.#readers.set(id, (this.#readers.get(id) ?? 0) + 1);
  }

  async release(blobs: readonly Blob[]): Promise<void> {
    for (const { id } of blobs) {
      const readers = (this.#readers.get(id) ?? 1) - 1;
      if (readers > 0) this.#readers.set(id, readers);
      else {
        this.#readers.delete(id);
        if (this.#discarded.delete(id)) await rm(this.#path(id), { force: true });
      }
    }
  }

  /** No row names them any more. */
  async discard(blobs: readonly Blob[]): Promise<void> {
    for (const { id } of blobs) {
      if (this.#readers.has(id)) this.#discarded.add(id);
      else await rm(this.#path(id), { force: true });
    }
  }

  /** Bytes `from` to `to`, both included, of what they are one after another. */
  async *read(blobs: readonly Blob[], from: number, to: number): AsyncGenerator<Buffer> {
    let start = 0;
    for (const { id, size } of blobs) {
      const [first, last] = [Math.max(from - start, 0), Math.min(to - start, size - 1)];
      if (first <= last) {
        for await (const chunk of createReadStream(this.#path(id), { start: first, end: last })) {
          yield chunk as Buffer;
        }
      }
      start += size;
    }
  }

  async send(blobs: readonly Blob[], range: { from: number; to: number }, target: Writable): Promise<void> {
    await pipeline(this.read(blobs, range.from, range.to), target);
  }

  #path(id: string): string {
    return path.join(this.#folder, id);
  }

  /** A new name is lost with the power unless its folder is written too. */
  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
