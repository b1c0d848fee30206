import { empty, OWNER, xmlAnswer, type Answer, type ObjectExchange } from './answer.ts';
import { readBody, readText, type Received } from './body.ts';
import type { StoredObject } from './bucket-store.ts';
import { checksumElement, checksumHeader } from './checksums.ts';
import { checkRead, checkWrite, parseRange } from './conditions.ts';
import { S3Error } from './errors.ts';
import { assertTags, describe, factsOf, isPublicAcl, mayBeReadByAnybody } from './object-facts.ts';
import { split, type S3Request } from './request.ts';
import { all, parseXml, textOf } from './xml.ts';

const MAX_XML_BYTES = 64 * 1024;
/** "GetObject": what a signed request may have in place of the object's own headers. */
const OVERRIDES = [
  'content-type',
  'content-language',
  'expires',
  'cache-control',
  'content-disposition',
  'content-encoding',
];

export function requireObject({ store, key, signed }: ObjectExchange): StoredObject {
  const object = store.get(key);
  // Who may not list is not told what there is not.
  if (signed === undefined && (object === undefined || !mayBeReadByAnybody(object)))
    throw new S3Error('AccessDenied');
  if (object === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key });
  return object;
}

export async function putObject(exchange: ObjectExchange): Promise<Answer> {
  const { request, signed, store, key, now } = exchange;
  const facts = factsOf(request);
  // Before megabytes are sent for nothing; what counts is decided when it is written.
  checkWrite(request.headers, store.get(key));
  let received: Received | undefined;
  const blob = await store.blobs.write(readBody(request, signed, (found) => (received = found)));
  if (received === undefined) throw new Error('a body ended without its sums');
  const { size, md5, checksum } = received;
  const object: StoredObject = { ...facts, key, size, etag: md5, modifiedAt: now, checksum, blobs: [blob] };
  try {
    await store.put(object, (before) => checkWrite(request.headers, before));
  } catch (error) {
    await store.blobs.discard([blob]);
    throw error;
  }
  return empty(200, {
    etag: `"${md5}"`,
    ...(checksum === undefined ? {} : Object.fromEntries([checksumHeader(checksum)])),
  });
}

export function getObject(exchange: ObjectExchange): Answer {
  const { request, signed } = exchange;
  const object = requireObject(exchange);
  const headers: Record<string, string> = describe(object, request);
  if (checkRead(request.headers, object) === 'not-modified') return empty(304, headers);
  for (const name of OVERRIDES) {
    const value = request.query.get(`response-${name}`);
    if (value === undefined) continue;
    if (signed === undefined) {
      throw new S3Error(
        'InvalidRequest',
        'Request specific response headers cannot be used for anonymous GET requests.',
      );
    }
    if (/[\r\n]/.test(value)) throw new S3Error('InvalidArgument');
    headers[name] = value;
  }
  const range = parseRange(request.headers['range'], object.size);
  if (range !== undefined) headers['content-range'] = `bytes ${range.from}-${range.to}/${object.size}`;
  const sent = range ?? { from: 0, to: object.size - 1 };
  headers['content-length'] = String(sent.to - sent.from + 1);
  return {
    status: range === undefined ? 200 : 206,
    headers,
    ...(request.method === 'HEAD' ? {} : { body: { blobs: object.blobs, range: sent } }),
  };
}

export async function deleteObject({ request, store, key }: ObjectExchange): Promise<Answer> {
  if (request.headers['if-match'] !== undefined) checkWrite(request.headers, store.get(key));
  await store.delete(key);
  return empty(204);
}

/** `x-amz-copy-source: /bucket/key`, encoded. */
export function copySource({ request, store, bucketName }: ObjectExchange): StoredObject {
  const [path] = split(request.headers['x-amz-copy-source'] ?? '', '?');
  let decoded: string;
  try {
    decoded = decodeURIComponent(path.replaceAll('+', ' ')).replace(/^\//, '');
  } catch {
    throw new S3Error('InvalidArgument', 'Copy Source must be encoded.');
  }
  const [bucket, key] = split(decoded, '/');
  if (bucket !== bucketName) throw new S3Error('AccessDenied');
  const source = store.get(key);
  if (source === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key });
  if (checkRead(request.headers, source, 'x-amz-copy-source-') === 'not-modified')
    throw new S3Error('PreconditionFailed');
  return source;
}

