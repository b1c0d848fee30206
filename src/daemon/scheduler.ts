import { schedule, type ScheduledTask } from 'node-cron';
import type { Logger } from '../lib/logger';

export interface Job {
  name: string;
  /** With seconds: `0 * * * * *` = every minute. */
  cron: string;
  run: () => Promise<void> | void;
}

/** Runs jobs by the clock; one that still runs when its time comes again is left out that time. */
export class Scheduler {
  readonly #jobs: readonly Job[];
  readonly #logger: Logger;
  readonly #running = new Map<string, Promise<void>>();
  #tasks: ScheduledTask[] = [];

  constructor(jobs: readonly Job[], logger: Logger) {
    this.#jobs = jobs;
    this.#logger = logger;
  }

  start(): void {
    this.#tasks = this.#jobs.map((job) => schedule(job.cron, () => this.#run(job), { name: job.name }));
  }

  /** Resolves once the jobs under way have ended. */
  async stop(): Promise<void> {
    for (const task of this.#tasks) await task.destroy();
    this.#tasks = [];
    await Promise.all(this.#running.values());
  }

  #run(job: Job): void {
    if (this.#running.has(job.name)) return;
    const work = (async () => job.run())()
      .catch((error: unknown) => this.#logger.error('scheduled job failed', { job: job.name, error }))
      .finally(() => this.#running.delete(job.name));
    this.#running.set(job.name, work);
  }
}
