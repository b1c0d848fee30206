import { mkdir } from 'node:fs/promises';
import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { join } from 'node:path';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { ControlServer } from './control';
import { DynoConnections } from './dyno-connections';
import { plainAnswer, type Answer } from './errors';
import { Exchange, type ExchangeContext, type Expectation, type RouterTimeouts } from './exchange';
import { Forwarder } from './forward';
import { Gate, isRoutable } from './gate';
import { announcesBody, pairsOf } from './headers';
import { LogShipper } from './log-shipper';
import { ROUTER_PROTOCOL_VERSION, type AppRoutes, type RouteTable } from './protocol';
import { EMPTY_TABLE, RouteIndex } from './route-table';
import { Snapshot } from './snapshot';
import { UpgradeClient, withoutUpgrade } from './upgrade';

/** Dev Center "HTTP Routing" and "Error Codes"; `drainMs` and `lingerMs` are our own. */
export const DEFAULT_TIMEOUTS: RouterTimeouts = {
  connectMs: 5_000,
  quarantineMs: 5_000,
  connectBudgetMs: 75_000,
  firstByteMs: 30_000,
  idleMs: 55_000,
  bootMs: 75_000,
  clientKeepAliveMs: 60_000,
  dynoKeepAliveMs: 90_000,
  drainMs: 10_000,
  lingerMs: 5_000,
};

export interface RouterLimits {
  /** Requests at dynos at a time, for each web dyno wanted: H11 (Dev Center "HTTP Routing", "Request queueing"). */
  requestsPerDyno: number;
  /** Held requests per app: H11. */
  waitingPerApp: number;
  connectAttempts: number;
  idleConnectionsPerDyno: number;
  /** Log lines kept while no daemon takes them. */
  bufferedLogLines: number;
  logBatchLines: number;
  logFlushMs: number;
}

export const DEFAULT_LIMITS: RouterLimits = {
  requestsPerDyno: 200,
  waitingPerApp: 1_000,
  connectAttempts: 10,
  idleConnectionsPerDyno: 64,
  bufferedLogLines: 10_000,
  logBatchLines: 100,
  logFlushMs: 50,
};

/** The whole head; single lines are judged in request-head.ts, where the refusal gets its log line. */
const MAX_REQUEST_HEAD_BYTES = 1024 * 1024;

export interface RouterOptions {
  /** Made if absent, for its owner only. */
  dataDir: string;
  /** Default: `router.sock` in `dataDir`. A unix socket's path has at most about 100 bytes. */
  socketPath?: string;
  /** Default: `router-table.json` in `dataDir`. */
  snapshotPath?: string;
  /** Port 0 = any free one, the same for all hosts. A host this machine does not have (no IPv6) is left out. */
  listen: { hosts: readonly string[]; httpPort: number };
  clock: Clock;
  logger: Logger;
  timeouts?: Partial<RouterTimeouts>;
  limits?: Partial<RouterLimits>;
  /** 0 ≤ x < 1, chooses dynos. Default Math.random. */
  random?: () => number;
  /** The daemon asks the router to end: call `stop`. */
  onShutdown?: () => void;
}

