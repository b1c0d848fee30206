import { describeError, type Logger } from '../../lib/logger';
import type { OpenOutput } from '../output-streams/output-files';

/** So much may wait to be written before whoever prints has to wait too. */
const HIGH_WATER_BYTES = 1024 * 1024;

/**
 * What a release command prints, on its way to the file. Lines that come while one write is under way go out together
 * with the next: a command that prints many of them would else wait for the disk at each.
 */
export class ReleaseOutput {
  readonly #output: OpenOutput;
  readonly #logger: Logger;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #failed = false;

  constructor(output: OpenOutput, logger: Logger) {
    this.#output = output;
    this.#logger = logger;
  }

  /** Resolves once there is room for more. */
  async line(text: string): Promise<void> {
    this.#waiting.push(`${text}\n`);
    this.#waitingBytes += text.length + 1;
    this.#writing ??= this.#write();
    if (this.#waitingBytes > HIGH_WATER_BYTES) await this.#writing;
  }

  /** Resolves when all of it is written. */
  async end(): Promise<void> {
    await this.#writing;
    await this.#output.end().catch((error: unknown) => this.#complain(error));
  }

  async #write(): Promise<void> {
    // Not at once: what comes in the same turn is written as one.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const text = this.#waiting.join('');
      this.#waiting = [];
      this.#waitingBytes = 0;
      await this.#output.write(text).catch((error: unknown) => this.#complain(error));
    }
    this.#writing = undefined;
  }

  /** The command goes on: its output is in the app's log as well. */
  #complain(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#logger.warn('output of a release command not kept', { error: describeError(error) });
  }
}
