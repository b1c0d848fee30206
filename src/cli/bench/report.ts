import type { LoadResult } from './load';
import type { BenchOptions } from './options';
import type { RouterTally } from './router-lines';

/** One load, and what the router said of it. */
export interface Run {
  /** Number of web dynos, where it was set for this run. */
  web: number | null;
  load: LoadResult;
  /** null where there is no app. */
  router: RouterTally | null;
}

/** Above this share of the time the load generator can hardly do more. */
const BUSY = 0.9;

/** For people: one run as a list, several as a table. */
export function formatRuns(runs: readonly Run[]): string[] {
  const [first] = runs;
  const lines = first !== undefined && first.web === null ? formatRun(first) : formatTable(runs);
  const notes = runs.flatMap(({ load: { busy }, web }) =>
    busy < BUSY
      ? []
      : [
          `${web === null ? '' : `web=${web}: `}the load generator was busy for ${Math.round(busy * 100)} % of the time: it may be what limits.`,
        ],
  );
  return [...lines, ...(notes.length > 0 ? ['', ...notes] : [])];
}

function formatRun({ load, router }: Run): string[] {
  const { p50, p90, p99, max } = load.latencyMs;
  const latency = `p50 ${ms(p50)}, p90 ${ms(p90)}, p99 ${ms(p99)}, max ${ms(max)}`;
  const rows: [string, string][] = [
    ['Requests/s', String(Math.round(load.requestsPerSecond))],
    ['Latency', latency],
    ['Requests', `${load.sent} sent, ${load.answered} answered, ${megabytes(load.bodyBytes)} of bodies`],
    ['Status', counts(load.statuses)],
    ['Errors', counts(load.errors)],
  ];
  if (router !== null) {
    const codes = [...router.hCodes].sort(byKey);
    rows.push(
      ['H-codes', codes.map(([code, { desc, count }]) => `${code} (${desc}) ${count}`).join(', ') || 'none'],
      ['Dynos', counts(router.dynos)],
      ['Router log', `${router.linesSeen} of ${load.sent} lines seen`],
    );
  }
  return rows.map(([name, value]) => `${name.padEnd(12)}${value}`);
}

function formatTable(runs: readonly Run[]): string[] {
  const head = [
    'web',
    'requests/s',
    'p50',
    'p90',
    'p99',
    'max',
    'status',
    'errors',
    'H-codes',
    'lines seen',
    'dynos',
  ];
  const rows = runs.map(({ web, load, router }) => [
    String(web ?? ''),
    String(Math.round(load.requestsPerSecond)),
    ms(load.latencyMs.p50),
    ms(load.latencyMs.p90),
    ms(load.latencyMs.p99),
    ms(load.latencyMs.max),
    counts(load.statuses),
    counts(load.errors),
    router === null
      ? ''
      : counts(new Map([...router.hCodes].map(([code, { count }]) => [code, count] as const))),
    router === null ? '' : `${router.linesSeen} of ${load.sent}`,
    router === null ? '' : counts(router.dynos),
  ]);
  const widths = head.map((name, column) =>
    Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** For programs; names as in the API's JSON. */
export function presentRuns(
  { url, method, connections, durationSeconds }: BenchOptions,
  app: string | null,
  runs: readonly Run[],
): Record<string, unknown> {
  return {
    url: url.href,
    app,
    method,
    connections,
    duration_seconds: durationSeconds,
    runs: runs.map(({ web, load, router }) => ({
      web,
      requests_per_second: load.requestsPerSecond,
      latency_ms: load.latencyMs,
      sent: load.sent,
      answered: load.answered,
      body_bytes: load.bodyBytes,
      statuses: Object.fromEntries(load.statuses),
      errors: Object.fromEntries(load.errors),
      generator_busy: load.busy,
      router_log:
        router === null
          ? null
          : {
              lines_seen: router.linesSeen,
              h_codes: Object.fromEntries([...router.hCodes].map(([code, { count }]) => [code, count])),
              dynos: Object.fromEntries(router.dynos),
            },
    })),
  };
}

function counts(map: ReadonlyMap<string | number, number>): string {
  const entries = [...map].sort(byKey);
  return entries.length === 0 ? 'none' : entries.map(([key, count]) => `${key}: ${count}`).join(', ');
}

/** `web.2` before `web.10`. */
function byKey([a]: readonly [string | number, unknown], [b]: readonly [string | number, unknown]): number {
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

function ms(value: number): string {
  return `${value < 100 ? value.toFixed(1) : String(Math.round(value))} ms`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
