/** The daemon's API as any client sees it. */
export interface ApiClient {
  /** Each throws ApiClientError for what the daemon refuses and for a daemon that does not answer. */
  get(path: string): Promise<unknown>;
  /** All items of a list, page by page (Dev Center "Platform API Reference", "Ranges"). */
  list(path: string): Promise<unknown[]>;
  /** `timeoutMs` for what takes the daemon longer than usual. */
  post(path: string, body?: unknown, options?: { timeoutMs: number }): Promise<unknown>;
  patch(path: string, body: unknown): Promise<unknown>;
}

export class ApiClientError extends Error {
  override readonly name = 'ApiClientError';
}

const TIMEOUT_MS = 10_000;

export function createApiClient(options: { apiPort: number; token: string }): ApiClient {
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
    patch: async (path, body) => (await call('PATCH', path, { body })).answer,
  };
}
