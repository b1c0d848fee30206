import type { DynoConnection, DynoConnectionUser } from './dyno-connection';
import { httpRestriction, routerError, type RouterError } from './errors';
import type { MessageHandler, MessageParser } from './message-parser';
import type { TunnelSide } from './upgrade';

/** Response limits of Dev Center "HTTP Routing". */
const MAX_RESPONSE_HEADER_LINE = 512 * 1024;
const MAX_SET_COOKIE = 8192;
const MAX_STATUS_LINE = 8192;

/** What becomes of a request at the dyno. After its end, an upgrade or an error nothing more is called. */
export interface DynoEvents {
  /** The request's body may go on: the dyno has taken what it was given. */
  onDynoDrain(): void;
  /** The whole request is with the dyno: from here on it is its turn. */
  onSent(): void;
  onInterim(status: number, statusMessage: string, rawHeaders: readonly string[]): void;
  onAnswer(status: number, statusMessage: string, rawHeaders: readonly string[]): void;
  onAnswerBody(chunk: Buffer): void;
  /** All that has come was handed out. */
  onAnswerPause(): void;
  onAnswerEnd(rawTrailers: readonly string[]): void;
  onUpgrade(statusMessage: string, rawHeaders: readonly string[], side: TunnelSide): void;
  /** `answered`: some bytes of a response had come. */
  onDynoError(error: RouterError, answered: boolean): void;
}

export interface DynoRequestHead {
  text: string;
  method: string;
  body: 'none' | 'counted' | 'chunked';
  /** It asks for another protocol. */
  upgrade: boolean;
}

/**
 * One request to a dyno over a connection that is already made: connecting comes before the first byte of the client's
 * body is read, so another dyno can be tried without having lost any of it.
 */
export class DynoRequest implements DynoConnectionUser, MessageHandler {
  readonly #connection: DynoConnection;
  readonly #head: DynoRequestHead;
  readonly #events: DynoEvents;
  readonly #release: (connection: DynoConnection) => void;
  readonly #parser: MessageParser;
  #sent = false;
  /** Any byte of an answer has come. */
  #answered = false;
  /** The head of the final answer was handed out. */
  #relaying = false;
  #trailers: readonly string[] | null = null;
  /** The head that was just read breaks a rule of ours. */
  #refused: RouterError | null = null;
  #over = false;

  constructor(
    connection: DynoConnection,
    head: DynoRequestHead,
    events: DynoEvents,
    release: (connection: DynoConnection) => void,
  ) {
    this.#connection = connection;
    this.#head = head;
    this.#events = events;
    this.#release = release;
    this.#parser = connection.parser;
  }

