import { createHash } from 'node:crypto';
import { empty, OWNER, xmlAnswer, type Answer, type Exchange, type ObjectExchange } from './answer.ts';
import { readBody, readText, type Received } from './body.ts';
import type { Part, StoredObject, Upload } from './bucket-store.ts';
import { checksumHeader } from './checksums.ts';
import { checkWrite, parseRange } from './conditions.ts';
import { S3Error } from './errors.ts';
import { factsOf } from './object-facts.ts';
import { copySource } from './object-operations.ts';
import { all, parseXml, textOf } from './xml.ts';

/** "Amazon S3 multipart upload limits" */
const MAX_PARTS = 10_000;
const MIN_PART_BYTES = 5 * 1024 * 1024;
const MAX_XML_BYTES = 4 * 1024 * 1024;

export function createUpload({ request, store, bucketName, key, now }: ObjectExchange): Answer {
  const id = store.startUpload(key, factsOf(request), now);
  return xmlAnswer('InitiateMultipartUploadResult', { Bucket: bucketName, Key: key, UploadId: id });
}

export async function uploadPart(exchange: ObjectExchange): Promise<Answer> {
  const { request, signed, store, now } = exchange;
  const upload = requireUpload(exchange);
  const number = partNumber(request.query.get('partNumber'));
  let received: Received | undefined;
  const blob = await store.blobs.write(readBody(request, signed, (facts) => (received = facts)));
  if (received === undefined) throw new Error('a body ended without its sums');
  const { size, md5, checksum } = received;
  if (!(await store.putPart(upload, { number, size, etag: md5, modifiedAt: now, checksum, blob }))) {
    throw new S3Error('NoSuchUpload');
  }
  return empty(200, {
    etag: `"${md5}"`,
    ...(checksum === undefined ? {} : Object.fromEntries([checksumHeader(checksum)])),
  });
}

export async function copyPart(exchange: ObjectExchange): Promise<Answer> {
  const { request, store, now } = exchange;
  const upload = requireUpload(exchange);
  const number = partNumber(request.query.get('partNumber'));
  const source = copySource(exchange);
  const range = parseRange(request.headers['x-amz-copy-source-range'], source.size) ?? {
    from: 0,
    to: source.size - 1,
  };
  const md5 = createHash('md5');
  store.blobs.hold(source.blobs);
  try {
    const bytes = store.blobs.read(source.blobs, range.from, range.to);
    const blob = await store.blobs.write(
      (async function* () {
        for await (const chunk of bytes) {
          md5.update(chunk);
          yield chunk;
        }
      })(),
    );
    const etag = md5.digest('hex');
    const part: Part = { number, size: blob.size, etag, modifiedAt: now, checksum: undefined, blob };
    if (!(await store.putPart(upload, part))) throw new S3Error('NoSuchUpload');
    return xmlAnswer('CopyPartResult', { LastModified: now.toISOString(), ETag: `"${etag}"` });
  } finally {
    await store.blobs.release(source.blobs);
  }
}

export async function completeUpload(exchange: ObjectExchange): Promise<Answer> {
  const { request, signed, store, bucketName, key, now } = exchange;
  const upload = requireUpload(exchange);
  const xml = parseXml(await readText(request, signed, MAX_XML_BYTES), 'CompleteMultipartUpload');
  const present = new Map(store.parts(upload.id).map((part) => [part.number, part]));
  const parts: Part[] = [];
  for (const element of all(xml, 'Part')) {
    const part = present.get(partNumber(textOf(element, 'PartNumber')));
    const etag = textOf(element, 'ETag')?.trim().replaceAll('"', '');
    if (part?.etag !== etag) throw new S3Error('InvalidPart');
    if (part === undefined) throw new S3Error('InvalidPart');
    if (part.number <= (parts.at(-1)?.number ?? 0)) throw new S3Error('InvalidPartOrder');
    parts.push(part);
  }
  if (parts.length === 0) throw new S3Error('MalformedXML');
  if (parts.slice(0, -1).some(({ size }) => size < MIN_PART_BYTES)) throw new S3Error('EntityTooSmall');
  const digests = Buffer.concat(parts.map(({ etag }) => Buffer.from(etag, 'hex')));
  const object: StoredObject = {
    key,
    headers: upload.headers,
    isPublic: upload.isPublic,
    tags: upload.tags,
    size: parts.reduce((sum, { size }) => sum + size, 0),
    etag: `${createHash('md5').update(digests).digest('hex')}-${parts.length}`,
    modifiedAt: now,
    checksum: undefined,
    blobs: parts.map(({ blob }) => blob),
  };
  const mayReplace = (before: StoredObject | undefined): void => checkWrite(request.headers, before);
  if (!(await store.completeUpload(upload, object, mayReplace))) throw new S3Error('NoSuchUpload');
  return xmlAnswer('CompleteMultipartUploadResult', {
    Location: `http://${request.headers['host'] ?? ''}/${bucketName}/${encodeURI(key)}`,
    Bucket: bucketName,
    Key: key,
    ETag: `"${object.etag}"`,
  });
}

export async function abortUpload(exchange: ObjectExchange): Promise<Answer> {
  await exchange.store.abortUpload(requireUpload(exchange));
  return empty(204);
}

export function listParts(exchange: ObjectExchange): Answer {
  const { request, store, bucketName, key } = exchange;
  const upload = requireUpload(exchange);
  const after = Number(request.query.get('part-number-marker') ?? 0);
  const limit = Math.min(Number(request.query.get('max-parts') ?? 1000), 1000);
  const rest = store.parts(upload.id).filter(({ number }) => number > after);
  const parts = rest.slice(0, limit);
  return xmlAnswer('ListPartsResult', {
    Bucket: bucketName,
    Key: key,
    UploadId: upload.id,
    PartNumberMarker: after,
    NextPartNumberMarker: parts.at(-1)?.number ?? 0,
    MaxParts: limit,
    IsTruncated: rest.length > parts.length,
    Part: parts.map(({ number, size, etag, modifiedAt }) => ({
      PartNumber: number,
      LastModified: modifiedAt.toISOString(),
      ETag: `"${etag}"`,
      Size: size,
    })),
    Initiator: OWNER,
    Owner: OWNER,
    StorageClass: 'STANDARD',
  });
}

/** All of them: a thousand unfinished ones are no case for pages. */
export function listUploads({ request, store, bucketName }: Exchange): Answer {
  const prefix = request.query.get('prefix') ?? '';
  const uploads = store.uploads(prefix);
  return xmlAnswer('ListMultipartUploadsResult', {
    Bucket: bucketName,
    KeyMarker: '',
    UploadIdMarker: '',
    Prefix: prefix,
    MaxUploads: Math.max(uploads.length, 1000),
    IsTruncated: false,
    Upload: uploads.map(({ id, key, startedAt }) => ({
      Key: key,
      UploadId: id,
      Initiator: OWNER,
      Owner: OWNER,
      StorageClass: 'STANDARD',
      Initiated: startedAt.toISOString(),
    })),
  });
}

function requireUpload({ request, store, key }: ObjectExchange): Upload {
  const upload = store.findUpload(request.query.get('uploadId') ?? '', key);
  if (upload === undefined) throw new S3Error('NoSuchUpload');
  return upload;
}

function partNumber(text: string | undefined): number {
  const number = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  if (number < 1 || number > MAX_PARTS) {
    throw new S3Error(
      'InvalidArgument',
      `Part number must be an integer between 1 and ${MAX_PARTS}, inclusive`,
    );
  }
  return number;
}
