import { createHash } from 'node:crypto';
import { S3Error } from './errors.ts';
import { EMPTY_HASH, hmac, isSame, sha256, type Signed } from './signature.ts';

/**
 * Bodies with `Content-Encoding: aws-chunked` (Amazon S3 API Reference, "Signature calculations … transferring payload
 * in multiple chunks"): `<hex size>[;chunk-signature=<hex>]\r\n<data>\r\n`, the last one of size 0 and followed by
 * trailers, which a signature may follow. Each signature is over the one before it.
 */
export interface ChunkedOptions {
  source: AsyncIterable<Buffer>;
  /** undefined: chunks are not signed. */
  signed: Signed | undefined;
  hasTrailer: boolean;
  onTrailer: (name: string, value: string) => void;
}

/** A chunk's first line, or a trailer. */
const MAX_LINE = 4096;
const MAX_TRAILERS = 8;
const MAX_CHUNK = 5 * 1024 ** 3;

/** The data alone. Throws where the framing or a signature is wrong, or the body ends early. */
export async function* decodeChunked(options: ChunkedOptions): AsyncGenerator<Buffer> {
  const reader = new LineReader(options.source);
  let previous = options.signed?.signature ?? '';
  for (;;) {
    const { size, signature } = readHead(await reader.line());
    const hash = createHash('sha256');
    for await (const piece of reader.bytes(size)) {
      if (options.signed !== undefined) hash.update(piece);
      yield piece;
    }
    if (options.signed !== undefined) {
      const text = signedText('PAYLOAD', options.signed, previous, `${EMPTY_HASH}\n${hash.digest('hex')}`);
      previous = assertSignature(options.signed, text, signature);
    }
    if (size === 0) break;
    if ((await reader.line()) !== '') throw malformed();
  }
  if (options.hasTrailer) await readTrailers(reader, options, previous);
  else if ((await reader.line()) !== '') throw malformed();
  await reader.end();
}

async function readTrailers(reader: LineReader, options: ChunkedOptions, previous: string): Promise<void> {
  const trailers: [string, string][] = [];
  let signature: string | undefined;
  for (;;) {
    const line = await reader.line();
    if (line === '') break;
    const at = line.indexOf(':');
    if (at === -1 || trailers.length >= MAX_TRAILERS) throw malformed();
    const name = line.slice(0, at).trim().toLowerCase();
    const value = line.slice(at + 1).trim();
    if (name === 'x-amz-trailer-signature') signature = value;
    else trailers.push([name, value]);
  }
  if (options.signed !== undefined) {
    const hash = sha256(trailers.map(([name, value]) => `${name}:${value}\n`).join(''));
    assertSignature(options.signed, signedText('TRAILER', options.signed, previous, hash), signature);
  }
  for (const [name, value] of trailers) options.onTrailer(name, value);
}

function signedText(kind: 'PAYLOAD' | 'TRAILER', signed: Signed, previous: string, rest: string): string {
  return [`AWS4-HMAC-SHA256-${kind}`, signed.time, signed.scope, previous, rest].join('\n');
}

function assertSignature(signed: Signed, text: string, signature: string | undefined): string {
  const expected = hmac(signed.key, text).toString('hex');
  if (!isSame(expected, signature ?? '')) throw new S3Error('SignatureDoesNotMatch');
  return expected;
}

function readHead(line: string): { size: number; signature: string | undefined } {
  const match = /^([0-9a-f]{1,10})(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line);
  if (match === null) throw malformed();
  const size = parseInt(match[1] ?? '', 16);
  if (size > MAX_CHUNK) throw malformed();
  return { size, signature: match[2] };
}

function malformed(): S3Error {
  return new S3Error('InvalidRequest', 'The body is not well-formed aws-chunked encoding.');
}

/** Lines and counted bytes out of a stream, with at most one of its pieces in memory. */
class LineReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Without its `\r\n`. */
  async line(): Promise<string> {
    for (;;) {
      const at = this.#rest.indexOf('\r\n');
      if (at > MAX_LINE || (at === -1 && this.#rest.length > MAX_LINE + 2)) throw malformed();
      if (at !== -1) {
        const line = this.#rest.subarray(0, at).toString('latin1');
        this.#rest = this.#rest.subarray(at + 2);
        return line;
      }
      if (!(await this.#more())) throw new S3Error('IncompleteBody');
    }
  }

  async *bytes(count: number): AsyncGenerator<Buffer> {
    let left = count;
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#more())) throw new S3Error('IncompleteBody');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  }

  async end(): Promise<void> {
    if (this.#rest.length > 0 || (await this.#more())) throw malformed();
  }

  async #more(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done === true) return false;
    this.#rest = this.#rest.length === 0 ? next.value : Buffer.concat([this.#rest, next.value]);
    return true;
  }
}
