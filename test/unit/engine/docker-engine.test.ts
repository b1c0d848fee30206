import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import util from 'node:util';
import { DockerEngine, type DockerEngineOptions } from '../../../src/engine/docker-engine';
import { statusOf, toEngineError } from '../../../src/engine/docker-errors';
import type { ContainerId } from '../../../src/engine/engine';

const ID = 'abc' as ContainerId;
const HOST = { platform: 'linux', kernelRelease: '6.1.0' };
const INFO = {
  OperatingSystem: 'Debian GNU/Linux 12',
  Architecture: 'x86_64',
  DockerRootDir: '/var/lib/docker',
  KernelVersion: '6.1.0',
  SecurityOptions: ['name=seccomp,profile=default'],
};
const INSPECT = {
  Id: ID,
  Name: '/demo',
  Created: '2025-01-01T00:00:00Z',
  Config: { Image: 'i', Labels: null, Tty: false },
  State: { Status: 'running', ExitCode: 0, OOMKilled: false, StartedAt: '', FinishedAt: '' },
};

let folder: string;
let server: Server;
let answer: RequestListener;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dd-'));
  server = createServer((request, response) => answer(request, response));
  server.listen(join(folder, 's'));
  await once(server, 'listening');
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true });
});

function anEngine(options: DockerEngineOptions = {}): DockerEngine {
  return new DockerEngine(
    { socketPath: join(folder, 's') },
    { host: HOST, reachability: 'container-address', ...options },
  );
}

function json(value: unknown, status = 200): RequestListener {
  return (_request, response) => {
    response.statusCode = status;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  };
}

