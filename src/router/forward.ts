import './legacy-extend';
import { Agent, type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, Transform } from 'node:stream';
import ProxyServer from 'http-proxy';
import type { DynoConnection } from './dyno-connections';
import { pairsOf } from './headers';
import { httpRestriction, routerError, type RouterError } from './errors';

/** Response limits of Dev Center "HTTP Routing"; the whole head fits twice its longest line. */
const MAX_RESPONSE_HEADER_LINE = 512 * 1024;
const MAX_SET_COOKIE = 8192;
const MAX_RESPONSE_HEAD = 1024 * 1024;

/** What becomes of a request at the dyno. Exactly one of the three ends is called, after `onSent` if at all. */
export interface DynoEvents {
  /** Bytes of the request body went on. */
  onProgress(): void;
  /** The whole request is with the dyno: from here on it is its turn. */
  onSent(): void;
  onResponse(response: IncomingMessage): void;
  onUpgrade(response: IncomingMessage, socket: Socket, early: Buffer): void;
  /** `answered`: some bytes of a response had come. */
  onError(error: RouterError, answered: boolean): void;
}

export interface DynoRequest {
  path: string;
  headers: Record<string, string | string[]>;
  /** false: it has none, or it is to be an upgrade. */
  hasBody: boolean;
}

/**
 * Sends one request to a dyno through http-proxy, over a connection that is already made: connecting comes before the
 * first byte of the client's body is read, so another dyno can be tried without having lost any of it.
 *
 * http-proxy is used for the round trip: building and piping the request, and telling its outcomes apart. The answer
 * is handed out (`selfHandleResponse`), since http-proxy would lose the case and the repetition of header names, the
 * trailers, and which side was idle. Its X-Forwarded headers and its WebSocket path (GET only) are not used either.
 */
export class Forwarder {
  readonly #proxy: ProxyServer;
  readonly #attempts = new WeakMap<IncomingMessage, Attempt>();

  constructor() {
    this.#proxy = ProxyServer.createProxyServer({
      selfHandleResponse: true,
      toProxy: true,
      prependPath: false,
    });
    // This pass says "Content-Length: 0" for a DELETE with a chunked body and thereby makes a second request of it.
    const passes = this.#proxy as unknown as { webPasses: { name: string }[] };
    passes.webPasses = passes.webPasses.filter((pass) => pass.name !== 'deleteLength');
    this.#proxy.on('proxyReq', (dynoRequest, request) => {
      this.#attempts.get(request)?.started(dynoRequest);
    });
    this.#proxy.on('proxyRes', (response, request) => {
      this.#attempts.get(request)?.answered(response);
    });
    this.#proxy.on('error', (error, request) => {
      this.#attempts.get(request)?.failed(error);
    });
  }

  /** To call it off, destroy the connection's socket: `onError` follows unless an end was called before. */
  send(
    request: IncomingMessage,
    response: ServerResponse,
    connection: DynoConnection,
    dynoRequest: DynoRequest,
    events: DynoEvents,
    onFree: () => void,
  ): void {
    const attempt = new Attempt(request, connection.socket, events);
    this.#attempts.set(request, attempt);
    request.headers = dynoRequest.headers;
    const { host, port } = connection.dyno.endpoint;
    try {
      this.#proxy.web(request, response, {
        target: { host, port, protocol: 'http:' },
        agent: new ConnectedAgent(connection.socket, dynoRequest.path, onFree),
        // http-proxy makes the request's options out of this object, and has no other way in for them.
        ssl: { maxHeaderSize: MAX_RESPONSE_HEAD },
        buffer: dynoRequest.hasBody ? attempt.body(request) : Readable.from([]),
      });
    } catch (error) {
      // Node's client refuses what its server let through, such as a path with bytes that no URL has.
      attempt.failed(error);
    }
  }
}

/** Gives the one connection it was made with to the one request it is asked for. */
class ConnectedAgent extends Agent {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #onFree: () => void;

  constructor(socket: Socket, path: string, onFree: () => void) {
    // With keepAlive Node leaves the connection open after the answer and emits 'free' on it.
    super({ keepAlive: true });
    this.#socket = socket;
    this.#path = path;
    this.#onFree = onFree;
  }

  /** What ClientRequest calls to get a socket (Node's own Agent is built on it too, if undocumented). */
  addRequest(request: ClientRequest): void {
    // http-proxy merges repeated slashes: the dyno is to see the path as it was asked for.
    request.path = this.#path;
    this.#socket.once('free', this.#onFree);
    request.onSocket(this.#socket);
  }
}

class Attempt {
  readonly #request: IncomingMessage;
  readonly #socket: Socket;
  readonly #events: DynoEvents;
  readonly #bytesBefore: number;
  #dynoRequest: ClientRequest | null = null;
  #over = false;

  constructor(request: IncomingMessage, socket: Socket, events: DynoEvents) {
    this.#request = request;
    this.#socket = socket;
    this.#events = events;
    this.#bytesBefore = socket.bytesRead;
  }

  body(request: IncomingMessage): Transform {
    const meter = new Transform({
      transform: (chunk, _encoding, done) => {
        this.#events.onProgress();
        done(null, chunk);
      },
      flush: (done) => {
        // Sent by Node only after a chunked body, which is where they can be.
        if (request.rawTrailers.length > 0 && this.#dynoRequest !== null) {
          this.#dynoRequest.addTrailers(pairsOf(request.rawTrailers));
        }
        done();
      },
    });
    // A client that goes away is seen at its response; the half-sent request must not look complete to the dyno.
    request.on('error', () => this.#socket.destroy());
    return request.pipe(meter);
  }

  started(dynoRequest: ClientRequest): void {
    this.#dynoRequest = dynoRequest;
    dynoRequest.on('finish', () => {
      if (!this.#over) this.#events.onSent();
    });
    dynoRequest.on('drain', () => this.#events.onProgress());
    dynoRequest.on('upgrade', (response, socket, early) => {
      if (this.#end()) this.#events.onUpgrade(response, socket, early);
    });
    if (this.#over) dynoRequest.destroy();
  }

  answered(response: IncomingMessage): void {
    const broken = brokenLimit(response);
    if (!this.#end()) return;
    if (broken) {
      this.#socket.destroy();
      this.#events.onError(broken, true);
    } else this.#events.onResponse(response);
  }

  failed(error: unknown): void {
    if (!this.#end()) return;
    this.#request.unpipe();
    this.#socket.destroy();
    const answered = this.#socket.bytesRead > this.#bytesBefore;
    this.#events.onError(classify(error, answered), answered);
  }

  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    return true;
  }
}

function classify(error: unknown, answered: boolean): RouterError {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return httpRestriction('oversized header');
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
      return httpRestriction('invalid content length');
    case 'ERR_UNESCAPED_CHARACTERS':
    case 'ERR_INVALID_CHAR':
      return routerError('H26', { cause: 'bad header' });
    default:
      if (code.startsWith('HPE_')) return routerError('H17');
      return routerError(answered ? 'H18' : 'H13');
  }
}

function brokenLimit(response: IncomingMessage): RouterError | null {
  for (const [name, value] of pairsOf(response.rawHeaders)) {
    if (name.toLowerCase() === 'set-cookie' && value.length > MAX_SET_COOKIE) {
      return httpRestriction('oversized cookie');
    }
    if (name.length + 2 + value.length > MAX_RESPONSE_HEADER_LINE) return httpRestriction('oversized header');
  }
  return null;
}
