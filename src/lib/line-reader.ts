import { StringDecoder } from 'node:string_decoder';

/** Cuts a stream of bytes into lines, each at most `maxBytes` long: what is longer is a peer gone mad. */
export class LineReader {
  readonly #maxBytes: number;
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder('utf8');
  #parts: string[] = [];
  #size = 0;

  constructor(maxBytes: number, onLine: (line: string) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  /** Throws once a line is too long; the reader is of no more use then. */
  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      // 0x0a is a byte of no other character in UTF-8.
      const end = chunk.indexOf(0x0a, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      this.#size += piece.length;
      if (this.#size > this.#maxBytes) throw new Error(`a line is longer than ${this.#maxBytes} bytes`);
      this.#parts.push(this.#decoder.write(piece));
      if (end === -1) return;
      const line = this.#parts.join('');
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      if (line.trim() !== '') this.#onLine(line);
    }
  }
}
