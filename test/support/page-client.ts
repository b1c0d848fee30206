import http from 'node:http';

export interface PageAnswer {
  status: number;
  headers: http.IncomingHttpHeaders;
  text: string;
}

/** A browser as far as pages of add-ons go: a host name that leads to this machine, and its cookies. */
export class PageClient {
  cookie: string | undefined;
  readonly host: string;
  readonly #port: number;

  /** `link`: an add-on's web_url; `port`: of the API. */
  constructor(
    readonly link: string,
    port: number,
  ) {
    this.host = new URL(link).host;
    this.#port = port;
  }

  /** Follows the link, and keeps the cookie. */
  async open(): Promise<PageAnswer> {
    const { pathname, search } = new URL(this.link);
    const answer = await this.request('GET', pathname + search);
    this.cookie = answer.headers['set-cookie']?.[0]?.split(';')[0] ?? this.cookie;
    return answer;
  }

  get(path = '/', headers: Record<string, string> = {}): Promise<PageAnswer> {
    return this.request('GET', path, { headers });
  }

  /** As the page itself would send it; the token is that of the page at `/`. */
  async submit(path: string, fields: Record<string, string>): Promise<PageAnswer> {
    const { text } = await this.get();
    const token = /name="form_token" value="([0-9a-f]+)"/.exec(text)?.[1] ?? '';
    return this.post(path, { ...fields, form_token: token });
  }

  post(
    path: string,
    fields: Record<string, string>,
    headers: Record<string, string> = { Origin: `http://${this.host}` },
  ): Promise<PageAnswer> {
    return this.request('POST', path, {
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers },
      body: new URLSearchParams(fields).toString(),
    });
  }

  request(
    method: string,
    path: string,
    { headers = {}, body = '' }: { headers?: Record<string, string>; body?: string } = {},
  ): Promise<PageAnswer> {
    return new Promise((resolve, reject) => {
      const call = http.request({
        host: '127.0.0.1',
        port: this.#port,
        method,
        path,
        agent: false,
        headers: {
          Host: this.host,
          ...(this.cookie === undefined ? {} : { Cookie: this.cookie }),
          ...headers,
        },
      });
      call.on('error', reject);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        );
      });
      call.end(body);
    });
  }
}
