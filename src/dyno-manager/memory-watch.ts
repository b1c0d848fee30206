import { dynoName, type Dyno } from '../domain/dyno';
import { dynoSize } from '../domain/dyno-size';
import { ignoring, type ContainerEngine, type ContainerId, type MemoryUse } from '../engine/engine';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Logplex } from '../logplex/logplex';

export interface MemoryWatchOptions {
  engine: ContainerEngine;
  logplex: Logplex;
  clock: Clock;
  logger: Logger;
  /** The dynos that run now, with their containers. */
  running: () => { dyno: Dyno; containerId: ContainerId }[];
}

/** Heroku looks every 20 s (Dev Center "Log Runtime Metrics"). */
const INTERVAL_MS = 20_000;
/** Of the quota: above it R14, above twice it R15 (Dev Center "Error Codes"). */
const EXCEEDED = 1;
const VASTLY_EXCEEDED = 2;
/** Engines take some milliseconds for each; more at once would only make them queue there. */
const AT_ONCE = 4;

/**
 * Measures what dynos use. Over their size's quota they are told so in the log (R14) and go on; over twice the quota
 * they are killed (R15). The kernel's own limit, see dyno-spec.ts, stands at twice the quota too, for those that grow
 * faster than they are looked at.
 */
export class MemoryWatch {
  readonly #options: MemoryWatchOptions;
  #cancel: () => void = () => undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.#cancel = this.#options.clock.after(INTERVAL_MS, () => {
      this.#round = this.#look().finally(() => {
        if (!this.#stopped) this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#round;
  }

  async #look(): Promise<void> {
    const queue = this.#options.running();
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await this.#measure(next.dyno, next.containerId);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }

  async #measure(dyno: Dyno, containerId: ContainerId): Promise<void> {
    const { engine, logger } = this.#options;
    try {
      const use = await engine.memory(containerId);
      const share = memoryShare(dyno, use);
      if (share <= EXCEEDED) return;
      this.#say(dyno, describeMemory(dyno, use));
      if (share <= VASTLY_EXCEEDED) {
        this.#say(dyno, 'Error R14 (Memory quota exceeded)');
        return;
      }
      this.#say(dyno, 'Error R15 (Memory quota vastly exceeded)');
      this.#say(dyno, 'Stopping process with SIGKILL');
      await engine.kill(containerId, 'SIGKILL').catch(ignoring('not_running', 'not_found'));
    } catch (error) {
      // It ended while it was looked at, or the engine is away: the next round looks again.
      logger.debug('memory of a dyno not measured', { dyno: dynoName(dyno), error });
    }
  }

  #say(dyno: Dyno, text: string): void {
    this.#options.logplex.heroku(dyno.appId, dynoName(dyno), text);
  }
}

/** Used memory as a share of the size's quota. The page cache is left out: the kernel takes it back at need. */
function memoryShare(dyno: Dyno, use: MemoryUse): number {
  return (use.rssBytes + use.swapBytes) / (dynoSize(dyno.size).memoryMb * 1024 * 1024);
}

/** `Process running mem=530M(103.6%)` */
export function describeMemory(dyno: Dyno, use: MemoryUse): string {
  const megabytes = Math.round((use.rssBytes + use.swapBytes) / (1024 * 1024));
  return `Process running mem=${megabytes}M(${(memoryShare(dyno, use) * 100).toFixed(1)}%)`;
}
