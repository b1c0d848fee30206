import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/lib/clock';
import { LineReader } from '../../src/lib/line-reader';
import { silentLogger } from '../../src/lib/logger';
import { parseRouterMessage } from '../../src/router/messages';
import type {
  AppRoutes,
  DaemonMessage,
  RouteDyno,
  RouterLogLine,
  RouterMessage,
  RouteTable,
} from '../../src/router/protocol';
import { Router, type RouterOptions } from '../../src/router/router';

/** Resolves once `check` holds; a test that waits in vain ends with `what`. */
export async function eventually(check: () => boolean, what: string, withinMs = 3_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!check()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A daemon's connection to the router's control socket, as bare as can be. */
export class TestDaemon {
  readonly messages: RouterMessage[] = [];
  readonly socket: Socket;
  closed = false;

  /** `silent`: connects, and says nothing by which it would become the daemon. */
  constructor(socketPath: string, options: { silent?: boolean } = {}) {
    this.socket = connect(socketPath);
    const reader = new LineReader(1 << 24, (line) => this.messages.push(parseRouterMessage(line)));
    this.socket.on('data', (chunk) => reader.push(chunk));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => (this.closed = true));
    if (options.silent !== true) this.send({ type: 'hello' });
  }

  send(message: DaemonMessage): void {
    this.socket.write(`${JSON.stringify(message)}\n`);
  }

  of<T extends RouterMessage['type']>(type: T): Extract<RouterMessage, { type: T }>[] {
    return this.messages.filter(
      (message): message is Extract<RouterMessage, { type: T }> => message.type === type,
    );
  }

  get lines(): RouterLogLine[] {
    return this.of('log').flatMap((message) => message.lines);
  }

  async line(number = 0): Promise<string> {
    await eventually(() => this.lines.length > number, `log line ${number}`);
    return this.lines[number]!.text;
  }

  /** Sends a table and waits until it is served. */
  async serve(...apps: AppRoutes[]): Promise<void> {
    await this.serveTable(aTable(...apps));
  }

  async serveTable(table: RouteTable): Promise<void> {
    const before = this.of('applied').length;
    this.send({ type: 'routes', table });
    await eventually(() => this.of('applied').length > before, 'table applied');
  }

  async close(): Promise<void> {
    this.socket.destroy();
    await eventually(() => this.closed, 'daemon connection closed');
  }
}

let version = 0;

export function aTable(...apps: AppRoutes[]): RouteTable {
  version += 1;
  return { version, apps };
}

export function anApp(more: Partial<AppRoutes> = {}): AppRoutes {
  return {
    app_id: 'app-1',
    app_name: 'demo',
    hosts: ['demo.localhost'],
    maintenance: false,
    has_code: true,
    web_quantity: 1,
    dynos: [],
    session_affinity: false,
    quota_exhausted: false,
    idle_after_ms: null,
    maintenance_page_url: null,
    error_page_url: null,
    ...more,
  };
}

export function aDyno(port: number | null, more: Partial<RouteDyno> = {}): RouteDyno {
  return {
    id: `dyno-${port ?? 'none'}`,
    name: 'web.1',
    state: 'up',
    endpoint: port === null ? null : { host: '127.0.0.1', port },
    ...more,
  };
}

/** A dyno made of a bare socket server: `script` gets each connection and says what it likes. */
export class TestDyno {
  readonly sockets: Socket[] = [];
  /** All bytes of all connections, in order of arrival. */
  received = '';
  readonly #server: Server;

