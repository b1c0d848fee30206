import { systemClock } from '../lib/clock';
import { deferred } from '../lib/deferred';
import type { Logger } from '../lib/logger';
import type { RouterTimeouts } from './exchange';
import { DEFAULT_TIMEOUTS, type RouterLimits } from './limits';
import { Router, type RouterOptions } from './router';

export interface RouterConfig {
  dataDir: string;
  socketPath?: string;
  snapshotPath?: string;
  listen: RouterOptions['listen'];
  certificatesDir?: string;
  /** Processes that serve connections, this one among them. Default 1. */
  workers?: number;
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
  const asked = deferred<string>();
  const router = new Router({
    ...config,
    clock: systemClock,
    onShutdown: () => asked.resolve('shutdown'),
  });
  let signals = 0;
  const onSignal = (signal: string): void => {
    signals += 1;
    if (signals > 1) {
      logger.warn('router ended without waiting', { signal });
      router.killWorkers();
      process.exit(1);
    }
    asked.resolve(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  try {
    await router.start();
    logger.info('router stopping', { reason: await asked.promise });
    const drainMs = config.timeouts?.drainMs ?? DEFAULT_TIMEOUTS.drainMs;
    const cancel = systemClock.after(drainMs + STOP_MARGIN_MS, () => {
      logger.error('router did not stop in time');
      router.killWorkers();
      process.exit(1);
    });
    await router.stop();
    cancel();
  } finally {
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  }
}
