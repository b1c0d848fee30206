/** The daemon's API as any client sees it. */
export interface ApiClient {
  /** Throws ApiClientError for what the daemon refuses and for a daemon that does not answer. */
  get(path: string): Promise<unknown>;
}

export class ApiClientError extends Error {
  override readonly name = 'ApiClientError';
}

const TIMEOUT_MS = 10_000;

export function createApiClient(options: { apiPort: number; token: string }): ApiClient {
  return {
    async get(path) {
      let response: Response;
      try {
        response = await fetch(`http://127.0.0.1:${options.apiPort}${path}`, {
          headers: {
            Authorization: `Bearer ${options.token}`,
            Accept: 'application/vnd.heroku+json; version=3',
          },
          signal: AbortSignal.timeout(TIMEOUT_MS),
        });
      } catch (cause) {
        throw new ApiClientError('the daemon does not answer', { cause });
      }
      const body: unknown = await response.json();
      if (!response.ok) {
        const { message } = body as { message?: string };
        throw new ApiClientError(message ?? `the daemon answered ${response.status}`);
      }
      return body;
    },
  };
}
