import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { sleep, type Clock } from '../lib/clock';
import type { DynoConnection, DynoConnections } from './dyno-connections';
import {
  badRequest,
  errorAnswer,
  noSuchAppAnswer,
  plainAnswer,
  routerError,
  type Answer,
  type RouterError,
} from './errors';
import type { Forwarder } from './forward';
import type { Activity, AppActivity } from './activity';
import { admit, type Admission, type Gate } from './gate';
import {
  announcesBody,
  clientResponseHeaders,
  dynoRequestHeaders,
  listOf,
  pairsOf,
  switchingProtocolsHead,
} from './headers';
import { formatLogLine } from './log-line';
import type { AppRoutes } from './protocol';
import { clientAddressOf, readRequestHead, type RequestHead } from './request-head';
import type { RouteIndex } from './route-table';
import { tunnel, type UpgradeClient } from './upgrade';

/** Milliseconds. Values and their meaning: Dev Center "HTTP Routing" (timeouts) and "Error Codes". */
export interface RouterTimeouts {
  connectMs: number;
  /** How long a dyno that did not accept a connection is left alone. */
  quarantineMs: number;
  /** For all dynos together, while all are quarantined: H99. */
  connectBudgetMs: number;
  /** From the whole request sent to the first byte back: H12. */
  firstByteMs: number;
  /** Between two bytes of either side: H15, H28; also in a tunnel. */
  idleMs: number;
  /** A request waits this long for a dyno that starts: H20. */
  bootMs: number;
  /** A client's connection without a request. */
  clientKeepAliveMs: number;
  /** A dyno's connection without a request. */
  dynoKeepAliveMs: number;
  /** What is under way may take this long when the router stops: H24. */
  drainMs: number;
  /** A client that still sends a body after its answer is read on for this long. */
  lingerMs: number;
}

export interface ExchangeContext {
  clock: Clock;
  timeouts: RouterTimeouts;
  gate: Gate;
  activity: Activity;
  connections: DynoConnections;
  forwarder: Forwarder;
  index: () => RouteIndex;
  draining: () => boolean;
  /** Counts a request of the app; false when it already has as many as it may (H11). */
  enter: (app: AppRoutes) => boolean;
  leave: (appId: string) => void;
  log: (appId: string, at: Date, text: string) => void;
  /** Its log line is written; bytes of an answer may still be on their way. */
  ended: (exchange: Exchange) => void;
}

export type Expectation = 'none' | 'continue' | 'unsupported';

/** Repeating these does no harm (RFC 9110 §9.2.2), so one may be sent over a connection that is perhaps just closing. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * One request from its head to its log line.
 *
 * It is *admitted* (a held request waits at the gate and asks again with each new table), *connected* to a dyno, *sent*
 * (its body as it comes), *awaited* (first byte), then *relayed* until the last byte, or *tunnelled* after a 101. Each
 * phase has its own time limit. It ends once, in `#finish`, which writes the log line.
 */
export class Exchange {
  readonly #context: ExchangeContext;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #upgrade: UpgradeClient | null;
  readonly #expectation: Expectation;
  readonly #clientSocket: Socket;
  readonly #head: RequestHead;
  readonly #startedAt: Date;
  readonly #bytesBefore: number;
  readonly #over = new AbortController();

  #app: AppRoutes | null = null;
  #entered = false;
  /** Of its app, while it counts as one of its requests. */
  #activity: AppActivity | null = null;
  /** It waited for a dyno that slept. */
  #woke = false;
  #continued = false;
  #connection: DynoConnection | null = null;
  #dynoName: string | null = null;
  #connectMs: number | null = null;
  #connectedAtMs: number | null = null;
  #lastActivityMs = 0;
  #cancelTimer: () => void = () => undefined;
  #tunnelling = false;
  #done = false;

