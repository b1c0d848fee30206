import http from 'node:http';

export interface Probe {
  /** Milliseconds of Date.now(), as the daemon's events have them. */
  sentAt: number;
  endedAt: number;
  /** 0 = no answer: see `error`. */
  status: number;
  /** The router's own code, e.g. H10, where it answered itself. */
  error: string;
}

const INTERVAL_MS = 100;
const MAX_UNDER_WAY = 60;
const TIMEOUT_MS = 60_000;

/** Asks an app for its page ten times a second and keeps what was not answered with 200. */
export class Prober {
  readonly #target: { port: number; host: string };
  readonly #underWay = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  readonly failures: Probe[] = [];
  answered = 0;

  constructor(target: { port: number; host: string }) {
    this.#target = target;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (this.#underWay.size >= MAX_UNDER_WAY) return;
      const probe = this.#probe().finally(() => this.#underWay.delete(probe));
      this.#underWay.add(probe);
    }, INTERVAL_MS);
  }

  /** Resolves once what was asked until now has been answered. */
  async settled(): Promise<void> {
    await Promise.all([...this.#underWay]);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.settled();
  }

  async #probe(): Promise<void> {
    const sentAt = Date.now();
    const { status, error } = await this.#get();
    if (status === 200) this.answered += 1;
    else this.failures.push({ sentAt, endedAt: Date.now(), status, error });
  }

  #get(): Promise<{ status: number; error: string }> {
    return new Promise((resolve) => {
      const { port, host } = this.#target;
      const request = http.get(
        {
          host: '127.0.0.1',
          port,
          path: '/',
          agent: false,
          timeout: TIMEOUT_MS,
          // The router then names its error in JSON.
          headers: { Host: host, Accept: 'application/json' },
        },
        (response) => {
          let body = '';
          response.on('data', (chunk: Buffer) => (body += chunk.toString('utf8')));
          response.on('error', ({ message }) => resolve({ status: 0, error: message }));
          response.on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              error: /"code":\s*"(H\d\d)"/.exec(body)?.[1] ?? '',
            });
          });
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)));
      request.on('error', ({ message }) => resolve({ status: 0, error: message }));
    });
  }
}
