import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createNetServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { createApplication } from './application';
import { requestIdFrom } from './headers';
import { isOurHost } from './host-header';
import { createAddOnPages } from './pages/addon-pages';
import { pageIdOf } from './pages/page-host';
import type { ApiServices, BundledBuildpack } from './services';

export interface ApiServerOptions {
  services: ApiServices;
  tls: { key: string | Buffer; cert: string | Buffer };
  /** `hosts` default to both loopback addresses; port 0 takes any free one. */
  listen: { port: number; hosts?: readonly string[] };
  /** Host names besides localhost, 127.0.0.1 and [::1] under which requests are answered. */
  allowedHosts: readonly string[];
  /** Takes `/<app>.git/…` untouched: no body is read, no authentication done. */
  git: (req: IncomingMessage, res: ServerResponse) => void;
  /** Takes encrypted connections whose first line is the secret of a rendezvous; the rest of it is yet to be read. */
  rendezvous: (socket: TLSSocket, secret: string) => void;
  bundledBuildpacks: readonly BundledBuildpack[];
  /** Requests per hour and account; null = no limit. */
  requestsPerHour: number | null;
  logger: Logger;
  clock: Clock;
}

/** Somebody else listens there. */
export class PortInUseError extends Error {
  override readonly name = 'PortInUseError';
  constructor(
    readonly port: number,
    readonly host: string,
    options?: { cause?: unknown },
  ) {
    super(`port ${port} of ${host} is in use`, options);
  }
}

const LOOPBACK = ['127.0.0.1', '::1'] as const;
/** First byte of a TLS connection: a record of content type "handshake" (RFC 8446, section 5.1). */
const TLS_HANDSHAKE = 0x16;
/** Within this time a connection has to say something, so that it is known what it speaks. */
const FIRST_BYTE_MS = 120_000;
const TLS_HANDSHAKE_MS = 10_000;
/** Longer than clients keep a connection, so that they are who closes it. */
const KEEP_ALIVE_MS = 65_000;
/** How long answers under way may take at stop. */
const STOP_MS = 5_000;
/** With port 0, the port that is free on one address may be taken on the other. */
const PORT_ATTEMPTS = 10;

/** What the client of an attached dyno says first; no HTTP method begins with a digit or a lower-case letter. */
const SECRET_START = /^[0-9a-f]/;
const SECRET_LINE = /^([0-9a-f]{48})\r?\n/;
const SECRET_LINE_BYTES = 50;

const GIT_PATH = /^\/[^/?]+\.git(?:[/?]|$)/;

/**
 * The Platform API, git and the rendezvous of attached dynos on one port, HTTP for plain and TLS connections alike:
 * the CLI is pointed at `http://localhost:<port>` but makes git remotes `https://localhost:<port>/…`, and a
 * rendezvous always has TLS (contract, sections 1.2, 3.2 and 3.4).
 */
