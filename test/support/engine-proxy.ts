import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Stands between a daemon and the engine, so that the engine can go away and come back for this daemon alone. */
export class EngineProxy {
  readonly #path: string;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  /** Both are paths of unix sockets. */
  constructor(path: string, target = '/var/run/docker.sock') {
    this.#path = path;
    this.#target = target;
  }

  get dockerHost(): string {
    return `unix://${this.#path}`;
  }

  /** Also what starts it. */
  async restore(): Promise<void> {
    if (this.#server !== undefined) return;
    rmSync(this.#path, { force: true });
    // Each side may end its half: containers read the end of their input that way.
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client));
    await new Promise<void>((resolve) => server.listen(this.#path, resolve));
    this.#server = server;
  }

  /** As when dockerd is killed: every connection breaks, and nothing listens any more. */
  async cut(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const engine = connect({ path: this.#target, allowHalfOpen: true });
    for (const [socket, other] of [
      [client, engine],
      [engine, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined); // 'close' follows.
      socket.once('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
