import { randomUUID } from 'node:crypto';
import { readAnswers, readStrictly, type ReadAnswer, type StrictRequest } from '../../support/http-messages';
import { eventually, TestClient } from '../../support/router-client';
import { decoded, scriptPath, type RequestRecord, type Step } from '../../support/scripted-backend';

/** A router as it is seen from outside. */
export interface RouterAddress {
  /** On 127.0.0.1, plain HTTP/1. */
  port: number;
  /** Of the app whose one web dyno is the scripted backend. */
  host: string;
  /** The router's log lines so far, of all apps here, as text (`at=info method=…`). */
  lines(): readonly string[];
}

export interface Asked {
  method?: string;
  version?: '1.0' | '1.1';
  /** Header lines behind Host and X-Request-ID. Default: `Connection: close`. */
  headers?: readonly string[];
  body?: string;
  host?: string;
  /** Of the path, behind the script. */
  tail?: string;
}

export interface ScriptedRequest {
  /** Its X-Request-ID, by which log line and received bytes are found. */
  id: string;
  path: string;
  /** As sent, Latin-1. */
  text: string;
}

export interface Exchanged extends ScriptedRequest {
  /** All that came back before the connection ended. */
  bytes: string;
  /** The last answer; the ones before are interim. */
  answer: ReadAnswer;
  answers: ReadAnswer[];
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Lines travel through the daemon in a whole installation. */
const PATIENCE_MS = 10_000;

/** Asks things of the scripted backend through a router, by nothing but bytes. */
export class Place {
  readonly #address: RouterAddress;
  readonly #clients: TestClient[] = [];

  constructor(address: RouterAddress) {
    this.#address = address;
  }

  get host(): string {
    return this.#address.host;
  }

  get port(): number {
    return this.#address.port;
  }

  client(): TestClient {
    const client = new TestClient(this.#address.port);
    client.socket.setNoDelay(true);
    this.#clients.push(client);
    return client;
  }

  /** Destroys what `client` gave. */
  hangUp(): void {
    for (const client of this.#clients.splice(0)) client.socket.destroy();
  }

  request(steps: readonly Step[], asked: Asked = {}): ScriptedRequest {
    const id = randomUUID();
    const path = scriptPath(id, steps, asked.tail);
    const head = [
      `${asked.method ?? 'GET'} ${path} HTTP/${asked.version ?? '1.1'}`,
      `Host: ${asked.host ?? this.host}`,
      `X-Request-ID: ${id}`,
      ...(asked.headers ?? ['Connection: close']),
    ];
    return { id, path, text: `${head.join('\r\n')}\r\n\r\n${asked.body ?? ''}` };
  }

  /** Sends bytes on a connection of their own and answers with all that came until the router closed it. */
  send(text: string): Promise<string> {
    return this.client().write(text).end();
  }

  async ask(steps: readonly Step[], asked: Asked = {}): Promise<Exchanged> {
    const request = this.request(steps, asked);
    const bytes = await this.send(request.text);
    const answers = readAnswers(bytes, [asked.method ?? 'GET']);
    const answer = answers.at(-1);
    if (answer === undefined) throw new Error('the connection ended without an answer');
    return { ...request, bytes, answer, answers };
  }

  /** What the backend knows of a request; null when nothing of it has come. */
  async record(id: string): Promise<RequestRecord | null> {
    const text = await this.send(
      `GET /received/${id} HTTP/1.1\r\nHost: ${this.host}\r\nConnection: close\r\n\r\n`,
    );
    const [answer] = readAnswers(text);
    if (answer?.status !== 200) throw new Error(`the backend cannot be asked: ${text}`);
    const record = JSON.parse(answer.body) as RequestRecord | null;
    return record === null ? null : decoded(record);
  }

  /** Asks for the record until it is so. */
  async recorded(
    id: string,
    check: (record: RequestRecord) => boolean,
    what: string,
  ): Promise<RequestRecord> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const record = await this.record(id);
      if (record !== null && check(record)) return record;
      if (Date.now() > deadline) throw new Error(`never happened: ${what}; ${JSON.stringify(record)}`);
    }
  }

  /** The one complete, well-formed request that the backend has under this id. */
  async received(id: string): Promise<StrictRequest> {
    const record = await this.recorded(id, ({ complete }) => complete, 'request complete at the backend');
    expect(record.times).toBe(1);
    const read = readStrictly(record.raw);
    expect(read).toMatchObject({ rest: 'nothing', problem: null });
    expect(read.requests).toHaveLength(1);
    return read.requests[0]!;
  }

  async open(gate: string): Promise<void> {
    await this.send(`GET /open/${gate} HTTP/1.1\r\nHost: ${this.host}\r\nConnection: close\r\n\r\n`);
  }

  /** The log line of a request, once it is there. */
  line(id: string): Promise<string> {
    return this.lineWith(` request_id=${id} `);
  }

  async lineWith(part: string): Promise<string> {
    await eventually(() => this.linesWith(part).length > 0, `a log line with ${part}`, PATIENCE_MS);
    return this.linesWith(part)[0]!;
  }

  linesOf(id: string): string[] {
    return this.linesWith(` request_id=${id} `);
  }

  linesWith(part: string): string[] {
    return this.#address.lines().filter((line) => line.includes(part));
  }
}
