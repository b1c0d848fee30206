import { createHistogram, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'undici';

export interface LoadOptions {
  /** Scheme, host and port to connect to. */
  origin: string;
  /** The Host header. */
  host: string;
  path: string;
  method: string;
  headers: readonly (readonly [name: string, value: string])[];
  body: string | undefined;
  connections: number;
  durationMs: number;
  /** Each request bears it, so that its log line can be told from others'. */
  requestId: string;
  signal: AbortSignal;
}

export interface LoadResult {
  sent: number;
  answered: number;
  /** Of those answered before the time was over. */
  requestsPerSecond: number;
  latencyMs: { p50: number; p90: number; p99: number; max: number };
  statuses: Map<number, number>;
  /** Requests that were not answered in full, by the error's code. */
  errors: Map<string, number>;
  bodyBytes: number;
  /** Share of the time in which the load generator itself was at work: near 1, it may be what limits. */
  busy: number;
}

/** Requests under way at the end may still be answered in this time; then they are given up. */
const GRACE_MS = 5_000;
/** A server that refuses connections shall not be asked a hundred thousand times a second. */
const PAUSE_AFTER_ERROR_MS = 50;
const HIGHEST_LATENCY_US = 3_600_000_000;

/**
 * So many connections for so long, one request after another on each. A connection that the server closes is opened
 * again. Rejects only when called off.
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const { signal, durationMs } = options;
  const tally = new Tally();
  const clients = Array.from({ length: options.connections }, () => new Client(options.origin));
  const giveUp = (): void => {
    for (const client of clients) void client.destroy();
  };
  signal.addEventListener('abort', giveUp, { once: true });
  const utilization = performance.eventLoopUtilization();
  const deadline = performance.now() + durationMs;
  let busy = 0;
  const timer = setTimeout(() => {
    busy = performance.eventLoopUtilization(utilization).utilization;
  }, durationMs);
  const graceTimer = setTimeout(giveUp, durationMs + GRACE_MS);
  try {
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < deadline && !signal.aborted) {
          const ok = await requestOnce(client, options, tally, deadline);
          if (!ok) await delay(PAUSE_AFTER_ERROR_MS);
        }
      }),
    );
    signal.throwIfAborted();
  } finally {
    clearTimeout(timer);
    clearTimeout(graceTimer);
    signal.removeEventListener('abort', giveUp);
    await Promise.all(clients.map((client) => client.destroy()));
  }
  return tally.result(durationMs, busy);
}

/** Resolves with false for a request that was not answered in full. */
function requestOnce(client: Client, options: LoadOptions, tally: Tally, deadline: number): Promise<boolean> {
  const { path, method, body = null } = options;
  return new Promise((resolve) => {
    const startedAt = performance.now();
    let status = 0;
    tally.sent += 1;
    const failed = (error: Error): void => {
      tally.failed(error);
      resolve(false);
    };
    const headers = [...['host', options.host, 'x-request-id', options.requestId], ...options.headers.flat()];
    try {
      client.dispatch(
        { path, method: method, headers, body },
        {
          // undici takes a handler for one of its new kind by this method.
          onRequestStart: () => undefined,
          onResponseStart: (_controller, code) => {
            // An informational answer is followed by the real one.
            status = code;
          },
          onResponseData: (_controller, chunk) => {
            tally.bodyBytes += chunk.length;
          },
          onResponseEnd: () => {
            const now = performance.now();
            tally.answeredWith(status, now - startedAt, now <= deadline);
            resolve(true);
          },
          onResponseError: (_controller, error) => failed(error),
        },
      );
    } catch (error) {
      // undici refuses some requests before it sends anything.
      failed(error instanceof Error ? error : new Error(String(error)));
    }
  });
}

class Tally {
  sent = 0;
  bodyBytes = 0;
  #answered = 0;
  #inTime = 0;
  readonly #statuses = new Map<number, number>();
  readonly #errors = new Map<string, number>();
  /** In microseconds: it keeps whole numbers only. */
  readonly #latencies = createHistogram({ lowest: 1, highest: HIGHEST_LATENCY_US, figures: 3 });

  answeredWith(status: number, latencyMs: number, inTime: boolean): void {
    this.#answered += 1;
    if (inTime) this.#inTime += 1;
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1);
    this.#latencies.record(Math.min(HIGHEST_LATENCY_US, Math.max(1, Math.round(latencyMs * 1000))));
  }

  failed(error: Error): void {
    const code = (error as NodeJS.ErrnoException).code ?? error.name;
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  result(durationMs: number, busy: number): LoadResult {
    const ms = (microseconds: number): number => (this.#answered === 0 ? 0 : microseconds / 1000);
    return {
      sent: this.sent,
      answered: this.#answered,
      requestsPerSecond: this.#inTime / (durationMs / 1000),
      latencyMs: {
        p50: ms(this.#latencies.percentile(50)),
        p90: ms(this.#latencies.percentile(90)),
        p99: ms(this.#latencies.percentile(99)),
        max: ms(this.#latencies.max),
      },
      statuses: this.#statuses,
      errors: this.#errors,
      bodyBytes: this.bodyBytes,
      busy,
    };
  }
}
