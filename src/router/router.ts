import { mkdir } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { ControlServer } from './control';
import type { RouterTimeouts } from './exchange';
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS, type RouterLimits } from './limits';
import { LogShipper } from './log-shipper';
import { ROUTER_PROTOCOL_VERSION, type RouteTable } from './protocol';
import { Snapshot } from './snapshot';
import { Parking, type ParkingPlace } from './parking';
import { RouterWorker } from './worker';

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
  readonly #control: ControlServer;
  readonly #snapshot: Snapshot;
  readonly #shipper: LogShipper;
  readonly #worker: RouterWorker;
  readonly #parking: Parking;
  readonly #servers: Server[] = [];
  #httpPort = 0;
  #stopping: Promise<void> | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { clock, logger, dataDir } = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#snapshot = new Snapshot(options.snapshotPath ?? join(dataDir, 'router-table.json'), logger);
    this.#control = new ControlServer({
      socketPath: options.socketPath ?? join(dataDir, 'router.sock'),
      logger,
      hello: () => ({
        type: 'hello',
        protocol: ROUTER_PROTOCOL_VERSION,
        pid: process.pid,
        table_version: this.tableVersion,
        http_port: this.#httpPort,
      }),
      onTable: (table) => this.#apply(table),
      onShutdown: () => {
        logger.info('daemon asked the router to stop');
        options.onShutdown?.();
      },
      onPark: (appId) => void this.#parking.park(appId),
      onStayAwake: (appId) => this.#parking.unpark(appId),
      onDaemon: () => {
        this.#shipper.flush();
        this.#worker.daemonConnected();
      },
    });
    this.#shipper = new LogShipper({
      clock,
      send: (message) => this.#control.send(message),
      flushMs: limits.logFlushMs,
      maxBatch: limits.logBatchLines,
      maxBuffered: limits.bufferedLogLines,
    });
    this.#worker = new RouterWorker({
      clock,
      logger,
      timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
      limits,
      random: options.random ?? Math.random,
      log: (line) => this.#shipper.push(line),
      wake: (message) => this.#control.send(message),
      quiet: (appId) => void this.#parking.quiet(appId),
    });
    const own: ParkingPlace = {
      park: (appId, atOnce) => Promise.resolve(this.#worker.park(appId, atOnce)),
      unpark: (appId) => this.#worker.unpark(appId),
    };
    this.#parking = new Parking({ places: () => [own], send: (message) => this.#control.send(message) });
  }

  /** The port in use, once started. */
  get httpPort(): number {
    return this.#httpPort;
  }

  /** Version of the table that is served, 0 for none. */
  get tableVersion(): number {
    return this.#worker.table.version;
  }

  /** Serves the last known table at once. Rejects when a port or the control socket is taken. */
  async start(): Promise<void> {
    await mkdir(this.#options.dataDir, { recursive: true, mode: 0o700 });
    try {
      const table = await this.#snapshot.read();
      if (table) this.#worker.apply(table);
      await this.#listen();
      // Last, so that whoever gets through to it finds everything else ready.
      await this.#control.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#options.logger.info('router started', { port: this.#httpPort, table: this.tableVersion });
  }

  /** Lets what is under way end, for at most `drainMs`, then closes everything. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    await this.#worker.stop();
    this.#shipper.stop();
    await this.#control.stop();
    await this.#snapshot.stop();
    this.#options.logger.info('router stopped');
  }

  #apply(table: RouteTable): number {
    this.#worker.apply(table);
    this.#snapshot.save(table);
    this.#options.logger.debug('route table applied', { version: table.version, apps: table.apps.length });
    return table.version;
  }

  async #listen(): Promise<void> {
    let missing: unknown = null;
    for (const host of this.#options.listen.hosts) {
      // A client may close its half after the request. Nothing is read here, for whoever serves the connection.
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
        this.#worker.accept(socket),
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
