import type { RouterTimeouts } from './exchange';

/** Dev Center "HTTP Routing" and "Error Codes"; `drainMs` and `lingerMs` are our own. */
export const DEFAULT_TIMEOUTS: RouterTimeouts = {
  connectMs: 5_000,
  quarantineMs: 5_000,
  connectBudgetMs: 75_000,
  firstByteMs: 30_000,
  idleMs: 55_000,
  bootMs: 75_000,
  clientKeepAliveMs: 60_000,
  dynoKeepAliveMs: 90_000,
  drainMs: 10_000,
  lingerMs: 5_000,
};

export interface RouterLimits {
  /** Requests at dynos at a time, for each web dyno wanted: H11 (Dev Center "HTTP Routing", "Request queueing"). */
  requestsPerDyno: number;
  /** Held requests per app: H11. */
  waitingPerApp: number;
  connectAttempts: number;
  /**
   * Well above what a dyno is given at a time, each for only so long (`dynoKeepAliveMs`): were it less, every peak would
   * close connections that the next one has to make again, at many times the cost of a request.
   */
  idleConnectionsPerDyno: number;
  /** Log lines kept while no daemon takes them. */
  bufferedLogLines: number;
  logBatchLines: number;
  logFlushMs: number;
}

export const DEFAULT_LIMITS: RouterLimits = {
  requestsPerDyno: 200,
  waitingPerApp: 1_000,
  connectAttempts: 10,
  idleConnectionsPerDyno: 1_000,
  bufferedLogLines: 10_000,
  logBatchLines: 100,
  logFlushMs: 50,
};
