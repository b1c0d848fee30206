import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { ProcessAttachment, ProcessClient } from '../../../src/platform/dynos/attachments';
import { Attachments } from '../../../src/platform/dynos/attachments';
import { Rendezvous } from '../../../src/rendezvous/rendezvous';
import { silentLogger } from '../../../src/lib/logger';
import { systemClock } from '../../../src/lib/clock';
import { FakeClock, settled } from '../../support/fake-clock';
import { TestApi } from '../../support/api';
import { eventually } from '../../support/router-client';

const SECRET = 'a1'.repeat(24);

/** The API's port with a rendezvous behind it, at which one process waits. */
describe('the rendezvous on the API’s port', () => {
  let api: TestApi;
  let clients: ProcessClient[];
  let attachment: ProcessAttachment;
  let sockets: TLSSocket[];

  beforeEach(async () => {
    clients = [];
    sockets = [];
    attachment = { hasTerminal: true, reportsExitStatus: false, open: (client) => clients.push(client) };
    const rendezvous = new Rendezvous({
      claim: (secret) => (secret === SECRET ? attachment : undefined),
      clock: systemClock,
      logger: silentLogger,
    });
    api = await TestApi.start({ rendezvous: (socket, secret) => rendezvous.accept(socket, secret) });
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await api.stop();
  });

  const dial = async (...writes: (string | Buffer)[]): Promise<{ socket: TLSSocket; chunks: string[] }> => {
    const socket = connect({
      port: api.server.port,
      host: '127.0.0.1',
      ca: api.tls.ca,
      servername: 'localhost',
    });
    sockets.push(socket);
    const chunks: string[] = [];
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk.toString('utf8')));
    await once(socket, 'secureConnect');
    for (const bytes of writes) {
      socket.write(bytes);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { socket, chunks };
  };
  const received = (client: ProcessClient): Buffer[] => {
    const chunks: Buffer[] = [];
    client.input.on('data', (chunk: Buffer) => chunks.push(chunk));
    return chunks;
  };

  test('greets a client alone, then carries bytes both ways', async () => {
    const { chunks, socket } = await dial(`${SECRET}\r\n`);
    await eventually(() => clients.length === 1, 'client');
    const client = clients[0]!;
    void client.write(Buffer.from('output'));
    await eventually(() => chunks.join('').includes('output'), 'output');
    expect(chunks).toEqual(['rendezvous\r\n', 'output']);
    const input = received(client);
    socket.write(Buffer.from([0, 255, 4, 10]));
    await eventually(() => Buffer.concat(input).length === 4, 'input');
    expect([...Buffer.concat(input)]).toEqual([0, 255, 4, 10]);
  });

  test.each([
    ['in one piece with input', [`${SECRET}\r\nearly`]],
    ['in many pieces', [SECRET.slice(0, 1), SECRET.slice(1, 20), SECRET.slice(20), '\r', '\nea', 'rly']],
    ['ended by a bare newline', [`${SECRET}\n`, 'early']],
  ])('understands a secret %s', async (_how, writes) => {
    await dial(...writes);
    await eventually(() => clients.length === 1, 'client');
    const input = received(clients[0]!);
    await eventually(() => Buffer.concat(input).toString() === 'early', 'input');
  });

  test.each([
    ['unknown', `${'b2'.repeat(24)}\r\n`],
    ['too short', 'abc\r\n'],
    ['too long', 'a'.repeat(60)],
    ['none at all', '0/../etc/passwd\r\n'],
  ])('sends a client away whose secret is %s', async (_what, secret) => {
    const { socket, chunks } = await dial(secret);
    await eventually(() => socket.destroyed, 'close');
    expect({ chunks, clients }).toEqual({ chunks: [], clients: [] });
  });

  test('is not reached without encryption', async () => {
    const { connect: connectPlain } = await import('node:net');
    const socket = connectPlain(api.server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`${SECRET}\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /);
    expect(clients).toEqual([]);
    socket.destroy();
  });

  test('leaves the connection open after the end of input, and closes it after the last output', async () => {
    attachment = { ...attachment, hasTerminal: false };
    const { socket, chunks } = await dial(`${SECRET}\r\n`, 'data\u0004');
    await eventually(() => clients.length === 1, 'client');
    const client = clients[0]!;
    const input = received(client);
    await once(client.input, 'end');
    expect(Buffer.concat(input).toString()).toBe('data');
    await client.write(Buffer.from('after'));
    const closed = once(socket, 'close');
    await client.finish(0);
    await closed;
    expect(chunks.join('')).toBe('rendezvous\r\nafter');
    expect(client.gone.aborted).toBe(true);
  });

  test('tells the process when its client has gone, whichever way', async () => {
    for (const leave of ['end', 'destroy'] as const) {
      const { socket } = await dial(`${SECRET}\r\n`);
      await eventually(() => clients.length === 1, 'client');
      const client = clients.pop()!;
      socket[leave]();
      await eventually(() => client.gone.aborted, 'gone');
      // What is printed from now on is dropped.
      await client.write(Buffer.alloc(1_000_000));
      await client.finish(1);
    }
  });

  test('keeps the line with the exit status in a chunk of its own', async () => {
    attachment = { ...attachment, reportsExitStatus: true };
    const { chunks } = await dial(`${SECRET}\r\n`);
    await eventually(() => clients.length === 1, 'client');
    const client = clients[0]!;
    void client.write(Buffer.from('x'.repeat(100_000)));
    const line = Buffer.from('\uFFFF heroku-command-exit-status: 7\n');
    void client.write(line.subarray(0, 1));
    void client.write(line.subarray(1, 20));
    void client.write(line.subarray(20));
    await client.finish(7);
    await eventually(() => chunks.at(-1) === line.toString(), 'marker');
    expect(chunks.join('').length).toBe(12 + 100_000 + line.toString().length);
  });

  test('reports the exit status of a command that could not', async () => {
    attachment = { ...attachment, reportsExitStatus: true };
    const { chunks } = await dial(`${SECRET}\r\n`);
    await eventually(() => clients.length === 1, 'client');
    await clients[0]!.finish(137);
    expect(chunks.at(-1)).toBe('\uFFFF heroku-command-exit-status: 137\n');
  });

  test('waits for a client that reads no more than it likes', async () => {
    const { socket, chunks } = await dial(`${SECRET}\r\n`);
    await eventually(() => clients.length === 1, 'client');
    const client = clients[0]!;
    await client.write(Buffer.from('first'));
    await eventually(() => chunks.join('').includes('first'), 'first');
    socket.pause();
    let written = 0;
    const pump = (async () => {
      for (; written < 64; written++) await client.write(Buffer.alloc(1024 * 1024, 97));
    })();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(written).toBeLessThan(32);
    socket.resume();
    await pump;
    await client.finish(0);
    expect(chunks.join('').length).toBe(12 + 5 + 64 * 1024 * 1024);
  }, 30_000);
});

test('a connection without input and output for an hour is closed', async () => {
  const clock = new FakeClock();
  const socket = new PassThrough();
  let client: ProcessClient | undefined;
  new Rendezvous({
    claim: () => ({ hasTerminal: true, reportsExitStatus: false, open: (opened) => (client = opened) }),
    clock,
    logger: silentLogger,
  }).accept(socket, SECRET);
  await clock.advance(59 * 60_000);
  void client?.write(Buffer.from('still here'));
  await clock.advance(59 * 60_000);
  expect(client?.gone.aborted).toBe(false);
  await clock.advance(60_000);
  await settled();
  expect(client?.gone.aborted).toBe(true);
  expect(clock.pending).toBe(0);
});

describe('Attachments', () => {
  const anAttachment = (): ProcessAttachment => ({
    hasTerminal: true,
    reportsExitStatus: false,
    open: () => undefined,
  });

  test('are claimed once, by their own secret', () => {
    const attachments = new Attachments(new FakeClock());
    const first = anAttachment();
    const secret = attachments.offer(first);
    const other = attachments.offer(anAttachment());
    expect(secret).toMatch(/^[0-9a-f]{48}$/);
    expect(other).not.toBe(secret);
    expect(attachments.claim('00'.repeat(24))).toBeUndefined();
    expect(attachments.claim(secret)).toBe(first);
    expect(attachments.claim(secret)).toBeUndefined();
  });

  test('expire', async () => {
    const clock = new FakeClock();
    const attachments = new Attachments(clock);
    const secret = attachments.offer(anAttachment());
    await clock.advance(5 * 60_000);
    expect(attachments.claim(secret)).toBeUndefined();
  });
});
