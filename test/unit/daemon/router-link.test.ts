import { createServer, type Server, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RouterLink, type RouterLinkOptions, type WakeRequest } from '../../../src/daemon/router-link';
import { systemClock } from '../../../src/lib/clock';
import { silentLogger } from '../../../src/lib/logger';
import { ROUTER_PROTOCOL_VERSION, type RouterLogLine } from '../../../src/router/protocol';
import { Router } from '../../../src/router/router';
import { aDyno, anApp, aTable, eventually, pause, TestClient } from '../../support/router-client';

const GREETING = `{"type":"hello","protocol":${ROUTER_PROTOCOL_VERSION},"pid":1,"table_version":0,"http_port":1}\n`;
let dir: string;
let spawned: Router[];
let lines: RouterLogLine[];
let wakes: WakeRequest[];
let links: RouterLink[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'link-'));
  spawned = [];
  lines = [];
  wakes = [];
  links = [];
});

const wokens: { appId: string; at: Date; held: number }[] = [];
const idles: string[] = [];

afterEach(async () => {
  wokens.length = 0;
  idles.length = 0;
  for (const link of links) await link.stop();
  for (const router of spawned) await router.stop();
  await rm(dir, { recursive: true, force: true });
});

async function spawnRouter(): Promise<void> {
  const router = new Router({
    dataDir: dir,
    listen: { hosts: ['127.0.0.1'], httpPort: 0 },
    clock: systemClock,
    logger: silentLogger,
    timeouts: { drainMs: 50 },
    limits: { logFlushMs: 2 },
    onShutdown: () => void router.stop(),
  });
  spawned.push(router);
  await router.start();
}

function aLink(more: Partial<RouterLinkOptions> = {}): RouterLink {
  const link = new RouterLink({
    socketPath: join(dir, 'router.sock'),
    spawnRouter,
    onLogLines: (batch) => lines.push(...batch),
    onWake: (wake) => wakes.push(wake),
    onWoken: (woken) => wokens.push(woken),
    onIdle: (appId) => {
      idles.push(appId);
      return false;
    },
    clock: systemClock,
    logger: silentLogger,
    backOffMs: { min: 5, max: 20 },
    ...more,
  });
  links.push(link);
  return link;
}

const soon = (): AbortSignal => AbortSignal.timeout(3000);

async function get(router: Router): Promise<string> {
  return new TestClient(router.httpPort)
    .write('GET / HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n')
    .end();
}

/** A router that does as the script says. */
async function fakeRouter(
  script: (socket: Socket) => void,
): Promise<{ server: Server; end: () => Promise<void> }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    script(socket);
  });
  await new Promise<void>((resolve) => server.listen(join(dir, 'router.sock'), resolve));
  const end = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { server, end };
}

