import type { Socket } from 'node:net';
import type { ClientEvents, ClientExchange, ClientHead, ClientTls } from './client';
import { isBodiless } from './message-parser';
import { statusLine } from './status-line';
import type { TunnelSide } from './upgrade';

/** Pieces of an answer up to this many bytes together are copied into one buffer, which is cheaper than several writes. */
const MAX_JOINED_BYTES = 32 * 1024;

export interface Http1Request extends ClientHead {
  hasBody: boolean;
  upgradable: boolean;
  /** The client means to go on using the connection. */
  keepAlive: boolean;
}

/** What an exchange needs of its connection. */
export interface Http1Channel {
  readonly socket: Socket;
  readonly tls: ClientTls | null;
  readonly remoteAddress: string | undefined;
  readonly localPort: number;
  readonly context: {
    readonly draining: boolean;
    /** Header lines of an answer after which the connection stays. */
    readonly keepAlive: string;
    /** Now, as a Date header says it. */
    readonly date: () => string;
  };
  /** Reads what was held back, if it is wanted now. */
  readOn(): void;
  /** The answer is sent. With `keepAlive` the request is read, too. */
  over(keepAlive: boolean): void;
  /** For a tunnel: the socket as it is, and what was read of it for the other side. */
  handOver(): TunnelSide;
  destroy(): void;
}

type AnswerBody = 'none' | 'counted' | 'chunked' | 'until the end';

/** One request on an HTTP/1 connection and its answer (RFC 9112). */
export class Http1Exchange implements ClientExchange {
  readonly head: ClientHead;
  readonly hasBody: boolean;
  readonly upgradable: boolean;
  complete: boolean;
  answering = false;
  readonly #connection: Http1Channel;
  #events: ClientEvents | null = null;
  #keepAlive: boolean;
  #flowing = false;
  #body: AnswerBody = 'none';
  /** Written, and not yet given to the socket. */
  #pieces: (string | Buffer)[] = [];
  #pieceBytes = 0;
  #written = 0;
  #socketBytesAtHandOver: number | null = null;
  #state: 'open' | 'ended' | 'finished' = 'open';
  /** No end of the request will be found. */
  #broken = false;

  constructor(connection: Http1Channel, request: Http1Request) {
    this.#connection = connection;
    this.head = request;
    this.hasBody = request.hasBody;
    this.upgradable = request.upgradable;
    this.complete = !request.hasBody;
    this.#keepAlive = request.keepAlive;
  }

  get remoteAddress(): string | undefined {
    return this.#connection.remoteAddress;
  }

  get localPort(): number {
    return this.#connection.localPort;
  }

  get tls(): ClientTls | null {
    return this.#connection.tls;
  }

  get needsDrain(): boolean {
    return this.#connection.socket.writableNeedDrain;
  }

  get bytesWritten(): number {
    const before = this.#socketBytesAtHandOver;
    return before === null ? this.#written : this.#written + this.#connection.socket.bytesWritten - before;
  }

  // What the connection asks and tells.

  /** Whether more of the request may be read. */
  get wantsInput(): boolean {
    return !this.complete && !this.#broken && this.#flowing;
  }

  bodyCame(chunk: Buffer): void {
    this.#events?.onBody(chunk);
  }

  bodyEnded(rawTrailers: readonly string[]): void {
    if (this.complete) return;
    this.complete = true;
    this.#events?.onBodyEnd(rawTrailers);
  }

  bodyBroken(): void {
    this.#broken = true;
    this.#keepAlive = false;
    this.#events?.onBodyBroken();
  }

