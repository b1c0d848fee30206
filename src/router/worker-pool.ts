import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { ChildWorker, type WorkerTimings } from './child-worker';
import type { RouteTable } from './protocol';
import type { Scheme } from './worker';
import type { WorkerNews, WorkerOrder } from './worker-messages';

export const DEFAULT_WORKER_TIMINGS: WorkerTimings = {
  startMs: 15_000,
  replyMs: 4_000,
  takeMs: 250,
  endMs: 1_500,
  backOffMs: { min: 100, max: 10_000 },
  settledMs: 30_000,
};

export interface WorkerPoolOptions {
  /** Processes besides this one. */
  size: number;
  fork: () => ChildProcess;
  clock: Clock;
  logger: Logger;
  timings: WorkerTimings;
  /** What a worker may take for its drain. */
  drainMs: number;
  /** What is to be served at this moment. */
  startOrder: () => Extract<WorkerOrder, { type: 'start' }>;
  /** `worker` is a number of its own for each process that ever was, from 1. */
  onNews: (worker: number, news: WorkerNews) => void;
  /** Serves a connection in this process. */
  serve: (socket: Socket, scheme: Scheme) => void;
}

/** Hands connections to this process and to further ones in turns, and keeps those processes running. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #all = new Set<ChildWorker>();
  /** Those that take connections. */
  #serving: ChildWorker[] = [];
  readonly #cancelRestarts = new Set<() => void>();
  #stopping = false;
  #started = 0;
  #turn = 0;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  /** Further processes that take connections. */
  get serving(): readonly ChildWorker[] {
    return this.#serving;
  }

  /** Process ids of those. */
  get pids(): number[] {
    return this.#serving.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  /** Connections stay in this process until others are ready. */
  start(): void {
    for (let n = 0; n < this.#options.size; n++) this.#startOne(0);
  }

  /** Nothing has been read from the socket. */
  accept(socket: Socket, scheme: Scheme): void {
    this.#turn = (this.#turn + 1) % (this.#serving.length + 1);
    const worker = this.#serving[this.#turn - 1];
    if (worker === undefined || worker.isLate) this.#options.serve(socket, scheme);
    else worker.accept(socket, scheme);
  }

  /** Resolves once all that take connections serve the table; one that does not is replaced. */
  async apply(table: RouteTable): Promise<void> {
    await Promise.all(this.#serving.map((worker) => worker.apply(table)));
  }

  daemonConnected(): void {
    for (const worker of this.#serving) worker.daemonConnected();
  }

  /** Drains all, and resolves when their processes have ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const cancel of this.#cancelRestarts) cancel();
    this.#cancelRestarts.clear();
    await Promise.all([...this.#all].map((worker) => worker.stop()));
  }

  /** Ends their processes at once, for when this one is about to exit without waiting. */
  kill(): void {
    for (const worker of this.#all) worker.kill();
  }

  #startOne(failures: number): void {
    const { clock, timings } = this.#options;
    const startedAtMs = clock.now().getTime();
    const onEnd = (): void => {
      if (this.#stopping) return;
      const settled = clock.now().getTime() - startedAtMs >= timings.settledMs;
      this.#restart(settled ? 0 : failures);
    };
    let child: ChildProcess;
    try {
      child = this.#options.fork();
    } catch (error) {
      this.#options.logger.error('router worker could not be started', { error });
      onEnd();
      return;
    }
    this.#started += 1;
    this.#all.add(this.#watch(child, this.#started, onEnd));
  }

  #watch(child: ChildProcess, number: number, onEnd: () => void): ChildWorker {
    const { clock, timings, drainMs, startOrder, onNews, serve } = this.#options;
    const logger = this.#options.logger.child({ worker: number });
    const worker: ChildWorker = new ChildWorker({
      child,
      clock,
      logger,
      timings,
      drainMs,
      startOrder,
      onReady: () => {
        this.#serving.push(worker);
        logger.info('router worker ready', { pid: child.pid });
      },
      onNews: (news) => onNews(number, news),
      onReturned: serve,
      onEnd: () => {
        this.#all.delete(worker);
        this.#serving = this.#serving.filter((other) => other !== worker);
        onEnd();
      },
    });
    return worker;
  }

  #restart(failures: number): void {
    const { clock, timings } = this.#options;
    const delayMs = Math.min(timings.backOffMs.max, timings.backOffMs.min * 2 ** failures);
    const cancel = clock.after(delayMs, () => {
      this.#cancelRestarts.delete(cancel);
      this.#startOne(failures + 1);
    });
    this.#cancelRestarts.add(cancel);
  }
}
