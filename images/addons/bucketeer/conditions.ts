import type { StoredObject } from './bucket-store.ts';
import { S3Error } from './errors.ts';
import type { S3Request } from './request.ts';

/** RFC 9110, 13.2.2: `not-modified` answers 304. Throws for a precondition that does not hold. */
export function checkRead(
  headers: S3Request['headers'],
  object: Pick<StoredObject, 'etag' | 'modifiedAt'>,
  prefix = '',
): 'ok' | 'not-modified' {
  const ifMatch = headers[`${prefix}if-match`];
  const ifNoneMatch = headers[`${prefix}if-none-match`];
  const modified = Math.floor(object.modifiedAt.getTime() / 1000) * 1000;
  const since = Date.parse(headers[`${prefix}if-modified-since`] ?? '');
  const unmodifiedSince = Date.parse(headers[`${prefix}if-unmodified-since`] ?? '');
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, object.etag)) throw new S3Error('PreconditionFailed');
  } else if (modified > unmodifiedSince) throw new S3Error('PreconditionFailed');
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, object.etag) ? 'not-modified' : 'ok';
  return modified <= since ? 'not-modified' : 'ok';
}

/** "Conditional writes": create only, or replace only what one has seen. */
export function checkWrite(headers: S3Request['headers'], before: StoredObject | undefined): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifNoneMatch !== undefined && before !== undefined && matches(ifNoneMatch, before.etag)) {
    throw new S3Error('PreconditionFailed');
  }
  if (ifMatch === undefined) return;
  if (before === undefined) throw new S3Error('NoSuchKey');
  if (!matches(ifMatch, before.etag)) throw new S3Error('PreconditionFailed');
}

function matches(header: string, etag: string): boolean {
  return header.split(',').some((one) => {
    const wanted = one.trim().replace(/^W\//, '').replaceAll('"', '');
    return wanted === '*' || wanted === etag;
  });
}

/** `bytes=0-4`, `bytes=5-`, `bytes=-3`; anything else, also several ranges, is as if there were none. */
export function parseRange(
  header: string | undefined,
  size: number,
): { from: number; to: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(first) > Number(last)) return undefined;
  const from = first === '' ? Math.max(size - Number(last), 0) : Number(first);
  const to = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (from > to) {
    throw new S3Error('InvalidRange', undefined, {
      RangeRequested: header ?? '',
      ActualObjectSize: String(size),
    });
  }
  return { from, to };
}
