import { empty, xmlAnswer, type Answer, type Exchange } from './answer.ts';
import * as bucket from './bucket-operations.ts';
import { deleteCors, getCors, preflight, putCors } from './cors.ts';
import { notImplemented, S3Error } from './errors.ts';
import * as multipart from './multipart.ts';
import * as objects from './object-operations.ts';

/** Queries that make another operation of a request (API Reference, "Actions"): asked for, they are not passed over. */
const SUBRESOURCES = [
  ...['accelerate', 'acl', 'analytics', 'attributes', 'cors', 'delete', 'encryption', 'intelligent-tiering'],
  ...[
    'inventory',
    'legal-hold',
    'lifecycle',
    'location',
    'logging',
    'metadataTable',
    'metrics',
    'notification',
  ],
  ...[
    'object-lock',
    'ownershipControls',
    'partNumber',
    'policy',
    'policyStatus',
    'publicAccessBlock',
    'renameObject',
  ],
  ...[
    'replication',
    'requestPayment',
    'restore',
    'retention',
    'select',
    'session',
    'tagging',
    'torrent',
    'uploadId',
  ],
  ...['uploads', 'versionId', 'versioning', 'versions', 'website'],
];

/** Does what a request asks for. Throws an S3Error for what it may not, or what this bucket can not. */
export async function answer(exchange: Exchange): Promise<Answer> {
  const { request, signed, store, bucketName } = exchange;
  const { method, key } = request;
  if (method === 'OPTIONS') return preflight(request, store);
  const sub = SUBRESOURCES.filter((name) => request.query.has(name) && name !== 'partNumber');
  const isPart = request.query.has('partNumber');
  const operation = `${method}${sub.map((name) => ` ?${name}`).join('')}`;
  const isAnonymousRead = key !== undefined && (operation === 'GET' || operation === 'HEAD');
  if (signed === undefined && !isAnonymousRead) throw new S3Error('AccessDenied');
  if (request.bucket === undefined) {
    if (operation === 'GET') return bucket.listBuckets(exchange);
    throw new S3Error('MethodNotAllowed');
  }
  if (request.bucket !== bucketName) {
    // Whose names are taken is nobody's business; ours is the only one there is.
    throw key === undefined && operation === 'PUT'
      ? new S3Error('AccessDenied')
      : noSuchBucket(request.bucket);
  }
  if (key === undefined) return onBucket(exchange, operation);
  return onObject({ ...exchange, key }, operation, isPart);
}

async function onBucket(exchange: Exchange, operation: string): Promise<Answer> {
  switch (operation) {
    case 'GET':
      return exchange.request.query.get('list-type') === '2'
        ? bucket.listObjects(exchange)
        : bucket.listObjectsV1(exchange);
    case 'HEAD':
      return bucket.headBucket(exchange);
    case 'GET ?location':
      return bucket.getLocation(exchange);
    case 'GET ?uploads':
      return multipart.listUploads(exchange);
    case 'GET ?acl':
      return objects.aclXml(false);
    case 'GET ?versioning':
      return xmlAnswer('VersioningConfiguration', {});
    case 'GET ?cors':
      return getCors(exchange);
    case 'PUT ?cors':
      return putCors(exchange);
    case 'DELETE ?cors':
      return deleteCors(exchange);
    case 'POST ?delete':
      return bucket.deleteObjects(exchange);
    case 'PUT':
      throw new S3Error('BucketAlreadyOwnedByYou');
    case 'DELETE':
      throw new S3Error('AccessDenied', 'The bucket goes with its add-on: heroku addons:destroy.');
    case 'POST':
      throw notImplemented('Uploading by a form (presigned POST)');
    default:
      throw notImplemented(`${operation} of a bucket`);
  }
}

async function onObject(
  exchange: Exchange & { key: string },
  operation: string,
  isPart: boolean,
): Promise<Answer> {
  const isCopy = exchange.request.headers['x-amz-copy-source'] !== undefined;
  if (isPart && operation !== 'PUT ?uploadId') throw notImplemented('Reading one part of an object');
  switch (operation) {
    case 'GET':
    case 'HEAD':
      return objects.getObject(exchange);
    case 'PUT':
      return isCopy ? objects.copyObject(exchange) : objects.putObject(exchange);
    case 'DELETE':
      return objects.deleteObject(exchange);
    case 'GET ?acl':
      return objects.getAcl(exchange);
    case 'PUT ?acl':
      return objects.putAcl(exchange);
    case 'GET ?tagging':
      return objects.getTags(exchange);
    case 'PUT ?tagging':
      return objects.putTags(exchange);
    case 'DELETE ?tagging':
      return objects.deleteTags(exchange);
    case 'GET ?attributes':
      return objects.getAttributes(exchange);
    case 'POST ?uploads':
      return multipart.createUpload(exchange);
    case 'PUT ?uploadId':
      return isCopy ? multipart.copyPart(exchange) : multipart.uploadPart(exchange);
    case 'POST ?uploadId':
      return multipart.completeUpload(exchange);
    case 'DELETE ?uploadId':
      return multipart.abortUpload(exchange);
    case 'GET ?uploadId':
      return multipart.listParts(exchange);
    default:
      throw notImplemented(`${operation} of an object`);
  }
}

function noSuchBucket(name: string): S3Error {
  return new S3Error('NoSuchBucket', undefined, { BucketName: name });
}

/** Asked by the container's own probe, from inside. */
export const HEALTH_PATH = '/-/health';
export const HEALTHY: Answer = empty(200);
