import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { ClientEvents, ClientExchange, ClientHead, ClientTls } from './client';
import { http2Headers } from './http2-head';
import { isBodiless } from './message-parser';
import type { TunnelSide } from './upgrade';

const { NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

export interface Http2Connection {
  tls: ClientTls;
  remoteAddress: string | undefined;
  localPort: number;
}

/** One stream of an HTTP/2 connection: a request and its answer (RFC 9113 §8.1). */
export class Http2Exchange implements ClientExchange {
  readonly head: ClientHead;
  readonly hasBody: boolean;
  /** There is no such thing: RFC 9113 §8.6. */
  readonly upgradable = false;
  complete: boolean;
  answering = false;
  bytesWritten = 0;
  readonly #connection: Http2Connection;
  readonly #stream: ServerHttp2Stream;
  /** An answer to HEAD, a 204 or a 304. */
  #bodiless = false;
  #trailers: readonly string[] = [];
  #ended = false;
  #over = false;

  constructor(connection: Http2Connection, stream: ServerHttp2Stream, head: ClientHead) {
    this.#connection = connection;
    this.#stream = stream;
    this.head = head;
    this.hasBody = !stream.endAfterHeaders;
    this.complete = !this.hasBody;
  }

  get remoteAddress(): string | undefined {
    return this.#connection.remoteAddress;
  }

  get localPort(): number {
    return this.#connection.localPort;
  }

  get tls(): ClientTls {
    return this.#connection.tls;
  }

  get needsDrain(): boolean {
    return this.#stream.writableNeedDrain;
  }

  start(events: ClientEvents): void {
    const stream = this.#stream;
    let rawTrailers: string[] = [];
    stream.pause();
    stream.on('data', (chunk: Buffer) => {
      if (!this.#over) events.onBody(chunk);
    });
    stream.on('trailers', (trailers: IncomingHttpHeaders) => (rawTrailers = rawOf(trailers)));
    stream.on('end', () => {
      if (this.complete) return;
      this.complete = true;
      if (!this.#over) events.onBodyEnd(rawTrailers);
    });
    stream.on('drain', () => {
      if (!this.#over) events.onDrain();
    });
    const over = (): void => {
      if (this.#over) return;
      this.#over = true;
      if (this.#ended && stream.rstCode === NGHTTP2_NO_ERROR) events.onFinish();
      else events.onAbort();
    };
    stream.on('finish', () => {
      // It comes with an end that the exchange did not ask for, too.
      if (!this.#ended) return;
      over();
      // What is left of the request concerns nobody (RFC 9113 §8.1).
      if (!this.complete) stream.close(NGHTTP2_NO_ERROR);
    });
    // Where both sides have ended Node may say only this.
    stream.on('close', over);
    stream.on('wantTrailers', () => {
      // With none, what is sent is the end.
      if (!stream.destroyed) stream.sendTrailers(http2Headers(this.#trailers));
    });
  }

  resume(): void {
    this.#stream.resume();
  }

  pause(): void {
    this.#stream.pause();
  }

  writeInterim(status: number, _statusMessage: string, rawHeaders: readonly string[]): void {
    if (!this.#open || this.answering) return;
    this.#count(rawHeaders);
    this.#stream.additionalHeaders({ ...http2Headers(rawHeaders), ':status': status });
  }

  /** Nothing to say: other streams have their own end, and a draining server says GOAWAY by itself. */
  closeAfterwards(): void {
    return undefined;
  }

  writeHead(status: number, _statusMessage: string, rawHeaders: readonly string[]): void {
    this.answering = true;
    if (!this.#open) return;
    this.#bodiless = this.head.method === 'HEAD' || isBodiless(status);
    const headers = http2Headers(rawHeaders);
    this.#count(rawHeaders);
    this.#stream.respond(
      { ...headers, ':status': status },
      // A counted body has no trailers in HTTP/1.1. Otherwise the end is told apart from the last byte, which also
      // keeps an answer that is cut off from looking whole.
      this.#bodiless ? { endStream: true } : { waitForTrailers: headers['content-length'] === undefined },
    );
  }

  /** Node sends what was written in one turn of the event loop together, and does not wait for more. */
  flush(): void {
    return undefined;
  }

  write(chunk: Buffer): boolean {
    if (this.#bodiless || !this.#open || chunk.length === 0) return true;
    this.bytesWritten += chunk.length;
    return this.#stream.write(chunk);
  }

  end(rawTrailers: readonly string[] = []): void {
    this.#trailers = rawTrailers;
    this.#ended = true;
    if (this.#open) this.#stream.end();
  }

  takeOver(): TunnelSide {
    throw new Error('an HTTP/2 stream changes no protocol');
  }

  destroy(): void {
    if (!this.#stream.destroyed) this.#stream.close(NGHTTP2_INTERNAL_ERROR);
  }

  get #open(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  /** As they are before compression. */
  #count(rawHeaders: readonly string[]): void {
    for (const part of rawHeaders) this.bytesWritten += part.length;
  }
}

function rawOf(headers: IncomingHttpHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().flatMap((one) => [name, one]),
  );
}
