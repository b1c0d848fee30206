import { connect, type Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import { Deadlines } from './deadlines';
import { DynoConnection } from './dyno-connection';
import type { RoutableDyno } from './gate';

export type ConnectOutcome =
  | { kind: 'connected'; connection: DynoConnection }
  | { kind: 'failed'; code: 'H19' | 'H21'; dyno: RoutableDyno; connectMs: number }
  /** Every dyno is quarantined; one may be tried again in `retryInMs`. */
  | { kind: 'quarantined'; retryInMs: number }
  | { kind: 'aborted' };

export interface DynoConnectionsOptions {
  clock: Clock;
  /** 0 ≤ x < 1: which dyno is tried. */
  random: () => number;
  connectTimeoutMs: number;
  quarantineMs: number;
  maxAttempts: number;
  keepAliveMs: number;
  maxIdlePerDyno: number;
}

/** Connections to dynos: chooses one at random, keeps idle ones, avoids those that do not accept ("HTTP Routing"). */
export class DynoConnections {
  readonly #options: DynoConnectionsOptions;
  readonly #idle = new Map<string, DynoConnection[]>();
  readonly #keepAlive: Deadlines;
  /** Until when, in ms since the epoch, by endpoint. */
  readonly #quarantine = new Map<string, number>();
  #stopped = false;

  constructor(options: DynoConnectionsOptions) {
    this.#options = options;
    this.#keepAlive = new Deadlines(options.clock, options.keepAliveMs);
  }

  /**
   * Connects to one of `dynos`, trying others while one refuses or does not answer. With `reuse` an idle connection
   * will do; it is there at once. `prefer` is the id of the dyno to be tried first, if it is there. `signal` is asked for
   * only when a connection has to be made.
   */
  connect(
    dynos: readonly RoutableDyno[],
    options: { reuse: boolean; prefer?: string | null; signal: () => AbortSignal },
  ): ConnectOutcome | Promise<ConnectOutcome> {
    const left = this.#usable(dynos);
    const preferred = options.prefer == null ? -1 : left.findIndex(({ id }) => id === options.prefer);
    const first = preferred === -1 ? Math.floor(this.#options.random() * left.length) : preferred;
    const dyno = left[first];
    if (dyno === undefined) {
      const now = this.#options.clock.now().getTime();
      const until = Math.min(...dynos.map((one) => this.#quarantine.get(keyOf(one)) ?? now));
      return { kind: 'quarantined', retryInMs: Math.max(1, until - now) };
    }
    const kept = options.reuse ? this.#takeIdle(dyno) : null;
    if (kept !== null) return { kind: 'connected', connection: kept };
    return this.#dialOneOf([...left], first, options);
  }

  /** Keeps a connection whose exchange is over for the next request. */
  release(connection: DynoConnection): void {
    const { socket, key } = connection;
    connection.user = null;
    let idle = this.#idle.get(key);
    if (
      this.#stopped ||
      socket.destroyed ||
      !socket.writable ||
      (idle !== undefined && idle.length >= this.#options.maxIdlePerDyno)
    ) {
      socket.destroy();
      return;
    }
    if (idle === undefined) {
      idle = [];
      this.#idle.set(key, idle);
    }
    idle.push(connection);
    connection.onIdleOver = this.#forget;
    this.#keepAlive.set(connection.deadline);
    if (socket.isPaused()) socket.resume();
  }

  /** Closes the idle connections to dynos that are no longer routed to; those at work go on. */
  retain(dynos: readonly RoutableDyno[]): void {
    const kept = new Set(dynos.map(keyOf));
    for (const [key, idle] of [...this.#idle]) {
      if (kept.has(key)) continue;
      this.#idle.delete(key);
      for (const connection of idle) connection.socket.destroy();
    }
  }

  stop(): void {
    this.#stopped = true;
    this.retain([]);
    this.#keepAlive.stop();
  }

  /** Those that are not quarantined. */
  #usable(dynos: readonly RoutableDyno[]): readonly RoutableDyno[] {
    if (this.#quarantine.size === 0) return dynos;
    const now = this.#options.clock.now().getTime();
    for (const [key, until] of this.#quarantine) {
      if (until <= now) this.#quarantine.delete(key);
    }
    return dynos.filter((dyno) => !this.#quarantine.has(keyOf(dyno)));
  }

  async #dialOneOf(
    left: RoutableDyno[],
    first: number,
    options: { reuse: boolean; signal: () => AbortSignal },
  ): Promise<ConnectOutcome> {
    const { clock, random, maxAttempts, quarantineMs } = this.#options;
    let failed: ConnectOutcome = { kind: 'aborted' };
    for (let attempt = 0; attempt < maxAttempts && left.length > 0; attempt++) {
      const [dyno] = left.splice(attempt === 0 ? first : Math.floor(random() * left.length), 1);
      if (!dyno) break;
      const kept = options.reuse ? this.#takeIdle(dyno) : null;
      if (kept !== null) return { kind: 'connected', connection: kept };
      const startedAt = clock.now().getTime();
      const result = await this.#dial(dyno, options.signal());
      const connectMs = clock.now().getTime() - startedAt;
      if (result === 'aborted') return { kind: 'aborted' };
      if (typeof result !== 'string') {
        return { kind: 'connected', connection: new DynoConnection(dyno, keyOf(dyno), result, connectMs) };
      }
      this.#quarantine.set(keyOf(dyno), clock.now().getTime() + quarantineMs);
      failed = { kind: 'failed', code: result, dyno, connectMs };
    }
    return failed;
  }

  #takeIdle(dyno: RoutableDyno): DynoConnection | null {
    const idle = this.#idle.get(keyOf(dyno));
    // The youngest one is the least likely to be closed by the dyno at this very moment.
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      connection.deadline.clear();
      connection.onIdleOver = null;
      if (connection.socket.destroyed || !connection.socket.writable) continue;
      connection.reused = true;
      connection.connectMs = 0;
      connection.dyno = dyno;
      return connection;
    }
    return null;
  }

  readonly #forget = (connection: DynoConnection): void => {
    const idle = this.#idle.get(connection.key);
    const at = idle?.lastIndexOf(connection) ?? -1;
    if (at !== -1) idle?.splice(at, 1);
  };

  #dial(dyno: RoutableDyno, signal: AbortSignal): Promise<Socket | 'H19' | 'H21' | 'aborted'> {
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve('aborted');
        return;
      }
      const socket = connect({ host: dyno.endpoint.host, port: dyno.endpoint.port, noDelay: true });
      const settle = (result: Socket | 'H19' | 'H21' | 'aborted'): void => {
        cancel();
        signal.removeEventListener('abort', onAbort);
        socket.off('connect', onConnect);
        if (result === socket) socket.off('error', onError);
        else socket.destroy();
        resolve(result);
      };
      const onConnect = (): void => settle(socket);
      const onAbort = (): void => settle('aborted');
      // The network may give up before we do.
      const onError = (error: NodeJS.ErrnoException): void =>
        settle(error.code === 'ETIMEDOUT' ? 'H19' : 'H21');
      const cancel = this.#options.clock.after(this.#options.connectTimeoutMs, () => settle('H19'));
      signal.addEventListener('abort', onAbort, { once: true });
      socket.on('connect', onConnect);
      socket.on('error', onError);
    });
  }
}

/** A dyno that comes back at another address is another one to connect to. */
function keyOf(dyno: RoutableDyno): string {
  return `${dyno.id} ${dyno.endpoint.host} ${dyno.endpoint.port}`;
}
