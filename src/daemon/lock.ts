import { randomBytes } from 'node:crypto';
import { linkSync, renameSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { sleep, systemClock } from '../lib/clock';
import { answers, listenPrivately } from '../lib/private-socket';

export class LockedError extends Error {
  override readonly name = 'LockedError';
}

/** Each attempt fails only if another process took or left the lock in that very moment. */
const ATTEMPTS = 10;
/**
 * Another one that found the socket of a killed daemon may take away, within a few milliseconds, what has replaced it
 * meanwhile (`clearAway`), and a third may be faster than its putting that back.
 */
const SETTLE_MS = 100;

/**
 * Keeps a data folder to one daemon: whoever listens on the socket has it. The kernel lets go when the process ends,
 * however it ends; the file that a killed one leaves refuses connections and is replaced.
 *
 * The socket is made under a name of its own and then linked to the lock's, which fails if that exists: of two daemons
 * that start in the same moment one loses.
 */
export class DataFolderLock {
  readonly #socketPath: string;
  #server: Server | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Throws LockedError if another daemon has the folder. */
  async acquire(): Promise<void> {
    const own = `${this.#socketPath}.${randomBytes(3).toString('hex')}`;
    const server = createServer((socket) => socket.destroy());
    await listenPrivately(server, own);
    try {
      await this.#claim(own);
      this.#server = server;
    } catch (error) {
      await close(server);
      throw error;
    } finally {
      rmSync(own, { force: true });
    }
  }

  async release(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    rmSync(this.#socketPath, { force: true });
    await close(server);
  }

  async #claim(own: string): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      if (linked(own, this.#socketPath)) {
        await sleep(systemClock, SETTLE_MS);
        if (isSameFile(own, this.#socketPath)) return;
      }
      if (await answers(this.#socketPath)) break;
      await this.#clearAway(`${own}.x`);
    }
    throw new LockedError('another daemon uses this data folder');
  }

  /** Removes what a killed daemon left. Moved first: by now it may be the socket of one that was faster. */
  async #clearAway(aside: string): Promise<void> {
    try {
      renameSync(this.#socketPath, aside);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    if (await answers(aside)) linked(aside, this.#socketPath);
    rmSync(aside, { force: true });
  }
}

/** false if there is a file of that name already. */
function linked(existing: string, name: string): boolean {
  try {
    linkSync(existing, name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isSameFile(file: string, other: string): boolean {
  return statSync(file).ino === statSync(other, { throwIfNoEntry: false })?.ino;
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
