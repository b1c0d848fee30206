import type { ObjectFacts, StoredObject } from './bucket-store.ts';
import { checksumHeader } from './checksums.ts';
import { notImplemented, S3Error } from './errors.ts';
import type { S3Request } from './request.ts';

const KEPT = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
];
const META = 'x-amz-meta-';
/** "Working with object metadata": of all that users define. */
const MAX_META_BYTES = 2048;
const MAX_TAGS = 10;
const DEFAULT_TYPE = 'binary/octet-stream';
/** Of Bucketeer's own: readable by everybody. */
const PUBLIC_PREFIX = 'public/';
/** What would have to be kept secret or unchanged, and would not be: refused rather than passed over. */
const UNSUPPORTED: readonly [header: string, what: string][] = [
  ['x-amz-server-side-encryption-customer-algorithm', 'Encryption with your own keys'],
  ['x-amz-object-lock-mode', 'Object Lock'],
  ['x-amz-object-lock-legal-hold', 'Object Lock'],
  ['x-amz-write-offset-bytes', 'Appending to an object'],
];

export function factsOf({ headers }: S3Request): ObjectFacts {
  for (const [header, what] of UNSUPPORTED) if (headers[header] !== undefined) throw notImplemented(what);
  const kept: Record<string, string> = {};
  let metaBytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    if (name.startsWith(META)) metaBytes += Buffer.byteLength(name) - META.length + Buffer.byteLength(value);
    if (KEPT.includes(name) || name.startsWith(META)) kept[name] = value;
  }
  if (metaBytes > MAX_META_BYTES) throw new S3Error('MetadataTooLarge');
  kept['content-type'] ??= DEFAULT_TYPE;
  const encoding = (kept['content-encoding'] ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '' && one !== 'aws-chunked');
  // Says how the body travelled, not what it is.
  if (encoding.length > 0) kept['content-encoding'] = encoding.join(',');
  else delete kept['content-encoding'];
  return {
    headers: kept,
    isPublic: isPublicAcl(headers['x-amz-acl']),
    tags: parseTags(headers['x-amz-tagging']),
  };
}

/** Canned ACLs; who else is named in one has no account here. */
export function isPublicAcl(acl: string | undefined): boolean {
  switch (acl) {
    case undefined:
    case 'private':
    case 'bucket-owner-full-control':
    case 'bucket-owner-read':
    case 'authenticated-read':
      return false;
    case 'public-read':
      return true;
    default:
      throw notImplemented(`The ACL ${acl}`);
  }
}

export function mayBeReadByAnybody(object: Pick<StoredObject, 'key' | 'isPublic'>): boolean {
  return object.isPublic || object.key.startsWith(PUBLIC_PREFIX);
}

/** `a=1&b=2` */
function parseTags(header: string | undefined): Record<string, string> {
  if (header === undefined || header === '') return {};
  const tags = [...new URLSearchParams(header)];
  assertTags(tags);
  return Object.fromEntries(tags);
}

export function assertTags(tags: readonly (readonly [string, string])[]): void {
  const names = new Set(tags.map(([name]) => name));
  const fits = tags.every(([name, value]) => name !== '' && name.length <= 128 && value.length <= 256);
  if (tags.length > MAX_TAGS || names.size !== tags.length || !fits) throw new S3Error('InvalidTag');
}

/** Headers of an answer about an object. */
export function describe(object: StoredObject, request: S3Request): Record<string, string> {
  const tags = Object.keys(object.tags).length;
  return {
    ...object.headers,
    etag: `"${object.etag}"`,
    'last-modified': object.modifiedAt.toUTCString(),
    'accept-ranges': 'bytes',
    ...(tags === 0 ? {} : { 'x-amz-tagging-count': String(tags) }),
    // Of the whole, which who asks for a range does not get.
    ...(request.headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED' &&
    request.headers['range'] === undefined &&
    object.checksum !== undefined
      ? Object.fromEntries([checksumHeader(object.checksum), ['x-amz-checksum-type', 'FULL_OBJECT']])
      : {}),
  };
}