  constructor(
    context: ExchangeContext,
    client: {
      request: IncomingMessage;
      response: ServerResponse;
      upgrade: UpgradeClient | null;
      expectation: Expectation;
    },
  ) {
    this.#context = context;
    this.#request = client.request;
    this.#response = client.response;
    this.#upgrade = client.upgrade;
    this.#expectation = client.expectation;
    this.#clientSocket = client.request.socket;
    this.#startedAt = context.clock.now();
    this.#bytesBefore = this.#clientSocket.bytesWritten;
    const { method = 'GET', url = '/', httpVersion, rawHeaders } = client.request;
    this.#head = readRequestHead(
      { method, url, httpVersion, rawHeaders },
      clientAddressOf(this.#clientSocket.remoteAddress),
    );
  }

  /** Resolves once the request is with a dyno or answered; the rest happens by events. */
  async run(): Promise<void> {
    this.#response.on('close', () => {
      if (this.#response.writableFinished || this.#tunnelling) return;
      this.#connection?.socket.destroy();
      this.#finish(routerError('H27'), 499);
    });
    // The end of the response says all there is to know.
    this.#response.on('error', () => this.#clientSocket.destroy());
    if (this.#context.draining()) this.#response.shouldKeepAlive = false;
    const app = this.#context.index().find(this.#head.hostname);
    if (!app) {
      this.#answer(
        this.#head.fault === null
          ? noSuchAppAnswer(this.#head.hostname, this.#head.accept)
          : plainAnswer(400, 'Bad request', 'The request breaks a limit of the router or names no host.'),
      );
      this.#finish(null, null);
      return;
    }
    this.#app = app;
    if (this.#head.fault !== null) this.#fail(badRequest(this.#head.fault));
    else if (this.#expectation === 'unsupported') {
      this.#fail(badRequest('unsupported expect header value'));
    } else await this.#dispatch(app.app_id);
  }

  /** The client's body turned out to be no HTTP. */
  bodyBroken(): void {
    // Answered early, and the rest of the body was only being read off.
    if (this.#done) this.#clientSocket.destroy();
    this.#connection?.socket.destroy();
    this.#fail(badRequest('bad chunk'));
  }

  /** The router itself failed. */
  brokenDown(): void {
    this.#connection?.socket.destroy();
    this.#fail(routerError('H99'));
  }

  /** The router stops and cannot wait any longer. */
  forceClose(): void {
    this.#connection?.socket.destroy();
    this.#finish(routerError('H24'), null);
    this.#clientSocket.destroy();
  }

  /** The app to which it has become a tunnel. */
  get tunnelTo(): string | null {
    return this.#tunnelling && !this.#done ? (this.#app?.app_id ?? null) : null;
  }

  /** For a tunnel that would never end by itself: the router stops, or the dyno sleeps. */
  closeTunnel(): void {
    if (!this.#tunnelling) return;
    this.#connection?.socket.destroy();
    this.#clientSocket.destroySoon();
  }

  async #dispatch(appId: string): Promise<void> {
    const { clock, timeouts, connections } = this.#context;
    const signal = this.#over.signal;
    let reuse = this.#repeatable;
    let bootDeadline: number | null = null;
    let connectDeadline: number | null = null;
    while (!this.#done) {
      const app = this.#context.index().app(appId);
      if (!app) {
        // Destroyed while the request was held.
        this.#answer(noSuchAppAnswer(this.#head.hostname, this.#head.accept));
        this.#finish(null, 404);
        return;
      }
      this.#app = app;
      const parked = this.#context.activity.isParked(appId);
      const admission: Admission = parked ? { kind: 'hold', wake: false } : admit(app);
      if (admission.kind !== 'refuse') this.#countIn(appId);
      const now = clock.now().getTime();
      switch (admission.kind) {
        case 'refuse':
          this.#fail(routerError(admission.code));
          return;
        case 'hold': {
          bootDeadline ??= now + timeouts.bootMs;
          this.#woke ||= admission.wake;
          await this.#hold(appId, admission.wake, bootDeadline - now);
          break;
        }
        case 'dispatch': {
          if (!this.#entered && !this.#context.enter(app)) {
            // More waited for the wake than a dyno takes at a time: they go on one by one, latecomers behind them.
            if (!this.#woke && this.#context.gate.waiting(appId) === 0) {
              this.#fail(routerError('H11'));
              return;
            }
            bootDeadline ??= now + timeouts.bootMs;
            await this.#hold(appId, false, bootDeadline - now);
            break;
          }
          this.#entered = true;
          const outcome = await connections.connect(admission.dynos, { reuse, signal });
          switch (outcome.kind) {
            case 'aborted':
              return;
            case 'failed':
              this.#dynoName = outcome.dyno.name;
              this.#connectMs = outcome.connectMs;
              this.#fail(routerError(outcome.code));
              return;
            case 'quarantined':
              connectDeadline ??= now + timeouts.connectBudgetMs;
              if (now >= connectDeadline) {
                this.#fail(routerError('H99'));
                return;
              }
              await this.#pause(Math.min(outcome.retryInMs, QUARANTINE_LOOK_MS, connectDeadline - now));
              break;
            case 'connected':
              if ((await this.#send(outcome.connection)) === 'over') return;
              // The dyno had closed the kept connection: once more over a fresh one.
              reuse = false;
              break;
          }
          break;
        }
      }
    }
  }

  /** Waits at the gate until the app's routes change or a place is free; answers for it if that takes too long. */
  async #hold(appId: string, wake: boolean, timeoutMs: number): Promise<void> {
    const { requestId, method, path, fwd } = this.#head;
    const release = await this.#context.gate.wait(
      appId,
      { requestId, method, path, fwd: fwd.join(','), at: this.#startedAt },
      { wake, timeoutMs: Math.max(0, timeoutMs), signal: this.#over.signal },
    );
    if (release === 'timeout') this.#fail(routerError('H20'));
    else if (release === 'full') this.#fail(routerError('H11'));
  }

  /** From now on the app is not put to sleep on account of this request. */
  #countIn(appId: string): void {
    if (this.#activity !== null) return;
    this.#activity = this.#context.activity.of(appId);
    this.#activity.inFlight += 1;
    this.#activity.lastAtMs = this.#context.clock.now().getTime();
  }

  #countOut(): void {
    if (this.#activity === null) return;
    this.#activity.inFlight -= 1;
    this.#activity.lastAtMs = this.#context.clock.now().getTime();
    this.#activity = null;
  }

  /** Waits, but not beyond the end of this exchange. */
  async #pause(delayMs: number): Promise<void> {
    try {
      await sleep(this.#context.clock, delayMs, this.#over.signal);
    } catch (error) {
      // Only the end of the exchange ends the wait early, and `#dispatch` looks for that next.
      if (!this.#over.signal.aborted) throw error;
    }
  }

  get #hasBody(): boolean {
    return announcesBody(this.#head.headers);
  }

  get #repeatable(): boolean {
    return this.#upgrade === null && IDEMPOTENT.has(this.#head.method) && !this.#hasBody;
  }

  /** 'again' when nothing of it reached the dyno and it can be repeated. */
  #send(connection: DynoConnection): Promise<'over' | 'again'> {
    const { clock, timeouts, forwarder, connections } = this.#context;
    if (this.#done) {
      connections.release(connection);
      return Promise.resolve('over');
    }
    const hasBody = this.#upgrade === null && this.#hasBody;
    const repeatable = this.#repeatable;
    this.#connection = connection;
    this.#dynoName = connection.dyno.name;
    this.#connectMs = connection.connectMs;
    this.#connectedAtMs = clock.now().getTime();
    if (this.#expectation === 'continue' && !this.#continued) {
      // Only now is the body wanted (Dev Center "HTTP Routing": the router answers Expect itself).
      this.#continued = true;
      this.#response.writeContinue();
    }
    this.#touch();
    this.#watchIdle(() => (connection.socket.writableLength > 0 ? 'H15' : 'H28'));
    return new Promise((resolve) => {
      forwarder.send(
        this.#request,
        this.#response,
        connection,
        { path: this.#head.path, headers: this.#dynoHeaders(), hasBody },
        {
          onProgress: () => this.#touch(),
          onSent: () => {
            if (this.#done) return;
            this.#cancelTimer();
            this.#cancelTimer = clock.after(timeouts.firstByteMs, () => {
              connection.socket.destroy();
              this.#fail(routerError('H12'));
            });
          },
          onResponse: (response) => {
            resolve('over');
            this.#relay(response, connection);
          },
          onUpgrade: (response, socket, early) => {
            resolve('over');
            this.#switchProtocols(response, socket, early);
          },
          onError: (error, answered) => {
            if (connection.reused && repeatable && !answered && error.code === 'H13' && !this.#done) {
              this.#cancelTimer();
              this.#connection = null;
              resolve('again');
              return;
            }
            this.#fail(error);
            resolve('over');
          },
        },
        () => connections.release(connection),
      );
    });
  }

  #dynoHeaders(): Record<string, string | string[]> {
    return dynoRequestHeaders(this.#head.headers, {
      fwd: this.#head.fwd,
      proto: 'http',
      port: this.#clientSocket.localPort ?? 80,
      requestId: this.#head.requestId,
      startedAtMs: this.#startedAt.getTime(),
      host: this.#head.host,
      upgrade: this.#upgrade === null ? null : listOf(this.#head.headers, 'upgrade').join(', '),
    });
  }

  /** By events rather than pipeline(): which side is idle, and the trailers, are seen only so. */
  #relay(from: IncomingMessage, connection: DynoConnection): void {
    if (this.#done) {
      connection.socket.destroy();
      return;
    }
    const to = this.#response;
    const status = from.statusCode ?? 502;
    if (this.#woke) this.#context.gate.answered(this.#app?.app_id ?? '');
    this.#cancelTimer();
    this.#touch();
    this.#watchIdle(() => (to.writableNeedDrain ? 'H28' : 'H15'));
    if (this.#context.draining()) to.shouldKeepAlive = false;
    to.writeHead(status, from.statusMessage, clientResponseHeaders(pairsOf(from.rawHeaders), status));
    // An event stream may say nothing for a while: its head goes at once.
    to.flushHeaders();
    const interrupted = (): void => {
      connection.socket.destroy();
      this.#fail(routerError('H18'));
    };
    from.on('data', (chunk: Buffer) => {
      this.#touch();
      if (!to.write(chunk)) from.pause();
    });
    to.on('drain', () => {
      this.#touch();
      from.resume();
    });
    from.on('error', interrupted);
    from.on('aborted', interrupted);
    from.on('end', () => {
      if (this.#done) return;
      if (from.rawTrailers.length > 0) to.addTrailers(pairsOf(from.rawTrailers));
      to.end();
      // An early answer: what is left of the request concerns nobody, and the connection is of no more use.
      if (!this.#request.complete && this.#upgrade === null) {
        connection.socket.destroy();
        this.#linger();
      }
    });
    to.on('finish', () => this.#finish(null, status));
  }

  #switchProtocols(from: IncomingMessage, dynoSocket: Socket, early: Buffer): void {
    if (this.#done || this.#upgrade === null) {
      dynoSocket.destroy();
      // A 101 that nobody asked for.
      this.#fail(routerError('H17'));
      return;
    }
    this.#cancelTimer();
    this.#tunnelling = true;
    const client = this.#upgrade.takeOver();
    client.socket.write(switchingProtocolsHead(from.statusMessage, pairsOf(from.rawHeaders)), 'latin1');
    const { clock, timeouts } = this.#context;
    const activity = this.#activity;
    // Only bytes keep the app awake from here on.
    this.#countOut();
    const onBytes = (nowMs: number): void => {
      if (activity !== null) activity.lastAtMs = nowMs;
    };
    if (this.#woke) this.#context.gate.answered(this.#app?.app_id ?? '');
    void tunnel(client, { socket: dynoSocket, early }, { clock, idleMs: timeouts.idleMs, onBytes }).then(
      (end) => {
        if (end === 'idle') this.#finish(routerError('H15'), 503);
        else this.#finish(null, 101);
      },
    );
  }

  #touch(): void {
    this.#lastActivityMs = this.#context.clock.now().getTime();
    if (this.#activity !== null) this.#activity.lastAtMs = this.#lastActivityMs;
  }

  #watchIdle(culprit: () => 'H15' | 'H28'): void {
    this.#cancelTimer();
    const { clock, timeouts } = this.#context;
    const left = this.#lastActivityMs + timeouts.idleMs - clock.now().getTime();
    this.#cancelTimer = clock.after(Math.max(1, left), () => {
      if (this.#lastActivityMs + timeouts.idleMs > clock.now().getTime()) {
        this.#watchIdle(culprit);
        return;
      }
      const code = culprit();
      this.#connection?.socket.destroy();
      this.#fail(routerError(code));
    });
  }

  #fail(error: RouterError): void {
    if (this.#done) return;
    const app = this.#app;
    if (this.#response.headersSent || error.status === 499 || app === null) {
      // Nothing can be said any more: only a cut connection tells the client that this was not all.
      this.#finish(error, error.status);
      this.#clientSocket.destroy();
      return;
    }
    this.#finish(error, error.status);
    this.#answer(
      errorAnswer(
        error,
        { accept: this.#head.accept, appName: app.app_name, requestId: this.#head.requestId },
        { errorPageUrl: app.error_page_url, maintenancePageUrl: app.maintenance_page_url },
      ),
    );
  }

  #answer(answer: Answer): void {
    const response = this.#response;
    if (response.headersSent || response.destroyed) return;
    if (!this.#request.complete) response.shouldKeepAlive = false;
    response.writeHead(answer.status, [
      'Content-Type',
      answer.contentType,
      'Content-Length',
      String(answer.body.length),
      'Cache-Control',
      'no-cache, no-store',
    ]);
    response.end(answer.body);
    if (!this.#request.complete && this.#upgrade === null) this.#linger();
  }

  /** Reads on for a moment: closing at once would reset the connection and could cost the client its answer. */
  #linger(): void {
    const request = this.#request;
    request.unpipe();
    request.resume();
    const cancel = this.#context.clock.after(this.#context.timeouts.lingerMs, () => {
      if (!request.complete) this.#clientSocket.destroy();
    });
    request.once('close', cancel);
  }

  /** The one end. `status` is what the log says; null with a null error = no line, there being no app. */
  #finish(error: RouterError | null, status: number | null): void {
    if (this.#done) return;
    this.#done = true;
    this.#cancelTimer();
    this.#over.abort();
    this.#context.ended(this);
    const { clock } = this.#context;
    const app = this.#app;
    if (app === null) return;
    this.#countOut();
    if (this.#entered) this.#context.leave(app.app_id);
    const now = clock.now();
    const dispatched = this.#connectedAtMs !== null;
    const sent = this.#clientSocket.bytesWritten - this.#bytesBefore;
    this.#context.log(
      app.app_id,
      now,
      formatLogLine({
        error,
        method: this.#head.method,
        path: this.#head.path,
        host: this.#head.hostname,
        requestId: this.#head.requestId,
        fwd: this.#head.fwd,
        dyno: this.#dynoName,
        connectMs: this.#connectMs,
        serviceMs: this.#connectedAtMs === null ? null : now.getTime() - this.#connectedAtMs,
        status,
        bytes: dispatched ? sent : null,
        protocol: 'http',
      }),
    );
  }
}

/** While all dynos are quarantined the table is looked at this often: a new dyno may be there. */
const QUARANTINE_LOOK_MS = 250;
