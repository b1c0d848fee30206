import { Transform, type TransformCallback } from 'node:stream';
import type { Clock } from '../lib/clock';

/** With which the client says that its input has ended (contract, section 3.2, 4). */
const END_OF_TRANSMISSION = 0x04;
const EOT = Buffer.from([END_OF_TRANSMISSION]);
/** The client sends it after everything else and then nothing more; data that happens to have it goes on sooner. */
const SILENCE_MS = 250;

/**
 * A process without a terminal learns of the end of its input by its pipe's end. The same byte in the middle of
 * binary data must pass: so the last one received is held back until more comes (it was data) or, for a while,
 * does not (it was the end).
 */
export class EndOfInput extends Transform {
  readonly #clock: Clock;
  #cancel: (() => void) | undefined;
  #ended = false;

  constructor(clock: Clock) {
    super();
    this.#clock = clock;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    if (this.#ended) {
      // Too late: the process has been told that there is no more.
      done();
      return;
    }
    if (this.#cancel !== undefined) {
      this.#cancel();
      this.#cancel = undefined;
      this.push(EOT);
    }
    if (chunk.at(-1) !== END_OF_TRANSMISSION) {
      done(null, chunk);
      return;
    }
    if (chunk.length > 1) this.push(chunk.subarray(0, -1));
    this.#cancel = this.#clock.after(SILENCE_MS, () => {
      this.#cancel = undefined;
      this.#ended = true;
      this.push(null);
    });
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#cancel?.();
    this.#cancel = undefined;
    done(error);
  }
}
