import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';

export class LockedError extends Error {
  override readonly name = 'LockedError';
}

/**
 * Keeps a data folder to one daemon: whoever listens on the socket has it. The kernel lets go when the process ends,
 * however it ends; the file that a killed one leaves refuses connections and is replaced.
 */
export class DataFolderLock {
  readonly #socketPath: string;
  #server: Server | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Throws LockedError if another daemon has the folder. */
  async acquire(): Promise<void> {
    if (await isHeld(this.#socketPath)) throw new LockedError('another daemon uses this data folder');
    rmSync(this.#socketPath, { force: true });
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#socketPath, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#server = server;
  }

  async release(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Does a daemon at work have the folder? */
export function isHeld(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const finish = (held: boolean): void => {
      socket.destroy();
      resolve(held);
    };
    socket.once('connect', () => finish(true));
    socket.once('error', () => finish(false));
    socket.setTimeout(2000, () => finish(false));
  });
}
