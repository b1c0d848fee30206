import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';

/**
 * What befalls a call: `slow` reaches the engine late; `error` is answered 500 and `reset` hung up on, both without
 * reaching it; `unanswered` takes effect, but the connection breaks before the answer, with `broken-off` amid it.
 */
export type Trouble =
  | { kind: 'slow'; delayMs: number }
  | { kind: 'error' }
  | { kind: 'reset' }
  | { kind: 'unanswered' }
  | { kind: 'broken-off' };

const BROKEN = '{"message":"the test broke this call"}';
const ERROR_ANSWER = [
  'HTTP/1.1 500 Internal Server Error',
  'Content-Type: application/json',
  `Content-Length: ${BROKEN.length}`,
  'Connection: close',
  '',
  BROKEN,
].join('\r\n');

/** Stands between a daemon and the engine, so that the engine goes away, comes back or fails for this daemon alone. */
export class EngineProxy {
  readonly #path: string;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #server: Server | undefined;
  /** Asked for each call (the daemon makes a connection for each). */
  trouble: () => Trouble | undefined = () => undefined;

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
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    this.#sockets.add(client);
    client.on('error', () => undefined); // 'close' follows.
    client.once('close', () => this.#sockets.delete(client));
    const trouble = this.trouble();
    switch (trouble?.kind) {
      case undefined:
        this.#connect(client);
        return;
      case 'slow': {
        const timer = setTimeout(() => {
          this.#timers.delete(timer);
          if (!client.destroyed) this.#connect(client);
        }, trouble.delayMs);
        this.#timers.add(timer);
        return;
      }
      case 'error':
        client.once('data', () => client.end(ERROR_ANSWER));
        return;
      case 'reset':
        client.once('data', () => client.destroy());
        return;
      case 'unanswered':
        this.#connect(client, () => client.destroy());
        return;
      case 'broken-off':
        this.#connect(client, (answer) => {
          client.write(answer.subarray(0, -1), () => client.destroy());
        });
        return;
    }
  }

  /** `onAnswer` gets the first of the answer in the client's place, and there is no more of it then. */
  #connect(client: Socket, onAnswer?: (answer: Buffer) => void): void {
    const engine = connect({ path: this.#target, allowHalfOpen: true });
    this.#sockets.add(engine);
    engine.on('error', () => undefined); // As above.
    engine.once('close', () => {
      this.#sockets.delete(engine);
      client.destroy();
    });
    client.once('close', () => engine.destroy());
    client.pipe(engine);
    if (onAnswer === undefined) engine.pipe(client);
    else engine.once('data', onAnswer);
  }
}