describe('router link', () => {
  test('starts a router when there is none, and gives it the table', async () => {
    const link = aLink();
    const table = aTable(anApp({ web_quantity: 0 }));
    link.publish(table);
    link.start();
    await link.settled(soon());
    expect(spawned).toHaveLength(1);
    expect(spawned[0]!.tableVersion).toBe(table.version);
    expect(link.appliedVersion).toBe(table.version);
    expect(link.router).toEqual({
      pid: process.pid,
      httpPort: spawned[0]!.httpPort,
      httpsPort: null,
    });
  });

  test('uses the router that is there', async () => {
    await spawnRouter();
    const link = aLink();
    link.start();
    await link.settled(soon());
    expect(spawned).toHaveLength(1);
  });

  test('hands on log lines and wake requests', async () => {
    const link = aLink();
    link.publish(aTable(anApp({ dynos: [aDyno(null, { state: 'idle' })] })));
    link.start();
    await link.settled(soon());
    const answer = get(spawned[0]!);
    await eventually(() => wakes.length === 1, 'wake');
    expect(wakes[0]).toMatchObject({ app_id: 'app-1', method: 'GET', path: '/' });
    link.publish(aTable(anApp({ web_quantity: 0 })));
    expect(await answer).toContain('H14');
    await eventually(() => lines.length === 1, 'log line');
    expect(lines[0]!.text).toContain('code=H14');
  });

  test('sends the newest of many tables, not each of them', async () => {
    let routes = 0;
    let version = 0;
    const fake = await fakeRouter((socket) => {
      socket.write(GREETING);
      socket.on('data', (chunk) => {
        for (const line of chunk.toString().trim().split('\n')) {
          const message = JSON.parse(line);
          if (message.type !== 'routes') continue;
          routes += 1;
          version = message.table.version;
          setTimeout(() => socket.write(`{"type":"applied","table_version":${version}}\n`), 10);
        }
      });
    });
    const link = aLink();
    link.start();
    await link.settled(soon());
    let last = aTable();
    for (let i = 0; i < 50; i++) link.publish((last = aTable(anApp())));
    await link.settled(soon());
    expect(version).toBe(last.version);
    expect(routes).toBe(2);
    await link.stop();
    await fake.end();
  });

  test('connects anew and sends the table again when the router is restarted', async () => {
    const link = aLink();
    const table = aTable(anApp());
    link.publish(table);
    link.start();
    await link.settled(soon());
    await spawned[0]!.stop();
    await eventually(() => spawned.length === 2, 'second router');
    await eventually(() => link.router !== null, 'linked again');
    await link.settled(soon());
    expect(spawned[1]!.tableVersion).toBe(table.version);
  });

  test('does not start a second router while the first one is still starting', async () => {
    let starts = 0;
    const link = aLink({
      spawnRouter: async () => {
        starts += 1;
        await pause(60);
        await spawnRouter();
      },
    });
    link.start();
    await link.settled(soon());
    expect(starts).toBe(1);
  });

  test('tries again after the grace period when a router could not be started', async () => {
    let starts = 0;
    const link = aLink({
      spawnGraceMs: 500,
      spawnRouter: async () => {
        starts += 1;
        if (starts === 1) throw new Error('port taken');
        await spawnRouter();
      },
    });
    link.start();
    await link.settled(soon());
    expect(starts).toBe(2);
  });

  test('replaces a router that speaks another protocol', async () => {
    const fake = await fakeRouter((socket) => {
      socket.write('{"type":"hello","protocol":99,"pid":1,"table_version":0,"http_port":1}\n');
      socket.on('data', (chunk) => {
        if (chunk.toString().includes('shutdown')) void fake.end();
      });
    });
    const link = aLink();
    link.start();
    await link.settled(soon());
    expect(spawned).toHaveLength(1);
  });

  test('connects anew when the router is silent or talks nonsense', async () => {
    let connections = 0;
    const fake = await fakeRouter((socket) => {
      connections += 1;
      if (connections === 2) socket.write('nonsense\n');
      if (connections === 3) socket.write(GREETING);
    });
    const link = aLink({ replyTimeoutMs: 30 });
    link.start();
    await link.settled(soon());
    expect(connections).toBe(3);
    await link.stop();
    await fake.end();
  });

  test('leaves the router serving when it stops', async () => {
    const link = aLink();
    link.publish(aTable(anApp({ web_quantity: 0 })));
    link.start();
    await link.settled(soon());
    await link.stop();
    expect(await get(spawned[0]!)).toContain('H14');
    // The line waits for the next daemon.
    const next = aLink();
    next.start();
    await eventually(() => lines.length === 1, 'log line');
    expect(spawned).toHaveLength(1);
  });

  test('ends the router on request and does not start it again', async () => {
    const link = aLink();
    link.start();
    await link.settled(soon());
    await link.shutdownRouter(2000);
    await pause(50);
    expect(spawned).toHaveLength(1);
    await expect(get(spawned[0]!)).resolves.toBe('');
  });

  test('ends a router that is not there without complaint', async () => {
    await aLink().shutdownRouter(500);
    expect(spawned).toHaveLength(0);
  });

  test('says so when the router does not end', async () => {
    const fake = await fakeRouter((socket) => {
      socket.write(GREETING);
      socket.resume();
    });
    const link = aLink();
    link.start();
    await link.settled(soon());
    await expect(link.shutdownRouter(30)).rejects.toThrow('did not end in time');
    await fake.end();
  });

  test('stops waiting when it is called off', async () => {
    const link = aLink({ spawnRouter: () => undefined });
    link.start();
    await expect(link.settled(AbortSignal.timeout(20))).rejects.toThrow();
  });
});

describe('sleep over the link', () => {
  const hearing = async (): Promise<{
    link: RouterLink;
    socket: () => Socket;
    heard: string[];
    end: () => Promise<void>;
  }> => {
    const heard: string[] = [];
    let last: Socket | undefined;
    const router = await fakeRouter((socket) => {
      last = socket;
      socket.write(GREETING);
      socket.on('data', (chunk) => heard.push(...chunk.toString().trim().split('\n')));
    });
    const link = aLink({ replyTimeoutMs: 200 });
    link.start();
    while (link.router === null) await new Promise((resolve) => setTimeout(resolve, 5));
    return { link, socket: () => last!, heard, end: router.end };
  };
  const until = async (check: () => boolean): Promise<void> => {
    while (!check()) await new Promise((resolve) => setTimeout(resolve, 2));
  };

  test('tells the router that an app stays awake which it has parked in vain', async () => {
    const { socket, heard, end } = await hearing();
    socket().write('{"type":"idle","app_id":"a","quiet_ms":5}\n');
    await until(() => heard.includes('{"type":"stay_awake","app_id":"a"}'));
    expect(idles).toEqual(['a']);
    await end();
  });

  test('asks for an app to be parked, and answers with what the router says', async () => {
    const { link, socket, heard, end } = await hearing();
    const parked = link.park('a');
    const busy = link.park('b');
    await until(() => heard.includes('{"type":"park","app_id":"b"}'));
    socket().write('{"type":"busy","app_id":"b","in_flight":3}\n{"type":"idle","app_id":"a","quiet_ms":0}\n');
    expect(await parked).toBe(0);
    expect(await busy).toBe(3);
    // It was asked for: whoever did so decides.
    expect(idles).toEqual([]);
    expect(await link.park('c')).toBeNull();
    await end();
  });

  test('hands on when a wake has its first byte', async () => {
    const { socket, end } = await hearing();
    socket().write('{"type":"woken","app_id":"a","at":"2026-01-02T03:04:05.000Z","held":4}\n');
    await until(() => wokens.length === 1);
    expect(wokens).toEqual([{ appId: 'a', at: new Date('2026-01-02T03:04:05.000Z'), held: 4 }]);
    await end();
  });

  test('nobody can be parked while no router is there', async () => {
    expect(await aLink().park('a')).toBeNull();
  });
});
