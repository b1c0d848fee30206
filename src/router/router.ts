import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { forkScript } from '../lib/process';
import type { WorkerTimings } from './child-worker';
import { ControlServer } from './control';
import type { RouterTimeouts } from './exchange';
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS, type RouterLimits } from './limits';
import { LogShipper } from './log-shipper';
import { ROUTER_PROTOCOL_VERSION, type RouteTable } from './protocol';
import { Snapshot } from './snapshot';
import { RouterWorker, type Scheme } from './worker';
import { Parking, type ParkingPlace } from './parking';
import { WakeRelay } from './wake-relay';
import type { WorkerNews } from './worker-messages';
import { DEFAULT_WORKER_TIMINGS, WorkerPool } from './worker-pool';

export interface RouterOptions {
  /** Made if absent, for its owner only. */
  dataDir: string;
  /** Default: `router.sock` in `dataDir`. A unix socket's path has at most about 100 bytes. */
  socketPath?: string;
  /** Default: `router-table.json` in `dataDir`. */
  snapshotPath?: string;
  /** Port 0 = any free one, the same for all hosts. A host this machine does not have (no IPv6) is left out. */
  listen: { hosts: readonly string[]; httpPort: number; httpsPort?: number };
  /** Where the daemon puts certificates; needed with `httpsPort`. Default: `certificates` in `dataDir`. */
  certificatesDir?: string;
  clock: Clock;
  logger: Logger;
  timeouts?: Partial<RouterTimeouts>;
  limits?: Partial<RouterLimits>;
  /** Processes that serve connections, this one among them. Default 1. */
  workers?: number;
  /** Starts one of the further ones. */
  forkWorker?: () => ChildProcess;
  workerTimings?: Partial<WorkerTimings>;
  /** 0 ≤ x < 1, chooses dynos. Default Math.random. */
  random?: () => number;
  /** The daemon asks the router to end: call `stop`. */
  onShutdown?: () => void;
}

/** Without its extension: Node finds what it was compiled to. */
const WORKER_SCRIPT = join(__dirname, 'worker-process');
/** This process's own number among the workers; the others count from 1. */
const OWN = 0;

/**
 * Moves bytes between clients and dynos by the daemon's route table, and serves on while the daemon is away. This is the
 * router's primary process: it has the ports, the link to the daemon and the table on disk, serves connections itself
 * and hands others to further worker processes.
 */
