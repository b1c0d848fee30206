import { AwsClient } from 'aws4fetch';
import type { IncomingMessage } from 'node:http';
import { parseRequest, type S3Request } from '../../../../images/addons/bucketeer/request';
import { verify, type Account } from '../../../../images/addons/bucketeer/signature';

const ACCOUNT: Account = { accessKeyId: 'AKIAX', secretAccessKey: 'secret', region: 'us-east-1' };
const NOW = new Date();
const BUCKET = 'my-bucket';

/** As a client signs it, which shares no code with what checks it. */
async function signed(
  path: string,
  init: RequestInit & { aws?: object } = {},
  account: Partial<Account> = {},
): Promise<IncomingMessage> {
  const client = new AwsClient({ ...ACCOUNT, ...account, service: 's3' });
  const request = await client.sign(`http://127.0.0.1:9000${path}`, init);
  const { pathname, search, host } = new URL(request.url);
  return asMessage({
    method: request.method,
    url: pathname + search,
    headers: { host, ...Object.fromEntries(request.headers) },
  });
}
function asMessage(facts: object): IncomingMessage {
  return facts as unknown as IncomingMessage;
}
function check(message: IncomingMessage, now = NOW): ReturnType<typeof verify> {
  return verify(parseRequest(message, BUCKET), ACCOUNT, now);
}
function code(message: IncomingMessage, now = NOW): string {
  try {
    check(message, now);
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}
function changed(message: IncomingMessage, change: Partial<IncomingMessage>): IncomingMessage {
  return asMessage({ method: message.method, url: message.url, headers: message.headers, ...change });
}

test.each([
  '/my-bucket/a.txt',
  '/my-bucket/a%20b/%C3%BC%2B%281%29!*%27~.txt',
  '/my-bucket/?list-type=2&prefix=a%2Fb%20c&delimiter=%2F',
  '/my-bucket/a//b',
])('a signature of %s holds', async (path) => {
  expect(check(await signed(path))).toMatchObject({ payload: expect.stringMatching(/^[0-9A-Fa-z-]+$/i) });
});

test('a signature of a URL holds until it expires', async () => {
  const message = await signed('/my-bucket/a.txt?X-Amz-Expires=60', { aws: { signQuery: true } });
  expect(check(message)).toMatchObject({ payload: 'UNSIGNED-PAYLOAD' });
  expect(code(message, new Date(NOW.getTime() + 62_000))).toBe('AccessDenied');
  expect(code(changed(message, { url: message.url!.replace('Expires=60', 'Expires=6000') }))).toBe(
    'SignatureDoesNotMatch',
  );
  expect(code(await signed('/my-bucket/a?X-Amz-Expires=604801', { aws: { signQuery: true } }))).toBe(
    'AuthorizationQueryParametersError',
  );
});

test('another secret, key, region, method, path, query or header is noticed', async () => {
  const message = await signed('/my-bucket/a.txt?uploads=', {
    method: 'POST',
    headers: { 'x-amz-acl': 'private' },
  });
  expect(code(message)).toBe('none');
  expect(code(await signed('/my-bucket/a', {}, { secretAccessKey: 'other' }))).toBe('SignatureDoesNotMatch');
  expect(code(await signed('/my-bucket/a', {}, { accessKeyId: 'OTHER' }))).toBe('InvalidAccessKeyId');
  expect(code(await signed('/my-bucket/a', {}, { region: 'eu-west-1' }))).toBe(
    'AuthorizationHeaderMalformed',
  );
  expect(code(changed(message, { method: 'DELETE' }))).toBe('SignatureDoesNotMatch');
  expect(code(changed(message, { url: '/my-bucket/b.txt?uploads=' }))).toBe('SignatureDoesNotMatch');
  expect(code(changed(message, { url: '/my-bucket/a.txt?uploads=&x=1' }))).toBe('SignatureDoesNotMatch');
  const { headers } = message;
  expect(code(changed(message, { headers: { ...headers, 'x-amz-acl': 'public-read' } }))).toBe(
    'SignatureDoesNotMatch',
  );
  // Nobody signed this one.
  expect(code(changed(message, { headers: { ...headers, 'x-amz-tagging': 'a=b' } }))).toBe('AccessDenied');
  expect(code(changed(message, { headers: { ...headers, host: 'evil.example' } }))).toBe(
    'SignatureDoesNotMatch',
  );
});

test('a request of another time is not played again', async () => {
  const message = await signed('/my-bucket/a.txt');
  expect(code(message, new Date(NOW.getTime() + 16 * 60_000))).toBe('RequestTimeTooSkewed');
  expect(code(message, new Date(NOW.getTime() - 16 * 60_000))).toBe('RequestTimeTooSkewed');
});

test('without a signature nobody in particular asks; the old way to sign is refused by name', () => {
  const message = (headers: object, url = '/'): IncomingMessage =>
    asMessage({ method: 'GET', url, headers: { host: 'h', ...headers } });
  expect(check(message({}))).toBeUndefined();
  expect(code(message({ authorization: 'AWS AKIAX:abc=' }))).toBe('InvalidRequest');
  expect(code(message({}, '/?AWSAccessKeyId=AKIAX&Signature=x&Expires=1'))).toBe('InvalidRequest');
  expect(code(message({ authorization: 'Bearer x' }))).toBe('AuthorizationHeaderMalformed');
  expect(
    code(message({ authorization: 'AWS4-HMAC-SHA256 Credential=a,SignedHeaders=host,Signature=x' })),
  ).toBe('AuthorizationHeaderMalformed');
});

test('bucket and key are read out of the path or of the host', () => {
  const parse = (url: string, host = '172.18.0.1:9000'): Partial<S3Request> => {
    const { bucket, key } = parseRequest(asMessage({ method: 'GET', url, headers: { host } }), BUCKET);
    return { bucket, key };
  };
  expect(parse('/')).toEqual({ bucket: undefined, key: undefined });
  expect(parse('/my-bucket')).toEqual({ bucket: BUCKET, key: undefined });
  expect(parse('/my-bucket/a/../b%2Fc')).toEqual({ bucket: BUCKET, key: 'a/../b/c' });
  expect(parse('/a/b', 'my-bucket.host.docker.internal:9000')).toEqual({ bucket: BUCKET, key: 'a/b' });
  expect(parse('/a/b', 'other.host:9000')).toEqual({ bucket: 'a', key: 'b' });
  expect(() => parse('/my-bucket/%ff')).toThrow("Couldn't parse");
  expect(() => parse('/my-bucket/%00')).toThrow("Couldn't parse");
  expect(() => parse(`/my-bucket/${'x'.repeat(1025)}`)).toThrow('too long');
});
