import type { Duplex } from 'node:stream';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

/**
 * The framing that Docker puts around the output of a container without a TTY (Docker API, "Attach to a
 * container", stream format): 8 bytes of header (stream number, three zero bytes, big-endian payload length), then
 * the payload.
 */
export interface Frame {
  stream: 'stdout' | 'stderr';
  payload: Buffer;
}

const HEADER_BYTES = 8;
// Docker cuts its frames at 32 KiB and less. A length beyond this means that the bytes are no frames at all (a
// container with a TTY), which must not end in waiting for gigabytes that never come.
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;

/** Turns chunks, however they are cut, into whole frames. Holds at most one incomplete frame. */
export class FrameDecoder {
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes needed before anything can be decoded: a header, or a header with its payload. */
  #neededBytes = HEADER_BYTES;

  /** Throws on a header that no engine writes; the decoder is of no use afterwards. */
  push(chunk: Buffer): Frame[] {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    // Joining only when something can come of it keeps a frame that arrives in many chunks linear.
    if (this.#pendingBytes < this.#neededBytes) return [];
    const bytes = this.#pending.length === 1 ? chunk : Buffer.concat(this.#pending);
    const frames: Frame[] = [];
    let offset = 0;
    for (;;) {
      if (bytes.length - offset < HEADER_BYTES) {
        this.#neededBytes = HEADER_BYTES;
        break;
      }
      const stream = streamOf(bytes.readUInt32BE(offset));
      const length = bytes.readUInt32BE(offset + 4);
      if (length > MAX_PAYLOAD_BYTES) throw new Error(`frame of ${length} bytes in a container's output`);
      const end = offset + HEADER_BYTES + length;
      if (end > bytes.length) {
        this.#neededBytes = HEADER_BYTES + length;
        break;
      }
      frames.push({ stream, payload: bytes.subarray(offset + HEADER_BYTES, end) });
      offset = end;
    }
    this.#pending = offset === bytes.length ? [] : [bytes.subarray(offset)];
    this.#pendingBytes = bytes.length - offset;
    return frames;
  }

  /** Bytes of a frame whose rest has not come yet; 0 at the proper end of a stream. */
  get incompleteBytes(): number {
    return this.#pendingBytes;
  }
}

/** `word` is the header's first half: the stream number and three zero bytes. Input's echo (0) counts as output. */
function streamOf(word: number): Frame['stream'] {
  if (word === 0x0000_0000 || word === 0x0100_0000) return 'stdout';
  if (word === 0x0200_0000) return 'stderr';
  throw new Error('a container’s output is not framed as expected');
}

/** The frames of a byte stream; reads no faster than it is iterated. */
export async function* framesOf(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const decoder = new FrameDecoder();
  for await (const chunk of source) yield* decoder.push(chunk);
}

/**
 * Splits a connection's framed bytes into two streams. A full output stops the reading until it has been drained,
 * which holds up the other one as well: it is one connection. A failure, or an end before the engine has said so,
 * destroys both outputs with that error.
 */
export function demultiplex(source: Duplex | Readable): { stdout: Readable; stderr: Readable } {
  const outputs = { stdout: new PassThrough(), stderr: new PassThrough() };
  // Whoever reads one output only must not be brought down by the same error on the other, hence the listeners;
  // errors still reach everyone who listens or iterates.
  outputs.stdout.on('error', () => undefined);
  outputs.stderr.on('error', () => undefined);
  const pump = async (): Promise<void> => {
    for await (const frame of framesOf(source)) {
      const output = outputs[frame.stream];
      // An output that was given up is skipped, the other one goes on.
      if (output.destroyed || output.write(frame.payload)) continue;
      await drained(output);
    }
    outputs.stdout.end();
    outputs.stderr.end();
  };
  pump().catch((error: unknown) => {
    const reason = error instanceof Error ? error : new Error('the stream failed', { cause: error });
    source.destroy();
    outputs.stdout.destroy(reason);
    outputs.stderr.destroy(reason);
  });
  return outputs;
}

/** The same shape for a container with a TTY: one raw stream, and nothing on standard error. */
export function undivided(source: Duplex | Readable): { stdout: Readable; stderr: Readable } {
  const stdout = new PassThrough();
  stdout.on('error', () => undefined);
  source.pipe(stdout);
  finished(source, { writable: false }).catch((error: unknown) => {
    stdout.destroy(error instanceof Error ? error : new Error('the stream failed', { cause: error }));
  });
  return { stdout, stderr: Readable.from([], { objectMode: false }) };
}

function drained(output: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      output.off('drain', done);
      output.off('close', done);
      resolve();
    };
    output.on('drain', done);
    output.on('close', done);
  });
}
