import http from 'node:http';
import https from 'node:https';
import type { PartnerEndpoint } from './provider';

/** One request to a partner; `path` is what follows its base URL. */
export interface PartnerRequest {
  method: 'POST' | 'PUT' | 'DELETE';
  path: string;
  body?: unknown;
}

/**
 * - `done`: 200, 201 or 204
 * - `accepted`: 202, it is at work
 * - `refused`: another 4xx, with its words for the user if there are any; it would be the same again
 * - `failed`: nobody can say whether anything came of it: no answer, 5xx, 408, 429, a redirect, no JSON. May be
 *   repeated. The reason follows on "the provider".
 */
export type PartnerAnswer =
  | { kind: 'done' | 'accepted'; body: Readonly<Record<string, unknown>> }
  | { kind: 'refused'; status: number; message: string | null }
  | { kind: 'failed'; reason: string };

export interface PartnerClientOptions {
  /** Heroku's; Dev Center "Add-on Partner API Reference", "Timeouts". */
  timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
const MAX_BODY_BYTES = 1024 * 1024;
const MAX_MESSAGE = 1000;

/** Speaks the Add-on Partner API. */
export class PartnerClient {
  readonly #timeoutMs: number;

  constructor({ timeoutMs = TIMEOUT_MS }: PartnerClientOptions = {}) {
    this.#timeoutMs = timeoutMs;
  }

  /** Never rejects but with the signal's reason. */
  async ask(
    service: string,
    endpoint: PartnerEndpoint,
    request: PartnerRequest,
    signal: AbortSignal,
  ): Promise<PartnerAnswer> {
    let answer: { status: number; text: string };
    try {
      answer = await exchange(service, endpoint, request, {
        signal: AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]),
      });
    } catch (error) {
      signal.throwIfAborted();
      return { kind: 'failed', reason: this.#describe(error) };
    }
    return judge(answer, request.method);
  }

  #describe(error: unknown): string {
    if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
      return `did not answer within ${this.#timeoutMs / 1000} seconds`;
    }
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ECONNREFUSED') return 'does not listen at its base_url';
    if (code === 'ECONNRESET') return 'hung up';
    if (error instanceof TooLargeError) return error.message;
    return `cannot be reached (${code ?? (error instanceof Error ? error.message : String(error))})`;
  }
}

/** What an answer means. */
export function judge(
  { status, text }: { status: number; text: string },
  method: PartnerRequest['method'],
): PartnerAnswer {
  const body = parseObject(text);
  if (status === 200 || status === 201 || status === 202 || status === 204) {
    const kind = status === 202 ? 'accepted' : 'done';
    // Nobody needs what is said to a farewell, and 204 says nothing.
    if (body === undefined && method !== 'POST') return { kind, body: {} };
    if (body === undefined)
      return { kind: 'failed', reason: `gave an answer ${status} without a JSON object` };
    return { kind, body };
  }
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
    const message = body?.['message'];
    return {
      kind: 'refused',
      status,
      message: typeof message === 'string' && message.trim() !== '' ? message.slice(0, MAX_MESSAGE) : null,
    };
  }
  return { kind: 'failed', reason: `answered with status ${status}` };
}

class TooLargeError extends Error {
  override readonly name = 'TooLargeError';
}

/** Redirects are not followed: the password goes to nobody but the manifest's URL. */
async function exchange(
  service: string,
  { baseUrl, password, version }: PartnerEndpoint,
  { method, path, body }: PartnerRequest,
  { signal }: { signal: AbortSignal },
): Promise<{ status: number; text: string }> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`;
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const message = (url.protocol === 'https:' ? https : http).request(url, {
      method,
      headers: {
        Authorization: `Basic ${Buffer.from(`${service}:${password}`).toString('base64')}`,
        Accept: version === 3 ? 'application/vnd.heroku-addons+json; version=3' : 'application/json',
        'User-Agent': 'dynodock',
        ...(payload === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) }),
      },
      signal,
      // One exchange, no connection to keep.
      agent: false,
    });
    message.once('response', resolve);
    message.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    message.end(payload);
  });
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new TooLargeError('gave an answer larger than 1 MiB');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    // The caller says that it is none.
    return undefined;
  }
}