  drained(): void {
    if (this.#state === 'open') this.#events?.onDrain();
  }

  /** The client has ended its side before its request was whole. */
  aborted(): void {
    this.#connection.destroy();
  }

  /** The connection is closed. */
  gone(): void {
    if (this.#state === 'finished') return;
    this.#state = 'finished';
    this.#events?.onAbort();
  }

  // What the exchange asks for.

  start(events: ClientEvents): void {
    this.#events = events;
  }

  resume(): void {
    this.#flowing = true;
    this.#connection.readOn();
  }

  pause(): void {
    this.#flowing = false;
  }

  writeInterim(status: number, statusMessage: string, rawHeaders: readonly string[]): void {
    if (this.head.httpVersion === '1.0' || this.answering || this.#state !== 'open') return;
    this.#add(`${statusLine(status, statusMessage)}${lines(rawHeaders)}\r\n`);
    this.flush();
  }

  closeAfterwards(): void {
    this.#keepAlive = false;
  }

  writeHead(status: number, statusMessage: string, rawHeaders: readonly string[]): void {
    this.answering = true;
    let text = statusLine(status, statusMessage);
    let counted = false;
    let dated = false;
    for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (name.length === 14 && name.toLowerCase() === 'content-length') counted = true;
      else if (name.length === 4 && name.toLowerCase() === 'date') dated = true;
      text += `${name}: ${rawHeaders[i + 1] as string}\r\n`;
    }
    const { context } = this.#connection;
    // RFC 9110 §6.6.1.
    if (!dated) text += `Date: ${context.date()}\r\n`;
    if (this.head.method === 'HEAD' || isBodiless(status)) this.#body = 'none';
    else if (counted) this.#body = 'counted';
    else if (this.head.httpVersion === '1.1') this.#body = 'chunked';
    else {
      this.#body = 'until the end';
      this.#keepAlive = false;
    }
    // With part of the request still to come, where it ends would have to be found out (RFC 9112 §9.3).
    if (context.draining || !this.complete) this.#keepAlive = false;
    if (this.#body === 'chunked') text += 'Transfer-Encoding: chunked\r\n';
    this.#add(`${text}${this.#keepAlive ? context.keepAlive : 'Connection: close\r\n'}\r\n`);
  }

  flush(): void {
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    const { socket } = this.#connection;
    const [first] = pieces;
    if (pieces.length === 1) socket.write(first as string | Buffer, 'latin1');
    else if (this.#pieceBytes <= MAX_JOINED_BYTES) socket.write(joined(pieces, this.#pieceBytes));
    else {
      socket.cork();
      for (const piece of pieces) socket.write(piece, 'latin1');
      socket.uncork();
    }
    this.#pieces = [];
    this.#pieceBytes = 0;
  }

  write(chunk: Buffer): boolean {
    // A chunk of no length would be the end of all.
    if (this.#body === 'none' || chunk.length === 0) return true;
    if (this.#body === 'chunked') {
      this.#add(`${chunk.length.toString(16)}\r\n`);
      this.#add(chunk);
      this.#add('\r\n');
    } else this.#add(chunk);
    if (this.#pieceBytes > MAX_JOINED_BYTES) this.flush();
    return !this.needsDrain;
  }

  end(rawTrailers: readonly string[] = []): void {
    if (this.#state !== 'open') return;
    if (this.#body === 'chunked') this.#add(`0\r\n${lines(rawTrailers)}\r\n`);
    this.flush();
    this.#state = 'ended';
    const { socket } = this.#connection;
    // With an error, or destroyed already, 'close' says it.
    if (socket.destroyed) return;
    if (socket.writableLength === 0) this.#finish();
    else {
      socket.write('', (error) => {
        if (!error) this.#finish();
      });
    }
  }

  takeOver(statusMessage: string, rawHeaders: readonly string[]): TunnelSide {
    this.#add(`${statusLine(101, statusMessage)}${lines(rawHeaders)}\r\n`);
    this.flush();
    this.answering = true;
    this.#state = 'finished';
    const side = this.#connection.handOver();
    this.#socketBytesAtHandOver = side.socket.bytesWritten;
    return side;
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #add(piece: string | Buffer): void {
    this.#pieces.push(piece);
    this.#pieceBytes += piece.length;
    this.#written += piece.length;
  }

  #finish(): void {
    if (this.#state !== 'ended') return;
    this.#state = 'finished';
    this.#events?.onFinish();
    this.#connection.over(this.#keepAlive);
  }
}

function lines(rawHeaders: readonly string[]): string {
  let text = '';
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    text += `${rawHeaders[i] as string}: ${rawHeaders[i + 1] as string}\r\n`;
  }
  return text;
}

/** Latin-1 has a byte for each character. */
function joined(pieces: readonly (string | Buffer)[], bytes: number): Buffer {
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const piece of pieces) {
    at += typeof piece === 'string' ? whole.write(piece, at, 'latin1') : piece.copy(whole, at);
  }
  return whole;
}
