import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

export const SCRIPTED_APP = path.join(__dirname, 'scripted-app.cjs');

/** What the backend does with a connection, in order; see `steps` there. */
export type Step =
  | [name: 'send' | 'drip', text: string]
  | [name: 'repeat', text: string, times: number]
  | [name: 'flood' | 'got', bytes: number]
  | [name: 'gate', gate: string]
  | [name: 'pause', ms: number]
  | [name: 'body' | 'ended' | 'closed' | 'deaf' | 'hear' | 'echo' | 'keep']
  | [name: 'end' | 'destroy' | 'reset' | 'unlisten'];

/** What it knows of a request. */
export interface RequestRecord {
  /** How often a request with this id came; the rest is of the latest. */
  times: number;
  connection: number;
  /** Head and body as they came, the first 2 MiB of them. */
  raw: string;
  totalBytes: number;
  bodyBytes: number;
  /** Handed to its socket. */
  sentBytes: number;
  complete: boolean;
  /** The router has ended its side … */
  ended: boolean;
  /** … or the connection is gone: "closed" or an error's code. */
  closed: string | null;
  /** A step that failed. */
  problem: string | null;
}

export interface ConnectionStream {
  connection: number;
  raw: string;
  ended: boolean;
  closed: string | null;
}

/** `raw` is Latin-1 rather than base64 from here on. */
export const decoded = <T extends { raw: string }>(value: T): T => ({
  ...value,
  raw: Buffer.from(value.raw, 'base64').toString('latin1'),
});

export const scriptPath = (id: string, steps: readonly Step[], tail = ''): string =>
  `/s/${id}/${Buffer.from(JSON.stringify(steps)).toString('base64url')}${tail}`;

/** The backend as a process of its own on this machine. */
export class ScriptedBackend {
  readonly #child: ChildProcess;
  port = 0;

  private constructor(environment: Record<string, string>) {
    this.#child = spawn(process.execPath, [SCRIPTED_APP], {
      env: { PORT: '0', HOST: '127.0.0.1', ...environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  static async start(environment: Record<string, string> = {}): Promise<ScriptedBackend> {
    const backend = new ScriptedBackend(environment);
    const lines = createInterface({ input: backend.#child.stdout! });
    const [line] = (await once(lines, 'line')) as [string];
    backend.port = Number(/^listening on (\d+)$/.exec(line)?.[1]);
    return backend;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}