export async function copyObject(exchange: ObjectExchange): Promise<Answer> {
  const { request, store, key, now } = exchange;
  const source = copySource(exchange);
  const isReplaced = request.headers['x-amz-metadata-directive'] === 'REPLACE';
  if (source.key === key && !isReplaced) {
    throw new S3Error(
      'InvalidRequest',
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.",
    );
  }
  const own = factsOf(request);
  const { headers } = isReplaced ? own : source;
  const tags = request.headers['x-amz-tagging-directive'] === 'REPLACE' ? own.tags : source.tags;
  const object: StoredObject = {
    ...source,
    ...{ key, headers, tags, isPublic: own.isPublic, modifiedAt: now },
    blobs: await copyBlobs(exchange, source),
  };
  try {
    await store.put(object, (before) => checkWrite(request.headers, before));
  } catch (error) {
    await store.blobs.discard(object.blobs);
    throw error;
  }
  return xmlAnswer('CopyObjectResult', {
    LastModified: now.toISOString(),
    ETag: `"${object.etag}"`,
    ...(object.checksum === undefined ? {} : { [checksumElement(object.checksum)]: object.checksum.value }),
  });
}

async function copyBlobs({ store }: ObjectExchange, source: StoredObject): Promise<StoredObject['blobs']> {
  store.blobs.hold(source.blobs);
  try {
    const copies = [];
    for (const blob of source.blobs) copies.push(await store.blobs.copy(blob));
    return copies;
  } finally {
    await store.blobs.release(source.blobs);
  }
}

export function getAcl(exchange: ObjectExchange): Answer {
  return aclXml(mayBeReadByAnybody(requireObject(exchange)));
}

export function aclXml(isPublic: boolean): Answer {
  return xmlAnswer('AccessControlPolicy', {
    Owner: OWNER,
    AccessControlList: {
      Grant: [
        { Grantee: OWNER, Permission: 'FULL_CONTROL' },
        ...(isPublic
          ? [{ Grantee: { URI: 'http://acs.amazonaws.com/groups/global/AllUsers' }, Permission: 'READ' }]
          : []),
      ],
    },
  });
}

export async function putAcl(exchange: ObjectExchange): Promise<Answer> {
  const object = requireObject(exchange);
  const acl = exchange.request.headers['x-amz-acl'];
  if (acl === undefined)
    throw new S3Error('NotImplemented', 'ACLs other than canned ones (x-amz-acl) are not supported.');
  await exchange.store.put({ ...object, isPublic: isPublicAcl(acl) });
  return empty(200);
}

export function getTags(exchange: ObjectExchange): Answer {
  const { tags } = requireObject(exchange);
  return xmlAnswer('Tagging', {
    TagSet: { Tag: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) },
  });
}

export async function putTags(exchange: ObjectExchange): Promise<Answer> {
  const object = requireObject(exchange);
  const xml = parseXml(await readText(exchange.request, exchange.signed, MAX_XML_BYTES), 'Tagging');
  const tags = all(xml, 'TagSet').flatMap((set) =>
    all(set, 'Tag').map((tag) => [textOf(tag, 'Key') ?? '', textOf(tag, 'Value') ?? ''] as const),
  );
  assertTags(tags);
  await exchange.store.put({
    ...requireObject({ ...exchange, key: object.key }),
    tags: Object.fromEntries(tags),
  });
  return empty(200);
}

export async function deleteTags(exchange: ObjectExchange): Promise<Answer> {
  await exchange.store.put({ ...requireObject(exchange), tags: {} });
  return empty(204);
}

/** `GET ?attributes`, whose header says which are wanted. */
export function getAttributes(exchange: ObjectExchange): Answer {
  const object = requireObject(exchange);
  const wanted = wantedAttributes(exchange.request);
  return xmlAnswer(
    'GetObjectAttributesResponse',
    {
      ...(wanted.has('ETag') ? { ETag: object.etag } : {}),
      ...(wanted.has('Checksum') && object.checksum !== undefined
        ? { Checksum: { [checksumElement(object.checksum)]: object.checksum.value } }
        : {}),
      ...(wanted.has('StorageClass')
        ? { StorageClass: object.headers['x-amz-storage-class'] ?? 'STANDARD' }
        : {}),
      ...(wanted.has('ObjectSize') ? { ObjectSize: object.size } : {}),
    },
    { 'last-modified': object.modifiedAt.toUTCString() },
  );
}

function wantedAttributes({ headers }: S3Request): Set<string> {
  return new Set((headers['x-amz-object-attributes'] ?? '').split(',').map((one) => one.trim()));
}
