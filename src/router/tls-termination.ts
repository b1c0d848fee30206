import type { Socket } from 'node:net';
import { createServer, type SecureContext, type Server, type TlsOptions, type TLSSocket } from 'node:tls';
import type { Logger } from '../lib/logger';
import { CertificateFiles, type ServedCertificate } from './certificate-files';
import type { ClientTls } from './client';
import { hostnameOf, type RouteIndex } from './route-table';

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
  onConnection: (socket: TLSSocket, tls: ClientTls, protocol: AlpnProtocol) => void;
  logger: Logger;
}

/** Forward secrecy and AEAD only, as HTTP/2 wants it too (RFC 9113 §9.2.2). */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

export type AlpnProtocol = 'h2' | 'http/1.1';

/**
 * Handshakes: each client gets the certificate of the host that it names (SNI, RFC 6066 §3), and others the default
 * one, so that they can be told that there is no such app. What comes out are sockets of plain bytes.
 */
export class TlsTermination {
  readonly #options: TlsTerminationOptions;
  readonly #files: CertificateFiles;
  readonly #server: Server;
  /** Bare ones; Node does not tell which secure one belongs to which. */
  readonly #sockets = new Set<Socket>();
  #defaultId: string | null = null;
  #changing: Promise<void> | null = null;

  constructor(options: TlsTerminationOptions) {
    this.#options = options;
    this.#files = new CertificateFiles(options.certificatesDir, options.logger);
    this.#server = createServer({
      ...this.#shared,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: options.handshakeTimeoutMs,
      SNICallback: (host, done) => void this.#choose(host, done),
      // A client may close its half after the request.
      allowHalfOpen: true,
    });
    this.#server.on('secureConnection', (socket) => void this.#handOver(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      // Clients that do not trust the CA end here, each time.
      options.logger.debug('TLS handshake failed', { error });
      // Node has done so itself, but for one that took too long.
      socket.destroy();
    });
  }

  /** Nothing has been read from the socket yet. */
  accept(socket: Socket): void {
    this.#sockets.add(socket);
    const forget = (): void => void this.#sockets.delete(socket);
    socket.once('close', forget);
    // Told by the secure socket too, which closes this one.
    socket.on('error', forget);
    this.#shakeHands(socket);
  }

  /** Closes all connections: those that are served already, and handshakes that go on. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #shakeHands(socket: Socket): void {
    // The client may have left while the default certificate was waited for, as with the first table of all.
    if (socket.destroyed) return;
    if (this.#changing === null) this.#server.emit('connection', socket);
    else void this.#changing.then(() => this.#shakeHands(socket));
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

  /** Of the server and of each default context: Node takes over nothing from one to the next. */
  get #shared(): TlsOptions {
    return {
      minVersion: 'TLSv1.2',
      // Else Node takes the process's arguments, and workers would not know each other's sessions.
      sessionIdContext: 'dynodock-router',
      ticketKeys: this.#options.ticketKeys,
      // Node adds the certificate that SNI chose to the default one, and only one of the same key type takes its place;
      // then OpenSSL chooses. With an RSA default and our order, ECDSA first (in TLS 1.3 that is OpenSSL's own),
      // instead of the client's, it is always the one that was meant.
      ciphers: CIPHERS,
      honorCipherOrder: true,
    };
  }

  /** Clients without SNI get the server's own context: `#choose` is not asked for them. */
  async #changeDefault(id: string): Promise<void> {
    const pem = await this.#files.pem(id);
    if (pem === null || id !== this.#options.index().table.default_certificate) return;
    try {
      this.#server.setSecureContext({ ...this.#shared, key: pem, cert: pem });
      this.#defaultId = id;
    } catch (error) {
      this.#options.logger.error('default certificate unusable', { id, error });
    }
  }

  async #choose(host: string, done: (error: Error | null, context?: SecureContext) => void): Promise<void> {
    const served = await this.#servedFor(host);
    if (served === null) done(new Error('no certificate to serve'));
    else done(null, served.context);
  }

  async #servedFor(host: string): Promise<ServedCertificate | null> {
    const index = this.#options.index();
    const id = index.certificateOf(host);
    const byDefault = index.table.default_certificate ?? null;
    const own = id === null ? null : await this.#files.get(id);
    return own ?? (byDefault === null ? null : this.#files.get(byDefault));
  }

  async #handOver(socket: TLSSocket): Promise<void> {
    // Node's types leave it out: what the client named by SNI, false for nothing.
    const { servername } = socket as TLSSocket & { servername?: string | false };
    const serverName = typeof servername === 'string' && servername !== '' ? hostnameOf(servername) : null;
    // Not asked of the socket, which does not know it when a session was resumed.
    const served = serverName === null ? null : await this.#servedFor(serverName);
    if (socket.destroyed) return;
    const tls: ClientTls = {
      version: socket.getProtocol() === 'TLSv1.2' ? 'tlsv1.2' : 'tlsv1.3',
      serverName,
      covers: (hostname) =>
        // One who names no host, e.g. because it was given an address, has made no mistake.
        serverName === null ||
        // The common case, and right also where the client takes whatever certificate it gets.
        serverName === hostname ||
        served?.certificate.checkHost(hostname) !== undefined,
    };
    this.#options.onConnection(socket, tls, socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1');
  }
}
