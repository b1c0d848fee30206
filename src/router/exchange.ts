import { STATUS_CODES } from 'node:http';
import { sleep, type Clock } from '../lib/clock';
import type { Activity, AppActivity } from './activity';
import type { ClientEvents, ClientExchange } from './client';
import { Deadline, type Deadlines } from './deadlines';
import type { DynoConnection } from './dyno-connection';
import type { ConnectOutcome, DynoConnections } from './dyno-connections';
import { DynoRequest, type DynoEvents } from './dyno-request';
import {
  badRequest,
  errorAnswer,
  noSuchAppAnswer,
  plainAnswer,
  routerError,
  type Answer,
  type RouterError,
} from './errors';
import { admit, isRoutable, type Admission, type Gate } from './gate';
import {
  clientResponseHeaders,
  dynoRequestHead,
  endToEndTrailers,
  interimHeaders,
  switchingProtocolsHeaders,
  type Forwarded,
} from './headers';
import { formatLogLine } from './log-line';
import type { AppRoutes } from './protocol';
import { clientAddressOf, readRequestHead, type RequestHead } from './request-head';
import type { RouteIndex } from './route-table';
import { affineDyno, affinityCookie } from './session-affinity';
import { tunnel, type TunnelSide } from './upgrade';

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
  /** From the whole request sent to the first byte back. */
  firstByte: Deadlines;
  /** Between two bytes of either side. */
  idle: Deadlines;
  index: () => RouteIndex;
  draining: () => boolean;
  /** Counts a request of the app; false when it already has as many as it may (H11). */
  enter: (app: AppRoutes) => boolean;
  leave: (appId: string) => void;
  log: (appId: string, at: Date, text: string) => void;
  /** Its log line is written; bytes of an answer may still be on their way. */
  ended: (exchange: Exchange) => void;
  /** A bug of ours came to light in this exchange. */
  failed: (exchange: Exchange, error: unknown) => void;
}

/** Repeating these does no harm (RFC 9110 §9.2.2), so one may be sent over a connection that is perhaps just closing. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/**
 * One request from its head to its log line.
 *
 * It is *admitted* (a held request waits at the gate and asks again with each new table), *connected* to a dyno, *sent*
 * (its body as it comes), *awaited* (first byte), then *relayed* until the last byte, or *tunnelled* after a 101. Each
 * phase has its own time limit. It ends once, in `#finish`, which writes the log line.
 */
export class Exchange implements ClientEvents, DynoEvents {
  readonly #context: ExchangeContext;
  readonly #client: ClientExchange;
  readonly #head: RequestHead;
  readonly #startedAt: Date;
  readonly #deadline = new Deadline(() => this.#late());

  #app: AppRoutes | null = null;
  #entered = false;
  /** Of its app, while it counts as one of its requests. */
  #activity: AppActivity | null = null;
  /** It waited for a dyno that slept. */
  #woke = false;
  #continued = false;
  /** A kept connection will do. */
  #reuse: boolean;
  #bootDeadline: number | null = null;
  #connectDeadline: number | null = null;
  #connection: DynoConnection | null = null;
  #dynoRequest: DynoRequest | null = null;
  #dynoName: string | null = null;
  #connectMs: number | null = null;
  #connectedAtMs: number | null = null;
  #status: number | null = null;
  /** Whose turn it is, which says who is late. */
  #awaited: 'request' | 'first byte' | 'answer' = 'request';
  #tunnel: TunnelSide[] | null = null;
  #over: AbortController | null = null;
  #done = false;

  constructor(context: ExchangeContext, client: ClientExchange) {
    this.#context = context;
    this.#client = client;
    this.#startedAt = context.clock.now();
    this.#head = readRequestHead(client.head, clientAddressOf(client.remoteAddress));
    this.#reuse = this.#repeatable;
  }

