import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { ParkAnswer } from './activity';
import type { ParkingPlace } from './parking';
import type { RouteTable } from './protocol';
import type { Scheme } from './worker';
import { parseWorkerReport, type WorkerNews, type WorkerOrder, type WorkerReport } from './worker-messages';

export interface WorkerTimings {
  /** From the start of a worker process until it is ready. */
  startMs: number;
  /**
   * While something waits for its answer, a worker must not be silent for longer. Below what the daemon gives the
   * whole router to confirm a table (router-link.ts).
   */
  replyMs: number;
  /** A worker that leaves a connection waiting for longer gets no more of them for now. */
  takeMs: number;
  /** Beyond the drain, until a worker process is ended regardless. */
  endMs: number;
  /** Before a worker that ended is replaced: the first time, doubled up to the second. */
  backOffMs: { min: number; max: number };
  /** A worker that lived this long had no bad start: back-off begins anew. */
  settledMs: number;
}

export interface ChildWorkerOptions {
  /** Just started. */
  child: ChildProcess;
  clock: Clock;
  logger: Logger;
  timings: WorkerTimings;
  drainMs: number;
  startOrder: () => Extract<WorkerOrder, { type: 'start' }>;
  onReady: () => void;
  onNews: (news: WorkerNews) => void;
  /** A connection that it never took: nothing has been read of it. */
  onReturned: (socket: Socket, scheme: Scheme) => void;
  /** Once, after its last message; nothing else is called afterwards. */
  onEnd: () => void;
}

const NOTHING_UNDER_WAY: ParkAnswer = { parked: true, quietMs: Infinity };

/**
 * One further worker process as its primary sees it. It is *starting* until it says that it is ready, then *serving*,
 * *draining* once it was told to, and *ended* when its process and its channel are.
 */
export class ChildWorker implements ParkingPlace {
  readonly #options: ChildWorkerOptions;
  readonly #child: ChildProcess;
  /** Connections on their way to it, which Node sends one at a time. */
  readonly #handing = new Map<number, { socket: Socket; scheme: Scheme; sinceMs: number }>();
  #connections = 0;
  /** One for each table that it has not confirmed yet, the oldest first. */
  #unconfirmed: (() => void)[] = [];
  /** One for each `park` that it has not answered yet, the oldest first. */
  #parks: ((answer: ParkAnswer) => void)[] = [];
  #state: 'starting' | 'serving' | 'draining' | 'ended' = 'starting';
  #cancelDeadline: () => void;
  #onEnded: (() => void)[] = [];

