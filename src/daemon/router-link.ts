import { connect, type Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import { LineReader } from '../lib/line-reader';
import type { Logger } from '../lib/logger';
import { parseRouterMessage } from '../router/messages';
import {
  ROUTER_PROTOCOL_VERSION,
  type DaemonMessage,
  type RouterLogLine,
  type RouterMessage,
  type RouteTable,
} from '../router/protocol';

const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface RouterLinkOptions {
  socketPath: string;
  /** Starts a router process that outlives the daemon. Called when nobody answers at the socket. */
  spawnRouter: () => void | Promise<void>;
  onLogLines: (lines: RouterLogLine[]) => void;
  onWake: (wake: WakeRequest) => void;
  /** A request that waited for a wake has its first byte. */
  onWoken: (woken: { appId: string; at: Date; held: number }) => void;
  /** The router has parked an app. Answers whether it sleeps now, in the table that is published next. */
  onIdle: (appId: string) => boolean;
  clock: Clock;
  logger: Logger;
  /** Between two attempts to connect: the first, doubled up to the second. Default 50 and 2,000. */
  backOffMs?: { min: number; max: number };
  /** A router just started gets this long before another one is. Default 5,000. */
  spawnGraceMs?: number;
  /** The router must greet, and confirm each table, within this time. Default 5,000. */
  replyTimeoutMs?: number;
}

export type WakeRequest = Omit<Extract<RouterMessage, { type: 'wake' }>, 'type'>;

/** What the router said of itself. */
export interface RouterInfo {
  pid: number;
  httpPort: number;
  /** null = it does not speak TLS. */
  httpsPort: number | null;
}

/**
 * The daemon's end of the router's socket. *Connecting* (and starting a router when there is none), *greeting*, then
 * *linked*; whatever goes wrong leads back to connecting, with back-off. Tables are sent one at a time: while one is not
 * confirmed, newer ones replace each other.
 */
export class RouterLink {
  readonly #options: Required<RouterLinkOptions>;
  #state: 'new' | 'connecting' | 'greeting' | 'linked' | 'stopped' = 'new';
  #socket: Socket | null = null;
  #router: RouterInfo | null = null;
  #newest: RouteTable | null = null;
  /** The table that is not confirmed yet. */
  #sent: RouteTable | null = null;
  #applied: RouteTable | null = null;
  #delayMs: number;
  #mayNotSpawnUntilMs = 0;
  #cancelRetry: () => void = () => undefined;
  #cancelReply: () => void = () => undefined;
  #watchers: (() => void)[] = [];
  /** Who waits for an answer to `park`, by app. */
  readonly #parks = new Map<string, ((inFlight: number | null) => void)[]>();

  constructor(options: RouterLinkOptions) {
    this.#options = {
      backOffMs: { min: 50, max: 2_000 },
      spawnGraceMs: 5_000,
      replyTimeoutMs: 5_000,
      ...options,
    };
    this.#delayMs = this.#options.backOffMs.min;
  }

  /** null while not linked. */
  get router(): RouterInfo | null {
    return this.#router;
  }

  /** Version of the last table the router has confirmed on this link, 0 for none. */
  get appliedVersion(): number {
    return this.#applied?.version ?? 0;
  }

  start(): void {
    if (this.#state === 'new') this.#connect();
  }

  /** Makes this the table to serve. Returns at once; a table that was not sent yet is replaced. */
  publish(table: RouteTable): void {
    this.#newest = table;
    this.#sendTable();
  }

  /**
   * Asks the router to park an app. Answers 0 once it has, else how many requests are under way, or null when it does
   * not answer. Whoever asked puts the app to sleep at once, or says `stayAwake`.
   */
  park(appId: string): Promise<number | null> {
    const socket = this.#socket;
    if (this.#state !== 'linked' || socket === null) return Promise.resolve(null);
    return new Promise((resolve) => {
      const settle = (inFlight: number | null): void => {
        cancel();
        const left = (this.#parks.get(appId) ?? []).filter((other) => other !== settle);
        if (left.length > 0) this.#parks.set(appId, left);
        else this.#parks.delete(appId);
        resolve(inFlight);
      };
      const cancel = this.#options.clock.after(this.#options.replyTimeoutMs, () => settle(null));
      this.#parks.set(appId, [...(this.#parks.get(appId) ?? []), settle]);
      send(socket, { type: 'park', app_id: appId });
    });
  }

  /** The app that was parked does not sleep. */
  stayAwake(appId: string): void {
    if (this.#state === 'linked' && this.#socket !== null)
      send(this.#socket, { type: 'stay_awake', app_id: appId });
  }

  /** Resolves once the link is up and the newest published table is served; rejects with the signal's reason. */
  async settled(signal: AbortSignal): Promise<void> {
    while (this.#state !== 'linked' || this.#applied !== this.#newest) {
      signal.throwIfAborted();
      if (this.#state === 'stopped') throw new Error('router link stopped');
      await this.#change(signal);
    }
  }

  /** Lets go of the router, which serves on. */
  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#cancelRetry();
    this.#cancelReply();
    this.#router = null;
    const socket = this.#socket;
    this.#socket = null;
    this.#notify();
    if (socket === null || socket.closed) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.destroySoon();
      socket.resume();
      // A router that takes nothing more shall not hold the daemon up.
      socket.setTimeout(this.#options.replyTimeoutMs, () => socket.destroy());
    });
  }

  /**
   * Asks the router to drain and end, and resolves when its socket is gone, or rejects after `timeoutMs`. Log lines of
   * its last requests still arrive. Stops this link too.
   */
  async shutdownRouter(timeoutMs: number): Promise<void> {
    if (this.#state === 'stopped') return;
    this.#cancelRetry();
    this.#cancelReply();
    // From here on its going is expected: it is not to be started again.
    const socket = this.#socket ?? connect(this.#options.socketPath);
    this.#state = 'stopped';
    this.#router = null;
    this.#notify();
    try {
      await new Promise<void>((resolve, reject) => {
        const cancel = this.#options.clock.after(timeoutMs, () => {
          socket.destroy();
          reject(new Error('the router did not end in time'));
        });
        socket.once('close', () => {
          cancel();
          resolve();
        });
        // Nobody there is what was asked for; other ends show as 'close' as well.
        socket.on('error', () => socket.destroy());
        socket.resume();
        const ask = (): void => send(socket, { type: 'shutdown' });
        if (socket.connecting) socket.once('connect', ask);
        else ask();
      });
    } finally {
      this.#socket = null;
    }
  }

  #connect(): void {
    const { logger } = this.#options;
    this.#state = 'connecting';
    const socket = connect(this.#options.socketPath);
    this.#socket = socket;
    let failure: NodeJS.ErrnoException | null = null;
    const reader = new LineReader(MAX_LINE_BYTES, (line) => this.#receive(socket, parseRouterMessage(line)));
    socket.on('connect', () => {
      if (this.#socket !== socket || this.#state !== 'connecting') return;
      this.#state = 'greeting';
      this.#expectReply(socket);
    });
    socket.on('data', (chunk) => {
      if (socket.destroyed) return;
      try {
        reader.push(chunk);
      } catch (error) {
        logger.warn('router connection closed: unreadable message', { error });
        socket.destroy();
      }
    });
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => {
      if (this.#socket !== socket || this.#state === 'stopped') return;
      if (this.#state === 'linked') logger.warn('router connection lost');
      this.#cancelReply();
      this.#socket = null;
      this.#router = null;
      this.#sent = null;
      this.#applied = null;
      this.#state = 'connecting';
      this.#notify();
      this.#retry(failure?.code);
    });
  }

  #retry(code: string | undefined): void {
    const { clock, logger, backOffMs, spawnGraceMs } = this.#options;
    const now = clock.now().getTime();
    if ((code === 'ENOENT' || code === 'ECONNREFUSED') && now >= this.#mayNotSpawnUntilMs) {
      this.#mayNotSpawnUntilMs = now + spawnGraceMs;
      this.#delayMs = backOffMs.min;
      logger.info('no router answers, starting one');
      void this.#spawn();
    }
    this.#cancelRetry = clock.after(this.#delayMs, () => this.#connect());
    this.#delayMs = Math.min(backOffMs.max, this.#delayMs * 2);
  }

  async #spawn(): Promise<void> {
    try {
      await this.#options.spawnRouter();
    } catch (error) {
      // Tried again after the grace period; until then nothing is served, and a person can see why.
      this.#options.logger.error('router could not be started', { error });
    }
  }

  #receive(socket: Socket, message: RouterMessage): void {
    const { logger } = this.#options;
    switch (message.type) {
      case 'log':
        // Also of a router that is shutting down: its last lines.
        this.#options.onLogLines(message.lines);
        return;
      case 'hello':
        if (this.#socket !== socket || this.#state !== 'greeting') return;
        this.#cancelReply();
        if (message.protocol !== ROUTER_PROTOCOL_VERSION) {
          logger.warn('router of another version, replacing it', { protocol: message.protocol });
          // It closes its socket when it has ended; the next attempt then starts one of ours.
          send(socket, { type: 'shutdown' });
          return;
        }
        this.#state = 'linked';
        this.#delayMs = this.#options.backOffMs.min;
        this.#mayNotSpawnUntilMs = 0;
        this.#router = {
          pid: message.pid,
          httpPort: message.http_port,
          httpsPort: message.https_port ?? null,
        };
        logger.info('router linked', { pid: message.pid, port: message.http_port });
        send(socket, { type: 'hello' });
        this.#sendTable();
        this.#notify();
        return;
      case 'applied':
        if (this.#socket !== socket || this.#state !== 'linked') return;
        this.#cancelReply();
        this.#applied = this.#sent;
        this.#sent = null;
        this.#sendTable();
        this.#notify();
        return;
      case 'wake': {
        if (this.#state !== 'linked') return;
        const { app_id, request_id, method, path, fwd, at } = message;
        this.#options.onWake({ app_id, request_id, method, path, fwd, at });
        return;
      }
      case 'woken':
        this.#options.onWoken({ appId: message.app_id, at: new Date(message.at), held: message.held });
        return;
      case 'idle': {
        if (this.#state !== 'linked') return;
        const parks = this.#parks.get(message.app_id) ?? [];
        if (parks.length > 0) for (const settle of parks) settle(0);
        else if (!this.#options.onIdle(message.app_id)) this.stayAwake(message.app_id);
        return;
      }
      case 'busy':
        for (const settle of this.#parks.get(message.app_id) ?? []) settle(message.in_flight);
        return;
    }
  }

  #sendTable(): void {
    const socket = this.#socket;
    if (this.#state !== 'linked' || socket === null || this.#sent !== null) return;
    if (this.#newest === null || this.#newest === this.#applied) return;
    this.#sent = this.#newest;
    send(socket, { type: 'routes', table: this.#newest });
    this.#expectReply(socket);
  }

  #expectReply(socket: Socket): void {
    this.#cancelReply();
    this.#cancelReply = this.#options.clock.after(this.#options.replyTimeoutMs, () => {
      this.#options.logger.warn('router does not reply, connecting anew');
      socket.destroy();
    });
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#watchers = this.#watchers.filter((watcher) => watcher !== wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#watchers.push(wake);
    });
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

function send(socket: Socket, message: DaemonMessage): void {
  socket.write(`${JSON.stringify(message)}\n`);
}
