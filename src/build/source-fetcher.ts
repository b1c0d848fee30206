import { createHash, randomUUID } from 'node:crypto';
import { constants, createWriteStream } from 'node:fs';
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { SourceBlob } from '../domain/build';
import type { Clock } from '../lib/clock';
import { readArchive, type ArchiveSource } from './archive-source';
import { BuildFailure } from './build-failure';
import { assertDiskSpace } from './disk-space';
import { formatSize } from './output';
import { PARTIAL_SUFFIX } from './slug';
import { checksumOf } from './uploaded-slug';

export interface SourceFetcherOptions {
  /** For the archive while it is built from. */
  workDir: string;
  /**
   * The file behind a URL of ours; undefined for URLs of others. Throws BuildFailure where nothing is to be had from
   * it.
   */
  localFile: (url: URL) => string | undefined;
  clock: Clock;
  /** Default 1 GiB. */
  maxBytes?: number;
  /** Of the whole transfer. Default 10 minutes. */
  timeoutMs?: number;
  /** Of silence. Default 60 s. */
  idleMs?: number;
  /** With less left on the disk nothing is fetched. Default 1 GiB. */
  minFreeBytes?: number;
}

export interface FetchedSource {
  source: ArchiveSource;
  /** It is needed no more. */
  dispose: () => Promise<void>;
}

const DEFAULTS = {
  maxBytes: 1024 ** 3,
  timeoutMs: 10 * 60_000,
  idleMs: 60_000,
  minFreeBytes: 1024 ** 3,
};
const MAX_REDIRECTS = 10;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** Gets the archives that builds of the Platform API are made from (Dev Center "Building and Releasing Using the Platform API"). */
export class SourceFetcher {
  readonly #options: SourceFetcherOptions & typeof DEFAULTS;

  constructor(options: SourceFetcherOptions) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Rejects with BuildFailure for what the client should read. Nothing is left behind then. */
  async fetch({ url: text, checksum }: SourceBlob, signal: AbortSignal): Promise<FetchedSource> {
    const { workDir, localFile, minFreeBytes } = this.#options;
    await mkdir(workDir, { recursive: true });
    await assertDiskSpace([workDir], workDir, minFreeBytes);
    const file = path.join(workDir, `source-${randomUUID()}.tar${PARTIAL_SUFFIX}`);
    const dispose = (): Promise<void> => rm(file, { force: true });
    try {
      const url = parseUrl(text);
      const local = localFile(url);
      let actual: string;
      if (local === undefined) actual = await this.#download(url, file, signal);
      else {
        // Of its own: what is behind the URL may be replaced meanwhile.
        await copyFile(local, file, constants.COPYFILE_FICLONE);
        actual = await checksumOf(file);
      }
      if (checksum !== null && actual.toLowerCase() !== checksum.toLowerCase()) {
        throw failure(`The checksum of the source does not match. Expected: ${checksum} Actual: ${actual}`);
      }
      return { source: await readArchive(file, signal), dispose };
    } catch (error) {
      await dispose();
      signal.throwIfAborted();
      throw isNoSpace(error)
        ? new BuildFailure('disk', 'The disk is full.', undefined, { cause: error })
        : error;
    }
  }

  async #download(url: URL, file: string, callerSignal: AbortSignal): Promise<string> {
    const { clock, timeoutMs, idleMs, maxBytes } = this.#options;
    const tooSlow = new AbortController();
    const late = (what: string): void => tooSlow.abort(failure(`${hostOf(url)} ${what}.`));
    const cancelDeadline = clock.after(timeoutMs, () => {
      late(`did not deliver the source within ${Math.round(timeoutMs / 60_000)} minutes`);
    });
    let cancelIdle = (): void => undefined;
    const alive = (): void => {
      cancelIdle();
      cancelIdle = clock.after(idleMs, () => late(`sent nothing for ${Math.round(idleMs / 1000)} s`));
    };
    const signal = AbortSignal.any([callerSignal, tooSlow.signal]);
    try {
      alive();
      const response = await follow(url, signal);
      const tooLarge = (size: string): BuildFailure =>
        failure(`The source is too large: ${size} where at most ${formatSize(maxBytes)} are taken.`);
      const announced = Number(response.headers['content-length'] ?? 0);
      if (announced > maxBytes) {
        response.destroy();
        throw tooLarge(formatSize(announced));
      }
      const hash = createHash('sha256');
      let size = 0;
      await pipeline(
        response,
        async function* (chunks: AsyncIterable<Buffer>) {
          for await (const chunk of chunks) {
            alive();
            size += chunk.length;
            if (size > maxBytes) throw tooLarge(`more than ${formatSize(maxBytes)}`);
            hash.update(chunk);
            yield chunk;
          }
        },
        createWriteStream(file, { mode: 0o600 }),
        { signal },
      );
      return `SHA256:${hash.digest('hex')}`;
    } catch (error) {
      // Whatever else failed then failed because of that.
      signal.throwIfAborted();
      if (error instanceof BuildFailure || isNoSpace(error)) throw error;
      throw failure(`The source could not be fetched from ${hostOf(url)}: ${describe(error)}.`, error);
    } finally {
      cancelDeadline();
      cancelIdle();
    }
  }
}

/** The answer with the archive, after redirects. */
async function follow(from: URL, signal: AbortSignal): Promise<IncomingMessage> {
  let url = from;
  for (let count = 0; count <= MAX_REDIRECTS; count += 1) {
    const response = await get(url, signal, url.origin === from.origin ? from : url);
    const status = response.statusCode ?? 0;
    const location = response.headers.location;
    if (REDIRECTS.includes(status) && location !== undefined) {
      response.destroy();
      if (!URL.canParse(location, url.href)) throw failure(`${hostOf(url)} redirects to what is no URL.`);
      url = assertWeb(new URL(location, url));
      continue;
    }
    if (status === 200) return response;
    response.destroy();
    throw failure(`The source could not be fetched: ${hostOf(url)} answered with status ${status}.`);
  }
  throw failure(`The source could not be fetched: ${hostOf(from)} redirects too often.`);
}

function get(url: URL, signal: AbortSignal, credentials: URL): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const { username, password } = credentials;
    request(
      url,
      {
        method: 'GET',
        // A connection of its own, which ends with the signal.
        agent: false,
        signal,
        headers: { Accept: '*/*', 'Accept-Encoding': 'identity', 'User-Agent': 'dynodock' },
        ...(username === '' && password === ''
          ? {}
          : { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` }),
      },
      resolve,
    )
      .on('error', reject)
      .end();
  });
}

function parseUrl(text: string): URL {
  if (!URL.canParse(text)) throw failure('The URL of the source is no URL.');
  return assertWeb(new URL(text));
}

function assertWeb(url: URL): URL {
  if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  throw failure(`The source cannot be fetched by ${url.protocol}// URLs, only by http:// and https://.`);
}

/** Not the whole URL, which may have a secret in it. */
function hostOf(url: URL): string {
  return url.host;
}

/** Why there is no connection, in words where the code is a common one. */
function describe(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name cannot be resolved (is the network down?)';
    case 'ECONNREFUSED':
      return 'nobody listens there';
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
    case 'ETIMEDOUT':
      return 'it cannot be reached (is the network down?)';
    case 'ECONNRESET':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return 'the connection was cut';
    default:
      return code ?? message;
  }
}

function isNoSpace(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOSPC';
}

function failure(message: string, cause?: unknown): BuildFailure {
  return new BuildFailure('source', message, undefined, { cause });
}
