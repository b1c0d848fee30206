import type { Readable } from 'node:stream';
import { complaint, formatSize, type LineOutput } from './output';

/** Passes on what buildpacks print, up to a limit: it is kept on a disk, and `yes` prints gigabytes in a minute. */
export class OutputPump {
  readonly done: Promise<void>;
  readonly #stderr: Readable;
  readonly #maxBytes: number;
  #writing = false;
  #bytes = 0;

  constructor(stderr: Readable, output: LineOutput, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#stderr = stderr;
    this.done = this.#run(output);
    // Whoever waits for the result first gets the same failure from there.
    this.done.catch(() => undefined);
  }

  async #run(output: LineOutput): Promise<void> {
    for await (const chunk of this.#stderr as AsyncIterable<Uint8Array>) {
      this.#writing = true;
      try {
        await this.#pass(chunk, output);
      } finally {
        this.#writing = false;
      }
    }
  }

  async #pass(chunk: Uint8Array, output: LineOutput): Promise<void> {
    const left = this.#maxBytes - this.#bytes;
    this.#bytes += chunk.length;
    if (left <= 0) return;
    await output.raw(chunk.subarray(0, left));
    if (chunk.length <= left) return;
    await output.lines(
      complaint(`The output is longer than ${formatSize(this.#maxBytes)}: the rest is left out.`),
    );
  }

  /**
   * Resolves once all that was printed before the result has been passed on: both streams come in order through one
   * connection, so it is in the buffer by the time the result is read.
   */
  async caughtUp(signal: AbortSignal): Promise<void> {
    do {
      signal.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#writing || this.#stderr.readableLength > 0);
  }
}
