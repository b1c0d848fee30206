import { mkdir } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { ControlServer } from './control';
import { DynoConnections } from './dyno-connections';
import type { ClientExchange } from './client';
import { Deadlines } from './deadlines';
import { Exchange, type ExchangeContext, type RouterTimeouts } from './exchange';
import { Gate, isRoutable } from './gate';
import { Http1Server } from './http1-server';
import { timestamps } from './log-line';
import { LogShipper } from './log-shipper';
import { ROUTER_PROTOCOL_VERSION, type AppRoutes, type RouteTable } from './protocol';
import { EMPTY_TABLE, RouteIndex } from './route-table';
import { Snapshot } from './snapshot';

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
  idleConnectionsPerDyno: 200,
  bufferedLogLines: 10_000,
  logBatchLines: 100,
  logFlushMs: 50,
};

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
  readonly #http1: Http1Server;
  readonly #exchanges = new Set<Exchange>();
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
    const timestamp = timestamps();
    this.#context = {
      clock,
      timeouts: this.#timeouts,
      gate: this.#gate,
      connections: this.#connections,
      firstByte: new Deadlines(clock, this.#timeouts.firstByteMs),
      idle: new Deadlines(clock, this.#timeouts.idleMs),
      index: () => this.#index,
      draining: () => this.#stopping !== null,
      enter: (app) => this.#enter(app),
      leave: (appId) => this.#leave(appId),
      log: (app_id, at, text) => this.#shipper.push({ app_id, at: timestamp(at), text }),
      ended: (exchange) => this.#exchanges.delete(exchange),
      failed: (exchange, error) => this.#failed(exchange, error),
    };
    this.#http1 = new Http1Server({
      clock,
      idleMs: this.#timeouts.clientKeepAliveMs,
      lingerMs: this.#timeouts.lingerMs,
      onExchange: (client) => this.#begin(client),
    });
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
    const closed = Promise.all([...this.#servers.map(close), this.#http1.drain()]);
    for (const exchange of this.#exchanges) exchange.closeTunnel();
    const cancel = this.#options.clock.after(this.#timeouts.drainMs, () => {
      if (this.#exchanges.size > 0) {
        this.#options.logger.warn('requests cut off by the stop', { count: this.#exchanges.size });
      }
      for (const exchange of [...this.#exchanges]) exchange.forceClose();
      this.#http1.destroy();
    });
    await closed;
    cancel();
    this.#context.firstByte.stop();
    this.#context.idle.stop();
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

  async #listen(): Promise<void> {
    let missing: unknown = null;
    for (const host of this.#options.listen.hosts) {
      // A client may end its side and wait for its answer.
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) =>
        this.#http1.accept(socket),
      );
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

  #begin(client: ClientExchange): void {
    const exchange = new Exchange(this.#context, client);
    this.#exchanges.add(exchange);
    try {
      exchange.run();
    } catch (error) {
      this.#failed(exchange, error);
    }
  }

  /** A bug of ours: the client shall not wait for it to be found. */
  #failed(exchange: Exchange, error: unknown): void {
    this.#options.logger.error('request handling failed', { error });
    exchange.brokenDown();
  }
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
