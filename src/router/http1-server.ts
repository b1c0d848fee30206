import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import { deferred } from '../lib/deferred';
import type { ClientExchange, ClientTls } from './client';
import { Deadlines } from './deadlines';
import { Http1Connection, type Http1Context } from './http1-connection';

export interface Http1ServerOptions {
  clock: Clock;
  /** A connection without a request, and one with half a head, may last so long. */
  idleMs: number;
  /** A client that still sends after its answer is read on for so long. */
  lingerMs: number;
  onExchange: (client: ClientExchange) => void;
}

/** Speaks HTTP/1 on the connections that it is given. */
export class Http1Server {
  readonly #context: Http1Context;
  readonly #connections = new Set<Http1Connection>();
  readonly #drained = deferred<undefined>();

  constructor(options: Http1ServerOptions) {
    const { clock, idleMs, lingerMs, onExchange } = options;
    this.#context = {
      clock,
      idle: new Deadlines(clock, idleMs),
      linger: new Deadlines(clock, lingerMs),
      keepAlive: `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(idleMs / 1000)}\r\n`,
      draining: false,
      date: dateOf(clock),
      onExchange,
      onClosed: (connection) => {
        this.#connections.delete(connection);
        this.#settle();
      },
    };
  }

  /** Takes over a socket that is connected, and secure if it is to be. Nothing may have been read from it. */
  accept(socket: Socket, tls: ClientTls | null = null): void {
    this.#connections.add(new Http1Connection(this.#context, socket, tls));
  }

  /** Closes what is idle now and the rest as it becomes idle; resolves when none is left. */
  async drain(): Promise<void> {
    this.#context.draining = true;
    for (const connection of this.#connections) connection.closeIfIdle();
    this.#settle();
    await this.#drained.promise;
    this.#context.idle.stop();
    this.#context.linger.stop();
  }

  /** Cuts everything off. */
  destroy(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  #settle(): void {
    if (this.#context.draining && this.#connections.size === 0) this.#drained.resolve(undefined);
  }
}

/** The time as a Date header says it, made once a second. */
function dateOf(clock: Clock): () => string {
  let second = 0;
  let text = '';
  return () => {
    const now = clock.now();
    const current = Math.floor(now.getTime() / 1000);
    if (current !== second) {
      second = current;
      text = now.toUTCString();
    }
    return text;
  };
}
