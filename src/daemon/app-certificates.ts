import { createHash, X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { KeyPair } from '../domain/sni-endpoint';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { writeSecret, type LocalAuthority } from './local-authority';

const DAY_MS = 24 * 60 * 60 * 1000;
/** No client takes a server certificate that is valid for longer (CA/Browser Forum Baseline Requirements §6.3.2). */
const DAYS = 397;
const RENEW_BEFORE_MS = 30 * DAY_MS;
const FILE = /^([0-9a-f]{64})\.pem$/;

export interface AppCertificatesOptions {
  /** Read by the router too: `<id>.pem`, each a key and its chain. */
  folder: string;
  authority: LocalAuthority;
  clock: Clock;
  logger: Logger;
  /** `forHost` would answer differently now. */
  onIssued: () => void;
}

interface Issued {
  id: string;
  expiresAtMs: number;
}

/**
 * The certificates that the router serves, as files. Each host gets one of its own from the local CA: OpenSSL and
 * browsers refuse `*.localhost`, and with a certificate per host nobody sees the names of other apps. An id is the hash
 * of the chain, so that what is behind an id never changes.
 */
export class AppCertificates {
  readonly #options: AppCertificatesOptions;
  readonly #files = new Set<string>();
  readonly #issued = new Map<string, Issued>();
  readonly #wanted = new Set<string>();
  #issuing: Promise<void> | null = null;
  #unused: ReadonlySet<string> = new Set();
  #stopped = false;

  constructor(options: AppCertificatesOptions) {
    this.#options = options;
  }

  /** Takes over what is on disk. */
  start(): void {
    const { folder } = this.#options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(folder)) {
      const id = FILE.exec(file)?.[1];
      if (id !== undefined) this.#load(id);
      // Half a file, of a daemon that was killed.
      else rmSync(path.join(folder, file), { force: true });
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wanted.clear();
    await this.#issuing;
  }

  /**
   * The id of the host's certificate; null while there is none yet, and `onIssued` is called once there is. One that
   * ends soon is replaced in the same way.
   */
  forHost(host: string): string | null {
    const issued = this.#issued.get(host);
    const now = this.#options.clock.now().getTime();
    if (issued === undefined || issued.expiresAtMs - now < RENEW_BEFORE_MS) this.#want(host);
    return issued?.id ?? null;
  }

  /** The id of a user's own; `read` is called when it is not on disk yet. null when it cannot be written. */
  forChain(certificateChain: string, read: () => KeyPair): string | null {
    const id = idOf(certificateChain);
    try {
      if (!this.#files.has(id)) this.#write(id, read());
      return id;
    } catch (error) {
      // Routing goes on without it; the next table tries again.
      this.#options.logger.error('certificate file not written', { id, error });
      return null;
    }
  }

  /**
   * Removes files of which no route table speaks any more. Only those that were found unused the time before: the
   * router may still be about to read what an older table names.
   */
  sweep(used: ReadonlySet<string>): void {
    const unused = new Set([...this.#files].filter((id) => !used.has(id)));
    for (const id of unused) {
      if (!this.#unused.has(id)) continue;
      unused.delete(id);
      this.#remove(id);
      for (const [host, issued] of this.#issued) if (issued.id === id) this.#issued.delete(host);
    }
    this.#unused = unused;
  }

  #load(id: string): void {
    const { folder, authority, logger } = this.#options;
    try {
      const certificate = new X509Certificate(readFileSync(path.join(folder, `${id}.pem`)));
      this.#files.add(id);
      // A user's own; or of a CA that was replaced since, and then nobody asks for it and it is swept.
      if (!authority.hasIssued(certificate)) return;
      const host = /^DNS:([^,]+)/.exec(certificate.subjectAltName ?? '')?.[1];
      const expiresAtMs = new Date(certificate.validTo).getTime();
      if (host === undefined || (this.#issued.get(host)?.expiresAtMs ?? 0) >= expiresAtMs) return;
      this.#issued.set(host, { id, expiresAtMs });
    } catch (error) {
      logger.warn('unreadable certificate file removed', { id, error });
      this.#remove(id);
    }
  }

  #want(host: string): void {
    if (this.#stopped) return;
    this.#wanted.add(host);
    this.#issuing ??= this.#issueWanted();
  }

  async #issueWanted(): Promise<void> {
    const { authority, clock, logger, onIssued } = this.#options;
    let count = 0;
    for (;;) {
      const [host] = this.#wanted;
      if (host === undefined) break;
      try {
        const keyPair = await authority.issue({
          dnsNames: [host],
          // Who uses an address has no name to be recognised by, and gets the default one. Its key is RSA for the
          // router's sake: see router/tls-termination.ts.
          ...(host === DEFAULT_HOST ? { ipAddresses: ['127.0.0.1', '::1'], keyType: 'RSA' as const } : {}),
          now: clock.now(),
          days: DAYS,
        });
        const id = idOf(keyPair.certificateChain);
        this.#write(id, keyPair);
        const { validTo } = new X509Certificate(keyPair.certificateChain);
        this.#issued.set(host, { id, expiresAtMs: new Date(validTo).getTime() });
        count += 1;
      } catch (error) {
        // The next table asks again.
        logger.error('no certificate could be issued', { host, error });
      }
      this.#wanted.delete(host);
    }
    this.#issuing = null;
    if (count > 0) {
      logger.info('certificates issued', { count });
      onIssued();
    }
  }

  #write(id: string, { privateKey, certificateChain }: KeyPair): void {
    writeSecret(path.join(this.#options.folder, `${id}.pem`), privateKey + certificateChain);
    this.#files.add(id);
  }

  #remove(id: string): void {
    rmSync(path.join(this.#options.folder, `${id}.pem`), { force: true });
    this.#files.delete(id);
  }
}

/** Of the certificate for clients that name no host or an unknown one. */
export const DEFAULT_HOST = 'localhost';

function idOf(certificateChain: string): string {
  return createHash('sha256').update(certificateChain).digest('hex');
}
