/** The daemon's API as any client sees it. */
export interface ApiClient {
  /** Each throws ApiClientError for what the daemon refuses and for a daemon that does not answer. */
  get(path: string): Promise<unknown>;
  post(path: string, body?: unknown): Promise<unknown>;
  patch(path: string, body: unknown): Promise<unknown>;
}

export class ApiClientError extends Error {
  override readonly name = 'ApiClientError';
}

const TIMEOUT_MS = 10_000;

export function createApiClient(options: { apiPort: number; token: string }): ApiClient {
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    let response: Response;
    try {
      response = await fetch(`http://127.0.0.1:${options.apiPort}${path}`, {
        method,
        headers: {
          Authorization: `Bearer ${options.token}`,
          Accept: 'application/vnd.heroku+json; version=3',
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (cause) {
      throw new ApiClientError('the daemon does not answer', { cause });
    }
    const answer: unknown = await response.json();
    if (!response.ok) {
      const { message } = answer as { message?: string };
      throw new ApiClientError(message ?? `the daemon answered ${response.status}`);
    }
    return answer;
  };
  return {
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    patch: (path, body) => call('PATCH', path, body),
  };
}
