import { appendFile, mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { BuildOutput } from '../../build/output';
import type { AppId, BuildId, ReleaseId } from '../../domain/ids';

type OutputId = BuildId | ReleaseId;

/** As much of one output is kept. */
const MAX_BYTES = 300 * 1024 * 1024;
const READ_BYTES = 64 * 1024;
const TRUNCATED = '\n !     The output is longer than what is kept of it; the rest is left out.\n';

/**
 * What builds or release commands print, in one file each. A file is also the buffer between them and those who watch:
 * each reader goes at its own pace, and none of them holds up the work.
 */
export class OutputFiles {
  readonly #directory: string;
  readonly #maxBytes: number;
  readonly #open = new Map<OutputId, OpenOutput>();

  constructor(directory: string, maxBytes = MAX_BYTES) {
    this.#directory = directory;
    this.#maxBytes = maxBytes;
  }

  /** From now on the output can be read; it ends with `end()`. */
  create(appId: AppId, id: OutputId): OpenOutput {
    const output = new OpenOutput(this.#path(appId, id), this.#maxBytes, () => {
      this.#open.delete(id);
    });
    this.#open.set(id, output);
    return output;
  }

  /** One more piece of an output that is not open any more. */
  async append(appId: AppId, id: OutputId, text: string): Promise<void> {
    const file = this.#path(appId, id);
    await mkdir(path.dirname(file), { recursive: true });
    await appendFile(file, text, { mode: 0o600 });
  }

  /** All of it from the start and, while the work goes on, what comes until its end. */
  async *read(appId: AppId, id: OutputId): AsyncGenerator<Buffer> {
    const growing = this.#open.get(id);
    await growing?.created;
    let file: FileHandle;
    try {
      file = await open(this.#path(appId, id), 'r');
    } catch (error) {
      // What never ran, e.g. because the daemon was stopped before, has printed nothing.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    try {
      for (;;) {
        // Noted before reading: what is written in between then leads to one more read, not to a lost wake-up.
        const seen = growing?.size ?? 0;
        const mayGrow = growing?.isOpen ?? false;
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, null);
        if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
        else if (mayGrow) await growing?.beyond(seen);
        else return;
      }
    } finally {
      await file.close();
    }
  }

  async removeApp(appId: AppId): Promise<void> {
    await rm(path.join(this.#directory, appId), { recursive: true, force: true });
  }

  #path(appId: AppId, id: OutputId): string {
    return path.join(this.#directory, appId, `${id}.txt`);
  }
}

/** A file that is being written. Writes are kept in order, whoever waits for them. */
export class OpenOutput implements BuildOutput {
  /** Settles when the file is there, or cannot be made. */
  readonly created: Promise<void>;
  readonly #maxBytes: number;
  readonly #onEnd: () => void;
  #file: FileHandle | undefined;
  #last: Promise<void>;
  /** What was to be written; beyond the maximum not all of it was. */
  #size = 0;
  #written = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(filePath: string, maxBytes: number, onEnd: () => void) {
    this.#maxBytes = maxBytes;
    this.#onEnd = onEnd;
    this.#last = this.#create(filePath);
    this.created = this.#last.catch(() => undefined);
  }

  write(chunk: string | Uint8Array): Promise<void> {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    const written = this.#last.then(() => this.#append(bytes));
    this.#last = written;
    // The caller sees the failure; for the chain alone it is not an unhandled one.
    written.catch(() => undefined);
    return written;
  }

  /** Nothing comes any more. Rejects if something could not be written. */
  async end(): Promise<void> {
    try {
      await this.#last;
    } finally {
      this.#ended = true;
      this.#onEnd();
      this.#wake();
      await this.#file?.close();
    }
  }

  get isOpen(): boolean {
    return !this.#ended;
  }

  /** Bytes written. */
  get size(): number {
    return this.#written;
  }

  /** Resolves once there is more than that, or the end. */
  beyond(size: number): Promise<void> {
    if (this.#ended || this.#written > size) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #create(filePath: string): Promise<void> {
    await mkdir(path.dirname(filePath), { recursive: true });
    this.#file = await open(filePath, 'w', 0o600);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#size > this.#maxBytes) return;
    this.#size += bytes.length;
    const kept = this.#size > this.#maxBytes ? Buffer.from(TRUNCATED) : bytes;
    await this.#file?.appendFile(kept);
    this.#written += kept.length;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
