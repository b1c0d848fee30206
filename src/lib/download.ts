import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { pipeline } from 'node:stream/promises';

export interface DownloadOptions {
  /** Where the body is written to. */
  file: string;
  maxBytes: number;
  /** Without a sign of the server for so long, it counts as not reachable. */
  idleTimeoutMs: number;
  /** `user:password`; goes to the URL's own host only. */
  credentials?: string;
  /** Validators of a copy that is here already (RFC 9110, section 13.1). */
  unless?: { etag: string | null; lastModified: string | null };
  /** Authorities trusted besides Node's own list, as PEM. */
  authorities?: string;
  signal: AbortSignal;
}

export type Download =
  | { outcome: 'unchanged' }
  | { outcome: 'done'; sha256: string; bytes: number; etag: string | null; lastModified: string | null };

export class DownloadError extends Error {
  override readonly name = 'DownloadError';
  constructor(
    /** `unreachable`: no whole answer; `refused`: one with an error status; `too_large`: one beyond `maxBytes`. */
    readonly reason: 'unreachable' | 'refused' | 'too_large',
    /** With which the exchange ended: after redirects not the first one asked. */
    readonly host: string,
    message: string,
    readonly status: number | null = null,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

const MAX_REDIRECTS = 5;
const REDIRECTS: readonly (number | undefined)[] = [301, 302, 303, 307, 308];

/** Downloads over http or https, after redirects. Rejects with DownloadError, or with the signal's reason. */
export async function download(url: URL, options: DownloadOptions): Promise<Download> {
  let current = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const sendsCredentials = current.host === url.host && current.protocol === url.protocol;
    const response = await request(current, options, sendsCredentials);
    if (!REDIRECTS.includes(response.statusCode)) return receive(response, current.host, options);
    response.destroy();
    const { location } = response.headers;
    if (location === undefined || !URL.canParse(location, current.href)) {
      throw new DownloadError(
        'refused',
        current.host,
        'it redirects to nowhere',
        response.statusCode ?? null,
      );
    }
    const next = new URL(location, current.href);
    if (
      !['http:', 'https:'].includes(next.protocol) ||
      (current.protocol === 'https:' && next.protocol === 'http:')
    ) {
      throw new DownloadError(
        'refused',
        current.host,
        `it redirects to ${next.protocol}//`,
        response.statusCode ?? null,
      );
    }
    current = next;
  }
  throw new DownloadError('refused', current.host, 'it redirects too often');
}

function request(
  url: URL,
  options: DownloadOptions,
  sendsCredentials: boolean,
): Promise<http.IncomingMessage> {
  const { signal, unless, idleTimeoutMs, credentials, authorities } = options;
  const headers: Record<string, string> = { 'User-Agent': 'dynodock', Accept: '*/*' };
  if (unless?.etag != null) headers['If-None-Match'] = unless.etag;
  if (unless?.lastModified != null) headers['If-Modified-Since'] = unless.lastModified;
  if (credentials !== undefined && sendsCredentials) {
    headers.Authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  }
  return new Promise((resolve, reject) => {
    const secure = url.protocol === 'https:';
    const message = (secure ? https : http).get(url, {
      headers,
      signal,
      timeout: idleTimeoutMs,
      // One exchange, no connection to keep.
      agent: false,
      ...(secure && authorities !== undefined ? { ca: authorities } : {}),
    });
    message.once('response', resolve);
    message.once('timeout', () => message.destroy(new Error(`no answer within ${idleTimeoutMs / 1000} s`)));
    message.on('error', (cause) => {
      reject(signal.aborted ? (signal.reason as Error) : unreachable(url.host, cause));
    });
  });
}

async function receive(
  response: http.IncomingMessage,
  host: string,
  { file, maxBytes, signal }: DownloadOptions,
): Promise<Download> {
  const status = response.statusCode ?? 0;
  if (status === 304) {
    response.destroy();
    return { outcome: 'unchanged' };
  }
  if (status !== 200) {
    response.destroy();
    // A server in trouble is as good as none: what is here already is the better answer.
    const reason = status >= 500 || status === 429 ? 'unreachable' : 'refused';
    throw new DownloadError(reason, host, `it answers with status ${status}`, status);
  }
  const hash = createHash('sha256');
  let bytes = 0;
  const tooLarge = new DownloadError('too_large', host, `it is larger than ${maxBytes} bytes`, status);
  async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge;
      hash.update(chunk);
      yield chunk;
    }
  }
  try {
    await pipeline(response, counted, createWriteStream(file, { mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DownloadError || isOfDisk(error)) throw error;
    throw unreachable(host, error);
  }
  const { etag, 'last-modified': lastModified } = response.headers;
  return {
    outcome: 'done',
    sha256: hash.digest('hex'),
    bytes,
    etag: etag ?? null,
    lastModified: lastModified ?? null,
  };
}

function unreachable(host: string, cause: unknown): DownloadError {
  const text =
    cause instanceof Error ? cause.message || ((cause as NodeJS.ErrnoException).code ?? '') : String(cause);
  return new DownloadError('unreachable', host, text, null, { cause });
}

function isOfDisk(error: unknown): boolean {
  return ['open', 'write'].includes((error as NodeJS.ErrnoException).syscall ?? '');
}
