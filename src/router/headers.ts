/**
 * Which headers pass the router, and which it adds (Dev Center "HTTP Routing", "Heroku headers"). Works on Node's
 * raw headers (name, value, name, value, …), so that case, order and repetition stay as they were sent.
 */

/** Of one connection only (RFC 9110 §7.6.1; the Proxy-* ones by RFC 2616 §13.5.1). */
const HOP_BY_HOP = new Set([
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
]);

/** A Connection header cannot talk the router out of these: routing and framing depend on them. */
const NEVER_DROPPED = new Set(['host', 'content-length', 'content-type', 'date']);

const VIA = '1.1 heroku-router';

export type HeaderPairs = readonly [name: string, value: string][];

export interface ForwardedFor {
  /** Everything of X-Forwarded-For, the client last. */
  fwd: readonly string[];
  proto: 'http' | 'https';
  port: number;
  requestId: string;
  startedAtMs: number;
  /** Sent as Host. */
  host: string;
  /** Also of the client's Upgrade request: passed on for the dyno to take up. */
  upgrade: string | null;
}

export function pairsOf(rawHeaders: readonly string[]): HeaderPairs {
  const pairs: [string, string][] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    pairs.push([rawHeaders[i] as string, rawHeaders[i + 1] as string]);
  }
  return pairs;
}

/** All values of one header, in order. `name` in lower case. */
export function valuesOf(headers: HeaderPairs, name: string): string[] {
  return headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
}

/** The members of a comma-separated header, trimmed, empty ones left out. */
export function listOf(headers: HeaderPairs, name: string): string[] {
  return valuesOf(headers, name)
    .flatMap((value) => value.split(','))
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

/** Whether a body follows this head (RFC 9112 §6). */
export function announcesBody(headers: HeaderPairs): boolean {
  return (
    valuesOf(headers, 'transfer-encoding').length > 0 ||
    valuesOf(headers, 'content-length').some((length) => Number(length) !== 0)
  );
}

function endToEnd(headers: HeaderPairs): HeaderPairs {
  const named = new Set(listOf(headers, 'connection').map((name) => name.toLowerCase()));
  return headers.filter(([name]) => {
    const key = name.toLowerCase();
    return !HOP_BY_HOP.has(key) && (NEVER_DROPPED.has(key) || !named.has(key));
  });
}

/**
 * The head for the dyno as Node's client takes it: original names, several values as an array. The framing is said
 * anew, in the lower case in which http-proxy looks for it.
 */
export function dynoRequestHeaders(
  headers: HeaderPairs,
  forwarded: ForwardedFor,
): Record<string, string | string[]> {
  const replaced = new Set([
    'host',
    'content-length',
    // The router has already said "100 Continue" itself.
    'expect',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-port',
    'x-request-start',
    'x-request-id',
    'via',
  ]);
  const result = new Map<string, { name: string; values: string[] }>();
  for (const [name, value] of endToEnd(headers)) {
    const key = name.toLowerCase();
    if (replaced.has(key)) continue;
    const known = result.get(key);
    if (known) known.values.push(value);
    else result.set(key, { name, values: [value] });
  }
  // A null prototype, for a client may well send a header named `__proto__`.
  const out = Object.create(null) as Record<string, string | string[]>;
  out.Host = forwarded.host;
  for (const { name, values } of result.values()) {
    out[name] = values.length === 1 ? (values[0] as string) : values;
  }
  if (forwarded.upgrade === null) {
    // Without it Node's client would say so itself, but http-proxy copies whatever it finds.
    out.Connection = 'keep-alive';
    if (valuesOf(headers, 'transfer-encoding').length > 0) out['transfer-encoding'] = 'chunked';
    else {
      const [length] = valuesOf(headers, 'content-length');
      if (length !== undefined) out['content-length'] = length;
    }
  } else {
    out.Connection = 'Upgrade';
    out.Upgrade = forwarded.upgrade;
  }
  out['X-Request-ID'] = forwarded.requestId;
  out['X-Forwarded-For'] = forwarded.fwd.join(', ');
  out['X-Forwarded-Proto'] = forwarded.proto;
  out['X-Forwarded-Port'] = String(forwarded.port);
  out['X-Request-Start'] = String(forwarded.startedAtMs);
  out.Via = [...listOf(headers, 'via'), VIA].join(', ');
  return out;
}

/**
 * The dyno's head for the client, flat. A Server header is not added when the dyno has none: it would tell an app's
 * visitors about the platform and nothing reads it.
 */
export function clientResponseHeaders(headers: HeaderPairs, status: number): string[] {
  const flat: string[] = [];
  for (const [name, value] of endToEnd(headers)) {
    const key = name.toLowerCase();
    if (key === 'via') continue;
    // A 204 has no Content-Length (RFC 9110 §8.6).
    if (key === 'content-length' && status === 204) continue;
    flat.push(name, value);
  }
  flat.push('Via', [...listOf(headers, 'via'), VIA].join(', '));
  return flat;
}

/** The head of a `101`: here Connection and Upgrade are the message. */
export function switchingProtocolsHead(statusMessage: string | undefined, headers: HeaderPairs): string {
  const lines = [`HTTP/1.1 101 ${statusMessage ?? 'Switching Protocols'}`];
  for (const [name, value] of endToEnd(headers)) {
    // A 101 has no body, hence no framing (RFC 9110 §8.6).
    if (name.toLowerCase() !== 'content-length' && name.toLowerCase() !== 'via')
      lines.push(`${name}: ${value}`);
  }
  lines.push('Connection: Upgrade', `Upgrade: ${listOf(headers, 'upgrade').join(', ')}`);
  lines.push(`Via: ${[...listOf(headers, 'via'), VIA].join(', ')}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}
