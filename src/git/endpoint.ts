import type { ChildProcess } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { Actor } from '../domain/account';
import type { App } from '../domain/app';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { describeError, type Logger } from '../lib/logger';
import { killGroup, spawnGroup } from '../lib/process';
import type { PushReceiver, PushSession } from './receive';
import type { Repositories } from './repositories';

export interface GitEndpointOptions {
  repositories: Repositories;
  receiver: Pick<PushReceiver, 'begin' | 'hooksDir'>;
  authenticate: (token: string) => Actor | undefined;
  findApp: (name: string) => App | undefined;
  /** Told after each push, with the repository's size in bytes. */
  onPushed: (app: App, repoSize: number) => void;
  logger: Logger;
  /** For one exchange, a build and the wait for its turn included. Default one hour. */
  timeoutMs?: number;
}

type Service = 'git-upload-pack' | 'git-receive-pack';

const PATH = /^\/([a-zA-Z0-9_-]+)(?:\.git)?\/(info\/refs|git-upload-pack|git-receive-pack|HEAD|objects\/.*)$/;
/** git-upload-pack(1), GIT_PROTOCOL: `version=2` and the like. */
const PROTOCOL = /^[\w=:.-]{1,200}$/;
const TIMEOUT_MS = 3 * 60 * 60_000;
const KILL_AFTER_MS = 3_000;
const KEPT_STDERR_BYTES = 4_000;

/**
 * Git's smart HTTP (gitprotocol-http(5)) for app repositories, by way of the system's own git: clone, fetch and
 * push. Credentials are those which the heroku CLI's helper hands to git: any user name, the API token as password.
 */
export class GitEndpoint {
  readonly #options: GitEndpointOptions;
  readonly #children = new Set<ChildProcess>();

  constructor(options: GitEndpointOptions) {
    this.#options = options;
  }

  /** Is this path one of git's? */
  handles(url: string): boolean {
    return PATH.test(pathOf(url));
  }

  /** Never rejects: whatever goes wrong is answered or, once an answer is under way, logged and cut short. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#handle(request, response);
    } catch (error) {
      if (response.destroyed) return;
      this.#options.logger.error('git request failed', {
        path: pathOf(request.url ?? ''),
        error: describeError(error),
      });
      if (response.headersSent) response.destroy();
      else answer(response, 500, 'Internal error; the log of the daemon says more.');
    }
  }

  /** Ends the exchanges under way. */
  async stop(): Promise<void> {
    await Promise.all([...this.#children].map(endGroup));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const match = PATH.exec(pathOf(request.url ?? ''));
    const [, name = '', operation = ''] = match ?? [];
    if (match === null) {
      answer(response, 404, 'Not found.');
      return;
    }
    const actor = this.#options.authenticate(tokenOf(request));
    if (actor === undefined) {
      // Without this header git would not ask its credential helper.
      response.setHeader('WWW-Authenticate', 'Basic realm="dynodock"');
      answer(response, 401, 'Invalid credentials. Log in with `heroku login`, or set HEROKU_API_KEY.');
      return;
    }
    const app = this.#options.findApp(name);
    if (app === undefined) {
      // Git shows a plain text as `remote: …`.
      answer(response, 404, `Couldn't find that app: ${name}.`);
      return;
    }
    if (operation === 'info/refs' && request.method === 'GET') {
      const service = new URL(request.url ?? '', 'http://localhost').searchParams.get('service');
      if (isService(service)) return this.#advertise(service, app, request, response);
    }
    if (isService(operation) && request.method === 'POST') {
      if (request.headers['content-type'] !== `application/x-${operation}-request`) {
        answer(response, 415, 'Not a request of git.');
        return;
      }
      return operation === 'git-receive-pack'
        ? this.#receive(app, actor, request, response)
        : this.#exchange(operation, app, request, response, {});
    }
    answer(response, 403, 'Only smart HTTP is spoken here: please use git 1.6.6 or newer.');
  }

  async #advertise(
    service: Service,
    app: App,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const directory = await this.#options.repositories.ensure(app.id);
    const protocol = protocolOf(request);
    const child = this.#spawn(service, [...SERVICE_OPTIONS, '--advertise-refs', directory], protocol);
    child.stdin?.end();
    startAnswer(response, `application/x-${service}-advertisement`);
    // Version 2 begins with its capabilities instead (gitprotocol-http(5), "Smart Server Response").
    if (service === 'git-receive-pack' || !/(^|:)version=2(:|$)/.test(protocol.GIT_PROTOCOL ?? '')) {
      const line = `# service=${service}\n`;
      response.write(`${(line.length + 4).toString(16).padStart(4, '0')}${line}0000`);
    }
    await this.#relay(child, undefined, response);
    response.end();
  }

  async #receive(app: App, actor: Actor, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { repositories, receiver, onPushed } = this.#options;
    const directory = await repositories.ensure(app.id);
    const session: PushSession = receiver.begin({ app, actor, repositoryDir: directory });
    try {
      const git = {
        options: ['-c', `core.hooksPath=${receiver.hooksDir}`],
        environment: session.environment,
      };
      await this.#exchange('git-receive-pack', app, request, response, git, async () => {
        await repositories.adoptHead(app.id);
      });
    } finally {
      await session.end();
    }
    onPushed(app, await repositories.size(app.id));
  }

  /** `beforeEnd` runs when git has ended and before the client knows that it has. */
  async #exchange(
    service: Service,
    app: App,
    request: IncomingMessage,
    response: ServerResponse,
    git: { options?: readonly string[]; environment?: Readonly<Record<string, string>> },
    beforeEnd?: () => Promise<void>,
  ): Promise<void> {
    const directory = await this.#options.repositories.ensure(app.id);
    const environment = { ...protocolOf(request), ...git.environment };
    const child = this.#spawn(service, [...SERVICE_OPTIONS, directory], environment, git.options);
    startAnswer(response, `application/x-${service}-result`);
    await this.#relay(child, request, response);
    await beforeEnd?.();
    response.end();
  }

  #spawn(
    service: Service,
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    options: readonly string[] = [],
  ): ChildProcess {
    const child = spawnGroup('git', [...GIT_OPTIONS, ...options, service.replace('git-', ''), ...args], {
      env: gitEnvironment(environment),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    return child;
  }

  /** Connects git with the client until git ends; a client that goes away, or time running out, ends git. */
  async #relay(
    child: ChildProcess,
    request: IncomingMessage | undefined,
    response: ServerResponse,
  ): Promise<void> {
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr = `${stderr}${chunk.toString('utf8')}`.slice(-KEPT_STDERR_BYTES);
    });
    const closed = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code));
    });
    const hangUp = (): void => void endGroup(child);
    response.once('close', hangUp);
    const timer = setTimeout(hangUp, this.#options.timeoutMs ?? TIMEOUT_MS);
    try {
      if (child.stdin === null || child.stdout === null) throw new Error('git has no standard streams');
      const fed = request === undefined ? Promise.resolve() : feed(request, child.stdin);
      // Git may well end without having read everything, and says itself what it thinks of that.
      fed.catch(hangUp);
      const [code] = await Promise.all([closed, pipeline(child.stdout, response, { end: false })]);
      if (code !== 0) {
        this.#options.logger.debug('git ended with an error', { code, stderr });
      }
    } finally {
      clearTimeout(timer);
      response.off('close', hangUp);
      this.#children.delete(child);
      await endGroup(child);
    }
  }
}

