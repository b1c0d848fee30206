import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { aDyno, anApp, eventually, TestClient, TestDaemon } from '../support/router-client';
import { TYPESCRIPT } from '../support/router-workers';

jest.setTimeout(240_000);

const ROUNDS = 10;
/** Rounds after which all caches and pools are full and the heap has found its size. */
const WARM = 5;
const VISITS = 2_500;
/** Visits of a round that are under way at a time. */
const AT_ONCE = 32;
const BODY = Buffer.alloc(50_000, 'x');
/** From when it is warm to the last round: over 12,500 visits. */
const MAX_GROWTH_MB = 20;

let dir: string;
let router: ChildProcess;
let backend: Server;
let daemon: TestDaemon;
let agent: Agent;
let port: number;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'router-'));
  agent = new Agent({ keepAlive: true, maxSockets: 8 });
  backend = createServer((incoming, answer) => {
    incoming.resume();
    incoming.on('error', () => undefined);
    incoming.on('end', () => answer.end(BODY));
  });
  backend.on('upgrade', (_incoming, socket) => {
    socket.on('error', () => undefined);
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const script = join(__dirname, '../support/router-process.ts');
  const argument = JSON.stringify({
    dataDir: dir,
    listen: { hosts: ['127.0.0.1'], httpPort: 0 },
    workers: 1,
  });
  router = spawn(process.execPath, [...TYPESCRIPT, script, argument], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let said = '';
  router.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await eventually(() => said.includes('router started'), 'router', 30_000);
  daemon = new TestDaemon(join(dir, 'router.sock'));
  await eventually(() => daemon.of('hello').length === 1, 'hello');
  const { port: backendPort } = backend.address() as AddressInfo;
  await daemon.serve(anApp({ web_quantity: 1, dynos: [aDyno(backendPort)] }));
  port = daemon.of('hello')[0]!.http_port;
});

afterAll(async () => {
  agent.destroy();
  daemon.socket.destroy();
  router.kill('SIGTERM');
  await once(router, 'exit');
  backend.closeAllConnections();
  backend.close();
  await rm(dir, { recursive: true, force: true });
});

const options = { host: '127.0.0.1', headers: { Host: 'demo.localhost' } };

function ask(more: { agent: Agent | false; body?: Buffer }): Promise<void> {
  return new Promise((resolve, reject) => {
    const { body, ...rest } = more;
    const asked = request({ ...options, ...rest, port, method: body === undefined ? 'GET' : 'POST' });
    asked.on('error', reject);
    asked.on('response', (answer: IncomingMessage) => {
      answer.on('error', reject);
      answer.on('end', () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`status ${answer.statusCode}`)),
      );
      answer.resume();
    });
    asked.end(body);
  });
}

/** Sends this, waits for the first bytes of an answer if there are to be any, and leaves without a word. */
async function leave(text: string, answered: boolean): Promise<void> {
  const client = new TestClient(port).write(text);
  if (answered) await client.saw('HTTP/1.1 ');
  else await once(client.socket, 'connect');
  client.socket.destroy();
}

const HEAD = 'Host: demo.localhost\r\n';
const VISITORS: readonly (() => Promise<void>)[] = [
  () => ask({ agent }),
  () => ask({ agent: false }),
  () => ask({ agent, body: BODY }),
  () => leave(`GET / HTTP/1.1\r\n${HEAD}\r\n`, true),
  () => leave(`POST / HTTP/1.1\r\n${HEAD}Content-Length: 1000\r\n\r\nhalf`, false),
  () => leave(`GET / HTTP/1.1\r\n${HEAD}Connection: Upgrade\r\nUpgrade: echo\r\n\r\n`, true),
];

function rssMb(): number {
  const status = readFileSync(`/proc/${router.pid!}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

test('memory stays where it is, however many come, upload, upgrade and leave', async () => {
  const curve: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    let next = 0;
    const visitor = async (): Promise<void> => {
      while (next < VISITS) await VISITORS[next++ % VISITORS.length]!();
    };
    await Promise.all(Array.from({ length: AT_ONCE }, visitor));
    curve.push(Math.round(rssMb()));
    // The test's own memory is of no interest.
    daemon.messages.length = 0;
  }
  expect({ curve, grown: curve.at(-1)! - curve[WARM - 1]! > MAX_GROWTH_MB }).toEqual({ curve, grown: false });
});
