import { connect, type Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import type { RoutableDyno } from './gate';

/** A connection to a dyno, for one request at a time. */
export interface DynoConnection {
  dyno: RoutableDyno;
  socket: Socket;
  /** It has carried a request before, so the dyno may just be closing it. */
  reused: boolean;
  connectMs: number;
}

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
  readonly #idle = new Map<string, { socket: Socket; forget: () => void }[]>();
  /** Until when, in ms since the epoch, by endpoint. */
  readonly #quarantine = new Map<string, number>();
  #stopped = false;

  constructor(options: DynoConnectionsOptions) {
    this.#options = options;
  }

  /**
   * Connects to one of `dynos`, trying others while one refuses or does not answer. With `reuse` an idle connection
   * will do.
   */
  async connect(
    dynos: readonly RoutableDyno[],
    options: { reuse: boolean; signal: AbortSignal },
  ): Promise<ConnectOutcome> {
    const now = this.#options.clock.now().getTime();
    for (const [key, until] of this.#quarantine) {
      if (until <= now) this.#quarantine.delete(key);
    }
    const left = dynos.filter((dyno) => !this.#quarantine.has(keyOf(dyno)));
    if (left.length === 0) {
      const until = Math.min(...dynos.map((dyno) => this.#quarantine.get(keyOf(dyno)) ?? now));
      return { kind: 'quarantined', retryInMs: Math.max(1, until - now) };
    }
    let failed: ConnectOutcome = { kind: 'aborted' };
    for (let attempt = 0; attempt < this.#options.maxAttempts && left.length > 0; attempt++) {
      const [dyno] = left.splice(Math.floor(this.#options.random() * left.length), 1);
      if (!dyno) break;
      if (options.reuse) {
        const socket = this.#takeIdle(keyOf(dyno));
        if (socket) return { kind: 'connected', connection: { dyno, socket, reused: true, connectMs: 0 } };
      }
      const startedAt = this.#options.clock.now().getTime();
      const result = await this.#dial(dyno, options.signal);
      const connectMs = this.#options.clock.now().getTime() - startedAt;
      if (result === 'aborted') return { kind: 'aborted' };
      if (typeof result !== 'string') {
        return { kind: 'connected', connection: { dyno, socket: result, reused: false, connectMs } };
      }
      this.#quarantine.set(keyOf(dyno), this.#options.clock.now().getTime() + this.#options.quarantineMs);
      failed = { kind: 'failed', code: result, dyno, connectMs };
    }
    return failed;
  }

  /** Keeps a connection whose exchange is over for the next request. */
  release(connection: DynoConnection): void {
    const { socket } = connection;
    const key = keyOf(connection.dyno);
    const idle = this.#idle.get(key) ?? [];
    if (
      this.#stopped ||
      socket.destroyed ||
      !socket.writable ||
      idle.length >= this.#options.maxIdlePerDyno
    ) {
      socket.destroy();
      return;
    }
    const drop = (): void => {
      entry.forget();
      socket.destroy();
    };
    // Whatever a dyno says unasked is part of no answer; its end, or a failure, only means a new connection next time.
    const events = ['data', 'end', 'error', 'close'] as const;
    const cancel = this.#options.clock.after(this.#options.keepAliveMs, drop);
    const entry = {
      socket,
      forget: () => {
        cancel();
        for (const event of events) socket.off(event, drop);
        const list = this.#idle.get(key);
        const at = list?.indexOf(entry) ?? -1;
        if (list && at !== -1) list.splice(at, 1);
        if (list?.length === 0) this.#idle.delete(key);
      },
    };
    for (const event of events) socket.on(event, drop);
    socket.on('error', ignoreError);
    idle.push(entry);
    this.#idle.set(key, idle);
    socket.resume();
  }

  /** Closes the idle connections to dynos that are no longer routed to; those at work go on. */
  retain(dynos: readonly RoutableDyno[]): void {
    const kept = new Set(dynos.map(keyOf));
    for (const [key, entries] of [...this.#idle]) {
      if (kept.has(key)) continue;
      for (const entry of [...entries]) {
        entry.forget();
        entry.socket.destroy();
      }
    }
  }

  stop(): void {
    this.#stopped = true;
    this.retain([]);
  }

  #takeIdle(key: string): Socket | null {
    // The youngest one is the least likely to be closed by the dyno at this very moment.
    for (let entry = this.#idle.get(key)?.at(-1); entry; entry = this.#idle.get(key)?.at(-1)) {
      entry.forget();
      if (!entry.socket.destroyed && entry.socket.writable) {
        entry.socket.off('error', ignoreError);
        return entry.socket;
      }
    }
    return null;
  }

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

/** `drop` has dealt with it; without a listener Node would end the process. */
function ignoreError(): void {
  return undefined;
}
