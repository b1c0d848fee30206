import { fork, spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';

export interface RunOptions {
  cwd?: string;
  /** The whole environment of the child; absent = this process's own. */
  env?: Readonly<Record<string, string | undefined>>;
  timeoutMs: number;
  signal?: AbortSignal;
  input?: string | Buffer;
  /** Bytes kept of each stream; the rest is dropped. Default 10 MiB. */
  maxOutputBytes?: number;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

export class ProcessError extends Error {
  override readonly name = 'ProcessError';
  constructor(
    readonly command: string,
    /** null when it was killed or never started. */
    readonly exitCode: number | null,
    readonly stderr: string,
    options?: { cause?: unknown },
  ) {
    super(
      `${command} ${exitCode === null ? 'was ended' : `exited with status ${exitCode}`}: ${stderr.trim().slice(-500)}`,
      options,
    );
  }
}

/** Starts a child as leader of its own process group, so that `killGroup` ends it with its descendants. */
export function spawnGroup(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
): ChildProcess {
  return spawn(command, [...args], { ...options, detached: true, shell: false });
}

/**
 * Starts a script of ours as a further process of the same program, with a channel for messages. It is in this
 * process's own group, whose signals it gets as well, and has to end by itself when the channel does.
 */
export function forkScript(script: string, options: { execArgv?: string[] } = {}): ChildProcess {
  return fork(script, [], { ...options, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

export function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    // ESRCH: the group ended by itself between the check and the call.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs a program to its end with an argument array, never a shell; rejects with ProcessError unless it exits 0. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const max = options.maxOutputBytes ?? 10 * 1024 * 1024;
    const child = spawnGroup(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: options.env }),
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const stdout = collect(child.stdout, max);
    const stderr = collect(child.stderr, max);
    const end = (): void => killGroup(child, 'SIGKILL');
    const timer = setTimeout(end, options.timeoutMs);
    options.signal?.addEventListener('abort', end, { once: true });
    if (options.signal?.aborted) end();
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', end);
    };
    child.once('error', (cause) => {
      settle();
      reject(new ProcessError(command, null, cause.message, { cause }));
    });
    child.once('close', (code) => {
      settle();
      if (code === 0) resolve({ stdout: stdout(), stderr: stderr() });
      else reject(new ProcessError(command, code, stderr()));
    });
    if (options.input !== undefined) {
      // A child that ends without reading its input is judged by its exit status, not by our EPIPE.
      child.stdin?.on('error', () => undefined);
      child.stdin?.end(options.input);
    }
  });
}

function collect(stream: NodeJS.ReadableStream | null, max: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (size < max) chunks.push(chunk.subarray(0, max - size));
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
