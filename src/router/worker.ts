import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { Activity, type ParkAnswer } from './activity';
import type { ClientExchange } from './client';
import { Deadlines } from './deadlines';
import { DynoConnections } from './dyno-connections';
import { Exchange, type ExchangeContext, type RouterTimeouts } from './exchange';
import { Gate, isRoutable, type WakeNews } from './gate';
import { Http1Server } from './http1-server';
import { Http2Server } from './http2-server';
import type { RouterLimits } from './limits';
import { timestamps } from './log-line';
import type { AppRoutes, RouterLogLine, RouteTable } from './protocol';
import { EMPTY_TABLE, RouteIndex } from './route-table';
import { TlsTermination, type TlsSettings } from './tls-termination';

export interface RouterWorkerOptions {
  clock: Clock;
  logger: Logger;
  timeouts: RouterTimeouts;
  limits: RouterLimits;
  /** null = no connection of it comes. */
  tls: TlsSettings | null;
  /** 0 ≤ x < 1, chooses dynos. */
  random: () => number;
  log: (line: RouterLogLine) => void;
  /** What the gate has to say of wakes. false when no daemon hears it; `daemonConnected` says it again. */
  wakes: (message: WakeNews) => boolean;
  /** An app has had no traffic here for long. */
  quiet: (appId: string) => void;
}

/** Which of the ports a connection came to. */
export type Scheme = 'http' | 'https';

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
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #tls: TlsTermination | null;
  readonly #exchanges = new Set<Exchange>();
  readonly #active = new Map<string, number>();
  #index = new RouteIndex(EMPTY_TABLE);
  #state: 'serving' | 'draining' | 'stopped' = 'serving';
  #stopped: Promise<void> | null = null;

  constructor(options: RouterWorkerOptions) {
    this.#options = options;
    const { clock, timeouts, limits } = options;
    this.#gate = new Gate({ clock, send: options.wakes, maxWaiting: limits.waitingPerApp });
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
    const timestamp = timestamps();
    this.#context = {
      clock,
      timeouts,
      gate: this.#gate,
      activity: this.#activity,
      connections: this.#connections,
      firstByte: new Deadlines(clock, timeouts.firstByteMs),
      idle: new Deadlines(clock, timeouts.idleMs),
      index: () => this.#index,
      draining: () => this.#state !== 'serving',
      enter: (app) => this.#enter(app),
      leave: (appId) => this.#leave(appId),
      log: (app_id, at, text) => options.log({ app_id, at: timestamp(at), text }),
      ended: (exchange) => this.#exchanges.delete(exchange),
      failed: (exchange, error) => this.#failed(exchange, error),
    };
    this.#http1 = new Http1Server({
      clock,
      idleMs: timeouts.clientKeepAliveMs,
      lingerMs: timeouts.lingerMs,
      onExchange: (client) => this.#begin(client),
    });
    this.#http2 = new Http2Server({
      clock,
      idleMs: timeouts.clientKeepAliveMs,
      onExchange: (client) => this.#begin(client),
      logger: options.logger,
    });
    this.#tls =
      options.tls &&
      new TlsTermination({
        ...options.tls,
        index: () => this.#index,
        handshakeTimeoutMs: timeouts.clientKeepAliveMs,
        onConnection: (socket, tls, protocol) => {
          if (this.#state === 'stopped') socket.destroy();
          else if (protocol === 'h2') this.#http2.accept(socket, tls);
          else this.#http1.accept(socket, tls);
        },
        logger: options.logger,
      });
  }

  /** The table that is served. */
  get table(): RouteTable {
    return this.#index.table;
  }

  apply(table: RouteTable): void {
    this.#index = new RouteIndex(table);
    this.#tls?.tableChanged();
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

  /** Ids of the apps that are parked. */
  get parked(): string[] {
    return this.#activity.parked;
  }

  /** Holds the app's requests from now on, so that it can be put to sleep, if nothing is under way. */
  park(appId: string, atOnce: boolean): ParkAnswer {
    return this.#activity.park(appId, atOnce);
  }

  unpark(appId: string): void {
    this.#activity.unpark(appId);
  }

  /** Serves a client's connection, of which nothing has been read yet. */
  accept(socket: Socket, scheme: Scheme): void {
    if (this.#state === 'stopped' || (scheme === 'https' && this.#tls === null)) {
      socket.destroy();
      return;
    }
    // A client may close its half after the request and wait for its answer.
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    if (scheme === 'https') this.#tls?.accept(socket);
    else this.#http1.accept(socket);
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
    const drained = Promise.all([this.#http1.drain(), this.#http2.drain()]);
    for (const exchange of this.#exchanges) exchange.closeTunnel();
    const cancel = this.#options.clock.after(this.#options.timeouts.drainMs, () => {
      if (this.#exchanges.size > 0) {
        this.#options.logger.warn('requests cut off by the stop', { count: this.#exchanges.size });
      }
      for (const exchange of [...this.#exchanges]) exchange.forceClose();
      this.#http1.destroy();
      this.#http2.destroy();
    });
    await drained;
    cancel();
    // Only handshakes are left.
    this.#tls?.destroy();
    this.#context.firstByte.stop();
    this.#context.idle.stop();
    this.#state = 'stopped';
    this.#activity.stop();
    this.#connections.stop();
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
