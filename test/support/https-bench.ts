import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { AppRoutes } from '../../src/router/protocol';
import type { RouterOptions } from '../../src/router/router';
import { makeCertificate, RSA, type TestCertificate } from './certificates';
import { aTable, anApp, eventually, RouterBench } from './router-client';

/** A router with an https port, and certificates as the daemon would have put them there. */
export class HttpsBench extends RouterBench {
  ca!: TestCertificate;
  readonly #clients: TLSSocket[] = [];
  readonly #sessions = new Map<TLSSocket, Buffer>();
  #default: string | undefined;

  override async start(more: Partial<RouterOptions> = {}): Promise<this> {
    this.ca = await makeCertificate({ subject: 'CN=Test CA', authority: true });
    await super.start({ listen: { hosts: ['127.0.0.1'], httpPort: 0, httpsPort: 0 }, ...more });
    return this;
  }

  get httpsPort(): number {
    return this.router.httpsPort ?? 0;
  }

  /** Issues one and puts it where the router looks; answers its id. */
  async certificate(names: string[], issuer: TestCertificate | undefined = this.ca): Promise<string> {
    return this.put(await makeCertificate({ names, issuer }));
  }

  put({ cert, key }: Pick<TestCertificate, 'cert' | 'key'>): string {
    const folder = join(this.dir, 'certificates');
    mkdirSync(folder, { recursive: true });
    const id = createHash('sha256').update(cert).digest('hex');
    writeFileSync(join(folder, `${id}.pem`), key + cert);
    return id;
  }

  /** Serves these apps, and a default certificate for `localhost`. */
  async serve(...apps: AppRoutes[]): Promise<void> {
    this.#default ??= this.put(
      await makeCertificate({ names: ['localhost'], issuer: this.ca, algorithm: RSA }),
    );
    const default_certificate = this.#default;
    await this.daemon.serveTable({ ...aTable(...apps), default_certificate });
  }

  /** An app with a certificate for each of its hosts. */
  async app(more: Partial<AppRoutes>): Promise<AppRoutes> {
    const app = anApp(more);
    const certificates: Record<string, string> = {};
    for (const host of app.hosts) certificates[host] = await this.certificate([host]);
    return { ...app, certificates, ...more };
  }

  /** A connection that has shaken hands; rejects when it does not come to that. */
  async connect(servername: string | null, more: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = connect({
      host: '127.0.0.1',
      port: this.httpsPort,
      ca: this.ca.cert,
      ALPNProtocols: ['http/1.1'],
      ...(servername === null ? {} : { servername }),
      ...more,
    });
    this.#clients.push(socket);
    socket.on('session', (session: Buffer) => this.#sessions.set(socket, session));
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    socket.on('error', () => undefined);
    return socket;
  }

  /** To be resumed: TLS 1.2 sends it within the handshake, 1.3 some time after. */
  async sessionOf(socket: TLSSocket): Promise<Buffer> {
    await eventually(() => this.#sessions.has(socket), 'a session');
    return this.#sessions.get(socket)!;
  }

  /** Sends one request on a connection of its own and answers with all that came back. */
  async secureRequest(
    head: string,
    servername: string | null,
    more: ConnectionOptions = {},
  ): Promise<string> {
    const socket = await this.connect(servername, more);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.write(`${head.replace(/\n/g, '\r\n')}\r\nConnection: close\r\n\r\n`);
    await eventually(() => socket.readableEnded || socket.closed, `the answer ends, has ${text}`);
    return text;
  }

  override async stop(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await super.stop();
  }
}
