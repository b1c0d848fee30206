import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../api-client';
import { CommandError } from '../terminal';
import { runLoad } from './load';
import { LogTail } from './log-tail';
import type { BenchOptions } from './options';
import { formatRuns, presentRuns, type Run } from './report';
import { RouterLines, type RouterTally } from './router-lines';
import { anyTarget, findApp, type Target } from './target';
import { WebScale } from './web-scale';

/** The daemon that runs here. */
export interface BenchPlatform {
  api: ApiClient;
  routerHttpPort: number;
}

export interface BenchContext {
  /** undefined with `--any-host`. */
  platform: BenchPlatform | undefined;
  print: (...lines: string[]) => void;
  /** What is going on. */
  tell: (...lines: string[]) => void;
  /** Calls it off; the app is scaled back all the same. */
  signal: AbortSignal;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** The last lines come this long after their requests at most; a log that drops lines has no last line to wait for. */
const LAST_LINES_MS = 3_000;
/** Lines come every few milliseconds as long as there are any. */
const LULL_MS = 500;

/** `dynodock bench`: loads a URL for a while, with each number of web dynos asked for, and reports. */
export async function runBench(options: BenchOptions, context: BenchContext): Promise<void> {
  const { platform, signal } = context;
  const target =
    platform === undefined
      ? anyTarget(options.url)
      : await findApp(options.url, platform.api, platform.routerHttpPort);
  const runs: Run[] = [];
  try {
    await assertAnswers(target.origin, signal);
    if (options.scale.length === 0 || platform === undefined || target.app === null) {
      runs.push(await run(options, target, null, context));
    } else {
      const scale = await WebScale.of(platform.api, target.app.name);
      try {
        for (const quantity of options.scale) {
          context.tell(`${target.app.name}: web=${quantity} …`);
          await scale.to(quantity, signal);
          runs.push(await run(options, target, quantity, context));
        }
      } finally {
        await scale.back();
        context.tell(`${target.app.name}: back to web=${scale.original}.`);
      }
    }
  } catch (error) {
    // Not so a failure to scale back, which its user has to know of.
    if (signal.aborted && (error as Error).name === 'AbortError') throw new CommandError('Called off.');
    throw error;
  }
  if (options.json) {
    context.print(JSON.stringify(presentRuns(options, target.app?.name ?? null, runs), null, 2));
  } else context.print(...formatRuns(runs));
}

/** A load of nothing but refused connections says less than one sentence. */
async function assertAnswers(origin: string, signal: AbortSignal): Promise<void> {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 80 : Number(port) });
  try {
    await once(socket, 'connect', {
      signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new CommandError(`Nothing accepts connections at ${hostname}, port ${port || '80'} (${code}).`);
  } finally {
    socket.destroy();
  }
}

async function run(
  options: BenchOptions,
  target: Target,
  web: number | null,
  { platform, tell, signal }: BenchContext,
): Promise<Run> {
  // In the form that the router keeps (Dev Center "HTTP Request IDs").
  const requestId = `dynodock-bench-${randomUUID()}`;
  const lines = new RouterLines(requestId);
  const tail =
    platform === undefined || target.app === null
      ? undefined
      : await LogTail.open(platform.api, target.app.name, (line) => lines.add(line));
  try {
    const { connections, durationSeconds, method, headers, body } = options;
    tell(
      `${method} ${options.url.href}: ${connections} ${connections === 1 ? 'connection' : 'connections'} for ${durationSeconds} s …`,
    );
    const load = await runLoad({
      ...{ origin: target.origin, host: target.host, path: target.path, requestId, signal },
      ...{ method, headers, body, connections, durationMs: durationSeconds * 1000 },
    });
    if (tail === undefined) return { web, load, router: null };
    await lastLines(lines.tally, load.sent, tail, signal);
    if (tail.failure !== undefined) tell(`The log broke off: ${tail.failure.message}.`);
    return { web, load, router: lines.tally };
  } finally {
    await tail?.stop();
  }
}

async function lastLines(
  tally: RouterTally,
  expected: number,
  tail: LogTail,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + LAST_LINES_MS;
  while (tally.linesSeen < expected && tail.failure === undefined && Date.now() < deadline) {
    const before = tally.linesSeen;
    await delay(LULL_MS, undefined, { signal });
    if (before === tally.linesSeen) return;
  }
}