  /** Sends the head. With no body the request is thereby sent. */
  start(): void {
    const { socket } = this.#connection;
    if (socket.destroyed) {
      // Lost since it was connected.
      this.#lost();
      return;
    }
    this.#connection.user = this;
    this.#parser.next();
    this.#parser.withoutBody = this.#head.method === 'HEAD';
    socket.write(this.#head.text, 'latin1');
    if (this.#head.body === 'none') this.#bodySent();
  }

  /** false: wait for `onDrain`. */
  write(chunk: Buffer): boolean {
    const { socket } = this.#connection;
    if (this.#over || chunk.length === 0) return true;
    if (this.#head.body === 'counted') return socket.write(chunk);
    socket.cork();
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1');
    socket.write(chunk);
    const more = socket.write('\r\n', 'latin1');
    socket.uncork();
    return more;
  }

  end(rawTrailers: readonly string[]): void {
    if (this.#over) return;
    if (this.#head.body === 'chunked') {
      let text = '0\r\n';
      for (let i = 0; i + 1 < rawTrailers.length; i += 2) {
        text += `${rawTrailers[i] as string}: ${rawTrailers[i + 1] as string}\r\n`;
      }
      this.#connection.socket.write(`${text}\r\n`, 'latin1');
    }
    this.#bodySent();
  }

  /** Bytes that the dyno has not taken yet. */
  get unsent(): number {
    return this.#connection.socket.writableLength;
  }

  pause(): void {
    this.#connection.socket.pause();
  }

  resume(): void {
    this.#connection.socket.resume();
  }

  /** Nothing more is called; the dyno sees its connection closed. */
  destroy(): void {
    this.#over = true;
    this.#connection.user = null;
    this.#connection.socket.destroy();
  }

  onData(chunk: Buffer): void {
    this.#answered = true;
    let at = 0;
    while (at < chunk.length && !this.#over) {
      at = this.#parser.feed(chunk, at, this);
      if (at === -1) {
        this.#fail(this.#faultOf());
        return;
      }
      if (this.#refused !== null) {
        this.#fail(this.#refused);
        return;
      }
      if (this.#trailers === null) continue;
      const { status, upgrade, statusMessage, rawHeaders } = this.#parser;
      if (status === 101) {
        this.#switch(statusMessage, rawHeaders, upgrade, chunk.subarray(at));
        return;
      }
      if (status >= 200) {
        this.#complete(this.#trailers, at === chunk.length);
        return;
      }
      // An interim answer; the real one is still to come (RFC 9110 §15.2).
      this.#trailers = null;
      this.#parser.next();
    }
    if (!this.#over) this.#events.onAnswerPause();
  }

  onEnd(): void {
    if (this.#parser.finish(this) && this.#trailers !== null) {
      this.#complete(this.#trailers, false);
    } else this.#lost();
  }

  onDrain(): void {
    if (!this.#sent) this.#events.onDynoDrain();
  }

  onClose(): void {
    this.#lost();
  }

  onHead(): void {
    const { status, statusMessage, rawHeaders } = this.#parser;
    this.#refused = brokenLimit(statusMessage, rawHeaders);
    if (this.#refused !== null || status === 101) return;
    if (status < 200) this.#events.onInterim(status, statusMessage, rawHeaders);
    else {
      this.#relaying = true;
      this.#events.onAnswer(status, statusMessage, rawHeaders);
    }
  }

  onBody(chunk: Buffer): void {
    if (!this.#over) this.#events.onAnswerBody(chunk);
  }

  onComplete(rawTrailers: readonly string[]): void {
    this.#trailers = rawTrailers;
  }

  #bodySent(): void {
    const { socket } = this.#connection;
    const sent = (): void => {
      if (this.#over) return;
      this.#sent = true;
      this.#events.onSent();
    };
    if (socket.writableLength === 0) sent();
    else {
      socket.write('', (error) => {
        // With an error 'close' says it.
        if (!error) sent();
      });
    }
  }

  #complete(rawTrailers: readonly string[], clean: boolean): void {
    this.#over = true;
    // Before the end is told: the next request may want the connection at once.
    if (clean && this.#sent && this.#parser.keepAlive) this.#release(this.#connection);
    else {
      this.#connection.user = null;
      this.#connection.socket.destroy();
    }
    this.#events.onAnswerEnd(rawTrailers);
  }

  #switch(statusMessage: string, rawHeaders: readonly string[], upgrade: boolean, early: Buffer): void {
    // One that nobody asked for, or that does not say to what.
    if (!this.#head.upgrade || !upgrade) {
      this.#fail(routerError('H17'));
      return;
    }
    this.#over = true;
    const socket = this.#connection.handOver();
    this.#events.onUpgrade(statusMessage, rawHeaders, { socket, early });
  }

  #lost(): void {
    if (!this.#over) this.#fail(routerError(this.#answered ? 'H18' : 'H13'));
  }

  #fail(error: RouterError): void {
    if (this.#over) return;
    this.destroy();
    this.#events.onDynoError(error, this.#answered);
  }

  #faultOf(): RouterError {
    const { fault, statusMessage } = this.#parser;
    switch (fault) {
      case 'length':
        return httpRestriction('invalid content length');
      case 'size':
        return httpRestriction(
          statusMessage.length > MAX_STATUS_LINE ? 'oversized status line' : 'oversized header',
        );
      case 'malformed':
      case null:
        // In the middle of a body it is an answer that breaks off.
        return routerError(this.#relaying ? 'H18' : 'H17');
    }
  }
}

function brokenLimit(statusMessage: string, rawHeaders: readonly string[]): RouterError | null {
  // "HTTP Routing": the status line must have a reason phrase.
  if (statusMessage === '') return routerError('H17');
  if ('HTTP/1.1 200 '.length + statusMessage.length > MAX_STATUS_LINE) {
    return httpRestriction('oversized status line');
  }
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const { length } = rawHeaders[i + 1] as string;
    // Hardly any value is that long: nothing else need be looked at.
    if (length <= MAX_SET_COOKIE && name.length <= MAX_SET_COOKIE) continue;
    if (name.toLowerCase() === 'set-cookie') return httpRestriction('oversized cookie');
    if (name.length + 2 + length > MAX_RESPONSE_HEADER_LINE) return httpRestriction('oversized header');
  }
  return null;
}
