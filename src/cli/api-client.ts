/** The daemon's API as any client sees it. Each call throws ApiClientError when refused or not answered. */
export interface ApiClient {
  get(path: string): Promise<unknown>;
  /** All items of a list, page by page (Dev Center "Platform API Reference", "Ranges"). */
  list(path: string): Promise<unknown[]>;
  send(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: unknown): Promise<unknown>;
}

export class ApiClientError extends Error {
  override readonly name = 'ApiClientError';
}

const TIMEOUT_MS = 10_000;

export function createApiClient(options: { apiPort: number; token: string }): ApiClient {
  const call = async (
    method: string,
    path: string,
    more: { headers?: Record<string, string>; body?: string } = {},
  ): Promise<{ headers: Headers; body: unknown }> => {
    let response: Response;
    let body: unknown;
    try {
      response = await fetch(`http://127.0.0.1:${options.apiPort}${path}`, {
        ...more,
        method,
        headers: {
          Authorization: `Bearer ${options.token}`,
          Accept: 'application/vnd.heroku+json; version=3',
          ...more.headers,
        },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      body = await response.json();
    } catch (cause) {
      throw new ApiClientError('the daemon does not answer', { cause });
    }
    if (!response.ok) {
      const { message } = body as { message?: string };
      throw new ApiClientError(message ?? `the daemon answered ${response.status}`);
    }
    return { headers: response.headers, body };
  };
  return {
    async get(path) {
      return (await call('GET', path)).body;
    },
    async list(path) {
      const items: unknown[] = [];
      for (let range: string | null = ''; range !== null;) {
        const page = await call('GET', path, range === '' ? {} : { headers: { Range: range } });
        items.push(...(page.body as unknown[]));
        range = page.headers.get('Next-Range');
      }
      return items;
    },
    async send(method, path, body) {
      const headers = { 'Content-Type': 'application/json' };
      return (await call(method, path, { headers, body: JSON.stringify(body) })).body;
    },
  };
}
