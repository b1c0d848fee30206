import { createHash } from 'node:crypto';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export interface PartnerCall {
  method: string;
  path: string;
  headers: http.IncomingHttpHeaders;
  /** Parsed when it is JSON, or a form. */
  body: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- whatever dynodock says
}

export interface ScriptedAnswer {
  status?: number;
  /** An object is sent as JSON. */
  body?: unknown;
  delayMs?: number;
  /** Half an answer, and then nothing more. */
  hangUp?: boolean;
}

export type Behaviour = (call: PartnerCall) => ScriptedAnswer | Promise<ScriptedAnswer>;

export const PASSWORD = 'partner-password';
export const SALT = 'partner-salt';

/** An add-on provider under development: a real server on the loopback, good or bad as a test says. */
export class TestPartner {
  readonly calls: PartnerCall[] = [];
  /** Provisioned resources by uuid. */
  readonly resources = new Map<string, { plan: string }>();
  /** For the next calls, in order; then `always`, then the behaviour of a good partner. */
  readonly next: Behaviour[] = [];
  always: Behaviour | undefined;
  readonly #server: http.Server;
  readonly #stopped = new AbortController();

  private constructor() {
    this.#server = http.createServer((req, res) => void this.#serve(req, res));
  }

  static async start(): Promise<TestPartner> {
    const partner = new TestPartner();
    await new Promise<void>((resolve) => partner.#server.listen(0, '127.0.0.1', resolve));
    return partner;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Calls of one method to the provisioning endpoint. */
  of(method: string): PartnerCall[] {
    return this.calls.filter((call) => call.method === method && call.path.startsWith('/heroku/resources'));
  }

  manifest(api: Record<string, unknown> = {}, more: Record<string, unknown> = {}): string {
    return JSON.stringify({
      id: 'acme',
      name: 'Acme Things',
      api: {
        config_vars: ['ACME_URL', 'ACME_TOKEN'],
        config_vars_prefix: 'ACME',
        regions: ['us', 'eu'],
        password: PASSWORD,
        sso_salt: SALT,
        requires: ['many_per_app', 'attachable', 'log_input'],
        version: '3',
        production: {
          base_url: 'https://acme.example/heroku/resources',
          sso_url: 'https://acme.example/sso',
        },
        test: { base_url: `${this.origin}/heroku/resources`, sso_url: `${this.origin}/sso/login` },
        ...api,
      },
      plans: [{ id: 'basic' }, { id: 'pro', price_cents: 1900 }],
      ...more,
    });
  }

  /** As the documentation of single sign-on says that partners are to do. */
  isSignedOn(params: URLSearchParams): boolean {
    const [id, timestamp] = [params.get('resource_id') ?? '', params.get('timestamp') ?? ''];
    const sha1 = createHash('sha1').update(`${id}:${SALT}:${timestamp}`).digest('hex');
    const age = Date.now() / 1000 - Number(timestamp);
    return this.resources.has(id) && sha1 === params.get('resource_token') && age < 300;
  }

  async #serve(req: http.IncomingMessage, res: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const isJson = req.headers['content-type'] === 'application/json';
    const call: PartnerCall = {
      method: req.method ?? '',
      path: req.url ?? '',
      headers: req.headers,
      body: isJson ? JSON.parse(text) : new URLSearchParams(text),
    };
    this.calls.push(call);
    const behaviour = this.next.shift() ?? this.always ?? ((each: PartnerCall) => this.behave(each));
    const { status = 200, body = {}, delayMs = 0, hangUp = false } = await behaviour(call);
    // Cut short when the test ends.
    await delay(delayMs, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    if (hangUp) {
      res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': 1000 });
      res.write('{"id":', () => res.destroy());
      return;
    }
    const isText = typeof body === 'string';
    res.writeHead(status, { 'Content-Type': isText ? 'text/html' : 'application/json' });
    res.end(isText ? body : JSON.stringify(body));
  }

  /** What a good partner does: the same for a request that it has heard before. */
  behave({ method, path, headers, body }: PartnerCall): ScriptedAnswer {
    if (path === '/sso/login') {
      return this.isSignedOn(body as URLSearchParams)
        ? { body: '<h1>Welcome to Acme</h1>' }
        : { status: 403, body: '<h1>Who are you?</h1>' };
    }
    const expected = `Basic ${Buffer.from(`acme:${PASSWORD}`).toString('base64')}`;
    if (headers.authorization !== expected) return { status: 401, body: {} };
    const id = path.split('/')[3] ?? '';
    switch (method) {
      case 'POST': {
        const { uuid, plan } = body as { uuid: string; plan: string };
        this.resources.set(uuid, { plan });
        return {
          status: 201,
          body: { id: uuid, message: 'Acme at your service', config: this.config(uuid) },
        };
      }
      case 'PUT': {
        if (!this.resources.has(id)) return { status: 404, body: {} };
        const { plan } = body as { plan: string };
        this.resources.set(id, { plan });
        return { body: { message: `On ${plan} now`, config: { ACME_URL: `https://${plan}.acme.example/` } } };
      }
      case 'DELETE':
        return { status: this.resources.delete(id) ? 200 : 410, body: {} };
      default:
        return { status: 405, body: {} };
    }
  }

  config(uuid: string): Record<string, string> {
    return { ACME_URL: `https://acme.example/${uuid}`, ACME_TOKEN: `token of ${uuid}` };
  }
}
