import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import { PlatformError } from '../domain/errors';

/** What may stand in a log and in a header. */
const REQUEST_ID = /^[\w.-]{1,128}$/;

/** The CLI sends all ids of its process so far, newest first, and remembers the one that it gets back. */
export function requestIdFrom(header: string | undefined): string {
  const first = header?.split(',')[0]?.trim() ?? '';
  return REQUEST_ID.test(first) ? first : randomUUID();
}

/** Headers of every answer. */
export const commonHeaders: RequestHandler = (req, res, next) => {
  res.setHeader('Request-Id', requestIdFrom(req.get('Request-Id')));
  // Heroku's: an answer may be kept, but only to be asked for again with its ETag.
  res.setHeader('Cache-Control', 'private, no-cache');
  res.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

/** Version 3 with any variant (`3.sdk`, `3.webhooks` …), or a client that does not care. */
export const requireVersion3: RequestHandler = (req, _res, next) => {
  if (!acceptsVersion3(req.get('Accept'))) {
    throw new PlatformError(
      'bad_request',
      'Only version 3 of the API is available: send the header "Accept: application/vnd.heroku+json; version=3".',
    );
  }
  next();
};

export function acceptsVersion3(header: string | undefined): boolean {
  if (header === undefined || header.trim() === '') return true;
  return header.split(',').some((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (type === '*/*' || type === 'application/*' || type === 'application/json') return true;
    if (type !== 'application/vnd.heroku+json') return false;
    const version = parameters
      .find((parameter) => parameter.startsWith('version='))
      ?.slice('version='.length);
    return version === undefined || /^"?3(\.[\w-]+)?"?$/.test(version);
  });
}