/** Moves bytes between clients and dynos by the daemon's route table, and serves on while the daemon is away. */
export class Router {
  readonly #options: RouterOptions;
  readonly #timeouts: RouterTimeouts;
  readonly #limits: RouterLimits;
  readonly #context: ExchangeContext;
  readonly #control: ControlServer;
  readonly #snapshot: Snapshot;
  readonly #shipper: LogShipper;
  readonly #gate: Gate;
  readonly #connections: DynoConnections;
  readonly #servers: Server[] = [];
  readonly #clients = new Set<Socket>();
  readonly #exchanges = new Set<Exchange>();
  /** The latest exchange of a client's connection, for what comes on it later. */
  readonly #latest = new WeakMap<
    Socket,
    { exchange: Exchange; request: IncomingMessage; response: ServerResponse }
  >();
  readonly #active = new Map<string, number>();
  #index = new RouteIndex(EMPTY_TABLE);
  #httpPort = 0;
  #stopping: Promise<void> | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { clock, logger, dataDir } = options;
    this.#snapshot = new Snapshot(options.snapshotPath ?? join(dataDir, 'router-table.json'), logger);
    const find = (appId: string): AppRoutes | undefined => this.#index.app(appId);
    this.#control = new ControlServer({
      socketPath: options.socketPath ?? join(dataDir, 'router.sock'),
      logger,
      hello: () => ({
        type: 'hello',
        protocol: ROUTER_PROTOCOL_VERSION,
        pid: process.pid,
        table_version: this.#index.version,
        http_port: this.#httpPort,
      }),
      onTable: (table) => this.#apply(table),
      onShutdown: () => {
        logger.info('daemon asked the router to stop');
        options.onShutdown?.();
      },
      onDaemon: () => {
        this.#shipper.flush();
        this.#gate.daemonConnected(find);
      },
    });
    this.#shipper = new LogShipper({
      clock,
      send: (message) => this.#control.send(message),
      flushMs: this.#limits.logFlushMs,
      maxBatch: this.#limits.logBatchLines,
      maxBuffered: this.#limits.bufferedLogLines,
    });
    this.#gate = new Gate({
      clock,
      send: (message) => this.#control.send(message),
      maxWaiting: this.#limits.waitingPerApp,
    });
    this.#connections = new DynoConnections({
      clock,
      random: options.random ?? Math.random,
      connectTimeoutMs: this.#timeouts.connectMs,
      quarantineMs: this.#timeouts.quarantineMs,
      maxAttempts: this.#limits.connectAttempts,
      keepAliveMs: this.#timeouts.dynoKeepAliveMs,
      maxIdlePerDyno: this.#limits.idleConnectionsPerDyno,
    });
    this.#context = {
      clock,
      timeouts: this.#timeouts,
      gate: this.#gate,
      connections: this.#connections,
      forwarder: new Forwarder(),
      index: () => this.#index,
      draining: () => this.#stopping !== null,
      enter: (app) => this.#enter(app),
      leave: (appId) => this.#leave(appId),
      log: (app_id, at, text) => this.#shipper.push({ app_id, at: at.toISOString(), text }),
      ended: (exchange) => this.#ended(exchange),
    };
  }

  /** The port in use, once started. */
  get httpPort(): number {
    return this.#httpPort;
  }

  /** Version of the table that is served, 0 for none. */
  get tableVersion(): number {
    return this.#index.version;
  }

  /** Serves the last known table at once. Rejects when a port or the control socket is taken. */
  async start(): Promise<void> {
    await mkdir(this.#options.dataDir, { recursive: true, mode: 0o700 });
    try {
      const table = await this.#snapshot.read();
      if (table) this.#index = new RouteIndex(table);
      await this.#listen();
      // Last, so that whoever gets through to it finds everything else ready.
      await this.#control.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#options.logger.info('router started', { port: this.#httpPort, table: this.#index.version });
  }

  /** Lets what is under way end, for at most `drainMs`, then closes everything. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    // After `#stopping` is set, on which "Connection: close" depends.
    await Promise.resolve();
    const closed = Promise.all(this.#servers.map(close));
    for (const exchange of this.#exchanges) exchange.closeTunnel();
    const cancel = this.#options.clock.after(this.#timeouts.drainMs, () => {
      if (this.#exchanges.size > 0) {
        this.#options.logger.warn('requests cut off by the stop', { count: this.#exchanges.size });
      }
      for (const exchange of [...this.#exchanges]) exchange.forceClose();
      for (const socket of this.#clients) socket.destroy();
    });
    await closed;
    cancel();
    this.#connections.stop();
    this.#shipper.stop();
    await this.#control.stop();
    await this.#snapshot.stop();
    this.#options.logger.info('router stopped');
  }

  #apply(table: RouteTable): number {
    this.#index = new RouteIndex(table);
    this.#snapshot.save(table);
    this.#connections.retain(table.apps.flatMap((app) => app.dynos).filter(isRoutable));
    this.#gate.tableChanged((appId) => this.#index.app(appId));
    this.#options.logger.debug('route table applied', { version: table.version, apps: table.apps.length });
    return table.version;
  }

  #enter(app: AppRoutes): boolean {
    const active = this.#active.get(app.app_id) ?? 0;
    if (active >= this.#limits.requestsPerDyno * Math.max(1, app.web_quantity)) return false;
    this.#active.set(app.app_id, active + 1);
    return true;
  }

  #leave(appId: string): void {
    const active = (this.#active.get(appId) ?? 0) - 1;
    if (active > 0) this.#active.set(appId, active);
    else this.#active.delete(appId);
  }

  #ended(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
    if (this.#stopping === null) return;
    // An answer that began before the stop promised to keep the connection; Node counts it as idle only after this.
    setImmediate(() => {
      for (const server of this.#servers) server.closeIdleConnections();
    });
  }

  async #listen(): Promise<void> {
    let missing: unknown = null;
    for (const host of this.#options.listen.hosts) {
      const server = this.#createServer();
      try {
        await listen(server, host, this.#httpPort || this.#options.listen.httpPort);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') throw error;
        this.#options.logger.warn('address not available, left out', { host });
        missing = error;
        continue;
      }
      this.#servers.push(server);
      this.#httpPort = (server.address() as AddressInfo).port;
    }
    if (this.#servers.length === 0) throw new Error('no address to listen on', { cause: missing });
  }

  #createServer(): Server {
    const idleMs = this.#timeouts.clientKeepAliveMs;
    const server = createServer({
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      keepAliveTimeout: idleMs,
      headersTimeout: idleMs,
      // A body takes as long as it takes, as long as it moves: the exchange watches that.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.max(10, Math.ceil(idleMs / 10)),
      noDelay: true,
      // Judged in request-head.ts, which answers with a page.
      requireHostHeader: false,
    });
    // Node would drop what is beyond without a word; request-head.ts counts and refuses.
    server.maxHeadersCount = 0;
    server.on('connection', (socket: Socket) => {
      // Once more for a request that came back from #onUpgrade.
      if (this.#clients.has(socket)) return;
      this.#clients.add(socket);
      socket.on('close', () => this.#clients.delete(socket));
    });
    const begin =
      (expectation: Expectation) =>
      (request: IncomingMessage, response: ServerResponse): void =>
        this.#begin({ request, response, upgrade: null, expectation });
    server.on('request', begin('none'));
    server.on('checkContinue', begin('continue'));
    server.on('checkExpectation', begin('unsupported'));
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(server, request, socketOf(socket), head));
    server.on('connect', (_request, stream) => {
      const socket = socketOf(stream);
      // "HTTP Routing": CONNECT is not supported.
      const answer = plainAnswer(405, 'Method not allowed', 'This router is no forwarding proxy.');
      if (this.#answering(socket)) socket.destroy();
      else writeBare(socket, answer, 'Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n');
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) =>
      this.#onClientError(error, socketOf(socket)),
    );
    return server;
  }

  #begin(client: {
    request: IncomingMessage;
    response: ServerResponse;
    upgrade: UpgradeClient | null;
    expectation: Expectation;
  }): void {
    const exchange = new Exchange(this.#context, client);
    this.#exchanges.add(exchange);
    const { request, response } = client;
    this.#latest.set(request.socket, { exchange, request, response });
    exchange.run().catch((error: unknown) => {
      // A bug of ours: the client shall not wait for it to be found.
      this.#options.logger.error('request handling failed', { error });
      exchange.brokenDown();
    });
  }

  /**
   * Whether an answer is on its way. Node hands the bare socket over for what comes next on it all the same; a client
   * that sends such a thing without waiting cannot be served in order, and loses its connection.
   */
  #answering(socket: Socket): boolean {
    const latest = this.#latest.get(socket);
    // Finished, but not let go of the socket yet: as when it was answered from within the same bytes.
    return latest !== undefined && (!latest.response.writableFinished || latest.response.socket !== null);
  }

  #onUpgrade(server: Server, request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.#answering(socket)) {
      socket.on('error', () => socket.destroy());
      socket.destroy();
      return;
    }
    if (announcesBody(pairsOf(request.rawHeaders))) {
      // Node takes what follows the head of an Upgrade request for the other protocol. Clients that offer `h2c` with
      // each request, a POST too, mean a body: the offer is ignored and the request parsed as any other.
      socket.unshift(withoutUpgrade(request, head));
      server.emit('connection', socket);
      return;
    }
    const upgrade = new UpgradeClient(request, socket, head);
    this.#begin({ request, response: upgrade.response, upgrade, expectation: 'none' });
  }

  /** What Node's parser refuses: never parsed leniently (RFC 9112 §6.3, contradictory framing among it). */
  #onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const latest = this.#latest.get(socket);
    if (error.code?.startsWith('HPE_') && latest && !latest.request.complete) {
      latest.exchange.bodyBroken();
      return;
    }
    if (!socket.writable || error.code === 'ECONNRESET' || this.#answering(socket)) {
      socket.destroy();
      return;
    }
    if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
      // A connection on which nothing ever came is closed without a word.
      if (socket.bytesRead === 0) socket.destroy();
      else writeBare(socket, plainAnswer(408, 'Request timeout', 'The request did not arrive in time.'));
      return;
    }
    writeBare(socket, plainAnswer(400, 'Bad request', 'The request is not well-formed HTTP/1.'));
  }
}

/** Node's types leave open what a server without TLS listens on. */
function socketOf(stream: Duplex): Socket {
  if (stream instanceof Socket) return stream;
  throw new TypeError('a client connection is no socket');
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, ipv6Only: host.includes(':') }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (server.listening) server.close(() => resolve());
    else resolve();
  });
}

/** Answers on a connection for which Node has made no response object, and closes it. */
function writeBare(socket: Socket, answer: Answer, moreHeaders = ''): void {
  socket.on('error', () => socket.destroy());
  socket.write(
    `HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}\r\n` +
      `Content-Type: ${answer.contentType}\r\nContent-Length: ${answer.body.length}\r\n${moreHeaders}Connection: close\r\n\r\n`,
  );
  socket.write(answer.body);
  socket.destroySoon();
}