export class ApiServer {
  readonly #options: ApiServerOptions;
  readonly #log: Logger;
  readonly #listeners: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #stopping = new AbortController();
  readonly #accept: (socket: Socket) => void;
  #active = 0;
  #idle: (() => void) | undefined;
  #port: number | undefined;
  #starting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    this.#log = options.logger.child({ component: 'api' });
    const application = createApplication({ ...options, logger: this.#log, stopping: this.#stopping.signal });
    const pages = createAddOnPages({
      services: options.services,
      logger: this.#log,
      stopping: this.#stopping.signal,
    });
    const onRequest = (req: IncomingMessage, res: ServerResponse): void => {
      this.#track(res);
      if (pageIdOf(req.headers.host) !== undefined) pages(req, res);
      else if (!isOurHost(req.headers.host, options.allowedHosts)) refuseHost(req, res);
      else if (GIT_PATH.test(req.url ?? '')) this.#toGit(req, res);
      else application(req, res);
    };
    // Neither of the two listens: connections are handed to them. Node's limits on the time that a request may
    // take to arrive are bound to listening and so do not apply, which suits pushes of any size.
    const http = createHttpServer({ keepAliveTimeout: KEEP_ALIVE_MS }, onRequest);
    const tls = createTlsServer({
      ...options.tls,
      handshakeTimeout: TLS_HANDSHAKE_MS,
      ALPNProtocols: ['http/1.1'],
    });
    tls.on('tlsClientError', (error) => this.#log.debug('TLS handshake failed', { error }));
    tls.on('secureConnection', (socket) => {
      socket.on('error', (error) => this.#log.debug('connection failed', { error }));
      withFirstBytes(socket, (first) => {
        if (SECRET_START.test(first.toString('latin1', 0, 1))) this.#toRendezvous(socket);
        else http.emit('connection', socket);
      });
    });
    this.#accept = (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      // Whoever serves the connection hears of it as well; without a listener it would end the daemon.
      socket.on('error', (error) => this.#log.debug('connection failed', { error }));
      withFirstBytes(socket, (first) => {
        (first[0] === TLS_HANDSHAKE ? tls : http).emit('connection', socket);
      });
    };
  }

  /** Where it listens, from `start()` on. */
  get port(): number {
    if (this.#port === undefined) throw new Error('the API server has not started');
    return this.#port;
  }

  /** Rejects with PortInUseError. */
  start(): Promise<void> {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Ends log streams at once, lets other answers finish for a short time, then closes every connection. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#listenAll();
        this.#log.info('API listens', { port: this.#port });
        return;
      } catch (error) {
        await this.#closeListeners();
        const again = error instanceof PortInUseError && this.#options.listen.port === 0;
        if (!again || attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  async #listenAll(): Promise<void> {
    let { port } = this.#options.listen;
    for (const host of this.#options.listen.hosts ?? LOOPBACK) {
      try {
        port = await this.#listen(port, host);
      } catch (error) {
        if (host !== '::1' || !isMissingAddress(error)) throw error;
        this.#log.debug('this machine has no IPv6 loopback', { error });
      }
    }
    this.#port = port;
  }

  #listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const listener = createNetServer(this.#accept);
      listener.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'EADDRINUSE' ? new PortInUseError(port, host, { cause: error }) : error),
      );
      listener.listen({ port, host, ipv6Only: true }, () => {
        this.#listeners.push(listener);
        const address = listener.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  async #stop(): Promise<void> {
    // A start under way is waited for, so that nothing listens afterwards; its failure is its caller's.
    await this.#starting?.catch(() => undefined);
    this.#stopping.abort();
    const closed = this.#closeListeners();
    if (this.#active > 0) {
      await new Promise<void>((resolve) => {
        const cancel = this.#options.clock.after(STOP_MS, resolve);
        this.#idle = () => {
          cancel();
          resolve();
        };
      });
    }
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #closeListeners(): Promise<void> {
    const listeners = this.#listeners.splice(0);
    await Promise.all(
      listeners.map((listener) => new Promise<void>((resolve) => listener.close(() => resolve()))),
    );
  }

  #track(res: ServerResponse): void {
    this.#active += 1;
    if (this.#stopping.signal.aborted) res.shouldKeepAlive = false;
    res.once('close', () => {
      this.#active -= 1;
      if (this.#active === 0) this.#idle?.();
    });
  }

  /** Reads the line with the secret, however it is cut. */
  #toRendezvous(socket: TLSSocket): void {
    let line = '';
    const read = (chunk: Buffer): void => {
      const before = line.length;
      line += chunk.toString('latin1', 0, SECRET_LINE_BYTES - before);
      const match = SECRET_LINE.exec(line);
      if (match === null && line.length < SECRET_LINE_BYTES && !line.includes('\n')) return;
      socket.off('data', read);
      socket.setTimeout(0, giveUp);
      if (match === null) {
        socket.destroy();
        return;
      }
      socket.pause();
      const rest = chunk.subarray(match[0].length - before);
      if (rest.length > 0) socket.unshift(rest);
      this.#options.rendezvous(socket, match[1] ?? '');
      process.nextTick(() => socket.resume());
    };
    const giveUp = (): void => {
      socket.destroy();
    };
    socket.setTimeout(FIRST_BYTE_MS, giveUp);
    socket.on('data', read);
  }

  #toGit(req: IncomingMessage, res: ServerResponse): void {
    try {
      this.#options.git(req, res);
    } catch (error) {
      this.#log.error('git request failed', { method: req.method, error });
      res.destroy();
    }
  }
}

export function createApiServer(options: ApiServerOptions): ApiServer {
  return new ApiServer(options);
}

/** Hands the connection on once it has said something; whoever reads it next gets those bytes again, first. */
function withFirstBytes(socket: Socket, handOver: (first: Buffer) => void): void {
  const giveUp = (): void => {
    socket.destroy();
  };
  socket.setTimeout(FIRST_BYTE_MS, giveUp);
  socket.once('data', (chunk: Buffer) => {
    socket.setTimeout(0, giveUp);
    // Paused until the next reader is there.
    socket.pause();
    socket.unshift(chunk);
    handOver(chunk);
    process.nextTick(() => socket.resume());
  });
}

function refuseHost(req: IncomingMessage, res: ServerResponse): void {
  const header = req.headers['request-id'];
  res.writeHead(403, {
    'Content-Type': 'application/json; charset=utf-8',
    'Request-Id': requestIdFrom(typeof header === 'string' ? header : undefined),
    Connection: 'close',
  });
  res.end(
    JSON.stringify({
      id: 'forbidden',
      message: 'dynodock does not answer requests to this host name. Use localhost or 127.0.0.1.',
    }),
  );
}

function isMissingAddress(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT';
}
