import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import type { ClientExchange, ClientTls } from './client';
import { Deadline, type Deadlines } from './deadlines';
import { plainAnswer, type Answer } from './errors';
import { Http1Exchange, type Http1Channel } from './http1-exchange';
import { MessageParser, type MessageHandler } from './message-parser';
import { readMethod } from './request-method';
import { statusLine } from './status-line';
import type { TunnelSide } from './upgrade';

/** The whole head; single lines are judged in request-head.ts, where the refusal gets its log line. */
const MAX_REQUEST_HEAD_BYTES = 1024 * 1024;

/** What a client sends before it is wanted waits here; beyond this it is not read until then. */
const MAX_STASH_BYTES = 64 * 1024;

/** First look whether a client that ended its side is still there, in ms; then ever less often. */
const FIRST_PROBE_MS = 250;
const MAX_PROBE_MS = 10_000;

export interface Http1Context {
  clock: Clock;
  idle: Deadlines;
  linger: Deadlines;
  keepAlive: string;
  draining: boolean;
  date: () => string;
  onExchange: (client: ClientExchange) => void;
  onClosed: (connection: Http1Connection) => void;
}

/**
 * One client's connection. It is *idle*, then reads a *head*, then there is an *exchange* until its answer is sent;
 * then it is idle again, or *closing* (our side has ended; what the client still sends is dropped for
 * a while, since closing at once would reset the connection and could cost the client its answer, RFC 9112 §9.6). After
 * a 101 it is *handed over*. Requests sent ahead wait unread until their turn comes.
 */
export class Http1Connection implements Http1Channel, MessageHandler {
  readonly socket: Socket;
  readonly tls: ClientTls | null;
  readonly remoteAddress: string | undefined;
  readonly localPort: number;
  readonly context: Http1Context;
  readonly #parser = new MessageParser('request', MAX_REQUEST_HEAD_BYTES);
  readonly #deadline = new Deadline(() => this.#late());
  #state: 'idle' | 'head' | 'exchange' | 'closing' | 'handed over' | 'closed' = 'idle';
  #exchange: Http1Exchange | null = null;
  /** What came of the method before it was whole. */
  #begun = '';
  #method = '';
  #stash: Buffer[] = [];
  #stashBytes = 0;
  #consuming = false;
  /** The client has ended its side. */
  #ended = false;
  #cancelProbe: (() => void) | null = null;

  readonly #onData = (chunk: Buffer): void => {
    if (this.#stash.length > 0 || !this.#wanted) this.#keep(chunk);
    else this.#consume(chunk);
  };
  readonly #onEnd = (): void => this.#inputEnded();
  readonly #onDrain = (): void => this.#exchange?.drained();
  /** 'close' follows and says it to the exchange; without a listener Node would end the process. */
  readonly #onError = (): void => undefined;

  constructor(context: Http1Context, socket: Socket, tls: ClientTls | null) {
    this.context = context;
    this.socket = socket;
    this.tls = tls;
    this.remoteAddress = socket.remoteAddress;
    this.localPort = socket.localPort ?? 0;
    // A client may end its side and wait for its answer; Node would otherwise end ours too.
    socket.allowHalfOpen = true;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', () => this.#closed());
    context.idle.set(this.#deadline);
    socket.resume();
  }

  /** Whether what arrives is to be read now. */
  get #wanted(): boolean {
    switch (this.#state) {
      case 'idle':
      case 'head':
        return true;
      case 'exchange':
        return this.#exchange?.wantsInput === true;
      case 'closing':
      case 'handed over':
      case 'closed':
        return false;
    }
  }

