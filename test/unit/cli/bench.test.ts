import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createApiClient } from '../../../src/cli/api-client';
import { runBench, type BenchContext } from '../../../src/cli/bench/bench';
import type { BenchOptions } from '../../../src/cli/bench/options';
import { dynoName } from '../../../src/domain/dyno';
import type { App } from '../../../src/domain/app';
import type { AppId, DynoId } from '../../../src/domain/ids';
import type { Release } from '../../../src/domain/release';
import { LineReader } from '../../../src/lib/line-reader';
import { parseRouterMessage } from '../../../src/router/messages';
import { TestApi } from '../../support/api';
import { aDyno as aRouteDyno, anApp as routesOf, eventually, RouterBench } from '../../support/router-client';

let api: TestApi;
let router: RouterBench;
let app: App;
let release: Release;
let calledOff: AbortController;
const ends: (() => unknown)[] = [];
let printed: string[];
let told: string[];

beforeEach(async () => {
  [printed, told, calledOff] = [[], [], new AbortController()];
  api = await TestApi.start();
  // Dynos by turns: three requests reach each of three.
  let turn = 0;
  router = await new RouterBench().start({ random: () => (turn++ % 3) / 3 + 0.1 });
  app = api.anApp('shop');
  release = api.deploy(app);
  logRouterLines();
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await router.stop();
  await api.stop();
});

/** As the daemon does it. */
function logRouterLines(): void {
  const reader = new LineReader(1 << 24, (text) => {
    const message = parseRouterMessage(text);
    if (message.type !== 'log') return;
    for (const line of message.lines) {
      api.logplex.append(line.app_id as AppId, {
        at: new Date(line.at),
        source: 'heroku',
        process: 'router',
        text: line.text,
      });
    }
  });
  router.daemon.socket.on('data', (chunk) => reader.push(chunk));
}

async function serve(listener: RequestListener): Promise<number> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** Brings dynos up as the formation has it, each of them a port of the same backend; until the test ends. */
function manageDynos(port: number, state: 'up' | 'crashed' = 'up'): void {
  let passing: Promise<void> | undefined;
  const pass = async (): Promise<void> => {
    const wanted = api.services.formation.find(app, 'web').quantity;
    const dynos = api.store.dynos.of(app.id);
    if (dynos.length === wanted) return;
    for (const dyno of dynos.slice(wanted)) api.store.dynos.delete(dyno.id);
    for (let number = dynos.length + 1; number <= wanted; number += 1) {
      api.aDyno(app, release, { number, state: number === 1 ? 'up' : state, id: `dyno-${number}` as DynoId });
    }
    await publish(port);
  };
  const timer = setInterval(() => {
    passing ??= pass().finally(() => (passing = undefined));
  }, 5);
  ends.push(() => {
    clearInterval(timer);
    return passing;
  });
}

async function publish(port: number, hosts = ['shop.localhost']): Promise<void> {
  const dynos = api.store.dynos.of(app.id);
  await router.daemon.serve(
    routesOf({
      app_id: app.id,
      hosts,
      web_quantity: dynos.length,
      dynos: dynos.map((dyno) => aRouteDyno(port, { id: dyno.id, name: dynoName(dyno) })),
    }),
  );
}

function bench(more: Partial<BenchOptions> = {}, context: Partial<BenchContext> = {}): Promise<void> {
  const options: BenchOptions = {
    url: new URL('http://shop.localhost/'),
    connections: 3,
    durationSeconds: 0.1,
    method: 'GET',
    headers: [],
    body: undefined,
    scale: [],
    anyHost: false,
    json: true,
    ...more,
  };
  return runBench(options, {
    platform: {
      api: createApiClient({ apiPort: api.server.port, token: api.token }),
      routerHttpPort: router.router.httpPort,
    },
    print: (...lines) => printed.push(...lines),
    tell: (...lines) => told.push(...lines),
    signal: calledOff.signal,
    ...context,
  });
}

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- what was printed, whatever it is */
const result = (): any => JSON.parse(printed.join('\n'));
const webQuantity = (): number => api.services.formation.find(app, 'web').quantity;

