import { EngineError, type EngineErrorKind } from './engine';

const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EACCES',
  'EPIPE',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
]);

/**
 * What a failed Docker call means. `error` is what dockerode, the HTTP client or a socket threw; an answer of the
 * engine carries `statusCode` and has the engine's message in its own. It is kept as `cause`.
 */
export function toEngineError(doing: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const message = property(error, 'message');
  const detail = (typeof message === 'string' ? message : String(error)).trim();
  return new EngineError(kindOf(error, detail), `cannot ${doing}: ${detail}`, { cause: error });
}

/** The answer's HTTP status, if `error` is one. 304 ("already so") is thrown by dockerode as well. */
export function statusOf(error: unknown): number | undefined {
  const status = property(error, 'statusCode');
  return typeof status === 'number' ? status : undefined;
}

function kindOf(error: unknown, detail: string): EngineErrorKind {
  if (/no space left on device|ENOSPC/i.test(detail)) return 'no_space';
  // Of Docker itself, and of the kernel by way of its proxy.
  if (/port is already allocated|bind: address already in use/i.test(detail)) return 'port_taken';
  const status = statusOf(error);
  // 403: "network has active endpoints"; Podman answers 500 to several of what Docker calls a conflict.
  if (
    /is not running|is paused|container .* is stopped|stopped container/i.test(detail) &&
    (status === 409 || status === 500)
  )
    return 'not_running';
  if (status === 404) return 'not_found';
  if (status === 409) return 'conflict';
  if (status !== undefined && /active endpoints|name .*already in use|volume is in use/i.test(detail))
    return 'conflict';
  if (status !== undefined) return 'other';
  const code = property(error, 'code');
  if (typeof code === 'string' && SOCKET_CODES.has(code)) return 'unreachable';
  if (/socket hang up|premature close|^aborted$/i.test(detail)) return 'unreachable';
  return 'other';
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
