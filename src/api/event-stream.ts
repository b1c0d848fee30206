import type { ServerResponse } from 'node:http';
import { formatLogLine } from '../domain/log-line';
import type { Clock } from '../lib/clock';

export interface StreamLine {
  id: number;
  text: string;
}

/** Lines kept for a reader that is behind; Logplex drops beyond a buffer too (Dev Center "Error Codes", L11). */
const PENDING_LINES = 1000;
/** Node's fetch gives up on a body that is silent for 300 s (contract, section 3.1). */
const KEEP_ALIVE_MS = 60_000;

/**
 * Log lines as server-sent events (HTML standard, "Server-sent events"). For a reader that is too slow, lines are
 * dropped and counted, and an L11 line tells so once it has caught up; memory does not grow.
 */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #clock: Clock;
  #pending: string[] = [];
  #blocked = false;
  #dropped = 0;
  #droppingSince: Date | undefined;
  #cancelKeepAlive: () => void = () => undefined;

  constructor(response: ServerResponse, clock: Clock) {
    this.#response = response;
    this.#clock = clock;
  }

  open(): void {
    this.#response.writeHead(200, {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-store',
    });
    this.#response.flushHeaders();
    this.#response.on('drain', () => this.#drained());
    this.#response.on('close', () => this.#cancelKeepAlive());
    this.#keepAlive();
  }

  /** The lines so far; they are in memory already, so none is dropped. */
  sendHistory(lines: readonly StreamLine[]): void {
    if (lines.length > 0) this.#write(lines.map(formatEvent).join(''));
  }

  send(line: StreamLine): void {
    if (!this.#blocked) {
      this.#write(formatEvent(line));
    } else if (this.#pending.length < PENDING_LINES) {
      this.#pending.push(formatEvent(line));
    } else {
      this.#dropped += 1;
      this.#droppingSince ??= this.#clock.now();
    }
  }

  end(): void {
    this.#cancelKeepAlive();
    this.#response.end();
  }

  #write(text: string): void {
    this.#blocked = !this.#response.write(text);
  }

  #drained(): void {
    this.#blocked = false;
    let text = this.#pending.join('');
    this.#pending = [];
    if (this.#droppingSince !== undefined) {
      text += formatData(
        formatLogLine({
          at: this.#clock.now(),
          source: 'heroku',
          process: 'logplex',
          text: `L11 (Tail buffer overflow) -> This tail session dropped ${this.#dropped} messages since ${this.#droppingSince.toISOString()}`,
        }),
      );
      this.#dropped = 0;
      this.#droppingSince = undefined;
    }
    if (text !== '') this.#write(text);
  }

  #keepAlive(): void {
    this.#cancelKeepAlive = this.#clock.after(KEEP_ALIVE_MS, () => {
      // A blocked stream is not silent: it has more to say than its reader takes.
      if (!this.#blocked) this.#write(':\n\n');
      this.#keepAlive();
    });
  }
}

function formatEvent(line: StreamLine): string {
  return `id: ${line.id}\n${formatData(line.text)}`;
}

function formatData(text: string): string {
  return `${text
    .split(/\r\n|\r|\n/)
    .map((part) => `data: ${part}\n`)
    .join('')}\n`;
}
