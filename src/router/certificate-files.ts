import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Logger } from '../lib/logger';

/** TLS contexts by the id of their certificate, read when a client first asks for them. */
export class CertificateFiles {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #contexts = new Map<string, Promise<SecureContext | null>>();

  /** `folder` holds `<id>.pem`, each a key and its chain, written by the daemon. */
  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** null when there is no such file: the daemon has removed it, and a table without it is on its way. */
  context(id: string): Promise<SecureContext | null> {
    const known = this.#contexts.get(id);
    if (known) return known;
    const loading = this.#load(id).then((context) => {
      // Looked for again next time.
      if (context === null) this.#contexts.delete(id);
      return context;
    });
    this.#contexts.set(id, loading);
    return loading;
  }

  /** Forgets all others. */
  retain(ids: ReadonlySet<string>): void {
    for (const id of this.#contexts.keys()) if (!ids.has(id)) this.#contexts.delete(id);
  }

  /** Key and chain in one text; of each kind OpenSSL picks what it is asked for. */
  async pem(id: string): Promise<Buffer | null> {
    try {
      return await readFile(join(this.#folder, `${id}.pem`));
    } catch (error) {
      this.#logger.warn('certificate file missing', { id, error });
      return null;
    }
  }

  async #load(id: string): Promise<SecureContext | null> {
    const pem = await this.pem(id);
    if (pem === null) return null;
    try {
      return createSecureContext({ key: pem, cert: pem });
    } catch (error) {
      this.#logger.error('certificate file unusable', { id, error });
      return null;
    }
  }
}