  /** Everything further happens by events. */
  run(): void {
    const client = this.#client;
    client.start(this);
    if (this.#context.draining() || this.#head.fault !== null) client.closeAfterwards();
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
    else if (this.#head.expectation === 'unsupported') {
      this.#fail(badRequest('unsupported expect header value'));
    } else if (client.tls?.covers(this.#head.hostname) === false) this.#fail(routerError('H32'));
    else this.#dispatch(app.app_id);
  }

  /** The router itself failed. */
  brokenDown(): void {
    this.#dynoRequest?.destroy();
    this.#fail(routerError('H99'));
  }

  /** The router stops and cannot wait any longer. */
  forceClose(): void {
    this.#dynoRequest?.destroy();
    this.#finish(routerError('H24'), null);
    this.#client.destroy();
  }

  /** The app to which it has become a tunnel. */
  get tunnelTo(): string | null {
    return this.#tunnel !== null && !this.#done ? (this.#app?.app_id ?? null) : null;
  }

  /** For a tunnel that would never end by itself: the router stops, or the dyno sleeps. */
  closeTunnel(): void {
    if (this.#tunnel === null) return;
    const [client, dyno] = this.#tunnel;
    dyno?.socket.destroy();
    client?.socket.destroySoon();
  }

  #dispatch(appId: string): void {
    if (this.#done) return;
    const app = this.#context.index().app(appId);
    if (!app) {
      // Destroyed while the request was held.
      this.#status = 404;
      this.#answer(noSuchAppAnswer(this.#head.hostname, this.#head.accept));
      this.#finish(null, 404);
      return;
    }
    this.#app = app;
    const parked = this.#context.activity.isParked(appId);
    const admission: Admission = parked ? { kind: 'hold', wake: false } : admit(app);
    if (admission.kind !== 'refuse') this.#countIn(appId);
    switch (admission.kind) {
      case 'refuse':
        this.#fail(routerError(admission.code));
        return;
      case 'hold':
        this.#guard(this.#hold(appId, admission.wake));
        return;
      case 'dispatch': {
        if (!this.#entered && !this.#context.enter(app)) {
          // More waited for the wake than a dyno takes at a time: they go on one by one, latecomers behind them.
          const { gate, activity } = this.#context;
          if (this.#woke || gate.waiting(appId) > 0 || activity.isRushing(appId))
            this.#guard(this.#hold(appId, false));
          else this.#fail(routerError('H11'));
          return;
        }
        this.#entered = true;
        const outcome = this.#context.connections.connect(admission.dynos, {
          reuse: this.#reuse,
          prefer: app.session_affinity ? affineDyno(this.#head.rawHeaders) : null,
          // Not a getter: an object with one costs more than all of this.
          signal: () => this.#signal,
        });
        if (outcome instanceof Promise) this.#guard(outcome.then((it) => this.#connected(appId, it)));
        else this.#connected(appId, outcome);
      }
    }
  }

  /** Waits at the gate until the app's routes change or a place is free, and then looks again. */
  async #hold(appId: string, wake: boolean): Promise<void> {
    this.#woke ||= wake;
    const { clock, timeouts, gate } = this.#context;
    const now = clock.now().getTime();
    this.#bootDeadline ??= now + timeouts.bootMs;
    const { requestId, method, path, fwd } = this.#head;
    const release = await gate.wait(
      appId,
      { requestId, method, path, fwd: fwd.join(','), at: this.#startedAt },
      { wake, timeoutMs: Math.max(0, this.#bootDeadline - now), signal: this.#signal },
    );
    if (release === 'timeout') this.#fail(routerError('H20'));
    else if (release === 'full') this.#fail(routerError('H11'));
    this.#dispatch(appId);
  }

  /** From now on the app is not put to sleep on account of this request. */
  #countIn(appId: string): void {
    if (this.#activity !== null) return;
    this.#activity = this.#context.activity.of(appId);
    this.#activity.inFlight += 1;
  }

  #countOut(): void {
    if (this.#activity === null) return;
    this.#activity.inFlight -= 1;
    this.#activity.lastAtMs = this.#context.clock.now().getTime();
    this.#activity = null;
  }

  #connected(appId: string, outcome: ConnectOutcome): void {
    switch (outcome.kind) {
      case 'aborted':
        return;
      case 'failed':
        if (this.#isOutdated(appId)) {
          this.#dispatch(appId);
          return;
        }
        this.#dynoName = outcome.dyno.name;
        this.#connectMs = outcome.connectMs;
        this.#fail(routerError(outcome.code));
        return;
      case 'quarantined': {
        const { clock, timeouts } = this.#context;
        const now = clock.now().getTime();
        this.#connectDeadline ??= now + timeouts.connectBudgetMs;
        if (now >= this.#connectDeadline) {
          this.#fail(routerError('H99'));
          return;
        }
        const delayMs = Math.min(outcome.retryInMs, QUARANTINE_LOOK_MS, this.#connectDeadline - now);
        this.#guard(this.#pause(delayMs).then(() => this.#dispatch(appId)));
        return;
      }
      case 'connected':
        this.#send(outcome.connection);
    }
  }

  /** Does a newer table know better than to try the dynos that did not accept: others, or that there are none now? */
  #isOutdated(appId: string): boolean {
    const tried = this.#app;
    const app = this.#context.index().app(appId);
    if (app === undefined || app === tried) return app === undefined;
    const admission = admit(app);
    if (admission.kind !== 'dispatch') return true;
    return admission.dynos.some(({ id }) =>
      tried?.dynos.every((dyno) => dyno.id !== id || !isRoutable(dyno)),
    );
  }

  /** Waits, but not beyond the end of this exchange. */
  async #pause(delayMs: number): Promise<void> {
    const signal = this.#signal;
    try {
      await sleep(this.#context.clock, delayMs, signal);
    } catch (error) {
      // Only the end of the exchange ends the wait early, and `#dispatch` looks for that next.
      if (!signal.aborted) throw error;
    }
  }

  #guard(waiting: Promise<void>): void {
    waiting.catch((error: unknown) => this.#context.failed(this, error));
  }

  /** Aborted when the exchange is over. */
  get #signal(): AbortSignal {
    this.#over ??= new AbortController();
    if (this.#done) this.#over.abort();
    return this.#over.signal;
  }

  get #repeatable(): boolean {
    return IDEMPOTENT.has(this.#head.method) && !this.#client.hasBody && !this.#client.upgradable;
  }

  #send(connection: DynoConnection): void {
    const { clock, connections } = this.#context;
    const client = this.#client;
    if (this.#done) {
      connections.release(connection);
      return;
    }
    this.#connection = connection;
    this.#dynoName = connection.dyno.name;
    this.#connectMs = connection.connectMs;
    this.#connectedAtMs = clock.now().getTime();
    if (this.#head.expectation === 'continue' && !this.#continued) {
      // Only now is the body wanted (Dev Center "HTTP Routing": the router answers Expect itself).
      this.#continued = true;
      client.writeInterim(100, 'Continue', []);
    }
    const body = !client.hasBody ? 'none' : this.#head.contentLength === null ? 'chunked' : 'counted';
    const forwarded: Forwarded = {
      httpVersion: client.head.httpVersion,
      proto: client.tls === null ? 'http' : 'https',
      port: client.localPort,
      startedAtMs: this.#startedAt.getTime(),
      body,
      upgrade: client.upgradable,
    };
    this.#dynoRequest = new DynoRequest(
      connection,
      {
        text: dynoRequestHead(this.#head, forwarded),
        method: this.#head.method,
        body,
        upgrade: client.upgradable,
      },
      this,
      this.#release,
    );
    this.#awaited = 'request';
    if (body !== 'none') this.#touch();
    this.#dynoRequest.start();
    client.resume();
  }

  readonly #release = (connection: DynoConnection): void => this.#context.connections.release(connection);

  // The client's events.

  onBody(chunk: Buffer): void {
    if (this.#done || this.#dynoRequest === null) return;
    this.#touch();
    if (!this.#dynoRequest.write(chunk)) this.#client.pause();
  }

  onBodyEnd(rawTrailers: readonly string[]): void {
    if (!this.#done) this.#dynoRequest?.end(endToEndTrailers(rawTrailers));
  }

  onBodyBroken(): void {
    this.#dynoRequest?.destroy();
    this.#fail(badRequest('bad chunk'));
  }

  onFinish(): void {
    this.#finish(null, this.#status);
  }

  onAbort(): void {
    if (this.#done) return;
    this.#dynoRequest?.destroy();
    this.#finish(routerError('H27'), 499);
  }

  onDrain(): void {
    if (this.#done) return;
    this.#touch();
    this.#dynoRequest?.resume();
  }

  // The dyno's events.

  onDynoDrain(): void {
    if (this.#done) return;
    this.#touch();
    this.#client.resume();
  }

  onSent(): void {
    if (this.#done || this.#awaited !== 'request') return;
    this.#awaited = 'first byte';
    this.#context.firstByte.set(this.#deadline);
  }

  onInterim(status: number, statusMessage: string, rawHeaders: readonly string[]): void {
    this.#awaited = 'answer';
    this.#touch();
    // The router's own word counts.
    if (status === 100 && this.#continued) return;
    this.#client.writeInterim(status, statusMessage, interimHeaders(rawHeaders, status));
  }

  onAnswer(status: number, statusMessage: string, rawHeaders: readonly string[]): void {
    this.#awaited = 'answer';
    this.#touch();
    this.#status = status;
    this.#tellAwake();
    if (this.#context.draining()) this.#client.closeAfterwards();
    this.#client.writeHead(
      status,
      statusMessage,
      this.#withAffinity(clientResponseHeaders(rawHeaders, status)),
    );
  }

  onAnswerBody(chunk: Buffer): void {
    this.#touch();
    if (!this.#client.write(chunk)) this.#dynoRequest?.pause();
  }

  onAnswerPause(): void {
    // An event stream may say nothing for a while: what there is goes at once.
    this.#client.flush();
    if (this.#client.needsDrain) this.#dynoRequest?.pause();
  }

  onAnswerEnd(rawTrailers: readonly string[]): void {
    this.#dynoRequest = null;
    this.#client.end(endToEndTrailers(rawTrailers));
  }

  onUpgrade(statusMessage: string, rawHeaders: readonly string[], dyno: TunnelSide): void {
    this.#deadline.clear();
    const headers = this.#withAffinity(switchingProtocolsHeaders(rawHeaders));
    const client = this.#client.takeOver(statusMessage, headers);
    this.#tunnel = [client, dyno];
    this.#tellAwake();
    const { clock, timeouts } = this.#context;
    const activity = this.#activity;
    // Only its bytes keep the app awake from here on.
    this.#countOut();
    const onBytes = (nowMs: number): void => {
      if (activity !== null) activity.lastAtMs = nowMs;
    };
    this.#guard(
      tunnel(client, dyno, { clock, idleMs: timeouts.idleMs, onBytes }).then((end) => {
        if (end === 'idle') this.#finish(routerError('H15'), 503);
        else this.#finish(null, 101);
      }),
    );
  }

  onDynoError(error: RouterError, answered: boolean): void {
    const again =
      this.#connection?.reused === true && this.#reuse && !answered && error.code === 'H13' && !this.#done;
    if (!again || this.#app === null) {
      this.#fail(error);
      return;
    }
    // The dyno had closed the kept connection: once more over a fresh one.
    this.#deadline.clear();
    this.#reuse = false;
    this.#connection = null;
    this.#dynoRequest = null;
    this.#dispatch(this.#app.app_id);
  }

  /** Names the dyno in a cookie, unless the client's own does already. */
  #withAffinity(headers: string[]): string[] {
    const dynoId = this.#connection?.dyno.id;
    if (this.#app?.session_affinity !== true || dynoId === undefined) return headers;
    if (affineDyno(this.#head.rawHeaders) !== dynoId) headers.push('Set-Cookie', affinityCookie(dynoId));
    return headers;
  }

  /** The first byte after a wake. */
  #tellAwake(): void {
    if (this.#woke && this.#app !== null) this.#context.gate.answered(this.#app.app_id);
  }

  #touch(): void {
    if (this.#awaited !== 'first byte') this.#context.idle.set(this.#deadline);
  }

  #late(): void {
    let code: 'H12' | 'H15' | 'H28';
    switch (this.#awaited) {
      case 'request':
        code = (this.#dynoRequest?.unsent ?? 0) > 0 ? 'H15' : 'H28';
        break;
      case 'first byte':
        code = 'H12';
        break;
      case 'answer':
        code = this.#client.needsDrain ? 'H28' : 'H15';
        break;
    }
    this.#dynoRequest?.destroy();
    this.#fail(routerError(code));
  }

  #fail(error: RouterError): void {
    if (this.#done) return;
    const app = this.#app;
    this.#finish(error, error.status);
    if (this.#client.answering || error.status === 499 || app === null) {
      // Nothing can be said any more: only a cut connection tells the client that this was not all.
      this.#client.flush();
      this.#client.destroy();
      return;
    }
    this.#answer(
      errorAnswer(
        error,
        { accept: this.#head.accept, appName: app.app_name, requestId: this.#head.requestId },
        { errorPageUrl: app.error_page_url, maintenancePageUrl: app.maintenance_page_url },
      ),
    );
  }

  #answer(answer: Answer): void {
    const client = this.#client;
    if (client.answering) return;
    client.writeHead(answer.status, STATUS_CODES[answer.status] ?? '', [
      'Content-Type',
      answer.contentType,
      'Content-Length',
      String(answer.body.length),
      'Cache-Control',
      'no-cache, no-store',
    ]);
    client.write(answer.body);
    client.end();
  }

  /** The one end. `status` is what the log says; null with a null error = no line, there being no app. */
  #finish(error: RouterError | null, status: number | null): void {
    if (this.#done) return;
    this.#done = true;
    this.#deadline.clear();
    this.#over?.abort();
    this.#context.ended(this);
    const { clock } = this.#context;
    const app = this.#app;
    if (app === null) return;
    this.#countOut();
    if (this.#entered) this.#context.leave(app.app_id);
    const now = clock.now();
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
        bytes: this.#connectedAtMs === null ? null : this.#client.bytesWritten,
        httpVersion: this.#client.head.httpVersion,
        tls: this.#client.tls,
      }),
    );
  }
}

/** While all dynos are quarantined the table is looked at this often: a new dyno may be there. */
const QUARANTINE_LOOK_MS = 250;
