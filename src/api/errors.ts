import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import { PlatformError } from '../domain/errors';
import type { Logger } from '../lib/logger';

/** Heroku's form of an error (Platform API Reference, "Error Responses"). The CLI prints `message` and `id`. */
export interface ErrorBody {
  id: string;
  message: string;
  resource?: string;
}

export interface ErrorAnswer {
  status: number;
  body: ErrorBody;
}

/** The one place that turns what was thrown into what a client sees. */
export function errorAnswer(error: unknown, requestId: string): ErrorAnswer & { bug: boolean } {
  if (error instanceof PlatformError) {
    const body: ErrorBody = { id: error.id, message: error.message };
    if (error.resource !== undefined) body.resource = error.resource;
    // internal_server_error is thrown by nobody on purpose; its text is not for clients.
    if (error.status < 500 || error.status === 501 || error.status === 503) {
      return { status: error.status, body, bug: false };
    }
  }
  const malformed = malformedRequest(error);
  if (malformed !== undefined) return { ...malformed, bug: false };
  return {
    status: 500,
    body: {
      id: 'internal_server_error',
      message: `Something went wrong inside dynodock. Its log has the details under request id ${requestId}.`,
    },
    bug: true,
  };
}

export function renderErrors(log: Logger): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (error: unknown, req, res, next) => {
    const requestId = requestIdOf(res);
    const { status, body, bug } = errorAnswer(error, requestId);
    if (bug) {
      log.error('request failed', { requestId, method: req.method, path: req.path, error });
    }
    if (res.headersSent) {
      // Half of another answer is on its way; only cutting the connection tells the client so.
      next(error);
      return;
    }
    res.status(status).json(body);
  };
}

export const unknownEndpoint: RequestHandler = (req) => {
  throw new PlatformError(
    'not_found',
    `There is no endpoint ${req.method} ${req.path}. Check the HTTP verb and the path against the Platform API Reference.`,
  );
};

/** What express and its body parser throw for requests that they can't read (http-errors). */
function malformedRequest(error: unknown): ErrorAnswer | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return undefined;
  const { status } = error;
  const type = 'type' in error ? error.type : undefined;
  if (status < 400 || status > 499) return undefined;
  if (type === 'entity.too.large') {
    return {
      status: 413,
      body: { id: 'payload_too_large', message: 'The request body is larger than 1 MiB.' },
    };
  }
  if (type === 'entity.parse.failed') {
    return { status: 400, body: { id: 'bad_request', message: 'The request body is not valid JSON.' } };
  }
  return { status, body: { id: 'bad_request', message: 'The request is malformed.' } };
}

export function requestIdOf(res: Response): string {
  return String(res.getHeader('Request-Id') ?? '');
}
