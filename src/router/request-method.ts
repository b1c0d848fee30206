/** Dev Center "HTTP Routing": any method but CONNECT, up to 127 characters. */
const MAX_METHOD = 127;

const SPACE = 0x20;

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Methods that llhttp is given as they are. What it makes of CONNECT's target it makes of no other's. */
const PLAIN = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT']);

/** llhttp knows a fixed list of methods. Any other one it is given as this one, whose messages are framed alike. */
const STAND_IN = Buffer.from('POST');

export interface ReadMethod {
  method: string;
  /** Where in the chunk it ends. */
  end: number;
  /** What the parser is to read in its place; null: as it stands in the chunk. */
  replay: Buffer | null;
}

/** Reads a request's method from `chunk` at `from`; `begun` is what came of it before. */
export function readMethod(begun: string, chunk: Buffer, from: number): ReadMethod | 'partial' | 'invalid' {
  const last = Math.min(chunk.length, from + MAX_METHOD + 1 - begun.length);
  let end = from;
  while (end < last && chunk[end] !== SPACE) {
    const byte = chunk[end] as number;
    if (byte < 0x21 || byte > 0x7e) return 'invalid';
    end += 1;
  }
  if (end === last) return end - from + begun.length > MAX_METHOD ? 'invalid' : 'partial';
  const method = begun + chunk.toString('latin1', from, end);
  if (PLAIN.has(method)) return { method, end, replay: begun === '' ? null : Buffer.from(method) };
  return TOKEN.test(method) ? { method, end, replay: STAND_IN } : 'invalid';
}
