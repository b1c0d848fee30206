import { randomUUID } from 'node:crypto';
import { listOf, pairsOf, valuesOf, type HeaderPairs } from './headers';
import { hostnameOf } from './route-table';

/** Limits of Dev Center "HTTP Routing", "Request limits"; in bytes (Node's head strings are Latin-1). */
const MAX_REQUEST_LINE = 8192;
const MAX_HEADER_LINE = 8192;
const MAX_HEADER_NAME = 1000;
const MAX_HEADERS = 1000;

/** Dev Center "HTTP Request IDs": a client's own id is kept if it looks like this. */
const REQUEST_ID = /^[A-Za-z0-9+/=-]{20,200}$/;

export interface RequestHead {
  method: string;
  /** Origin form, with the query: what is sent to the dyno. */
  path: string;
  /** As it came, with its port. */
  host: string;
  hostname: string;
  requestId: string;
  fwd: string[];
  accept: string | undefined;
  headers: HeaderPairs;
  /** null when it breaks no rule. */
  fault: 'bad header' | null;
}

/** Reads and judges what Node's parser let through. */
export function readRequestHead(
  request: { method: string; url: string; httpVersion: string; rawHeaders: readonly string[] },
  clientAddress: string,
): RequestHead {
  const headers = pairsOf(request.rawHeaders);
  const hosts = valuesOf(headers, 'host');
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/i.exec(request.url);
  // With an absolute target its authority counts, not the Host header (RFC 9112 §3.2.2).
  const host = absolute?.[1] ?? hosts[0] ?? '';
  const rest = absolute?.[2] ?? '';
  const path = absolute ? (rest.startsWith('/') ? rest : `/${rest}`) : request.url;
  const ids = valuesOf(headers, 'x-request-id');
  const id = ids.length === 1 ? ids[0] : undefined;
  const withinLimits =
    request.method.length + request.url.length + 'HTTP/1.1'.length + 2 <= MAX_REQUEST_LINE &&
    headers.length <= MAX_HEADERS &&
    headers.every(
      ([name, value]) =>
        name.length <= MAX_HEADER_NAME && name.length + ': '.length + value.length <= MAX_HEADER_LINE,
    );
  // HTTP/1.0 needs a Host too, and two of them are never right (RFC 9112 §3.2).
  const addressed = host !== '' && hosts.length <= 1;
  // "HTTP Routing", "HTTP versions supported": HTTP/0.9 has no headers, hence no host, and is no version here.
  const spoken = request.httpVersion === '1.1' || request.httpVersion === '1.0';
  // The body is framed anew for the dyno, so a coding beside chunked would be lost; and chunks in HTTP/1.0 are a fault
  // by which somebody on the way may have been misled (RFC 9112 §6.1).
  const codings = valuesOf(headers, 'transfer-encoding');
  const framed =
    codings.length === 0 ||
    (codings.length === 1 && codings[0]?.toLowerCase() === 'chunked' && request.httpVersion === '1.1');
  return {
    method: request.method,
    path,
    host,
    hostname: hostnameOf(host),
    requestId: id !== undefined && REQUEST_ID.test(id) ? id : randomUUID(),
    fwd: [...listOf(headers, 'x-forwarded-for'), clientAddress],
    accept: valuesOf(headers, 'accept').join(',') || undefined,
    headers,
    fault: withinLimits && addressed && spoken && framed ? null : 'bad header',
  };
}

/** Node says `::ffff:127.0.0.1` for IPv4 on a dual-stack socket. */
export function clientAddressOf(remoteAddress: string | undefined): string {
  return remoteAddress?.replace(/^::ffff:(?=\d+\.)/i, '') ?? 'unknown';
}
