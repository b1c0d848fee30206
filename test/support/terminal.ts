import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { killGroup } from '../../src/lib/process';

export interface TerminalOptions {
  env: Record<string, string>;
  columns: number;
  rows: number;
}

/** A command on a pseudo terminal, which script(1) of util-linux makes; a test types, and reads the screen's bytes. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number>;
  #text = '';

  /** `command` goes through a shell, with its words quoted as need be. */
  constructor(command: string, options: TerminalOptions) {
    const sized = `stty cols ${options.columns} rows ${options.rows}; exec ${command}`;
    this.#child = spawn('script', ['--quiet', '--return', '--command', sized, '/dev/null'], {
      env: { ...options.env, TERM: 'xterm', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.#text += chunk.toString('utf8')));
    this.#ended = once(this.#child, 'exit').then(([code]) => (code as number | null) ?? -1);
  }

  /** Everything that was shown so far. */
  get text(): string {
    return this.#text;
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Waits until the screen shows `pattern`, after what was there at the last call. */
  async shows(pattern: RegExp, timeoutMs = 60_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match.index + match[0].length);
        return match[0];
      }
      if (Date.now() > deadline) {
        throw new Error(`the terminal never showed ${String(pattern)}, but:\n${this.#text}`);
      }
      await delay(20);
    }
  }

  /** Resolves with the command's exit code. */
  async ends(timeoutMs = 60_000): Promise<number> {
    const late = delay(timeoutMs, undefined, { ref: false }).then(() => {
      throw new Error(`the command on the terminal goes on:\n${this.#text}`);
    });
    return Promise.race([this.#ended, late]);
  }

  /** The user closes the window: nothing is said to anybody. */
  kill(): void {
    killGroup(this.#child, 'SIGKILL');
  }
}
