import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BuildFailure } from '../../../src/build/build-failure';
import { SourceFetcher, type SourceFetcherOptions } from '../../../src/build/source-fetcher';
import { tgzOf } from '../../support/archives';
import { FakeClock } from '../../support/fake-clock';

describe('SourceFetcher', () => {
  let directory: string;
  let clock: FakeClock;
  let server: http.Server;
  let host: string;
  let respond: http.RequestListener;
  let archive: Buffer;

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-fetch-'));
    clock = new FakeClock();
    archive = await tgzOf({ 'main.js': 'x' });
    respond = (_request, response) => response.end(archive);
    server = http.createServer((request, response) => respond(request, response));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    expect(readdirSync(directory).filter((name) => name.endsWith('.partial'))).toEqual([]);
    rmSync(directory, { recursive: true, force: true });
  });

  function fetcher(more: Partial<SourceFetcherOptions> = {}): SourceFetcher {
    return new SourceFetcher({
      workDir: directory,
      localFile: () => undefined,
      clock,
      minFreeBytes: 0,
      ...more,
    });
  }

  /** Content of what was fetched. */
  async function fetched(
    url: string,
    checksum: string | null = null,
    more: Partial<SourceFetcherOptions> = {},
  ): Promise<Buffer> {
    const { source, dispose } = await fetcher(more).fetch({ url, checksum }, new AbortController().signal);
    const content = readFileSync(source.path);
    await dispose();
    return content;
  }

  async function complaint(...args: Parameters<typeof fetched>): Promise<string> {
    const error = await fetched(...args).catch((caught: unknown) => caught);
    if (!(error instanceof BuildFailure)) throw new Error('it did not fail', { cause: error });
    return error.message;
  }

  const sum = (): string => `SHA256:${createHash('sha256').update(archive).digest('hex')}`;

  test('fetches bytes as they are, whatever the server calls them, and checks them', async () => {
    respond = (_request, response) => {
      response.setHeader('Content-Encoding', 'gzip');
      response.end(archive);
    };
    expect((await fetched(`http://${host}/a.tgz`, sum())).equals(archive)).toBe(true);
    expect(await complaint(`http://${host}/a.tgz`, `SHA256:${'0'.repeat(64)}`)).toBe(
      `The checksum of the source does not match. Expected: SHA256:${'0'.repeat(64)} Actual: ${sum()}`,
    );
  });

  test('follows redirects, and takes credentials to their own host only', async () => {
    const seen: string[] = [];
    respond = (request, response) => {
      seen.push(`${request.headers.host ?? ''} ${request.url ?? ''} ${request.headers.authorization ?? '-'}`);
      if (request.url === '/a') response.writeHead(302, { Location: '/b' }).end();
      else if (request.url === '/b') {
        response.writeHead(307, { Location: `http://localhost:${host.split(':')[1]}/c` }).end();
      } else response.end(archive);
    };
    await fetched(`http://user:p%40ss@${host}/a`);
    const basic = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    expect(seen).toEqual([
      `${host} /a ${basic}`,
      `${host} /b ${basic}`,
      `localhost:${host.split(':')[1]} /c -`,
    ]);
  });

  test('names the host, and no secret of the URL, when it comes to nothing', async () => {
    respond = (request, response) => {
      if (request.url === '/loop') response.writeHead(302, { Location: '/loop' }).end();
      else if (request.url === '/file') response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
      else if (request.url === '/cut') {
        response.writeHead(200, { 'Content-Length': '100000' });
        response.write('x', () => response.destroy());
      } else response.writeHead(403).end();
    };
    expect(await complaint(`http://${host}/a?token=s3cret`)).toBe(
      `The source could not be fetched: ${host} answered with status 403.`,
    );
    expect(await complaint(`http://${host}/loop`)).toBe(
      `The source could not be fetched: ${host} redirects too often.`,
    );
    expect(await complaint(`http://${host}/file`)).toBe(
      'The source cannot be fetched by file:// URLs, only by http:// and https://.',
    );
    expect(await complaint(`http://${host}/cut`)).toBe(
      `The source could not be fetched from ${host}: the connection was cut.`,
    );
    expect(await complaint('http://nowhere.invalid/a?token=s3cret')).toBe(
      'The source could not be fetched from nowhere.invalid: its name cannot be resolved (is the network down?).',
    );
    expect(await complaint('http://user:s3cret@127.0.0.1:1/a')).toBe(
      'The source could not be fetched from 127.0.0.1:1: nobody listens there.',
    );
  });

  test('is bounded in size, whether it was announced or not', async () => {
    const options = { maxBytes: 1000 };
    respond = (_request, response) => response.end('x'.repeat(2048));
    expect(await complaint(`http://${host}/`, null, options)).toBe(
      'The source is too large: 2.0K where at most 1000B are taken.',
    );
    respond = (_request, response) => {
      response.write('x'.repeat(600));
      response.end('x'.repeat(600));
    };
    expect(await complaint(`http://${host}/`, null, options)).toBe(
      'The source is too large: more than 1000B where at most 1000B are taken.',
    );
  });

  test('is bounded in time', async () => {
    let asked: () => void = () => undefined;
    respond = () => asked();
    const waits = async (ms: number): Promise<string> => {
      const begun = new Promise<void>((resolve) => (asked = resolve));
      const result = complaint(`http://${host}/`, null, {
        idleMs: 60_000,
        timeoutMs: ms < 60_000 ? ms : 600_000,
      });
      await begun;
      await clock.advance(ms);
      return result;
    };
    expect(await waits(60_000)).toBe(`${host} sent nothing for 60 s.`);
    expect(await waits(30_000)).toBe(`${host} did not deliver the source within 1 minutes.`);
    expect(clock.pending).toBe(0);
  });

  test('ends when it is called off', async () => {
    const canceled = new AbortController();
    respond = () => canceled.abort(new Error('called off'));
    await expect(
      fetcher().fetch({ url: `http://${host}/`, checksum: null }, canceled.signal),
    ).rejects.toThrow('called off');
  });

  test('takes what is here without asking anybody', async () => {
    const file = path.join(directory, 'uploaded.tgz');
    writeFileSync(file, archive);
    respond = () => {
      throw new Error('somebody was asked');
    };
    expect((await fetched(`http://${host}/blob`, sum(), { localFile: () => file })).equals(archive)).toBe(
      true,
    );
  });
});
