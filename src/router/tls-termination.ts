import type { Socket } from 'node:net';
import { createServer, type SecureContext, type Server, type TlsOptions, type TLSSocket } from 'node:tls';
import type { Logger } from '../lib/logger';
import { CertificateFiles } from './certificate-files';
import type { RouteIndex } from './route-table';

export interface TlsSettings {
  /** Holds certificates and keys as `<id>.pem`. */
  certificatesDir: string;
  /** 48 secret bytes, the same in all workers: a session that one began, another resumes (RFC 8446 §2.2). */
  ticketKeys: Buffer;
}

export interface TlsTerminationOptions extends TlsSettings {
  index: () => RouteIndex;
  /** A client may take this long for its part of the handshake. */
  handshakeTimeoutMs: number;
  /** By the protocol that was agreed on; http/1.1 where the client named none. */
  onConnection: (socket: TLSSocket, protocol: AlpnProtocol) => void;
  logger: Logger;
}

export type AlpnProtocol = 'h2' | 'http/1.1';

/**
 * Handshakes: each client gets the certificate of the host that it names (SNI, RFC 6066 §3), and others the default
 * one, so that they can be told that there is no such app. What comes out are sockets of plain bytes.
 */
export class TlsTermination {
  readonly #options: TlsTerminationOptions;
  readonly #files: CertificateFiles;
  readonly #server: Server;
  #defaultId: string | null = null;
  #changing: Promise<void> | null = null;

  constructor(options: TlsTerminationOptions) {
    this.#options = options;
    this.#files = new CertificateFiles(options.certificatesDir, options.logger);
    this.#server = createServer({
      ...this.#sessions,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: options.handshakeTimeoutMs,
      SNICallback: (host, done) => void this.#choose(host, done),
      // A client may close its half after the request.
      allowHalfOpen: true,
    });
    this.#server.on('secureConnection', (socket) => {
      options.onConnection(socket, socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1');
    });
    this.#server.on('tlsClientError', (error, socket) => {
      // Clients that do not trust the CA end here, each time.
      options.logger.debug('TLS handshake failed', { error });
      // Node has done so itself, but for one that took too long.
      socket.destroy();
    });
  }

  /** Nothing has been read from the socket yet. */
  accept(socket: Socket): void {
    // The client may have left while the default certificate was waited for, as with the first table of all.
    if (socket.destroyed) return;
    if (this.#changing === null) this.#server.emit('connection', socket);
    else void this.#changing.then(() => this.accept(socket));
  }

  /** A new table is served. */
  tableChanged(): void {
    const { table } = this.#options.index();
    const ids = table.apps.flatMap((app) => Object.values(app.certificates ?? {}));
    this.#files.retain(new Set([...ids, table.default_certificate ?? '']));
    const id = table.default_certificate ?? null;
    if (id === null || id === this.#defaultId) return;
    const changing = this.#changeDefault(id).finally(() => {
      if (this.#changing === changing) this.#changing = null;
    });
    this.#changing = changing;
  }

  /** What all contexts of the server share; without it each process would have sessions of its own. */
  get #sessions(): TlsOptions {
    return {
      minVersion: 'TLSv1.2',
      sessionIdContext: 'dynodock-router',
      ticketKeys: this.#options.ticketKeys,
    };
  }

  /** Clients without SNI get the server's own context: `#choose` is not asked for them. */
  async #changeDefault(id: string): Promise<void> {
    const pem = await this.#files.pem(id);
    if (pem === null || id !== this.#options.index().table.default_certificate) return;
    try {
      this.#server.setSecureContext({ ...this.#sessions, key: pem, cert: pem });
      this.#defaultId = id;
    } catch (error) {
      this.#options.logger.error('default certificate unusable', { id, error });
    }
  }

  async #choose(host: string, done: (error: Error | null, context?: SecureContext) => void): Promise<void> {
    const { index } = this.#options;
    const id = index().certificateOf(host);
    const context = (id === null ? null : await this.#files.context(id)) ?? (await this.#byDefault());
    if (context === null) done(new Error('no certificate to serve'));
    else done(null, context);
  }

  async #byDefault(): Promise<SecureContext | null> {
    const id = this.#options.index().table.default_certificate ?? null;
    return id === null ? null : this.#files.context(id);
  }
}
