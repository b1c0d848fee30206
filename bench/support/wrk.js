'use strict';
const { runFile } = require('./installation');

const UNITS = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

/**
 * Loads a URL with wrk(1), on one thread. Latencies are of wrk's histogram; `failed` are answers that are not 2xx and
 * connections that broke.
 */
async function runWrk({ wrk, url, host, connections, seconds, signal }) {
  const { stdout } = await runFile(
    wrk,
    [
      ...['--threads', '1', '--connections', String(connections), '--duration', `${seconds}s`],
      ...['--timeout', '10s', '--latency', '--header', `Host: ${host}`, url],
    ],
    { timeout: (seconds + 30) * 1000, signal },
  );
  return readWrk(stdout);
}

function readWrk(text) {
  const number = (pattern) => Number(pattern.exec(text)?.[1] ?? NaN);
  const latency = (share) => {
    const [, value, unit] = new RegExp(`^\\s+${share}%\\s+([\\d.]+)(us|ms|s|m) *$`, 'm').exec(text) ?? [];
    return Number(value) * UNITS[unit];
  };
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text) ?? [];
  const failed =
    sockets.slice(1).reduce((sum, count) => sum + Number(count), 0) +
    Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const result = {
    requestsPerSecond: number(/^Requests\/sec:\s+([\d.]+)$/m),
    requests: number(/^\s+(\d+) requests in /m),
    p50: latency(50),
    p99: latency(99),
    failed,
  };
  if (Object.values(result).some(Number.isNaN)) throw new Error(`wrk said:\n${text}`);
  return result;
}

module.exports = { runWrk };