  constructor(options: ChildWorkerOptions) {
    this.#options = options;
    const { child, clock, timings, logger } = options;
    this.#child = child;
    this.#cancelDeadline = clock.after(timings.startMs, () => this.#giveUp('it does not start'));
    child.on('message', (message) => this.#receive(message));
    child.on('error', (error) => {
      // Of a message, or of a signal: then the end of its process says all there is to know.
      if (child.pid !== undefined) return;
      logger.error('router worker could not be started', { error });
      this.#end();
    });
    child.on('exit', (code, signal) => {
      if (this.#state !== 'draining') logger.warn('router worker ended', { pid: child.pid, code, signal });
      this.#awaitChannel();
    });
    child.on('disconnect', () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      // It exits right after; a process that only closed its channel is of no use.
      clock.after(timings.endMs, () => this.#giveUp('it has left its channel'));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** It does not keep up with the connections that it is given. */
  get isLate(): boolean {
    const [oldest] = this.#handing.values();
    const nowMs = this.#options.clock.now().getTime();
    return oldest !== undefined && nowMs - oldest.sinceMs > this.#options.timings.takeMs;
  }

  /** Passes a client's connection on, of which nothing has been read. */
  accept(socket: Socket, scheme: Scheme): void {
    this.#connections += 1;
    const id = this.#connections;
    this.#handing.set(id, { socket, scheme, sinceMs: this.#options.clock.now().getTime() });
    if (this.#pending === 1) this.#expectReply();
    // Node would lose what is on its way to a process that dies: this one holds on to it until it was taken.
    this.#child.send(
      { type: 'connection', id, scheme } satisfies WorkerOrder,
      socket,
      { keepOpen: true },
      (error) => {
        if (error !== null && this.#handing.delete(id)) this.#options.onReturned(socket, scheme);
      },
    );
  }

  /** Resolves once it serves the table, or has ended. */
  apply(table: RouteTable): Promise<void> {
    if (this.#state === 'ended') return Promise.resolve();
    return new Promise((resolve) => {
      this.#unconfirmed.push(resolve);
      this.#ask({ type: 'routes', table });
    });
  }

  /** One that has ended has nothing against it. */
  park(appId: string, atOnce: boolean): Promise<ParkAnswer> {
    if (this.#state === 'ended') return Promise.resolve(NOTHING_UNDER_WAY);
    return new Promise((resolve) => {
      this.#parks.push(resolve);
      this.#ask({ type: 'park', app_id: appId, at_once: atOnce });
    });
  }

  unpark(appId: string): void {
    this.#order({ type: 'unpark', app_id: appId });
  }

  daemonConnected(): void {
    this.#order({ type: 'daemon_connected' });
  }

  /** Lets what is under way there end. Resolves when it has ended, within the drain and `endMs`. */
  async stop(): Promise<void> {
    const { clock, drainMs, timings } = this.#options;
    if (this.#state === 'ended') return;
    const ended = new Promise<void>((resolve) => this.#onEnded.push(resolve));
    if (this.#state === 'starting') this.kill();
    this.#state = 'draining';
    this.#cancelDeadline();
    this.#cancelDeadline = clock.after(drainMs + timings.endMs, () => this.#giveUp('it does not drain'));
    this.#order({ type: 'drain' });
    await ended;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #receive(raw: unknown): void {
    let report: WorkerReport;
    try {
      report = parseWorkerReport(raw);
    } catch (error) {
      this.#options.logger.error('router worker sent an unreadable message', { error });
      this.kill();
      return;
    }
    switch (report.type) {
      case 'ready':
        if (this.#state !== 'starting') return;
        this.#state = 'serving';
        this.#cancelDeadline();
        this.#order(this.#options.startOrder());
        this.#options.onReady();
        return;
      case 'applied':
        this.#unconfirmed.shift()?.();
        this.#expectReply();
        return;
      case 'park_answer':
        this.#parks.shift()?.(report.answer);
        this.#expectReply();
        return;
      case 'taken':
        // Closes this process's end of it only.
        this.#handing.get(report.id)?.socket.destroy();
        this.#handing.delete(report.id);
        this.#expectReply();
        return;
      case 'drained':
        return;
      case 'note':
        this.#options.logger[report.level](report.message, report.fields);
        return;
      case 'log':
      case 'wake':
      case 'woken':
      case 'quiet':
        this.#options.onNews(report);
        return;
    }
  }

  /** In two halves: should this very process have been held up, its reply is read between them. */
  #expectReply(): void {
    const { clock, timings } = this.#options;
    if (this.#state !== 'serving') return;
    this.#cancelDeadline();
    if (this.#pending === 0) return;
    this.#cancelDeadline = clock.after(timings.replyMs / 2, () => {
      this.#cancelDeadline = clock.after(timings.replyMs / 2, () => this.#giveUp('it does not reply'));
    });
  }

  #giveUp(reason: string): void {
    if (this.#state === 'ended') return;
    this.#options.logger.warn('router worker is killed', { pid: this.#child.pid, reason });
    this.kill();
  }

  /** Answers that it owes. */
  get #pending(): number {
    return this.#unconfirmed.length + this.#parks.length + this.#handing.size;
  }

  /** For an order that is answered, whose asker is counted in `#pending` already. */
  #ask(order: WorkerOrder): void {
    if (this.#pending === 1) this.#expectReply();
    this.#order(order);
  }

  #order(order: WorkerOrder): void {
    // A failure means that it is gone, which its own end tells.
    this.#child.send(order, () => undefined);
  }

  /** What it said before its exit may still have to be read. Node emits no 'disconnect' while a socket is on its way. */
  #awaitChannel(): void {
    if (this.#child.connected) setImmediate(() => this.#awaitChannel());
    else this.#end();
  }

  #end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#cancelDeadline();
    for (const confirm of this.#unconfirmed.splice(0)) confirm();
    for (const answer of this.#parks.splice(0)) answer(NOTHING_UNDER_WAY);
    for (const { socket, scheme } of this.#handing.values()) this.#options.onReturned(socket, scheme);
    this.#handing.clear();
    this.#options.onEnd();
    for (const tell of this.#onEnded.splice(0)) tell();
  }
}
