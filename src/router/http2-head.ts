import type { OutgoingHttpHeaders } from 'node:http2';
import type { ClientHead } from './client';

/** RFC 9110 §5.6.2; names are lower case in HTTP/2 (RFC 9113 §8.2). */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** Origin form or `*`: nothing that ends a request line (RFC 9112 §3). */
const TARGET = /^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * The head of a request (RFC 9113 §8.3) as HTTP/1.1 would have it; null when it is malformed. Node and nghttp2 have
 * looked at it already, but what is written into a request line and header lines for a dyno is judged here once more:
 * the two protocols differ in which bytes can end one.
 */
export function readHttp2Head(rawHeaders: readonly string[]): ClientHead | null {
  let method: string | null = null;
  let path: string | null = null;
  let authority: string | null = null;
  let host: string | null = null;
  const cookies: string[] = [];
  const fields: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    if (!VALUE.test(value)) return null;
    switch (name) {
      case ':method':
        method = value;
        break;
      case ':path':
        path = value;
        break;
      case ':authority':
        authority = value;
        break;
      case ':scheme':
        break;
      case 'host':
        // Two of them are for request-head.ts to refuse.
        if (host !== null && host !== value) fields.push('host', value);
        host ??= value;
        break;
      case 'cookie':
        cookies.push(value);
        break;
      default:
        // Also a pseudo header that there should not be, such as :protocol, which is not offered (RFC 8441 §3).
        if (!NAME.test(name)) return null;
        fields.push(name, value);
    }
  }
  if (method === null || !METHOD.test(method)) return null;
  // It has no path (RFC 9113 §8.5), and is answered without anybody asking for one.
  if (method === 'CONNECT') path ??= '*';
  if (path === null || !TARGET.test(path)) return null;
  // The authority takes the place of Host; with both, and not the same, the request is contradictory (§8.3.1).
  const head = authority === null ? [] : ['host', authority];
  if (host !== null && host !== authority) head.push('host', host);
  // Split for the sake of compression, and one line again for HTTP/1.1 (§8.2.3).
  if (cookies.length > 0) fields.push('cookie', cookies.join('; '));
  return { method, target: path, httpVersion: '2.0', rawHeaders: [...head, ...fields] };
}

/** Fields that must not occur in HTTP/2 (RFC 9113 §8.2.2) and that headers.ts lets pass, as they mean nothing there. */
const NOT_IN_HTTP2 = new Set(['http2-settings']);

/**
 * Raw headers as Node takes them for a stream: names in lower case, and a repeated field as one list (RFC 9110 §5.3),
 * but for Set-Cookie, which is none.
 */
export function http2Headers(rawHeaders: readonly string[]): OutgoingHttpHeaders {
  // A dyno may well send a header named __proto__.
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    const known = headers[name];
    if (NOT_IN_HTTP2.has(name)) continue;
    if (known === undefined) headers[name] = value;
    else if (name === 'set-cookie') headers[name] = [...(typeof known === 'string' ? [known] : known), value];
    else headers[name] = `${String(known)}, ${value}`;
  }
  return headers;
}
