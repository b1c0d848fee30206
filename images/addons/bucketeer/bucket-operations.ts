import { empty, OWNER, xmlAnswer, type Answer, type Exchange } from './answer.ts';
import { readText } from './body.ts';
import type { StoredObject } from './bucket-store.ts';
import { S3Error } from './errors.ts';
import { uriEncode } from './request.ts';
import { all, parseXml, textOf, type XmlElements } from './xml.ts';

const MAX_KEYS = 1000;
const MAX_XML_BYTES = 2 * 1024 * 1024;

export function listBuckets({ bucketName, region }: Exchange): Answer {
  return xmlAnswer('ListAllMyBucketsResult', {
    Owner: OWNER,
    Buckets: { Bucket: { Name: bucketName, CreationDate: new Date(0).toISOString(), BucketRegion: region } },
  });
}

/** "ListObjectsV2" */
export function listObjects(exchange: Exchange): Answer {
  const { request, store, bucketName } = exchange;
  const { query } = request;
  const token = query.get('continuation-token');
  const startAfter = query.get('start-after');
  const after = token === undefined ? (startAfter ?? '') : Buffer.from(token, 'base64url').toString('utf8');
  const { prefix, delimiter, limit, encode, encoding } = listOptions(exchange);
  const { objects, commonPrefixes, isTruncated, last } = store.list({ prefix, delimiter, after, limit });
  return xmlAnswer('ListBucketResult', {
    Name: bucketName,
    Prefix: encode(prefix),
    Delimiter: delimiter === '' ? undefined : encode(delimiter),
    MaxKeys: limit,
    EncodingType: encoding,
    KeyCount: objects.length + commonPrefixes.length,
    IsTruncated: isTruncated,
    ContinuationToken: token,
    NextContinuationToken: isTruncated ? Buffer.from(last ?? after).toString('base64url') : undefined,
    StartAfter: startAfter === undefined ? undefined : encode(startAfter),
    Contents: objects.map((object) => contents(object, encode, query.get('fetch-owner') === 'true')),
    CommonPrefixes: commonPrefixes.map((one) => ({ Prefix: encode(one) })),
  });
}

/** "ListObjects", the first version. */
export function listObjectsV1(exchange: Exchange): Answer {
  const { request, store, bucketName } = exchange;
  const marker = request.query.get('marker') ?? '';
  const { prefix, delimiter, limit, encode, encoding } = listOptions(exchange);
  const { objects, commonPrefixes, isTruncated, last } = store.list({
    prefix,
    delimiter,
    after: marker,
    limit,
  });
  return xmlAnswer('ListBucketResult', {
    Name: bucketName,
    Prefix: encode(prefix),
    Marker: encode(marker),
    Delimiter: delimiter === '' ? undefined : encode(delimiter),
    MaxKeys: limit,
    EncodingType: encoding,
    IsTruncated: isTruncated,
    NextMarker: isTruncated ? encode(last ?? marker) : undefined,
    Contents: objects.map((object) => contents(object, encode, true)),
    CommonPrefixes: commonPrefixes.map((one) => ({ Prefix: encode(one) })),
  });
}

interface ListQuery {
  prefix: string;
  delimiter: string;
  limit: number;
  encoding: string | undefined;
  encode: (text: string) => string;
}

function listOptions({ request: { query } }: Exchange): ListQuery {
  const encoding = query.get('encoding-type');
  if (encoding !== undefined && encoding !== 'url') {
    throw new S3Error('InvalidArgument', 'Invalid Encoding Method specified in Request');
  }
  const maxKeys = query.get('max-keys') ?? String(MAX_KEYS);
  if (!/^\d{1,9}$/.test(maxKeys))
    throw new S3Error('InvalidArgument', 'Argument maxKeys must be an integer between 0 and 2147483647');
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    limit: Math.min(Number(maxKeys), MAX_KEYS),
    encoding,
    encode: encoding === undefined ? (text) => text : (text) => text.split('/').map(uriEncode).join('/'),
  };
}

function contents(object: StoredObject, encode: (text: string) => string, withOwner: boolean): XmlElements {
  return {
    Key: encode(object.key),
    LastModified: object.modifiedAt.toISOString(),
    ETag: `"${object.etag}"`,
    Size: object.size,
    StorageClass: object.headers['x-amz-storage-class'] ?? 'STANDARD',
    Owner: withOwner ? OWNER : undefined,
  };
}

export async function deleteObjects({ request, signed, store }: Exchange): Promise<Answer> {
  const xml = parseXml(await readText(request, signed, MAX_XML_BYTES), 'Delete');
  const objects = all(xml, 'Object');
  if (objects.length === 0 || objects.length > MAX_KEYS) throw new S3Error('MalformedXML');
  const keys = objects.map((object) => textOf(object, 'Key') ?? '');
  for (const key of keys) await store.delete(key);
  return xmlAnswer('DeleteResult', {
    Deleted: textOf(xml, 'Quiet') === 'true' ? undefined : keys.map((Key) => ({ Key })),
  });
}

export function headBucket({ region }: Exchange): Answer {
  return empty(200, { 'x-amz-bucket-region': region });
}

/** An empty constraint is us-east-1 (API Reference, "GetBucketLocation"). */
export function getLocation({ region }: Exchange): Answer {
  return {
    ...xmlAnswer('LocationConstraint', {}),
    body: `<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${region === 'us-east-1' ? '' : region}</LocationConstraint>`,
  };
}