  closeIfIdle(): void {
    if (this.#state === 'idle' && this.#begun === '') this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  readOn(): void {
    if (this.#consuming) return;
    while (this.#stash.length > 0 && this.#wanted) {
      const chunk = this.#stash.shift() as Buffer;
      this.#stashBytes -= chunk.length;
      this.#consume(chunk);
    }
    if (this.#stash.length > 0) return;
    if (this.socket.isPaused() && this.#state !== 'handed over') this.socket.resume();
    // All that ever came is read.
    if (this.#ended && this.#state === 'exchange' && this.#wanted) this.#exchange?.aborted();
  }

  over(keepAlive: boolean): void {
    this.#cancelProbe?.();
    this.#cancelProbe = null;
    this.#exchange = null;
    if (this.#state !== 'exchange') return;
    if (!keepAlive) {
      this.#close();
      return;
    }
    this.#state = 'idle';
    this.#parser.next();
    this.context.idle.set(this.#deadline);
    if (this.#stash.length > 0) this.readOn();
    this.#closeIfDone();
  }

  handOver(): TunnelSide {
    this.#state = 'handed over';
    this.#exchange = null;
    const { socket } = this;
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    const early = Buffer.concat(this.#stash);
    this.#stash = [];
    return { socket, early };
  }

  onHead(): void {
    const parser = this.#parser;
    this.#deadline.clear();
    this.#state = 'exchange';
    if (this.#method === 'CONNECT') {
      // "HTTP Routing": CONNECT is not supported.
      const answer = plainAnswer(405, 'Method not allowed', 'This router is no forwarding proxy.');
      this.#refuse(answer, 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n');
      return;
    }
    // With a body the offer is ignored, as a server always may (RFC 9110 §7.8): it is then no tunnel's first bytes.
    const offered = parser.upgrade && !parser.hasBody;
    this.#exchange = new Http1Exchange(this, {
      method: this.#method,
      target: parser.target,
      httpVersion: parser.versionMinor === 0 ? '1.0' : '1.1',
      rawHeaders: parser.rawHeaders,
      hasBody: parser.hasBody,
      // HTTP/1.0 has no such offer.
      upgradable: offered && parser.versionMinor === 1,
      // Who asked for another protocol and did not get it may already be speaking it.
      keepAlive: parser.keepAlive && !offered,
    });
    if (this.#ended) this.#probe(FIRST_PROBE_MS);
    this.context.onExchange(this.#exchange);
  }

  onBody(chunk: Buffer): void {
    this.#exchange?.bodyCame(chunk);
  }

  onComplete(rawTrailers: readonly string[]): void {
    this.#exchange?.bodyEnded(rawTrailers);
  }

  #keep(chunk: Buffer): void {
    if (this.#state !== 'exchange') return;
    this.#stash.push(chunk);
    this.#stashBytes += chunk.length;
    if (this.#stashBytes > MAX_STASH_BYTES) this.socket.pause();
  }

  #consume(chunk: Buffer): void {
    this.#consuming = true;
    let at = 0;
    while (at < chunk.length && this.#wanted) {
      at = this.#state === 'idle' ? this.#readMethod(chunk, at) : this.#parser.feed(chunk, at, this);
      if (at !== -1) continue;
      this.#broken();
      break;
    }
    this.#consuming = false;
    if (at !== -1 && at < chunk.length && this.#state === 'exchange') {
      this.#stashBytes += chunk.length - at;
      this.#stash.unshift(chunk.subarray(at));
    }
    this.#closeIfDone();
  }

  /** Nothing more is to come, or to be taken. */
  #closeIfDone(): void {
    if (this.#consuming || this.#stash.length > 0) return;
    // Half a head came behind the last request, and then the end.
    if (this.#ended && (this.#state === 'head' || this.#begun !== '')) this.#inputEnded();
    if (this.#state !== 'idle' || this.#begun !== '') return;
    if (this.#ended || this.context.draining) this.#close();
  }

  /** Reads the method, which llhttp would not let pass if it does not know it; -1: it is none. */
  #readMethod(chunk: Buffer, from: number): number {
    let at = from;
    // Empty lines before a request are ignored (RFC 9112 §2.2).
    if (this.#begun === '') while (chunk[at] === 0x0d || chunk[at] === 0x0a) at += 1;
    const read = readMethod(this.#begun, chunk, at);
    if (read === 'invalid') return -1;
    if (read === 'partial') {
      if (this.#begun === '' && at < chunk.length) this.context.idle.set(this.#deadline);
      this.#begun += chunk.toString('latin1', at);
      return chunk.length;
    }
    this.#begun = '';
    this.#state = 'head';
    this.#method = read.method;
    if (read.replay === null) at = this.#parser.feed(chunk, at, this);
    else {
      this.#parser.feed(read.replay, 0, this);
      at = this.#parser.feed(chunk, read.end, this);
    }
    // Half a head: from now on it is the head that is waited for.
    if ((this.#state as string) === 'head') this.context.idle.set(this.#deadline);
    return at;
  }

  #broken(): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'exchange') this.#exchange?.bodyBroken();
    else this.#refuse(plainAnswer(400, 'Bad request', 'The request is not well-formed HTTP/1.'));
  }

  #inputEnded(): void {
    this.#ended = true;
    switch (this.#state) {
      case 'idle':
        if (this.#begun === '') this.#close();
        else this.#broken();
        return;
      case 'head':
        this.#broken();
        return;
      case 'exchange':
        if (this.#exchange?.upgradable === true) this.socket.destroy();
        else if (this.#exchange?.wantsInput === true) this.#exchange.aborted();
        else this.#probe(FIRST_PROBE_MS);
        return;
      case 'closing':
        this.socket.destroySoon();
        return;
      case 'handed over':
      case 'closed':
        return;
    }
  }

  /**
   * A client that has ended its side may wait for its answer, or be gone: TCP says the same in both cases, until
   * something is sent. An interim answer is meaningless to the one (RFC 9110 §15.2) and makes the other's system say
   * that there is nobody, which the next one is told. HTTP/1.0 has none: there only the answer itself can tell.
   */
  #probe(delayMs: number): void {
    this.#cancelProbe = this.context.clock.after(delayMs, () => {
      const exchange = this.#exchange;
      if (exchange === null || exchange.answering || exchange.head.httpVersion === '1.0') return;
      // Not through the exchange: it is no part of its answer.
      this.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
      this.#probe(Math.min(2 * delayMs, MAX_PROBE_MS));
    });
  }

  #late(): void {
    switch (this.#state) {
      case 'idle':
      case 'head':
        // A connection on which nothing came is closed without a word.
        if (this.#state === 'idle' && this.#begun === '') this.socket.destroy();
        else this.#refuse(plainAnswer(408, 'Request timeout', 'The request did not arrive in time.'));
        return;
      case 'closing':
        this.socket.destroy();
        return;
      case 'exchange':
      case 'handed over':
      case 'closed':
        return;
    }
  }

  /** Answers where there is no exchange that could. */
  #refuse(answer: Answer, moreHeaders = ''): void {
    const head =
      `${statusLine(answer.status)}Content-Type: ${answer.contentType}\r\n` +
      `Content-Length: ${answer.body.length}\r\n${moreHeaders}Connection: close\r\n\r\n`;
    this.socket.write(Buffer.concat([Buffer.from(head, 'latin1'), answer.body]));
    this.#close();
  }

  #close(): void {
    this.#state = 'closing';
    this.#stash = [];
    this.#stashBytes = 0;
    this.#deadline.clear();
    if (this.#ended) {
      this.socket.destroySoon();
      return;
    }
    this.socket.end();
    this.socket.resume();
    this.context.linger.set(this.#deadline);
  }

  #closed(): void {
    const exchange = this.#exchange;
    this.#state = 'closed';
    this.#exchange = null;
    this.#stash = [];
    this.#cancelProbe?.();
    this.#deadline.clear();
    this.#parser.free();
    this.context.onClosed(this);
    exchange?.gone();
  }
}
