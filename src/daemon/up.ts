import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findInstance, type Instance } from './instance';
import type { Paths } from './paths';

/** How long a daemon may take from its start to answering; its images are there already. */
const START_MS = 60_000;
const POLL_MS = 100;
const ROUTER_END_MS = 5_000;

export class StartError extends Error {
  override readonly name = 'StartError';
}

/**
 * Starts the daemon as a process of its own, which outlives this one and its terminal, and waits until it answers.
 * Fails with what the daemon printed if it does not.
 */
export async function startDetached(paths: Paths, mainScript: string): Promise<Instance> {
  const outputFile = path.join(paths.logs, 'daemon.out');
  const offset = existsSync(outputFile) ? statSync(outputFile).size : 0;
  const output = openSync(outputFile, 'a');
  const child = spawn(process.execPath, [mainScript, 'up', '--detached-child'], {
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  let ended = false;
  child.once('exit', () => (ended = true));
  child.once('error', () => (ended = true));
  const printed = (): string => readFileSync(outputFile).subarray(offset).toString('utf8').trim();
  const deadline = Date.now() + START_MS;
  for (;;) {
    const instance = await findInstance(paths);
    if (instance !== undefined && instance.pid === child.pid) {
      child.unref();
      return instance;
    }
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- set by the listeners above
    if (ended) throw new StartError(printed() || 'the daemon ended without a word');
    if (Date.now() > deadline) {
      throw new StartError(`the daemon does not answer after ${START_MS / 1000} s\n${printed()}`);
    }
    // Not the daemon's clock, whose timers would not keep this command from ending.
    await delay(POLL_MS);
  }
}

/** Starts a router process that outlives the daemon; its settings come by the same environment. */
export function spawnRouter(paths: Paths, mainScript: string): ChildProcess {
  const output = openSync(path.join(paths.logs, 'router.out'), 'a');
  const child = spawn(process.execPath, [mainScript, 'router'], {
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  child.unref();
  return child;
}

/** For a router that is of no use because its daemon could not start. */
export async function endRouter(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.ref();
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), ROUTER_END_MS);
  await ended;
  clearTimeout(timer);
}
