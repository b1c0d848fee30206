import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { LineReader } from '../lib/line-reader';
import type { Logger } from '../lib/logger';
import { answers, listenPrivately } from '../lib/private-socket';
import { parseDaemonMessage } from './messages';
import type { RouterMessage, RouteTable } from './protocol';

/** A table of all apps is far below this. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
/** Beyond this the daemon does not keep up with its log lines: they wait in our own, bounded buffer instead. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

export interface ControlServerOptions {
  socketPath: string;
  logger: Logger;
  hello: () => RouterMessage;
  /** Serves the table, and resolves once that is so everywhere. Never rejects. */
  onTable: (table: RouteTable) => Promise<void>;
  onShutdown: () => void;
  /** The app is wanted asleep now. */
  onPark: (appId: string) => void;
  /** It is not put to sleep after all. */
  onStayAwake: (appId: string) => void;
  /** A daemon has connected and was greeted. */
  onDaemon: () => void;
}

/**
 * The unix socket to which the daemon connects (protocol.ts). The newest connection counts, since an older one can only
 * be the leftover of a daemon that is gone or going. It is closed with the newer one's first message, not before: a
 * router that is started twice connects just to see whether there is one, and must not take the daemon's place.
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  /** Open connections, the newest last. */
  #sockets: Socket[] = [];
  /** The connection of #sockets that has spoken last. */
  #daemon: Socket | undefined;

  constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Rejects when another router answers at the socket. */
  async start(): Promise<void> {
    try {
      await this.#listen();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      if (await answers(this.#options.socketPath)) {
        throw new Error('another router is running on this data folder', { cause: error });
      }
      // The file of a router that was killed: nobody listens behind it.
      await rm(this.#options.socketPath, { force: true });
      await this.#listen();
    }
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (this.#server.listening) this.#server.close(() => resolve());
      else resolve();
    });
    for (const socket of this.#sockets) {
      // What was written before, the last log lines above all, still goes out; a daemon that does not read is cut.
      socket.end();
      socket.setTimeout(1000, () => socket.destroy());
    }
    await closed;
  }

  /** false when no daemon is connected or it does not keep up: then nothing was sent. */
  send(message: RouterMessage): boolean {
    const socket = this.#daemon;
    if (socket === undefined || !socket.writable || socket.writableLength > MAX_UNSENT_BYTES) return false;
    write(socket, message);
    return true;
  }

  /** The socket takes orders from whoever can open it. */
  async #listen(): Promise<void> {
    await listenPrivately(this.#server, this.#options.socketPath);
    this.#server.on('error', (error) => {
      this.#options.logger.error('control socket failed', { error });
    });
  }

  #accept(socket: Socket): void {
    const { logger } = this.#options;
    this.#sockets.push(socket);
    // The highest version of this connection. A new daemon may begin lower: its data folder may have been restored.
    let version = -1;
    let served = Promise.resolve();
    const reader = new LineReader(MAX_LINE_BYTES, (line) => {
      const message = parseDaemonMessage(line);
      if (!this.#takeOver(socket)) return;
      switch (message.type) {
        case 'routes': {
          if (message.table.version >= version) {
            version = message.table.version;
            served = this.#options.onTable(message.table);
          }
          const applied: RouterMessage = { type: 'applied', table_version: version };
          void served.then(() => write(socket, applied));
          return;
        }
        case 'hello':
          return;
        case 'park':
          this.#options.onPark(message.app_id);
          return;
        case 'stay_awake':
          this.#options.onStayAwake(message.app_id);
          return;
        case 'shutdown':
          this.#options.onShutdown();
          return;
      }
    });
    socket.on('data', (chunk) => {
      if (socket.destroyed) return;
      try {
        reader.push(chunk);
      } catch (error) {
        // Not our daemon, or not of our version: it may connect again and say it right.
        logger.warn('daemon connection closed: unreadable message', { error });
        socket.destroy();
      }
    });
    socket.on('error', (error) => logger.debug('daemon connection failed', { error }));
    socket.on('close', () => {
      this.#sockets = this.#sockets.filter((other) => other !== socket);
      if (this.#daemon === socket) this.#daemon = undefined;
    });
    write(socket, this.#options.hello());
  }

  /**
   * Who speaks is the daemon, unless a newer one has spoken. Who only connects may be anybody that looks whether a
   * router runs: log lines that were sent there would be lost.
   */
  #takeOver(socket: Socket): boolean {
    if (this.#daemon === socket) return true;
    const place = this.#sockets.indexOf(socket);
    if (this.#daemon !== undefined && this.#sockets.indexOf(this.#daemon) > place) return false;
    for (const older of this.#sockets.slice(0, place)) older.end();
    this.#daemon = socket;
    this.#options.onDaemon();
    return true;
  }
}

function write(socket: Socket, message: RouterMessage): void {
  if (socket.writable) socket.write(`${JSON.stringify(message)}\n`);
}
