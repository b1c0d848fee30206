import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { S3Error } from './errors.ts';
import { uriEncode, type S3Request } from './request.ts';

/**
 * AWS Signature Version 4 (Amazon S3 API Reference, "Authenticating Requests"), by header and by query; Version 2 is
 * refused, as in all regions that are younger than 2014.
 */
export interface Account {
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
}

/** How a request was signed; what its body's chunks are signed with follows from it. */
export interface Signed {
  /** 64 hexadecimal digits, `UNSIGNED-PAYLOAD` or one of `STREAMING-…`. */
  payload: string;
  signature: string;
  /** `20260101T000000Z` */
  time: string;
  /** `20260101/us-east-1/s3/aws4_request` */
  scope: string;
  key: Buffer;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAX_SKEW_MS = 15 * 60_000;
const MAX_EXPIRY_SECONDS = 7 * 24 * 3600;
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
export const EMPTY_HASH = sha256('');

/** undefined: nobody in particular asks. Throws an S3Error for a signature that does not hold. */
export function verify(request: S3Request, account: Account, now: Date): Signed | undefined {
  const { headers, query } = request;
  const isByQuery = query.has('X-Amz-Algorithm') || query.has('X-Amz-Signature');
  const authorization = headers['authorization'];
  if (query.has('AWSAccessKeyId') || authorization?.startsWith('AWS ') === true) {
    throw new S3Error(
      'InvalidRequest',
      `The authorization mechanism that you have provided is not supported. Please use ${ALGORITHM}.`,
    );
  }
  if (isByQuery && authorization !== undefined) {
    throw new S3Error('InvalidArgument', 'Only one auth mechanism allowed.');
  }
  if (isByQuery) return verifyQuery(request, account, now);
  return authorization === undefined ? undefined : verifyHeader(request, authorization, account, now);
}

function verifyHeader(request: S3Request, authorization: string, account: Account, now: Date): Signed {
  const match = /^AWS4-HMAC-SHA256 +(.+)$/.exec(authorization);
  const fields = new Map(
    (match?.[1] ?? '').split(',').map((field) => {
      const at = field.indexOf('=');
      return [field.slice(0, at).trim(), field.slice(at + 1).trim()] as const;
    }),
  );
  const credential = fields.get('Credential');
  const signedHeaders = fields.get('SignedHeaders');
  const signature = fields.get('Signature');
  if (credential === undefined || signedHeaders === undefined || signature === undefined) {
    throw new S3Error('AuthorizationHeaderMalformed');
  }
  const scope = readCredential(credential, account, 'AuthorizationHeaderMalformed');
  const payload = request.headers['x-amz-content-sha256'];
  if (payload === undefined) {
    throw new S3Error('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256');
  }
  const { 'x-amz-date': amzDate, date } = request.headers;
  const time = amzDate ?? (date === undefined ? '' : compactTime(new Date(date)));
  const at = readTime(time);
  if (at === undefined) {
    throw new S3Error('AccessDenied', 'AWS authentication requires a valid Date or x-amz-date header');
  }
  if (Math.abs(at.getTime() - now.getTime()) > MAX_SKEW_MS) throw new S3Error('RequestTimeTooSkewed');
  const names = signedHeaders.split(';');
  // Nobody on the way may add one.
  const unsigned = Object.keys(request.headers).filter(
    (name) => (name === 'host' || name.startsWith('x-amz-')) && !names.includes(name),
  );
  if (unsigned.length > 0) {
    throw new S3Error('AccessDenied', 'There were headers present in the request which were not signed', {
      HeadersNotSigned: unsigned.join(', '),
    });
  }
  return compare(request, { account, scope, time, names, payload, signature });
}

function verifyQuery(request: S3Request, account: Account, now: Date): Signed {
  const { query } = request;
  const field = (name: string): string => {
    const value = query.get(`X-Amz-${name}`);
    if (value === undefined) {
      throw new S3Error(
        'AuthorizationQueryParametersError',
        `Query-string authentication version 4 requires the X-Amz-${name} parameter.`,
      );
    }
    return value;
  };
  if (field('Algorithm') !== ALGORITHM) {
    throw new S3Error('AuthorizationQueryParametersError', `X-Amz-Algorithm only supports "${ALGORITHM}"`);
  }
  const scope = readCredential(field('Credential'), account, 'AuthorizationQueryParametersError');
  const time = field('Date');
  const at = readTime(time);
  const expires = Number(field('Expires'));
  if (at === undefined || !Number.isInteger(expires) || expires < 1 || expires > MAX_EXPIRY_SECONDS) {
    throw new S3Error(
      'AuthorizationQueryParametersError',
      'X-Amz-Date has to be a time, and X-Amz-Expires less than a week (in seconds).',
    );
  }
  if (at.getTime() - MAX_SKEW_MS > now.getTime()) {
    throw new S3Error('AccessDenied', 'Request is not valid yet');
  }
  if (at.getTime() + expires * 1000 < now.getTime()) throw new S3Error('AccessDenied', 'Request has expired');
  const names = field('SignedHeaders').split(';');
  if (!names.includes('host')) throw new S3Error('AccessDenied', 'The header host is not signed');
  const payload =
    query.get('X-Amz-Content-Sha256') ?? request.headers['x-amz-content-sha256'] ?? UNSIGNED_PAYLOAD;
  return compare(request, { account, scope, time, names, payload, signature: field('Signature') });
}

interface Claim {
  account: Account;
  scope: string;
  time: string;
  names: readonly string[];
  payload: string;
  signature: string;
}

function compare(request: S3Request, claim: Claim): Signed {
  const { account, scope, time, names, payload, signature } = claim;
  // The day of the key is that of the request.
  if (!time.startsWith(scope.slice(0, 8))) throw new S3Error('SignatureDoesNotMatch');
  const canonical = canonicalRequest(request, names, payload);
  const text = [ALGORITHM, time, scope, sha256(canonical)].join('\n');
  const key = signingKey(account, scope);
  if (!isSame(signature, hmac(key, text).toString('hex'))) throw new S3Error('SignatureDoesNotMatch');
  return { payload, signature, time, scope, key };
}

/** "Create a canonical request". The path is encoded once, and dots in it mean nothing, unlike for other services. */
function canonicalRequest(request: S3Request, names: readonly string[], payload: string): string {
  const query = [...request.query]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${uriEncode(name)}=${uriEncode(value)}`)
    .sort();
  const headers = names.map(
    (name) => `${name}:${(request.headers[name] ?? '').trim().replace(/ +/g, ' ')}\n`,
  );
  return [
    request.method,
    request.path.split('/').map(uriEncode).join('/'),
    query.join('&'),
    headers.join(''),
    names.join(';'),
    payload,
  ].join('\n');
}

/** `<access key>/20260101/us-east-1/s3/aws4_request` → what follows the key. */
function readCredential(
  credential: string,
  account: Account,
  problem: 'AuthorizationHeaderMalformed' | 'AuthorizationQueryParametersError',
): string {
  const parts = credential.split('/');
  const [day = '', region, service, end] = parts.slice(-4);
  const accessKeyId = parts.slice(0, -4).join('/');
  if (parts.length < 5 || !/^\d{8}$/.test(day) || service !== 's3' || end !== 'aws4_request') {
    throw new S3Error(
      problem,
      `the Credential is malformed; expecting "<key>/<date>/<region>/s3/aws4_request".`,
    );
  }
  if (accessKeyId !== account.accessKeyId) {
    throw new S3Error('InvalidAccessKeyId', undefined, { AWSAccessKeyId: accessKeyId });
  }
  if (region !== account.region) {
    throw new S3Error(problem, `the region '${region ?? ''}' is wrong; expecting '${account.region}'`, {
      Region: account.region,
    });
  }
  return parts.slice(-4).join('/');
}

function signingKey({ secretAccessKey }: Account, scope: string): Buffer {
  return scope
    .split('/')
    .reduce<Buffer>((key, part) => hmac(key, part), Buffer.from(`AWS4${secretAccessKey}`));
}

/** `20260101T000000Z` */
function readTime(text: string): Date | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', hour = '', minute = '', second = ''] = match;
  const date = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function compactTime(date: Date): string {
  return Number.isNaN(date.getTime()) ? '' : date.toISOString().replace(/[-:]|\.\d+/g, '');
}

export function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

export function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** Takes as long for any two texts of the same length. */
export function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
