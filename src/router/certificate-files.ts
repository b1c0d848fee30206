import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Logger } from '../lib/logger';

export interface ServedCertificate {
  context: SecureContext;
  /** The server's own, of the chain. */
  certificate: X509Certificate;
}

/** Certificates by id, read when a client first asks for them. */
export class CertificateFiles {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #served = new Map<string, Promise<ServedCertificate | null>>();

  /** `folder` holds `<id>.pem`, each a key and its chain, written by the daemon. */
  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** null when there is no such file: the daemon has removed it, and a table without it is on its way. */
  get(id: string): Promise<ServedCertificate | null> {
    const known = this.#served.get(id);
    if (known) return known;
    const loading = this.#load(id).then((served) => {
      // Looked for again next time.
      if (served === null) this.#served.delete(id);
      return served;
    });
    this.#served.set(id, loading);
    return loading;
  }

  /** Forgets all others. */
  retain(ids: ReadonlySet<string>): void {
    for (const id of this.#served.keys()) if (!ids.has(id)) this.#served.delete(id);
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

  async #load(id: string): Promise<ServedCertificate | null> {
    const pem = await this.pem(id);
    if (pem === null) return null;
    try {
      return { context: createSecureContext({ key: pem, cert: pem }), certificate: new X509Certificate(pem) };
    } catch (error) {
      this.#logger.error('certificate file unusable', { id, error });
      return null;
    }
  }
}