const SERVICE_OPTIONS = ['--stateless-rpc'];

/**
 * Passes the body, which is compressed if it has some size, to git. Git may close its input early and still has
 * something to say to the client, so the request is then read to its end rather than destroyed.
 */
function feed(request: IncomingMessage, stdin: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const encoding = request.headers['content-encoding'] ?? 'identity';
    const gunzip = encoding === 'gzip' || encoding === 'x-gzip' ? createGunzip() : undefined;
    const giveUp = (error: NodeJS.ErrnoException): void => {
      request.unpipe();
      gunzip?.unpipe();
      request.resume();
      stdin.destroy();
      if (error.code === 'EPIPE') resolve();
      else reject(error);
    };
    stdin.on('error', giveUp);
    stdin.once('finish', () => resolve());
    gunzip?.on('error', giveUp);
    request.once('error', giveUp);
    if (gunzip === undefined) request.pipe(stdin);
    else request.pipe(gunzip).pipe(stdin);
  });
}

/** SIGTERM, on which git removes its temporary files and hooks end; SIGKILL if that does not help. */
async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  killGroup(child, 'SIGTERM');
  const timer = setTimeout(() => killGroup(child, 'SIGKILL'), KILL_AFTER_MS);
  await ended;
  clearTimeout(timer);
}

function isService(text: string | null): text is Service {
  return text === 'git-upload-pack' || text === 'git-receive-pack';
}

function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}

function protocolOf(request: IncomingMessage): Record<string, string> {
  const value = request.headers['git-protocol'];
  return typeof value === 'string' && PROTOCOL.test(value) ? { GIT_PROTOCOL: value } : {};
}

/** The CLI's helper says `heroku` and the token; a URL may also have the token in place of the user. */
function tokenOf(request: IncomingMessage): string {
  const encoded = /^Basic\s+([A-Za-z0-9+/=]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return '';
  const credentials = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = credentials.indexOf(':');
  const [user, password] =
    colon === -1 ? [credentials, ''] : [credentials.slice(0, colon), credentials.slice(colon + 1)];
  return password === '' ? user : password;
}

function startAnswer(response: ServerResponse, contentType: string): void {
  response.writeHead(200, {
    'Content-Type': contentType,
    // As git's own http-backend has it.
    'Cache-Control': 'no-cache, max-age=0, must-revalidate',
    Pragma: 'no-cache',
    Expires: 'Fri, 01 Jan 1980 00:00:00 GMT',
  });
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