describe('dynodock bench', () => {
  test('tells statuses, H-codes and dynos of exactly the requests that it sent', async () => {
    const paths = new Set<string>();
    let requests = 0;
    const port = await serve((request, response) => {
      requests += 1;
      paths.add(`${request.method} ${request.headers.host} ${request.url}`);
      if (requests === 1) response.destroy();
      else response.end('hello');
    });
    api.aDyno(app, release);
    await publish(port);
    // Somebody else's request, which shall not count.
    await router.request('GET /other HTTP/1.1\nHost: shop.localhost');
    paths.clear();
    requests = 0;
    // The router tries a GET again; a POST it must not.
    await bench({
      ...{ method: 'POST', body: 'some' },
      url: new URL(`http://shop.localhost:${router.router.httpPort}/page?a=b`),
    });

    expect([...paths]).toEqual([`POST shop.localhost:${router.router.httpPort} /page?a=b`]);
    const { app: name, runs } = result();
    expect({ name, count: runs.length }).toEqual({ name: 'shop', count: 1 });
    expect(runs[0]).toMatchObject({
      web: null,
      sent: requests,
      answered: requests,
      statuses: { 200: requests - 1, 503: 1 },
      errors: {},
      router_log: { lines_seen: requests, h_codes: { H13: 1 }, dynos: { 'web.1': requests } },
    });
  });

  test('prints the same for people', async () => {
    const port = await serve((_request, response) => response.end('hello'));
    api.aDyno(app, release);
    await publish(port);
    await bench({ json: false });
    expect(printed.slice(0, 8)).toEqual([
      expect.stringMatching(/^Requests\/s {2}\d+$/),
      expect.stringMatching(/^Latency {5}p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms$/),
      expect.stringMatching(/^Requests {4}(\d+) sent, \1 answered, [\d.]+ MB of bodies$/),
      expect.stringMatching(/^Status {6}200: \d+$/),
      'Errors      none',
      'H-codes     none',
      expect.stringMatching(/^Dynos {7}web\.1: \d+$/),
      expect.stringMatching(/^Router log {2}(\d+) of \1 lines seen$/),
    ]);
  });

  test('finds apps by custom domains and wildcards, wherever those names lead', async () => {
    api.anApp('other');
    api.services.domains.add(api.account, app, 'www.example.org');
    api.services.domains.add(api.account, app, '*.example.org');
    const port = await serve((_request, response) => response.end('hello'));
    api.aDyno(app, release);
    await publish(port, ['www.example.org', '*.example.org']);
    for (const host of ['www.example.org', 'any.example.org']) {
      printed = [];
      await bench({ url: new URL(`http://${host}/`) });
      const { app: name, runs } = result();
      expect(name).toBe('shop');
      expect(Object.keys(runs[0].statuses)).toEqual(['200']);
    }
  });

  test('runs with each number of dynos, and scales back', async () => {
    manageDynos(await serve((_request, response) => response.end('hello')));
    await bench({ scale: [1, 3] });
    const { runs } = result();
    expect(runs).toMatchObject([{ web: 1 }, { web: 3 }]);
    expect(Object.keys(runs[0].router_log.dynos)).toEqual(['web.1']);
    expect(new Set(Object.keys(runs[1].router_log.dynos))).toEqual(new Set(['web.1', 'web.2', 'web.3']));
    expect(webQuantity()).toBe(1);
    expect(told.at(-1)).toBe('shop: back to web=1.');
  });

  test('prints a table of several runs', async () => {
    manageDynos(await serve((_request, response) => response.end('hello')));
    await bench({ scale: [1, 2], json: false });
    expect(printed[0]).toMatch(
      /^web {2}requests\/s {2}p50 +p90 +p99 +max +status +errors {2}H-codes {2}lines seen +dynos$/,
    );
    expect(printed[1]).toMatch(/^1 .* 200: \d+ +none +none +(\d+) of \1 +web\.1: \d+$/);
    expect(printed[2]).toMatch(/^2 .* 200: \d+ +none +none +(\d+) of \1 +web\.1: \d+, web\.2: \d+$/);
  });

  test('scales back when a dyno crashes, and says which', async () => {
    manageDynos(await serve((_request, response) => response.end('hello')), 'crashed');
    await expect(bench({ scale: [1, 2] })).rejects.toThrow('web.2 has crashed.');
    expect(webQuantity()).toBe(1);
  });

  test('scales back when it is called off during a run', async () => {
    let requests = 0;
    manageDynos(
      await serve((_request, response) => {
        requests += 1;
        response.end('hello');
      }),
    );
    const running = bench({ scale: [2], durationSeconds: 60 });
    const ended = expect(running).rejects.toThrow('Called off.');
    await eventually(() => requests > 0, 'a request');
    expect(webQuantity()).toBe(2);
    calledOff.abort();
    await ended;
    expect(webQuantity()).toBe(1);
  });

  test('scales back when it is called off while dynos start', async () => {
    // Nobody brings the second one up.
    api.aDyno(app, release);
    await publish(await serve((_request, response) => response.end('hello')));
    const ended = expect(bench({ scale: [2] })).rejects.toThrow('Called off.');
    await eventually(() => webQuantity() === 2, 'scaled');
    calledOff.abort();
    await ended;
    expect(webQuantity()).toBe(1);
  });

  test('says how to scale back where that fails', async () => {
    let requests = 0;
    manageDynos(
      await serve((_request, response) => {
        requests += 1;
        response.end('hello');
      }),
    );
    const ended = expect(bench({ scale: [2], durationSeconds: 60 })).rejects.toMatchObject({
      message: expect.stringContaining('shop could not be scaled back'),
      advice: 'By hand: heroku ps:scale web=1 --app shop',
    });
    await eventually(() => requests > 0, 'a request');
    await api.server.stop();
    calledOff.abort();
    await ended;
  });

  test('tells what it measured when the log breaks off, and says so', async () => {
    let requests = 0;
    const port = await serve((_request, response) => {
      requests += 1;
      response.end('hello');
    });
    api.aDyno(app, release);
    await publish(port);
    const running = bench({ durationSeconds: 0.5 });
    await eventually(() => requests > 0, 'a request');
    await Promise.all([api.server.stop(), running]);
    expect(result().runs[0].answered).toBe(requests);
    expect(told.at(-1)).toMatch(/^The log broke off: .+\.$/);
  });

  test('refuses a host that no app has, and a port that is not of apps', async () => {
    await expect(bench({ url: new URL('http://nope.localhost/') })).rejects.toThrow(
      'No app of this installation answers to nope.localhost.',
    );
    await expect(bench({ url: new URL('http://shop.localhost:1/') })).rejects.toThrow(
      `Apps answer on port ${router.router.httpPort}, not on 1.`,
    );
  });

  test('refuses to scale an app without a web process type', async () => {
    api.anApp('blank');
    await expect(bench({ url: new URL('http://blank.localhost/'), scale: [1] })).rejects.toThrow(
      "Couldn't find that process type (web).",
    );
  });

  test('says that no router answers', async () => {
    await router.router.stop();
    await expect(bench()).rejects.toThrow(
      /^Nothing accepts connections at 127\.0\.0\.1, port \d+ \(ECONNREFUSED\)\.$/,
    );
  });

  test('loads any server of this machine without a daemon, and of no other', async () => {
    const hosts = new Set<string | undefined>();
    const port = await serve((request, response) => {
      hosts.add(request.headers.host);
      response.end('hello');
    });
    const any = { anyHost: true };
    for (const host of ['127.0.0.1', 'localhost', 'any.localhost']) {
      printed = [];
      await bench({ ...any, url: new URL(`http://${host}:${port}/`) }, { platform: undefined });
      const { app: name, runs } = result();
      expect({ name, log: runs[0].router_log }).toEqual({ name: null, log: null });
      expect(runs[0].answered).toBeGreaterThan(0);
    }
    expect([...hosts]).toEqual([`127.0.0.1:${port}`, `localhost:${port}`, `any.localhost:${port}`]);
    await expect(
      bench({ ...any, url: new URL('http://example.org/') }, { platform: undefined }),
    ).rejects.toThrow('--any-host is for this machine only: example.org is not a loopback address.');
  });
});
