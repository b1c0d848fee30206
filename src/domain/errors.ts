/** Heroku's error ids and the HTTP status of each (Dev Center, "Platform API Reference", "Error Responses"). */
const STATUS_OF = {
  bad_request: 400,
  unauthorized: 401,
  delinquent: 402,
  forbidden: 403,
  suspended: 403,
  not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  gone: 410,
  precondition_failed: 412,
  payload_too_large: 413,
  requested_range_not_satisfiable: 416,
  invalid_params: 422,
  verification_required: 422,
  confirmation_required: 423,
  rate_limit: 429,
  internal_server_error: 500,
  not_supported: 501,
  service_unavailable: 503,
} as const;

export type ErrorId = keyof typeof STATUS_OF;

/** The one error that may reach a client. `resource` is Heroku's name of what it is about, e.g. `app`. */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
  readonly status: number;

  constructor(
    readonly id: ErrorId,
    message: string,
    readonly resource?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.status = STATUS_OF[id];
  }
}

/** `Couldn't find that app.` */
export function notFound(resource: string): PlatformError {
  return new PlatformError('not_found', `Couldn't find that ${resource}.`, resource);
}
export function invalidParams(message: string): PlatformError {
  return new PlatformError('invalid_params', message);
}
export function conflict(message: string): PlatformError {
  return new PlatformError('conflict', message);
}
export function forbidden(message: string): PlatformError {
  return new PlatformError('forbidden', message);
}
/** For what dynodock does not do (yet): a clear answer instead of a pretended success. */
export function notSupported(message: string): PlatformError {
  return new PlatformError('not_supported', message);
}
