import type { Readable } from 'node:stream';
import type { LineOutput } from './output';

/** Passes on what buildpacks print. */
export class OutputPump {
  readonly done: Promise<void>;
  readonly #stderr: Readable;
  #writing = false;

  constructor(stderr: Readable, output: LineOutput) {
    this.#stderr = stderr;
    this.done = this.#run(output);
    // Whoever waits for the result first gets the same failure from there.
    this.done.catch(() => undefined);
  }

  async #run(output: LineOutput): Promise<void> {
    for await (const chunk of this.#stderr as AsyncIterable<Uint8Array>) {
      this.#writing = true;
      try {
        await output.raw(chunk);
      } finally {
        this.#writing = false;
      }
    }
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
