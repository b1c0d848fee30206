import { once } from 'node:events';
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { App } from '../../../src/domain/app';
import { FakeClock, settled } from '../../support/fake-clock';
import { TestApi } from '../../support/api';

let api: TestApi;
let app: App;
let clock: FakeClock;
const open: ClientRequest[] = [];

beforeEach(async () => {
  clock = new FakeClock(new Date('2026-01-02T03:04:05.678Z'));
  api = await TestApi.start({ clock });
  app = api.anApp();
});
afterEach(async () => {
  for (const request of open.splice(0)) request.destroy();
  await api.stop();
});

async function session(body: unknown): Promise<string> {
  const answer = await api.post('/apps/demo/log-sessions', body);
  expect(answer.status).toBe(201);
  return answer.body.logplex_url as string;
}

/** Opens the stream as the CLI does: without a token. */
async function read(url: string, headers: Record<string, string> = {}): Promise<Reader> {
  const request = httpRequest(url, { headers: { Accept: 'text/event-stream', ...headers }, agent: false });
  request.on('error', () => undefined);
  request.end();
  open.push(request);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return new Reader(response);
}

class Reader {
  text = '';
  ended: Promise<unknown>;
  constructor(readonly response: IncomingMessage) {
    response.setEncoding('utf8');
    this.ended = new Promise((resolve) => response.on('close', resolve));
    response.on('error', () => undefined);
    response.on('data', (chunk: string) => (this.text += chunk));
  }
  get lines(): string[] {
    return [...this.text.matchAll(/^data: (.*)$/gm)].map((match) => match[1]!);
  }
  get ids(): number[] {
    return [...this.text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.response, 'data');
  }
}

test('a session without tail gives the last lines and ends', async () => {
  for (let n = 1; n <= 5; n++) api.log(app.id, `line ${n}`);
  const reader = await read(await session({ lines: 2 }));
  expect(reader.response.statusCode).toBe(200);
  expect(reader.response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  await reader.ended;
  expect(reader.lines).toEqual([
    expect.stringMatching(/^2026-01-02T03:04:05\.678\d{3}\+00:00 heroku\[web\.1\]: line 4$/),
    expect.stringMatching(/line 5$/),
  ]);
});

test('a tail goes on with new lines, each with an id', async () => {
  api.log(app.id, 'before');
  const reader = await read(await session({ lines: 1, tail: true }));
  await reader.until(() => reader.lines.length === 1);
  api.log(app.id, 'after');
  await reader.until(() => reader.lines.length === 2);
  expect(reader.lines.map((line) => line.split(': ')[1])).toEqual(['before', 'after']);
  expect(reader.ids).toHaveLength(2);
});

test('a client that comes back goes on after the last line that it got', async () => {
  const url = await session({ tail: true, lines: 1 });
  api.log(app.id, 'one');
  const first = await read(url);
  await first.until(() => first.lines.length === 1);
  first.response.destroy();
  api.log(app.id, 'two');
  api.log(app.id, 'three');
  const second = await read(url, { 'Last-Event-ID': String(first.ids[0]) });
  await second.until(() => second.lines.length === 2);
  expect(second.lines.map((line) => line.split(': ')[1])).toEqual(['two', 'three']);
});

test('a silent tail is kept alive by a comment a minute', async () => {
  const reader = await read(await session({ tail: true, lines: 0 }));
  await clock.advance(60_000);
  await reader.until(() => reader.text !== '');
  expect(reader.text).toBe(':\n\n');
  await clock.advance(60_000);
  await reader.until(() => reader.text.length > 3);
  expect(reader.text).toBe(':\n\n:\n\n');
});

test.each([
  [{ dyno: 'web.1' }, ['web']],
  [{ dyno: 'worker' }, ['worker']],
  [{ dyno_name: 'worker.1' }, ['worker']],
  [{ type: 'web' }, ['web']],
  [{ source: 'app' }, ['worker']],
])('a session of %j has only those lines', async (filter, expected) => {
  api.logplex.heroku(app.id, 'web.1', 'web');
  api.logplex.append(app.id, { at: clock.now(), source: 'app', process: 'worker.1', text: 'worker' });
  const reader = await read(await session(filter));
  await reader.ended;
  const texts = reader.lines.filter((line) => !line.includes('app[api]')).map((line) => line.split(': ')[1]);
  expect(texts).toEqual(expected);
});

test('a slow reader loses lines and is told how many, and memory does not grow', async () => {
  const reader = await read(await session({ tail: true, lines: 0 }));
  reader.response.pause();
  const line = 'x'.repeat(2_000);
  let sent = 0;
  // More than the sockets of both sides and the pending lines can hold.
  for (; sent < 20_000; sent++) api.log(app.id, line);
  await settled();
  const before = process.memoryUsage().heapUsed;
  for (; sent < 40_000; sent++) api.log(app.id, line);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 1024 * 1024);
  reader.response.resume();
  const dropped = (): number =>
    [
      ...reader.text.matchAll(
        /L11 \(Tail buffer overflow\) -> This tail session dropped (\d+) messages since 2026-/g,
      ),
    ]
      .map((match) => Number(match[1]))
      .reduce((sum, count) => sum + count, 0);
  await reader.until(() => reader.text.endsWith('\n\n') && reader.ids.length + dropped() === sent);
  expect(dropped()).toBeGreaterThan(30_000);
  api.log(app.id, 'caught up');
  await reader.until(() => reader.text.includes('caught up'));
});

test('a text of several lines stays one event', async () => {
  api.log(app.id, 'a\nb\r\nc');
  const reader = await read(await session({ lines: 1 }));
  await reader.ended;
  expect(reader.text).toMatch(/^id: \d+\ndata: .*: a\ndata: b\ndata: c\n\n$/);
});

test('stopping the server ends tails at once', async () => {
  const own = await TestApi.start();
  const theirs = own.anApp('other');
  const answer = await own.post(`/apps/${theirs.name}/log-sessions`, { tail: true });
  const reader = await read(answer.body.logplex_url);
  await own.stop();
  await reader.ended;
});

test('a wrong secret, and a session of an app that is gone, are not found', async () => {
  const url = await session({ tail: true });
  expect((await api.request('GET', '/streams/logs/nothing', { anonymous: true })).status).toBe(404);
  await api.delete('/apps/demo');
  expect((await api.request('GET', url, { anonymous: true })).status).toBe(404);
});

test.each([[{ lines: 'many' }], [{ lines: -1 }], [{ tail: 'yes' }], [{ source: 'router' }]])(
  'a session can not be made of %j',
  async (body) => {
    expect(await api.post('/apps/demo/log-sessions', body)).toMatchObject({
      status: 422,
      body: { id: 'invalid_params' },
    });
  },
);