describe('DockerEngine', () => {
  test('an answer that breaks off is a failure at once, not only when time is up', async () => {
    answer = (_request, response) => {
      response.setHeader('content-length', '1000');
      response.write('[{"Id":"ab', () => response.destroy());
    };
    const engine = anEngine();
    await expect(engine.list({})).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(engine.inspect(ID)).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(engine.remove(ID)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('an engine that does not listen, hangs or hangs up is unreachable', async () => {
    const nowhere = new DockerEngine({ socketPath: join(folder, 'none') });
    await expect(nowhere.inspect('x')).rejects.toMatchObject({ name: 'EngineError', kind: 'unreachable' });
    answer = () => undefined;
    const impatient = anEngine({ callTimeoutMs: 50 });
    await expect(impatient.start(ID)).rejects.toMatchObject({ kind: 'unreachable' });
    answer = (request) => request.socket.destroy();
    await expect(anEngine().start(ID)).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('an answer that breaks off does not leave the caller waiting', async () => {
    answer = (request, response) => {
      if (request.url?.endsWith('/json')) {
        json(INSPECT)(request, response);
        return;
      }
      response.writeHead(200, { 'content-length': 100 });
      response.write('{');
      setImmediate(() => request.socket.destroy());
    };
    await expect(anEngine().wait(ID)).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(anEngine({ callTimeoutMs: 50 }).list({})).rejects.toMatchObject({ kind: 'unreachable' });
    const events = anEngine().events({}, { signal: new AbortController().signal });
    for await (const event of events) expect(event).toBeUndefined();
  });

  test('a call costs the same however many others are open', async () => {
    const engine = anEngine();
    // docker-modem describes each request, whoever listens: what it then prints is what it costs.
    const described = jest.spyOn(util, 'inspect');
    const lengths = async (): Promise<number[]> => {
      described.mockClear();
      await engine.inspect(ID);
      return described.mock.results.map(({ value }) => String(value).length);
    };
    answer = json(INSPECT);
    const alone = await lengths();
    const held: ServerResponse[] = [];
    answer = (_request, response) => held.push(response);
    const open = Array.from({ length: 5 }, () => engine.inspect(ID));
    while (held.length < open.length) await new Promise(setImmediate);
    answer = json(INSPECT);
    expect(alone).toHaveLength(1);
    expect(await lengths()).toEqual(alone);
    for (const response of held) response.end(JSON.stringify(INSPECT));
    await Promise.all(open);
    described.mockRestore();
  });

  test('what is already so is success', async () => {
    answer = (_request, response) => {
      response.statusCode = 304;
      response.end();
    };
    await anEngine().start(ID);
    await anEngine().stop(ID, { timeoutMs: 1 });
  });

  test('secrets in a container’s environment stay out of the address', async () => {
    let url = '';
    let body = '';
    answer = (request, response) => {
      url = request.url ?? '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => json({ Id: ID }, 201)(request, response));
    };
    await anEngine().create({
      name: 'demo',
      image: 'i',
      env: { SECRET: 'hush' },
      labels: {},
      network: 'none',
    });
    expect(url).toBe('/containers/create?name=demo');
    expect(body).toContain('SECRET=hush');
  });

  test.each<[string, object, typeof HOST, string]>([
    ['the same Linux host', {}, HOST, 'container-address'],
    ['Docker Desktop', { OperatingSystem: 'Docker Desktop' }, HOST, 'published-port'],
    ['a rootless engine', { SecurityOptions: ['name=rootless'] }, HOST, 'published-port'],
    ['a virtual machine', { KernelVersion: '6.9.0-vm' }, HOST, 'published-port'],
    ['macOS', {}, { platform: 'darwin', kernelRelease: '6.1.0' }, 'published-port'],
  ])('containers on %s are reached by the way that works there', async (_where, changes, host, expected) => {
    answer = (request, response) =>
      json(request.url === '/version' ? { Version: '28.0.0' } : { ...INFO, ...changes })(request, response);
    const engine = new DockerEngine({ socketPath: join(folder, 's') }, { host });
    expect(await engine.info()).toMatchObject({ name: 'Docker 28.0.0', reachability: expected });
    expect((await anEngine({ reachability: 'published-port' }).info()).reachability).toBe('published-port');
  });
});

test.each([
  ['an engine on this host', [], HOST, true],
  ['one that maps user ids', ['name=userns'], HOST, false],
  ['one elsewhere', [], { platform: 'darwin', kernelRelease: '6.1.0' }, false],
])('%s shares its network with containers or not', async (_which, SecurityOptions, host, expected) => {
  answer = (request, response) =>
    json(request.url === '/version' ? { Version: '28.0.0' } : { ...INFO, SecurityOptions })(
      request,
      response,
    );
  const engine = new DockerEngine({ socketPath: join(folder, 's') }, { host });
  expect(await engine.info()).toMatchObject({ sharesHostNetwork: expected });
});

describe('toEngineError', () => {
  const answered = (statusCode: number, message: string): Error =>
    Object.assign(new Error(message), { statusCode });
  test.each([
    [answered(404, 'No such container: x'), 'not_found'],
    [answered(409, 'Conflict. The container name "/x" is already in use'), 'conflict'],
    [answered(409, 'Container x is not running'), 'not_running'],
    [answered(403, 'network x has active endpoints'), 'conflict'],
    [answered(500, 'write /layer.tar: no space left on device'), 'no_space'],
    [answered(500, 'something else'), 'other'],
    [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'unreachable'],
    [Object.assign(new Error('connect'), { code: 'ENOENT' }), 'unreachable'],
    [new Error('socket hang up'), 'unreachable'],
    [new Error('anything'), 'other'],
    ['no error at all', 'other'],
  ])('%s is told as %s', (cause, kind) => {
    const error = toEngineError('do it', cause);
    expect(error).toMatchObject({ kind, cause });
    expect(error.message).toMatch(/^cannot do it: /);
    expect(toEngineError('again', error)).toBe(error);
  });

  test('the answer’s status is known', () => {
    expect(statusOf(answered(304, ''))).toBe(304);
    expect(statusOf(new Error('none'))).toBeUndefined();
  });
});
