import { systemClock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { DEFAULT_TIMEOUTS, Router, type RouterLimits, type RouterOptions } from './router';
import type { RouterTimeouts } from './exchange';

export interface RouterConfig {
  dataDir: string;
  socketPath?: string;
  snapshotPath?: string;
  listen: RouterOptions['listen'];
  logger: Logger;
  timeouts?: Partial<RouterTimeouts>;
  limits?: Partial<RouterLimits>;
}

/** Time beyond the drain for closing the socket and the snapshot, before the process is ended regardless. */
const STOP_MARGIN_MS = 3_000;

/**
 * The router's process: serves until SIGTERM, SIGINT or the daemon's `shutdown`, then drains and resolves, which leaves
 * nothing that keeps the process alive. A second signal ends it at once. Rejects when it cannot start.
 */
export async function runRouter(config: RouterConfig): Promise<void> {
  const { logger } = config;
  await new Promise<void>((resolve, reject) => {
    let stopping = false;
    const stop = (reason: string): void => {
      if (stopping) {
        logger.warn('router ended without waiting', { reason });
        process.exit(1);
      }
      stopping = true;
      logger.info('router stopping', { reason });
      const drainMs = config.timeouts?.drainMs ?? DEFAULT_TIMEOUTS.drainMs;
      systemClock.after(drainMs + STOP_MARGIN_MS, () => {
        logger.error('router did not stop in time');
        process.exit(1);
      });
      router.stop().then(finish, finish);
    };
    const onSigterm = (): void => stop('SIGTERM');
    const onSigint = (): void => stop('SIGINT');
    const finish = (error?: unknown): void => {
      process.off('SIGTERM', onSigterm);
      process.off('SIGINT', onSigint);
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('router failed', { cause: error }));
    };
    const router = new Router({
      ...config,
      clock: systemClock,
      onShutdown: () => {
        if (!stopping) stop('shutdown');
      },
    });
    process.on('SIGTERM', onSigterm);
    process.on('SIGINT', onSigint);
    router.start().catch(finish);
  });
}
