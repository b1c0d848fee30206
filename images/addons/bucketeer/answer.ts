import type { Blob } from './blobs.ts';
import type { BucketStore } from './bucket-store.ts';
import type { S3Request } from './request.ts';
import type { Signed } from './signature.ts';
import { toXml, type XmlElements } from './xml.ts';

/** What an operation works with. */
export interface Exchange {
  request: S3Request;
  signed: Signed | undefined;
  store: BucketStore;
  bucketName: string;
  region: string;
  now: Date;
}

export interface Answer {
  status: number;
  headers: Readonly<Record<string, string>>;
  body?: string | { blobs: readonly Blob[]; range: { from: number; to: number } };
}

/** Of an object, which is an operation's subject. */
export type ObjectExchange = Exchange & { key: string };

export function empty(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers };
}

export function xmlAnswer(
  root: string,
  content: XmlElements,
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return {
    status: 200,
    headers: { 'content-type': 'application/xml', ...headers },
    body: toXml(root, content),
  };
}

/** Bucket and objects belong to nobody in particular here. */
export const OWNER = { ID: 'dynodock', DisplayName: 'dynodock' };
