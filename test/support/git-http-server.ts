import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** Serves every repository below a folder by git's own http-backend (git-http-backend(1)), on a port of its own. */
export class GitHttpServer {
  /** Authorization headers of the requests, in their order; '' for none. */
  readonly seen: string[] = [];
  /** Sent for every request, if set. */
  status: number | undefined;
  readonly #server: http.Server;

  /** `credentials`: `user:password` that everybody has to give. */
  constructor(directory: string, credentials?: string) {
    const wanted =
      credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`;
    this.#server = http.createServer((request, response) => {
      this.seen.push(request.headers.authorization ?? '');
      if (this.status !== undefined || (wanted !== undefined && request.headers.authorization !== wanted)) {
        response.writeHead(this.status ?? 401, { 'WWW-Authenticate': 'Basic realm="test"' }).end();
        return;
      }
      const [pathInfo = '', query = ''] = (request.url ?? '').split('?');
      const child = spawn('git', ['http-backend'], {
        env: {
          PATH: process.env.PATH,
          GIT_PROJECT_ROOT: directory,
          GIT_HTTP_EXPORT_ALL: '1',
          GIT_CONFIG_COUNT: '1',
          GIT_CONFIG_KEY_0: 'safe.directory',
          GIT_CONFIG_VALUE_0: '*',
          PATH_INFO: pathInfo,
          QUERY_STRING: query,
          REQUEST_METHOD: request.method,
          CONTENT_TYPE: request.headers['content-type'] ?? '',
          HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
          GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        },
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      request.pipe(child.stdin);
      child.stdin.on('error', () => undefined); // It ends without reading everything.
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      child.once('close', () => {
        const output = Buffer.concat(chunks);
        const end = output.indexOf('\r\n\r\n');
        for (const line of output.subarray(0, end).toString('latin1').split('\r\n')) {
          const colon = line.indexOf(':');
          const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
          if (name === 'Status') response.statusCode = Number(value.slice(0, 3));
          else response.setHeader(name, value);
        }
        response.end(output.subarray(end + 4));
      });
    });
  }

  async start(): Promise<void> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
  }

  /** Without a slash at the end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
