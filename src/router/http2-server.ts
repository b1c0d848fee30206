import {
  constants,
  createServer,
  type Http2Server as NodeHttp2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { ClientExchange, ClientTls } from './client';
import { Deadline, Deadlines } from './deadlines';
import { plainAnswer } from './errors';
import { Http2Exchange, type Http2Connection } from './http2-exchange';
import { readHttp2Head } from './http2-head';

const { NGHTTP2_PROTOCOL_ERROR } = constants;

/** RFC 9113 §6.5.2 recommends no fewer. */
const MAX_STREAMS = 100;
/** As of an HTTP/1 head: single lines and their number are judged in request-head.ts, which answers with a page. */
const MAX_HEADER_LIST_BYTES = 1024 * 1024;
const MAX_HEADER_PAIRS = 2000;

export interface Http2ServerOptions {
  clock: Clock;
  /** A connection without a request may last so long. */
  idleMs: number;
  onExchange: (client: ClientExchange) => void;
  logger: Logger;
}

interface Session {
  session: ServerHttp2Session;
  socket: TLSSocket;
  streams: number;
  idle: Deadline;
}

/** Speaks HTTP/2 on the connections that it is given, of which ALPN has said that they do (RFC 9113 §3.2). */
export class Http2Server {
  readonly #options: Http2ServerOptions;
  readonly #node: NodeHttp2Server;
  readonly #idle: Deadlines;
  readonly #sessions = new Set<Session>();
  #draining = false;
  #drained: () => void = () => undefined;

  constructor(options: Http2ServerOptions) {
    this.#options = options;
    this.#idle = new Deadlines(options.clock, options.idleMs);
    // It never listens. Extended CONNECT, hence WebSockets on a stream, is off unless settings say otherwise.
    this.#node = createServer({
      maxHeaderListPairs: MAX_HEADER_PAIRS,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: MAX_HEADER_LIST_BYTES,
        enablePush: false,
      },
    });
    this.#node.on('sessionError', (error) => options.logger.debug('HTTP/2 connection failed', { error }));
  }

  /** Takes over a secure connection. */
  accept(socket: TLSSocket, tls: ClientTls): void {
    const { remoteAddress, localPort = 0 } = socket;
    const connection: Http2Connection = { tls, remoteAddress, localPort };
    // Node makes the session before it returns.
    this.#node.once('session', (session) => this.#serve(session, socket, connection));
    this.#node.emit('connection', socket);
  }

  /** Tells all clients to send no more requests; resolves when those under way are over. */
  drain(): Promise<void> {
    this.#draining = true;
    const drained = new Promise<void>((resolve) => (this.#drained = resolve));
    for (const { session } of this.#sessions) session.close();
    if (this.#sessions.size === 0) this.#drained();
    return drained.then(() => this.#idle.stop());
  }

  /** Cuts everything off. */
  destroy(): void {
    for (const { session, socket } of this.#sessions) {
      session.destroy();
      // A session that was closing already would wait for its client to close, too.
      socket.destroy();
    }
  }

  #serve(session: ServerHttp2Session, socket: TLSSocket, connection: Http2Connection): void {
    const served: Session = { session, socket, streams: 0, idle: new Deadline(() => this.#late(served)) };
    this.#sessions.add(served);
    this.#idle.set(served.idle);
    // Node's types leave out the last.
    session.on('stream', (stream, _headers, _flags, rawHeaders: readonly string[] = []) => {
      served.streams += 1;
      served.idle.clear();
      stream.on('close', () => {
        served.streams -= 1;
        if (served.streams === 0 && this.#sessions.has(served)) this.#idle.set(served.idle);
      });
      this.#begin(stream, rawHeaders, connection);
    });
    session.on('close', () => {
      served.idle.clear();
      this.#sessions.delete(served);
      if (this.#draining && this.#sessions.size === 0) this.#drained();
    });
    if (this.#draining) session.close();
  }

  /** First GOAWAY, and a client that does not close its side then is not waited for any longer. */
  #late(served: Session): void {
    if (served.session.closed) served.socket.destroy();
    else {
      served.session.close();
      this.#idle.set(served.idle);
    }
  }

  #begin(stream: ServerHttp2Stream, rawHeaders: readonly string[], connection: Http2Connection): void {
    // 'close' follows; without a listener Node would end the process.
    stream.on('error', () => undefined);
    const head = readHttp2Head(rawHeaders);
    if (head === null) stream.close(NGHTTP2_PROTOCOL_ERROR);
    else if (head.method === 'CONNECT') {
      // "HTTP Routing": CONNECT is not supported.
      const { contentType, body } = plainAnswer(
        405,
        'Method not allowed',
        'This router is no forwarding proxy.',
      );
      stream.respond({
        ':status': 405,
        'content-type': contentType,
        'content-length': body.length,
        allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
      });
      stream.end(body);
    } else this.#options.onExchange(new Http2Exchange(connection, stream, head));
  }
}
