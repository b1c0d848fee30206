import type { IncomingMessage } from 'node:http';
import { S3Error } from './errors.ts';

/** What a request is about, before anybody has checked who sends it. */
export interface S3Request {
  method: string;
  /** As it came, decoded: begins with a slash. */
  path: string;
  query: ReadonlyMap<string, string>;
  headers: Readonly<Record<string, string | undefined>>;
  /** undefined: the service as a whole. */
  bucket: string | undefined;
  /** undefined: the bucket as a whole. */
  key: string | undefined;
  message: IncomingMessage;
}

/** In bytes of UTF-8 (Amazon S3 User Guide, "Naming Amazon S3 objects"). */
const MAX_KEY_BYTES = 1024;

/**
 * Both addressing styles: `http://host/<bucket>/<key>`, and `http://<bucket>.host/<key>`, which only `ownBucket` can be
 * addressed in, since any other name may be a part of the host's.
 */
export function parseRequest(message: IncomingMessage, ownBucket: string): S3Request {
  const [rawPath, rawQuery] = split(message.url ?? '/', '?');
  // A request to a proxy, or `OPTIONS *`.
  if (!rawPath.startsWith('/')) throw new S3Error('InvalidURI');
  const path = decode(rawPath);
  const query = new Map<string, string>();
  for (const pair of rawQuery.split('&')) {
    if (pair === '') continue;
    const [name, value] = split(pair, '=');
    query.set(decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' ')));
  }
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(message.headers)) {
    headers[name] = Array.isArray(value) ? value.join(',') : value;
  }
  const isVirtualHost = (headers['host'] ?? '').toLowerCase().startsWith(`${ownBucket}.`);
  const [first, rest] = split(path.slice(1), '/');
  const bucket = isVirtualHost ? ownBucket : first;
  const key = isVirtualHost ? path.slice(1) : rest;
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw new S3Error('KeyTooLongError');
  if (key.includes('\0')) throw new S3Error('InvalidURI');
  return {
    method: message.method ?? 'GET',
    path,
    query,
    headers,
    bucket: bucket === '' ? undefined : bucket,
    key: key === '' ? undefined : key,
    message,
  };
}

/** RFC 3986, as signatures want it ("Create a canonical request", `UriEncode`). */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** At the first separator only. */
export function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)];
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not UTF-8 behind the percent signs.
    throw new S3Error('InvalidURI');
  }
}