export class Router {
  readonly #options: RouterOptions;
  readonly #control: ControlServer;
  readonly #snapshot: Snapshot;
  readonly #shipper: LogShipper;
  readonly #wakes: WakeRelay;
  readonly #worker: RouterWorker;
  readonly #pool: WorkerPool;
  readonly #parking: Parking;
  readonly #servers: Server[] = [];
  #httpPort = 0;
  #httpsPort: number | null = null;
  #stopping: Promise<void> | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { clock, logger, dataDir } = options;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
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
        ...(this.#httpsPort === null ? {} : { https_port: this.#httpsPort }),
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
        this.#wakes.clear();
        this.#worker.daemonConnected();
        this.#pool.daemonConnected();
      },
    });
    this.#shipper = new LogShipper({
      clock,
      send: (message) => this.#control.send(message),
      flushMs: limits.logFlushMs,
      maxBatch: limits.logBatchLines,
      maxBuffered: limits.bufferedLogLines,
    });
    this.#wakes = new WakeRelay({ clock, send: (message) => this.#control.send(message) });
    const tls =
      options.listen.httpsPort === undefined
        ? null
        : {
            certificatesDir: options.certificatesDir ?? join(dataDir, 'certificates'),
            ticketKeys: randomBytes(48),
          };
    this.#worker = new RouterWorker({
      clock,
      logger,
      timeouts,
      limits,
      tls,
      random: options.random ?? Math.random,
      log: (line) => this.#shipper.push(line),
      wakes: (message) => this.#wakes.relay(OWN, message),
      quiet: (appId) => void this.#parking.quiet(appId),
    });
    this.#pool = new WorkerPool({
      size: (options.workers ?? 1) - 1,
      fork: options.forkWorker ?? (() => forkScript(WORKER_SCRIPT)),
      clock,
      logger,
      timings: { ...DEFAULT_WORKER_TIMINGS, ...options.workerTimings },
      drainMs: timeouts.drainMs,
      startOrder: () => ({
        type: 'start',
        timeouts,
        limits,
        tls: tls && { certificates_dir: tls.certificatesDir, ticket_keys: tls.ticketKeys.toString('base64') },
        table: this.#worker.table,
        parked: this.#worker.parked,
      }),
      onNews: (worker, news) => this.#pass(worker, news),
      serve: (socket, scheme) => this.#worker.accept(socket, scheme),
    });
    const own: ParkingPlace = {
      park: (appId, atOnce) => Promise.resolve(this.#worker.park(appId, atOnce)),
      unpark: (appId) => this.#worker.unpark(appId),
    };
    this.#parking = new Parking({
      places: () => [own, ...this.#pool.serving],
      send: (message) => this.#control.send(message),
    });
  }

  /** The port in use, once started. */
  get httpPort(): number {
    return this.#httpPort;
  }

  /** null without one. */
  get httpsPort(): number | null {
    return this.#httpsPort;
  }

  /** Version of the table that is served, 0 for none. */
  get tableVersion(): number {
    return this.#worker.table.version;
  }

  /** Process ids of the further workers that are ready. */
  get workerPids(): number[] {
    return this.#pool.pids;
  }

  /** Serves the last known table at once. Rejects when a port or the control socket is taken. */
  async start(): Promise<void> {
    await mkdir(this.#options.dataDir, { recursive: true, mode: 0o700 });
    try {
      const table = await this.#snapshot.read();
      if (table) this.#worker.apply(table);
      await this.#listen();
      // After all that is needed to serve, so that whoever gets through to it finds everything else ready.
      await this.#control.start();
      this.#pool.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#options.logger.info('router started', {
      port: this.#httpPort,
      httpsPort: this.#httpsPort,
      table: this.tableVersion,
    });
  }

  /** Lets what is under way end, for at most `drainMs`, then closes everything. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends the further processes at once, for when this one is about to exit without waiting. */
  killWorkers(): void {
    this.#pool.kill();
  }

  async #stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    await Promise.all([this.#worker.stop(), this.#pool.stop()]);
    this.#wakes.stop();
    this.#shipper.stop();
    await this.#control.stop();
    await this.#snapshot.stop();
    this.#options.logger.info('router stopped');
  }

  async #apply(table: RouteTable): Promise<void> {
    this.#wakes.clear();
    this.#worker.apply(table);
    this.#snapshot.save(table);
    await this.#pool.apply(table);
    this.#options.logger.debug('route table applied', { version: table.version, apps: table.apps.length });
  }

  /** What another worker has to say. */
  #pass(worker: number, news: WorkerNews): void {
    switch (news.type) {
      case 'log':
        for (const line of news.lines) this.#shipper.push(line);
        return;
      case 'wake':
      case 'woken':
        // That no daemon hears it needs no answer: each one that connects is told anew.
        this.#wakes.relay(worker, news);
        return;
      case 'quiet':
        void this.#parking.quiet(news.app_id);
        return;
    }
  }

  async #listen(): Promise<void> {
    const { httpPort, httpsPort } = this.#options.listen;
    this.#httpPort = await this.#open('http', httpPort);
    if (httpsPort !== undefined) this.#httpsPort = await this.#open('https', httpsPort);
  }

  /** Listens on the same port of all hosts, and answers which that is. */
  async #open(scheme: Scheme, wanted: number): Promise<number> {
    let port = wanted;
    let missing: unknown = null;
    let found = false;
    for (const host of this.#options.listen.hosts) {
      // A client may close its half after the request. Nothing is read here, for whoever serves the connection.
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
        this.#pool.accept(socket, scheme),
      );
      try {
        await listen(server, host, port);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT') throw error;
        this.#options.logger.warn('address not available, left out', { host });
        missing = error;
        continue;
      }
      this.#servers.push(server);
      ({ port } = server.address() as AddressInfo);
      found = true;
    }
    if (!found) throw new Error('no address to listen on', { cause: missing });
    return port;
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
