import { EXIT_STATUS_MARKER } from '../domain/one-off';

const START = Buffer.from(EXIT_STATUS_MARKER.slice(0, 1));
const MARKER = Buffer.from(EXIT_STATUS_MARKER);
const NEWLINE = 0x0a;
/** The marker's line is about 40 bytes; anything longer is somebody's data. */
const MAX_HELD_BYTES = 256;

export interface Piece {
  bytes: Buffer;
  /** To be sent by itself: the client looks for the marker in each chunk alone. */
  apart: boolean;
}

/**
 * Keeps the line in which a command's exit status is reported in one piece (contract, section 3.2, 6): output is held
 * back from U+FFFF on until its line is complete, or has turned out to be something else.
 */
export class ExitStatusMarker {
  #held: Buffer = Buffer.alloc(0);
  #seen = false;

  /** Has a whole marker passed? */
  get seen(): boolean {
    return this.#seen;
  }

  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** What is to be sent now, in order. */
  push(chunk: Buffer): Piece[] {
    const pieces: Piece[] = [];
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = Buffer.alloc(0);
    while (rest.length > 0) {
      const start = rest.indexOf(START);
      if (start === -1) {
        const kept = begunStart(rest);
        send(pieces, rest.subarray(0, rest.length - kept), false);
        this.#held = rest.subarray(rest.length - kept);
        break;
      }
      send(pieces, rest.subarray(0, start), false);
      rest = rest.subarray(start);
      const common = Math.min(rest.length, MARKER.length);
      if (!rest.subarray(0, common).equals(MARKER.subarray(0, common))) {
        send(pieces, rest.subarray(0, START.length), false);
        rest = rest.subarray(START.length);
        continue;
      }
      const end = rest.indexOf(NEWLINE);
      if (end === -1 && rest.length < MAX_HELD_BYTES) {
        this.#held = rest;
        break;
      }
      const line = rest.subarray(0, end === -1 ? rest.length : end + 1);
      this.#seen ||= common === MARKER.length && end !== -1;
      send(pieces, line, true);
      rest = rest.subarray(line.length);
    }
    return pieces;
  }

  /** What is held back, now that nothing more is expected. */
  flush(): Buffer {
    const held = this.#held;
    this.#held = Buffer.alloc(0);
    return held;
  }
}

/** How many bytes at the end may be the first ones of START. */
function begunStart(bytes: Buffer): number {
  for (let size = Math.min(START.length - 1, bytes.length); size > 0; size--) {
    if (bytes.subarray(bytes.length - size).equals(START.subarray(0, size))) return size;
  }
  return 0;
}

function send(pieces: Piece[], bytes: Buffer, apart: boolean): void {
  if (bytes.length > 0) pieces.push({ bytes, apart });
}
