import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import { listOf, pairsOf } from './headers';

/** What a client sends before the dyno has agreed waits here; beyond this it is not read until then. */
const MAX_EARLY_BYTES = 64 * 1024;

/** A client that asks for another protocol, before the dyno has answered. */
export class UpgradeClient {
  readonly socket: Socket;
  /** Node gives none for such a request, but the dyno may well answer without an upgrade, and so may the router. */
  readonly response: ServerResponse;
  readonly #early: Buffer[];
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  #earlyBytes: number;

  constructor(request: IncomingMessage, socket: Socket, head: Buffer) {
    this.socket = socket;
    this.#early = head.length > 0 ? [head] : [];
    this.#earlyBytes = head.length;
    this.#onData = (chunk) => {
      this.#early.push(chunk);
      this.#earlyBytes += chunk.length;
      if (this.#earlyBytes > MAX_EARLY_BYTES) socket.pause();
    };
    // Nobody shakes hands and hangs up at once. Reading is also what makes a lost client noticed.
    this.#onEnd = () => socket.destroy();
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    // 'close' follows, which the exchange listens for; without a listener Node would end the process.
    socket.on('error', () => socket.destroy());
    this.response = new ServerResponse(request);
    this.response.shouldKeepAlive = false;
    this.response.assignSocket(socket);
    this.response.on('finish', () => {
      this.response.detachSocket(socket);
      socket.destroySoon();
    });
  }

  /** Hands over the bare socket and what was read of it, for `tunnel`. */
  takeOver(): { socket: Socket; early: Buffer } {
    this.socket.off('data', this.#onData);
    this.socket.off('end', this.#onEnd);
    this.response.detachSocket(this.socket);
    return { socket: this.socket, early: Buffer.concat(this.#early) };
  }
}

/** The bytes of the same request without its offer to upgrade, which a server may always ignore (RFC 9110 §7.8). */
export function withoutUpgrade(request: IncomingMessage, head: Buffer): Buffer {
  const headers = pairsOf(request.rawHeaders);
  const connection = listOf(headers, 'connection').filter(
    (member) => !['upgrade', 'http2-settings'].includes(member.toLowerCase()),
  );
  const lines = [
    `${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/${request.httpVersion}`,
    ...headers
      .filter(([name]) => !['connection', 'upgrade', 'http2-settings'].includes(name.toLowerCase()))
      .map(([name, value]) => `${name}: ${value}`),
    ...(connection.length > 0 ? [`Connection: ${connection.join(', ')}`] : []),
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]);
}

export interface TunnelSide {
  socket: Socket;
  /** Read from it already; belongs to the other side. */
  early: Buffer;
}

/**
 * Copies both ways until both sides have ended, one is lost, or nothing has passed for `idleMs`. Either side may end
 * its direction and go on reading.
 */
export function tunnel(
  client: TunnelSide,
  dyno: TunnelSide,
  options: { clock: Clock; idleMs: number; onBytes: (nowMs: number) => void },
): Promise<'closed' | 'idle'> {
  return new Promise((resolve) => {
    const { clock, idleMs } = options;
    let lastAt = clock.now().getTime();
    let idle = false;
    let open = 2;
    const touch = (): void => {
      lastAt = clock.now().getTime();
      options.onBytes(lastAt);
    };
    const watch = (): void => {
      const left = lastAt + idleMs - clock.now().getTime();
      if (left > 0) {
        cancel = clock.after(left, watch);
        return;
      }
      idle = true;
      client.socket.destroy();
      dyno.socket.destroy();
    };
    let cancel = clock.after(idleMs, watch);
    const join = (from: TunnelSide, to: TunnelSide): void => {
      let ended = false;
      // 'end' comes only with a listener for it or this: Node would otherwise answer the end with its own.
      from.socket.allowHalfOpen = true;
      from.socket.setTimeout(0);
      from.socket.setNoDelay(true);
      if (from.early.length > 0) to.socket.write(from.early);
      from.socket.on('data', (chunk) => {
        touch();
        if (!to.socket.write(chunk)) from.socket.pause();
      });
      to.socket.on('drain', () => {
        touch();
        from.socket.resume();
      });
      from.socket.on('end', () => {
        ended = true;
        to.socket.end();
      });
      // 'close' follows and says it to the other side.
      from.socket.on('error', () => from.socket.destroy());
      from.socket.on('close', () => {
        if (!ended) to.socket.destroy();
        open -= 1;
        if (open > 0) return;
        cancel();
        resolve(idle ? 'idle' : 'closed');
      });
      if (from.socket.destroyed) to.socket.destroy();
      else from.socket.resume();
    };
    join(client, dyno);
    join(dyno, client);
  });
}
