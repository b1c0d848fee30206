import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EngineError } from '../../../src/engine/engine';
import { locateEngine, type EngineLocation } from '../../../src/engine/engine-location';

let home: string;
let servers: Server[];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dd-'));
  servers = [];
});
afterEach(async () => {
  for (const server of servers) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  await rm(home, { recursive: true });
});

/** An engine, as far as `/_ping` shows. */
async function listen(at: string | 0, status = 200): Promise<Server> {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/_ping' ? status : 404;
    response.end('OK');
  });
  servers.push(server);
  if (typeof at === 'string') await mkdir(dirname(at), { recursive: true });
  if (typeof at === 'string') server.listen(at);
  else server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function locate(environment: Record<string, string> = {}): Promise<EngineLocation> {
  return locateEngine({
    environment: { XDG_RUNTIME_DIR: join(home, 'run'), ...environment },
    homeDir: home,
    timeoutMs: 500,
    systemSockets: { docker: join(home, 'sys', 'docker.sock'), podman: join(home, 'sys', 'podman.sock') },
  });
}

async function writeContext(name: string, host: string, tls: Record<string, string> = {}): Promise<void> {
  const folder = createHash('sha256').update(name).digest('hex');
  const meta = join(home, '.docker', 'contexts', 'meta', folder);
  await mkdir(meta, { recursive: true });
  await writeFile(
    join(meta, 'meta.json'),
    JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }),
  );
  const certificates = join(home, '.docker', 'contexts', 'tls', folder, 'docker');
  await mkdir(certificates, { recursive: true });
  for (const [file, content] of Object.entries(tls)) await writeFile(join(certificates, file), content);
}

async function useContext(name: string): Promise<void> {
  await mkdir(join(home, '.docker'), { recursive: true });
  await writeFile(join(home, '.docker', 'config.json'), JSON.stringify({ currentContext: name }));
}

describe('locateEngine', () => {
  test('takes what DOCKER_HOST names, by socket or by address', async () => {
    const socketPath = join(home, 'own.sock');
    await listen(socketPath);
    const { port } = (await listen(0)).address() as AddressInfo;
    await listen(join(home, 'sys', 'docker.sock'));
    expect(await locate({ DOCKER_HOST: `unix://${socketPath}` })).toEqual({
      address: { socketPath },
      foundBy: 'DOCKER_HOST',
    });
    const address = { host: '127.0.0.1', port };
    expect(await locate({ DOCKER_HOST: `tcp://127.0.0.1:${port}` })).toMatchObject({ address });
    expect(await locate({ DOCKER_HOST: `127.0.0.1:${port}` })).toMatchObject({ address });
  });

  test('takes no other engine than the one that DOCKER_HOST or DOCKER_CONTEXT asks for', async () => {
    await listen(join(home, 'sys', 'docker.sock'));
    await expect(locate({ DOCKER_HOST: `unix://${home}/none.sock` })).rejects.toMatchObject({
      kind: 'unreachable',
      message: 'no container engine answers; tried DOCKER_HOST (not there)',
    });
    await expect(locate({ DOCKER_CONTEXT: 'none' })).rejects.toThrow(
      'tried Docker context "none" (not there)',
    );
    await expect(locate({ DOCKER_HOST: 'ssh://host' })).rejects.toThrow('ssh:// addresses are not supported');
  });

  test('speaks TLS to a host with certificates', async () => {
    const { port } = (await listen(0)).address() as AddressInfo;
    // A plain server: the failing handshake shows that one was tried.
    const environment = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_TLS_VERIFY: '1' };
    await expect(locate(environment)).rejects.toMatchObject({ kind: 'unreachable' });
    await writeContext('secure', `tcp://127.0.0.1:${port}`, { 'ca.pem': 'no certificate' });
    await expect(locate({ DOCKER_CONTEXT: 'secure' })).rejects.toMatchObject({ kind: 'unreachable' });
  });

  test('takes the current context’s engine before the system’s', async () => {
    const socketPath = join(home, 'ctx.sock');
    await listen(socketPath);
    await listen(join(home, 'sys', 'docker.sock'));
    await writeContext('mine', `unix://${socketPath}`);
    await useContext('mine');
    expect(await locate()).toEqual({ address: { socketPath }, foundBy: 'Docker context "mine"' });
    expect(await locate({ DOCKER_CONTEXT: 'default' })).toMatchObject({
      address: { socketPath: join(home, 'sys', 'docker.sock') },
    });
  });

  test('goes on to the system’s engine where the current context’s does not answer', async () => {
    await useContext('gone');
    const socketPath = join(home, 'sys', 'docker.sock');
    await listen(socketPath);
    expect(await locate()).toEqual({ address: { socketPath }, foundBy: socketPath });
  });

  test.each([
    ['rootless Docker', 'run/docker.sock'],
    ['Docker Desktop', '.docker/run/docker.sock'],
    ['rootless Podman', 'run/podman/podman.sock'],
    ['Podman', 'sys/podman.sock'],
  ])('finds %s', async (_name, path) => {
    const socketPath = join(home, path);
    await listen(socketPath);
    expect(await locate()).toEqual({ address: { socketPath }, foundBy: socketPath });
  });

  test('passes over an engine that answers with an error', async () => {
    await listen(join(home, 'sys', 'docker.sock'), 500);
    await listen(join(home, 'sys', 'podman.sock'));
    expect((await locate()).foundBy).toBe(join(home, 'sys', 'podman.sock'));
  });

  test('says what was tried when nothing answers', async () => {
    await mkdir(join(home, '.docker'));
    await writeFile(join(home, '.docker', 'config.json'), '{ broken');
    const error = await locate().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EngineError);
    expect((error as EngineError).kind).toBe('unreachable');
    for (const place of [
      'config.json (not valid JSON)',
      'sys/docker.sock (not there)',
      'podman.sock (not there)',
    ]) {
      expect((error as EngineError).message).toContain(place);
    }
  });
});
