import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { corsHeaders } from './cors.ts';
import type { Answer } from './answer.ts';
import { BucketStore } from './bucket-store.ts';
import { S3Error } from './errors.ts';
import { parseRequest, type S3Request } from './request.ts';
import { answer, HEALTH_PATH, HEALTHY } from './routes.ts';
import { verify, type Account } from './signature.ts';
import { errorXml } from './xml.ts';

/** `node server.ts <settings.json>`: one bucket, over HTTP, out of the folder. */
interface Settings extends Account {
  bucketName: string;
  folder: string;
  port: number;
}

/** A whole upload of 5 GB on a slow machine. */
const REQUEST_TIMEOUT_MS = 60 * 60_000;
/** Longer than clients keep idle connections, so that none of them meets one that is being closed. */
const KEEP_ALIVE_MS = 65_000;
const STOP_TIMEOUT_MS = 8_000;

const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Settings;

async function main(): Promise<void> {
  const store = await BucketStore.open(settings.folder);
  const server = createServer((message, response) => {
    handle(store, message, response).catch((error: unknown) => {
      // The client has gone, or the disk can't be read: headers are sent, so that all it can see is a cut.
      if (!message.destroyed) log('a request failed on its way', error);
      response.destroy();
    });
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.headersTimeout = KEEP_ALIVE_MS + 1_000;
  const stop = (): void => {
    server.close(() => {
      store.close();
      process.exit(0);
    });
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), STOP_TIMEOUT_MS).unref();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  server.listen(settings.port, () => log('serving the bucket'));
}

async function handle(store: BucketStore, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = randomBytes(8).toString('hex').toUpperCase();
  let request: S3Request | undefined;
  let result: Answer;
  try {
    request = parseRequest(message, settings.bucketName);
    result = await respond(request, store);
  } catch (error) {
    result = refusal(error, request, requestId);
  }
  const { body } = result;
  const text = typeof body === 'string' ? body : undefined;
  const headers: Record<string, string> = {
    'x-amz-request-id': requestId,
    server: 'dynodock',
    ...(request === undefined ? {} : corsHeaders(request, store)),
    ...result.headers,
    ...(text === undefined ? {} : { 'content-length': String(Buffer.byteLength(text)) }),
    // What the client still sends is not read.
    ...(message.complete ? {} : { connection: 'close' }),
  };
  if (
    body === undefined &&
    headers['content-length'] === undefined &&
    result.status !== 204 &&
    result.status !== 304
  ) {
    headers['content-length'] = '0';
  }
  if (typeof body !== 'object') {
    response.writeHead(result.status, headers).end(message.method === 'HEAD' ? undefined : text);
    return;
  }
  // Before anything else may happen to the object.
  store.blobs.hold(body.blobs);
  try {
    response.writeHead(result.status, headers);
    await store.blobs.send(body.blobs, body.range, response);
  } finally {
    await store.blobs.release(body.blobs);
  }
}

async function respond(request: S3Request, store: BucketStore): Promise<Answer> {
  if (request.method === 'GET' && request.path === HEALTH_PATH) {
    store.setting('health');
    return HEALTHY;
  }
  const now = new Date();
  const signed = request.method === 'OPTIONS' ? undefined : verify(request, settings, now);
  const { bucketName, region } = settings;
  return answer({ request, signed, store, bucketName, region, now });
}

function refusal(error: unknown, request: S3Request | undefined, requestId: string): Answer {
  const known = error instanceof S3Error ? error : broken(error);
  const content = {
    Code: known.code,
    Message: known.message,
    ...known.facts,
    ...(request === undefined ? {} : { Resource: request.path }),
    RequestId: requestId,
  };
  return { status: known.status, headers: { 'content-type': 'application/xml' }, body: errorXml(content) };
}

function broken(error: unknown): S3Error {
  log('a request could not be answered', error);
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const isFull =
    code === 'ENOSPC' || (error instanceof Error && /database or disk is full/.test(error.message));
  return isFull
    ? new S3Error('InternalError', 'No space is left on the disk.')
    : new S3Error('InternalError');
}

function log(message: string, error?: unknown): void {
  const reason = error instanceof Error ? (error.stack ?? error.message) : undefined;
  process.stdout.write(`${JSON.stringify({ message, ...(reason === undefined ? {} : { reason }) })}\n`);
}

main().catch((error: unknown) => {
  log('the bucket can not be served', error);
  process.exit(1);
});
