import {
  createServer,
  STATUS_CODES,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { Activity, type ParkAnswer } from './activity';
import { DynoConnections } from './dyno-connections';
import { plainAnswer, type Answer } from './errors';
import { Exchange, type ExchangeContext, type Expectation, type RouterTimeouts } from './exchange';
import { Forwarder } from './forward';
import { Gate, isRoutable } from './gate';
import { announcesBody, pairsOf } from './headers';
import type { RouterLimits } from './limits';
import type { AppRoutes, RouterLogLine, RouterMessage, RouteTable } from './protocol';
import { EMPTY_TABLE, RouteIndex } from './route-table';
import { UpgradeClient, withoutUpgrade } from './upgrade';

/** The whole head; single lines are judged in request-head.ts, where the refusal gets its log line. */
const MAX_REQUEST_HEAD_BYTES = 1024 * 1024;

export interface RouterWorkerOptions {
  clock: Clock;
  logger: Logger;
  timeouts: RouterTimeouts;
  limits: RouterLimits;
  /** 0 ≤ x < 1, chooses dynos. */
  random: () => number;
  log: (line: RouterLogLine) => void;
  /** What the gate has to say of wakes. false when no daemon hears it; `daemonConnected` says it again. */
  wake: (message: RouterMessage) => boolean;
  /** An app has had no traffic here for long. */
  quiet: (appId: string) => void;
}

/**
 * The data plane of one process: serves the connections that it is given by the table that it was given. Limits per
 * dyno, quarantine and kept connections are its own, as they are each router's own at Heroku.
 */
export class RouterWorker {
  readonly #options: RouterWorkerOptions;
  readonly #context: ExchangeContext;
  readonly #gate: Gate;
  readonly #activity: Activity;
  readonly #connections: DynoConnections;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #exchanges = new Set<Exchange>();
  /** The latest exchange of a client's connection, for what comes on it later. */
  readonly #latest = new WeakMap<
    Socket,
    { exchange: Exchange; request: IncomingMessage; response: ServerResponse }
  >();
  readonly #active = new Map<string, number>();
  #index = new RouteIndex(EMPTY_TABLE);
  #state: 'serving' | 'draining' | 'stopped' = 'serving';
  #stopped: Promise<void> | null = null;
  #onLastClosed: () => void = () => undefined;

  constructor(options: RouterWorkerOptions) {
    this.#options = options;
    const { clock, timeouts, limits } = options;
    this.#gate = new Gate({ clock, send: options.wake, maxWaiting: limits.waitingPerApp });
    this.#activity = new Activity({
      clock,
      onQuiet: options.quiet,
      onUnparked: (appId) => this.#gate.release(appId),
    });
    this.#connections = new DynoConnections({
      clock,
      random: options.random,
      connectTimeoutMs: timeouts.connectMs,
      quarantineMs: timeouts.quarantineMs,
      maxAttempts: limits.connectAttempts,
      keepAliveMs: timeouts.dynoKeepAliveMs,
      maxIdlePerDyno: limits.idleConnectionsPerDyno,
    });
    this.#context = {
      clock,
      timeouts,
      gate: this.#gate,
      activity: this.#activity,
      connections: this.#connections,
      forwarder: new Forwarder(),
      index: () => this.#index,
      draining: () => this.#state !== 'serving',
      enter: (app) => this.#enter(app),
      leave: (appId) => this.#leave(appId),
      log: (app_id, at, text) => options.log({ app_id, at: at.toISOString(), text }),
      ended: (exchange) => this.#ended(exchange),
    };
    this.#server = this.#createServer();
  }

  /** The table that is served. */
  get table(): RouteTable {
    return this.#index.table;
  }

  apply(table: RouteTable): void {
    this.#index = new RouteIndex(table);
    this.#connections.retain(table.apps.flatMap((app) => app.dynos).filter(isRoutable));
    this.#activity.tableChanged(table.apps);
    this.#gate.tableChanged((appId) => this.#index.app(appId));
    for (const exchange of this.#exchanges) {
      const app = exchange.tunnelTo === null ? undefined : this.#index.app(exchange.tunnelTo);
      // A frozen dyno would keep it open and answer nothing.
      if (app !== undefined && app.dynos.length > 0 && app.dynos.every(({ state }) => state === 'idle')) {
        exchange.closeTunnel();
      }
    }
  }

  /** Holds the app's requests from now on, so that it can be put to sleep, if nothing is under way. */
  park(appId: string, atOnce: boolean): ParkAnswer {
    return this.#activity.park(appId, atOnce);
  }

  unpark(appId: string): void {
    this.#activity.unpark(appId);
  }

  /** Serves a client's connection, of which nothing has been read yet. */
  accept(socket: Socket): void {
    if (this.#state === 'stopped') {
      socket.destroy();
      return;
    }
    this.#clients.add(socket);
    socket.on('close', () => this.#forget(socket));
    // As on the sockets of an HTTP server of Node: a client may close its half after the request.
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    this.#server.emit('connection', socket);
    socket.resume();
  }

  /** Wake requests may have been lost with the daemon that heard them. */
  daemonConnected(): void {
    this.#gate.daemonConnected((appId) => this.#index.app(appId));
  }

  /** Lets what is under way end, for at most `drainMs`, then closes everything. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#state = 'draining';
    this.#server.close();
    for (const exchange of this.#exchanges) exchange.closeTunnel();
    const cancel = this.#options.clock.after(this.#options.timeouts.drainMs, () => {
      if (this.#exchanges.size > 0) {
        this.#options.logger.warn('requests cut off by the stop', { count: this.#exchanges.size });
      }
      for (const exchange of [...this.#exchanges]) exchange.forceClose();
      for (const socket of this.#clients) socket.destroy();
    });
    if (this.#clients.size > 0) await new Promise<void>((resolve) => (this.#onLastClosed = resolve));
    cancel();
    this.#state = 'stopped';
    this.#activity.stop();
    this.#connections.stop();
  }

  #forget(socket: Socket): void {
    this.#clients.delete(socket);
    // Once all others who listen for its end have heard of it: they write log lines.
    if (this.#clients.size === 0) setImmediate(this.#onLastClosed);
  }

  #enter(app: AppRoutes): boolean {
    const active = this.#active.get(app.app_id) ?? 0;
    if (active >= this.#options.limits.requestsPerDyno * Math.max(1, app.web_quantity)) return false;
    this.#active.set(app.app_id, active + 1);
    return true;
  }

  #leave(appId: string): void {
    const active = (this.#active.get(appId) ?? 0) - 1;
    if (active > 0) this.#active.set(appId, active);
    else this.#active.delete(appId);
    // More may have waited for the dyno to wake than it takes at a time.
    this.#gate.releaseOne(appId);
  }

  #ended(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
    if (this.#state === 'serving') return;
    // An answer that began before the stop promised to keep the connection; Node counts it as idle only after this.
    setImmediate(() => this.#server.closeIdleConnections());
  }

  #createServer(): Server {
    const idleMs = this.#options.timeouts.clientKeepAliveMs;
    const server = createServer({
      maxHeaderSize: MAX_REQUEST_HEAD_BYTES,
      keepAliveTimeout: idleMs,
      headersTimeout: idleMs,
      // A body takes as long as it takes, as long as it moves: the exchange watches that.
      requestTimeout: 0,
      connectionsCheckingInterval: Math.max(10, Math.ceil(idleMs / 10)),
      // Judged in request-head.ts, which answers with a page.
      requireHostHeader: false,
    });
    // Node would drop what is beyond without a word; request-head.ts counts and refuses.
    server.maxHeadersCount = 0;
    const begin =
      (expectation: Expectation) =>
      (request: IncomingMessage, response: ServerResponse): void =>
        this.#begin({ request, response, upgrade: null, expectation });
    server.on('request', begin('none'));
    server.on('checkContinue', begin('continue'));
    server.on('checkExpectation', begin('unsupported'));
    server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socketOf(socket), head));
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
    // It never listens: connections come by `accept`. Node only looks after their time limits once it "listens".
    server.emit('listening');
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
    return latest !== undefined && !latest.response.writableFinished;
  }

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.#answering(socket)) {
      socket.on('error', () => socket.destroy());
      socket.destroy();
      return;
    }
    if (announcesBody(pairsOf(request.rawHeaders))) {
      // Node takes what follows the head of an Upgrade request for the other protocol. Clients that offer `h2c` with
      // each request, a POST too, mean a body: the offer is ignored and the request parsed as any other.
      socket.unshift(withoutUpgrade(request, head));
      this.#server.emit('connection', socket);
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
