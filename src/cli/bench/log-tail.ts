import { LineReader } from '../../lib/line-reader';
import { ApiClientError, type ApiClient } from '../api-client';

/** A log line has at most 10,000 bytes, and a stamp. */
const MAX_LINE_BYTES = 64 * 1024;
const OPEN_TIMEOUT_MS = 10_000;

/** The router's lines of an app's log, as they come: a log session of the API, as `heroku logs --tail` opens one. */
export class LogTail {
  readonly #ending: AbortController;
  readonly #done: Promise<void>;
  /** Why the stream ended before it was stopped. */
  failure: Error | undefined;

  private constructor(
    ending: AbortController,
    body: AsyncIterable<Uint8Array>,
    onLine: (line: string) => void,
  ) {
    this.#ending = ending;
    this.#done = this.#read(body, onLine);
  }

  /** Resolves once the stream is open: lines from then on are not missed. */
  static async open(api: ApiClient, app: string, onLine: (line: string) => void): Promise<LogTail> {
    const session = (await api.post(`/apps/${app}/log-sessions`, {
      source: 'heroku',
      dyno: 'router',
      tail: true,
      lines: 0,
    })) as { logplex_url: string };
    const ending = new AbortController();
    const timer = setTimeout(() => ending.abort(), OPEN_TIMEOUT_MS);
    try {
      const response = await fetch(session.logplex_url, { signal: ending.signal });
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      return new LogTail(ending, response.body, onLine);
    } catch (cause) {
      throw new ApiClientError(`the log of ${app} could not be opened`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#done;
  }

  async #read(body: AsyncIterable<Uint8Array>, onLine: (line: string) => void): Promise<void> {
    // HTML standard, "Server-sent events"; of them only the data counts here.
    const reader = new LineReader(MAX_LINE_BYTES, (line) => {
      if (line.startsWith('data: ')) onLine(line.slice('data: '.length));
    });
    try {
      for await (const chunk of body) {
        reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      }
      throw new Error('the daemon ended it');
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
  }
}