  private constructor(script: (socket: Socket, dyno: TestDyno) => void) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => (this.received += chunk.toString('latin1')));
      script(socket, this);
    });
  }

  static async start(script: (socket: Socket, dyno: TestDyno) => void): Promise<TestDyno> {
    const dyno = new TestDyno(script);
    await new Promise<void>((resolve) => dyno.#server.listen(0, '127.0.0.1', resolve));
    return dyno;
  }

  /** Answers each request head with `answer`, verbatim. */
  static answering(answer: string): Promise<TestDyno> {
    return TestDyno.start((socket) => onHeads(socket, () => socket.write(answer, 'latin1')));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Calls back with each request head that arrives on a connection. */
export function onHeads(socket: Socket, callback: (head: string) => void): void {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      callback(head);
    }
  });
}

/** A client's connection to the router. */
export class TestClient {
  readonly socket: Socket;
  text = '';
  ended = false;
  closed = false;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (chunk) => (this.text += chunk.toString('latin1')));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => (this.closed = true));
  }

  write(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  async saw(part: string): Promise<string> {
    await eventually(() => this.text.includes(part), `client sees ${part}, has ${this.text}`);
    return this.text;
  }

  async end(): Promise<string> {
    await eventually(() => this.ended || this.closed, `client's connection ends, has ${this.text}`);
    this.socket.destroy();
    return this.text;
  }
}

/** A router on free ports in a folder of its own, with everything that is to be ended after a test. */
export class RouterBench {
  readonly #ends: (() => Promise<void> | void)[] = [];
  dir = '';
  router!: Router;
  daemon!: TestDaemon;

  async start(more: Partial<RouterOptions> = {}): Promise<this> {
    this.dir = await mkdtemp(join(tmpdir(), 'router-'));
    this.#ends.push(() => rm(this.dir, { recursive: true, force: true }));
    this.router = await this.another(more);
    this.daemon = this.connectDaemon();
    await eventually(() => this.daemon.of('hello').length === 1, 'hello');
    return this;
  }

  /** One more router on the same folder. */
  async another(more: Partial<RouterOptions> = {}): Promise<Router> {
    const { timeouts, limits, ...rest } = more;
    const router = new Router({
      dataDir: this.dir,
      listen: { hosts: ['127.0.0.1'], httpPort: 0 },
      clock: systemClock,
      logger: silentLogger,
      timeouts: { drainMs: 50, ...timeouts },
      limits: { logFlushMs: 2, ...limits },
      ...rest,
    });
    this.#ends.push(() => router.stop());
    await router.start();
    return router;
  }

  get socketPath(): string {
    return join(this.dir, 'router.sock');
  }

  connectDaemon(): TestDaemon {
    const daemon = new TestDaemon(this.socketPath);
    this.#ends.push(() => {
      daemon.socket.destroy();
    });
    return daemon;
  }

  async dyno(script: string | ((socket: Socket, dyno: TestDyno) => void)): Promise<TestDyno> {
    const dyno = await (typeof script === 'string' ? TestDyno.answering(script) : TestDyno.start(script));
    this.#ends.push(() => dyno.stop());
    return dyno;
  }

  /** Starts everything: one dyno that does as `script` says, behind a router with these options. */
  async serving(
    script: Parameters<RouterBench['dyno']>[0],
    options: Partial<RouterOptions> = {},
  ): Promise<TestDyno> {
    await this.start(options);
    const dyno = await this.dyno(script);
    await this.daemon.serve(anApp({ dynos: [aDyno(dyno.port)] }));
    return dyno;
  }

  client(): TestClient {
    const client = new TestClient(this.router.httpPort);
    this.#ends.push(() => {
      client.socket.destroy();
    });
    return client;
  }

  /** Sends one request on a connection of its own and answers with all that came back. */
  request(head: string, body = ''): Promise<string> {
    return this.client()
      .write(`${head.replace(/\n/g, '\r\n')}\r\nConnection: close\r\n\r\n${body}`)
      .end();
  }

  get(path = '/', moreHeaders = ''): Promise<string> {
    return this.request(`GET ${path} HTTP/1.1\nHost: demo.localhost${moreHeaders}`);
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }
}

export const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';

export const statusOf = (answer: string): number => Number(answer.split(' ')[1]);
