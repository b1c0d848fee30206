/**
 * Which headers pass the router, and which it adds (Dev Center "HTTP Routing", "Heroku headers"). Works on flat lists
 * (name, value, name, value, …), so that case, order and repetition stay as they were sent.
 */
import type { ClientHead } from './client';
import { listValue, membersOf } from './header-list';
import type { RequestHead } from './request-head';

/** Of one connection only (RFC 9110 §7.6.1; the Proxy-* ones by RFC 2616 §13.5.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  // Only an announcement, which trailers do without. Node throws, from where nobody can catch it, for one on a message
  // that is not chunked on this side, be it that its sender did not chunk it or that its receiver must not get chunks.
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** What the dyno is told anew. The router has already said "100 Continue" itself. */
const REPLACED = [
  'host',
  'content-length',
  'expect',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-request-start',
  'x-request-id',
  'via',
];

/** A Connection header cannot talk the router out of these: routing and framing depend on them. */
const NEVER_DROPPED = new Set(['host', 'content-length', 'content-type', 'date']);

const PSEUDONYM = 'heroku-router';

/** Names in lower case. Most others are told apart by their length alone, which is what each request is spared. */
class NameSet {
  readonly #names: Set<string>;
  readonly #lengths: boolean[] = [];

  constructor(names: readonly string[]) {
    this.#names = new Set(names);
    for (const name of names) this.#lengths[name.length] = true;
  }

  has(name: string): boolean {
    return this.#lengths[name.length] === true && this.#names.has(name.toLowerCase());
  }
}

const NOT_TO_THE_DYNO = new NameSet([...HOP_BY_HOP, ...REPLACED]);
const NOT_TO_THE_CLIENT = new NameSet([...HOP_BY_HOP, 'via']);
/** RFC 9110 §6.5.1: what frames or routes a message cannot come behind it. */
const NOT_IN_TRAILERS = new NameSet([
  ...HOP_BY_HOP,
  ...REPLACED,
  'trailer',
  'content-type',
  'content-encoding',
]);

/** The further headers that a Connection header makes hop-by-hop; null for none, as nearly always. */
function nominated(connection: string | null): Set<string> | null {
  if (connection === null || /^(keep-alive|close|upgrade)?$/i.test(connection)) return null;
  return new Set(
    membersOf(connection)
      .map((name) => name.toLowerCase())
      .filter((name) => !NEVER_DROPPED.has(name)),
  );
}

export interface Forwarded {
  /** What the client speaks, for Via (RFC 9110 §7.6.3). */
  httpVersion: ClientHead['httpVersion'];
  proto: 'http' | 'https';
  port: number;
  startedAtMs: number;
  body: 'none' | 'counted' | 'chunked';
  /** The offer to change protocols goes along, for the dyno to take up. */
  upgrade: boolean;
}

/** The head for the dyno. */
export function dynoRequestHead(head: RequestHead, forwarded: Forwarded): string {
  const { rawHeaders } = head;
  const dropped = nominated(head.connection);
  let text = `${head.method} ${head.path} HTTP/1.1\r\nHost: ${head.host}\r\n`;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (NOT_TO_THE_DYNO.has(name) || dropped?.has(name.toLowerCase()) === true) continue;
    text += `${name}: ${rawHeaders[i + 1] as string}\r\n`;
  }
  if (forwarded.upgrade) text += `Connection: Upgrade\r\nUpgrade: ${membersOf(head.upgrade).join(', ')}\r\n`;
  else text += 'Connection: keep-alive\r\n';
  if (forwarded.body === 'chunked') text += 'transfer-encoding: chunked\r\n';
  else if (head.contentLength !== null && !forwarded.upgrade)
    text += `content-length: ${head.contentLength}\r\n`;
  return (
    `${text}X-Request-ID: ${head.requestId}\r\nX-Forwarded-For: ${head.fwd.join(', ')}\r\n` +
    `X-Forwarded-Proto: ${forwarded.proto}\r\nX-Forwarded-Port: ${forwarded.port}\r\n` +
    `X-Request-Start: ${forwarded.startedAtMs}\r\nVia: ${via(head.via, forwarded.httpVersion === '2.0' ? '2.0' : '1.1')}\r\n\r\n`
  );
}

/**
 * The dyno's headers for the client. A Server header is not added when the dyno has none: it would tell an app's
 * visitors about the platform and nothing reads it.
 */
export function clientResponseHeaders(rawHeaders: readonly string[], status: number): string[] {
  const flat: string[] = [];
  let dropped: Set<string> | null = null;
  let passed: string | null = null;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (NOT_TO_THE_CLIENT.has(name)) {
      const key = name.toLowerCase();
      if (key === 'connection') dropped ??= nominated(listValue(rawHeaders, key));
      else if (key === 'via') passed ??= listValue(rawHeaders, key);
      continue;
    }
    flat.push(name, rawHeaders[i + 1] as string);
  }
  flat.push('Via', via(passed, '1.1'));
  // A 204 has no Content-Length (RFC 9110 §8.6), and a 1xx neither.
  if (status < 200 || status === 204) (dropped ??= new Set()).add('content-length');
  return dropped === null ? flat : without(flat, dropped);
}

/** Those of an interim answer (1xx), with Via in front: it has no body and often nothing but what the dyno says. */
export function interimHeaders(rawHeaders: readonly string[], status: number): string[] {
  const headers = clientResponseHeaders(rawHeaders, status);
  return [...headers.splice(-2), ...headers];
}

/** The headers of a `101`: here Connection and Upgrade are the message. */
export function switchingProtocolsHeaders(rawHeaders: readonly string[]): string[] {
  const upgrade = membersOf(listValue(rawHeaders, 'upgrade')).join(', ');
  return [...clientResponseHeaders(rawHeaders, 101), 'Connection', 'Upgrade', 'Upgrade', upgrade];
}

/** Trailers that may pass, either way. */
export function endToEndTrailers(rawTrailers: readonly string[]): readonly string[] {
  if (rawTrailers.length === 0) return rawTrailers;
  const flat: string[] = [];
  for (let i = 0; i + 1 < rawTrailers.length; i += 2) {
    const name = rawTrailers[i] as string;
    if (!NOT_IN_TRAILERS.has(name)) flat.push(name, rawTrailers[i + 1] as string);
  }
  return flat;
}

function without(flat: readonly string[], names: ReadonlySet<string>): string[] {
  const left: string[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] as string;
    if (!names.has(name.toLowerCase())) left.push(name, flat[i + 1] as string);
  }
  return left;
}

function via(passed: string | null, received: '1.1' | '2.0'): string {
  const own = `${received} ${PSEUDONYM}`;
  return passed === null ? own : [...membersOf(passed), own].join(', ');
}
