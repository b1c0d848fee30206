import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The daemon's API as any client sees it. */
export interface ApiClient {
  /** Each throws ApiClientError for what the daemon refuses and for a daemon that does not answer. */
  get(path: string): Promise<unknown>;
  /** All items of a list, page by page (Dev Center "Platform API Reference", "Ranges"). */
  list(path: string): Promise<unknown[]>;
  /** `timeoutMs` for what takes the daemon longer than usual. */
  post(path: string, body?: unknown, options?: { timeoutMs: number }): Promise<unknown>;
  patch(path: string, body: unknown, options?: { timeoutMs: number }): Promise<unknown>;
  delete(path: string): Promise<unknown>;
}

/** What only `dynodock container:push` does. */
export interface ContainerApiClient {
  /** Builds a Dockerfile of the folder in `tar`; answers the image's id. */
  buildImage(
    app: string,
    build: ImageBuildRequest,
    tar: Readable,
    write: (text: string) => void,
    signal: AbortSignal,
  ): Promise<string>;
  /** Reads a text until it ends. */
  stream(url: string, write: (text: string) => void, signal: AbortSignal): Promise<void>;
}

export interface ImageBuildRequest {
  processType: string;
  /** Within the folder. */
  dockerfile: string;
  buildArgs: Readonly<Record<string, string>>;
}

export class ApiClientError extends Error {
  override readonly name = 'ApiClientError';
}

const TIMEOUT_MS = 10_000;

export function createApiClient(options: { apiPort: number; token: string }): ApiClient & ContainerApiClient {
  const call = async (
    method: string,
    path: string,
    { body, range, timeoutMs = TIMEOUT_MS }: { body?: unknown; range?: string; timeoutMs?: number } = {},
  ): Promise<{ answer: unknown; nextRange: string | null }> => {
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(`http://127.0.0.1:${options.apiPort}${path}`, {
        method,
        headers: {
          Authorization: `Bearer ${options.token}`,
          Accept: 'application/vnd.heroku+json; version=3',
          ...(range === undefined ? {} : { Range: range }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(timeoutMs),
      });
      answer = await response.json();
    } catch (cause) {
      throw new ApiClientError('the daemon does not answer', { cause });
    }
    if (!response.ok) {
      const { message } = answer as { message?: string };
      throw new ApiClientError(message ?? `the daemon answered ${response.status}`);
    }
    return { answer, nextRange: response.headers.get('Next-Range') };
  };
  return {
    get: async (path) => (await call('GET', path)).answer,
    async list(path) {
      const items: unknown[] = [];
      for (let next: string | null | undefined; next !== null;) {
        const page = await call('GET', path, next === undefined ? {} : { range: next });
        items.push(...(page.answer as unknown[]));
        next = page.nextRange;
      }
      return items;
    },
    post: async (path, body, options) => (await call('POST', path, { body, ...options })).answer,
    patch: async (path, body, more) => (await call('PATCH', path, { body, ...more })).answer,
    delete: async (path) => (await call('DELETE', path)).answer,
    buildImage: (app, build, tar, write, signal) => buildImage(options, app, build, tar, write, signal),
    stream: async (url, write, signal) => {
      const response = await fetch(url, { signal });
      if (!response.ok || response.body === null)
        throw new ApiClientError(`the daemon answered ${response.status}`);
      const decoder = new TextDecoder();
      for await (const chunk of response.body) write(decoder.decode(chunk as Uint8Array, { stream: true }));
    },
  };
}

interface ImageMessage {
  output?: string;
  image?: { id: string };
  error?: { message: string };
  /** Of an answer that is no stream. */
  message?: string;
}

/** `fetch` would send its headers only, until the folder has been packed whole. */
async function buildImage(
  { apiPort, token }: { apiPort: number; token: string },
  app: string,
  { processType, dockerfile, buildArgs }: ImageBuildRequest,
  tar: Readable,
  write: (text: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const wanted = JSON.stringify({ process_type: processType, dockerfile, build_args: buildArgs });
  const call = request({
    host: '127.0.0.1',
    port: apiPort,
    method: 'POST',
    path: `/apps/${encodeURIComponent(app)}/container-images`,
    headers: {
      Authorization: `Bearer ${token}`,
      Accept: 'application/vnd.heroku+json; version=3',
      'Content-Type': 'application/x-tar',
      'Dynodock-Image-Build': Buffer.from(wanted).toString('base64'),
    },
    signal,
  });
  // Also after the answer has begun, which then fails for whoever reads it.
  call.on('error', () => undefined);
  const answered = once(call, 'response') as Promise<[IncomingMessage]>;
  const sent = pipeline(tar, call);
  // An answer that comes before all was sent says more than that the rest was not wanted.
  sent.catch(() => undefined);
  let response: IncomingMessage;
  try {
    [response] = await answered;
  } catch (cause) {
    const { errored } = tar;
    throw errored ?? new ApiClientError('the daemon does not answer', { cause });
  }
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as ImageMessage;
      if (message.output !== undefined) write(message.output);
      if (message.image !== undefined) return message.image.id;
      if (message.error !== undefined) throw new ApiClientError(message.error.message);
    }
  }
  const { message } = (rest === '' ? {} : JSON.parse(rest)) as ImageMessage;
  throw new ApiClientError(message ?? 'the daemon hung up');
}
