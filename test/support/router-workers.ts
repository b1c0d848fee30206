import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { forkScript } from '../../src/lib/process';

/** Makes Node run TypeScript: the tests run src/, not what it is compiled to. */
export const TYPESCRIPT = ['--require', path.join(__dirname, 'typescript-hook.cjs')];

export function forkWorker(): ChildProcess {
  return forkScript(path.join(__dirname, '../../src/router/worker-process'), { execArgv: TYPESCRIPT });
}

/** Not of one that has ended and only waits for its parent to take note. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false; // There is no such process.
  }
}
