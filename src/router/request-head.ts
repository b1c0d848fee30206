import { randomUUID } from 'node:crypto';
import type { ClientHead } from './client';
import { membersOf } from './header-list';
import { hostnameOf } from './route-table';

/** Limits of Dev Center "HTTP Routing", "Request limits"; in bytes (head strings are Latin-1). */
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
  /** Everything of X-Forwarded-For, the client last. */
  fwd: string[];
  accept: string | undefined;
  rawHeaders: readonly string[];
  // Of these headers all values as one list; null when there is none.
  connection: string | null;
  contentLength: string | null;
  upgrade: string | null;
  via: string | null;
  /** What the client expects before it sends its body (RFC 9110 §10.1.1). */
  expectation: 'none' | 'continue' | 'unsupported';
  /** null when it breaks no rule. */
  fault: 'bad header' | null;
}

/** Reads and judges what the protocol's parser let through. */
export function readRequestHead(request: ClientHead, clientAddress: string): RequestHead {
  const { rawHeaders } = request;
  let hosts = 0;
  let hostHeader = '';
  let ids = 0;
  let id = '';
  let forwardedFor: string | null = null;
  let accept: string | null = null;
  let connection: string | null = null;
  let contentLength: string | null = null;
  let upgrade: string | null = null;
  let via: string | null = null;
  let expect: string | null = null;
  let withinLimits =
    request.method.length + request.target.length + 'HTTP/1.1'.length + 2 <= MAX_REQUEST_LINE &&
    rawHeaders.length <= 2 * MAX_HEADERS;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    const value = rawHeaders[i + 1] as string;
    if (name.length > MAX_HEADER_NAME || name.length + ': '.length + value.length > MAX_HEADER_LINE) {
      withinLimits = false;
    }
    // Told apart by their lengths first: lower case costs more than all else here.
    switch (name.length) {
      case 3:
        if (name.toLowerCase() === 'via') via = joined(via, value);
        break;
      case 4:
        if (name.toLowerCase() === 'host') {
          hosts += 1;
          if (hosts === 1) hostHeader = value;
        }
        break;
      case 6:
        if (name.toLowerCase() === 'accept') accept = joined(accept, value);
        else if (name.toLowerCase() === 'expect') expect = joined(expect, value);
        break;
      case 7:
        if (name.toLowerCase() === 'upgrade') upgrade = joined(upgrade, value);
        break;
      case 10:
        if (name.toLowerCase() === 'connection') connection = joined(connection, value);
        break;
      case 12:
        if (name.toLowerCase() === 'x-request-id') {
          ids += 1;
          id = value;
        }
        break;
      case 14:
        if (name.toLowerCase() === 'content-length') contentLength = value;
        break;
      case 15:
        if (name.toLowerCase() === 'x-forwarded-for') forwardedFor = joined(forwardedFor, value);
        break;
    }
  }
  const { host, path } = addressOf(request.target, hostHeader);
  // HTTP/1.0 needs a Host too, and two of them are never right (RFC 9112 §3.2).
  const addressed = host !== '' && hosts <= 1;
  return {
    method: request.method,
    path,
    host,
    hostname: hostnameOf(host),
    requestId: ids === 1 && REQUEST_ID.test(id) ? id : randomUUID(),
    fwd: forwardedFor === null ? [clientAddress] : [...membersOf(forwardedFor), clientAddress],
    accept: accept ?? undefined,
    rawHeaders,
    connection,
    contentLength,
    upgrade,
    via,
    expectation: expectationOf(expect, request.httpVersion),
    fault: withinLimits && addressed ? null : 'bad header',
  };
}

/** With an absolute target its authority counts, not the Host header (RFC 9112 §3.2.2). */
function addressOf(target: string, hostHeader: string): { host: string; path: string } {
  const absolute = target.startsWith('/') ? null : /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  if (!absolute) return { host: hostHeader, path: target };
  const rest = absolute[2] ?? '';
  return { host: absolute[1] ?? '', path: rest.startsWith('/') ? rest : `/${rest}` };
}

/** HTTP/1.0 has no expectations: they are ignored (RFC 9110 §10.1.1). */
function expectationOf(
  expect: string | null,
  httpVersion: ClientHead['httpVersion'],
): RequestHead['expectation'] {
  if (expect === null || httpVersion === '1.0') return 'none';
  return expect.toLowerCase() === '100-continue' ? 'continue' : 'unsupported';
}

function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

/** Node says `::ffff:127.0.0.1` for IPv4 on a dual-stack socket. */
export function clientAddressOf(remoteAddress: string | undefined): string {
  return remoteAddress?.replace(/^::ffff:(?=\d+\.)/i, '') ?? 'unknown';
}
