import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Request, Response } from 'express';
import { PlatformError } from '../../domain/errors';
import type { Logger } from '../../lib/logger';

export interface ServedPageOptions {
  target: { host: string; port: number };
  /** Besides those of the browser, e.g. credentials that it is not to know. */
  headers: Readonly<Record<string, string>>;
  /** Of our own cookie, which is not the server's business. */
  sessionCookie: string;
  stopping: AbortSignal;
  logger: Logger;
}

const ANSWER_MS = 30_000;

/** Between one hop and the next (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade',
]); // prettier-ignore

/** Besides the server's own policy: whatever it serves, nothing is loaded from, or sent to, anywhere else. */
const POLICY =
  "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; form-action 'self'; base-uri 'self'; frame-ancestors 'self'";

/**
 * Passes a request on to an add-on's own server and its answer back, both as streams, unchanged but for what is between
 * two hops. No WebSockets. Throws service_unavailable if there is no answer.
 */
export async function serveFromContainer(
  req: Request,
  res: Response,
  { target, headers, sessionCookie, stopping, logger }: ServedPageOptions,
): Promise<void> {
  const gone = new AbortController();
  res.once('close', () => gone.abort());
  const signal = AbortSignal.any([gone.signal, stopping]);
  const call = request({
    ...target,
    method: req.method,
    path: req.originalUrl,
    headers: { ...forwarded(req.headers, sessionCookie), ...headers },
    agent: false,
    signal,
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    call.once('response', resolve);
    call.on('error', reject);
    // Only until the answer begins: what follows may be a stream of events.
    call.setTimeout(ANSWER_MS, () => call.destroy(new Error('no answer in time')));
  });
  // An answer that comes before all was sent says more than that the rest was not wanted.
  pipeline(req, call).catch((error: unknown) =>
    logger.debug('a page was not sent all of a request', { error }),
  );
  let answer;
  try {
    answer = await answered;
  } catch (cause) {
    if (gone.signal.aborted) return;
    throw new PlatformError('service_unavailable', 'Its server does not answer just now.', 'add_on', {
      cause,
    });
  }
  call.setTimeout(0);
  for (const [name, value] of Object.entries(withoutHops(answer.headers))) {
    if (value !== undefined) res.setHeader(name, value);
  }
  res.appendHeader('Content-Security-Policy', POLICY);
  res.status(answer.statusCode ?? 502);
  try {
    await pipeline(answer, res, { signal });
  } catch (error) {
    // Half of it is out, so the cut connection is the answer.
    if (!res.destroyed) res.destroy();
    logger.debug('an answer of a page ended early', { path: req.path, error });
  }
}

function withoutHops(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = new Set((headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name)),
  );
}

function forwarded(headers: IncomingHttpHeaders, sessionCookie: string): IncomingHttpHeaders {
  const { cookie, ...others } = withoutHops(headers);
  const kept = (cookie ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '' && !pair.startsWith(`${sessionCookie}=`));
  return kept.length === 0 ? others : { ...others, cookie: kept.join('; ') };
}
