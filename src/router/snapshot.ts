import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../lib/logger';
import { readRouteTable } from './messages';
import type { RouteTable } from './protocol';

/** The last table on disk, so that a restarted router serves before any daemon has called. */
export class Snapshot {
  readonly #path: string;
  readonly #logger: Logger;
  #newest: RouteTable | null = null;
  #writing: Promise<void> | null = null;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /** null when there is none or it cannot be used: the daemon will send a new one. */
  async read(): Promise<RouteTable | null> {
    try {
      return readRouteTable(JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#logger.warn('route table snapshot unusable, starting empty', { error });
      }
      return null;
    }
  }

  /** Writes in the background, one file at a time; of several tables only the newest is written. */
  save(table: RouteTable): void {
    this.#newest = table;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
      // One that came between the last look and here.
      if (this.#newest !== null) this.save(this.#newest);
    });
  }

  /** Resolves once all that was saved is on disk. */
  async stop(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#newest !== null) {
      const table = this.#newest;
      this.#newest = null;
      try {
        await writeWhole(this.#path, JSON.stringify(table));
      } catch (error) {
        // Serving goes on from memory; only a restart before the next table would miss this one.
        this.#logger.error('route table snapshot not written', { error });
      }
    }
  }
}

/** Readers see the old file or the new one, never half of one, over a power cut too. */
async function writeWhole(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
