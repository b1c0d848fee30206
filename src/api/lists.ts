import type { Request, Response } from 'express';
import { formatRange, paginate, parseRange, type SortKey } from './ranges';

/** What a list may be sorted by; the first is the default. */
export type SortKeys<T> = Readonly<Record<string, (item: T) => SortKey>>;

/** Answers the page of `items` that the Range header asks for: 200, or 206 with Next-Range when there is more. */
export function sendList<T>(
  req: Request,
  res: Response,
  items: readonly T[],
  keys: SortKeys<T>,
  present: (item: T) => unknown,
): void {
  const [first, ...others] = Object.keys(keys);
  if (first === undefined) throw new Error('a list needs something to be sorted by');
  const range = parseRange(req.get('Range'), [first, ...others]);
  const key = keys[range.property];
  if (key === undefined) throw new Error(`no sort key ${range.property}`);
  const page = paginate(items, range, key);
  res.setHeader('Accept-Ranges', [first, ...others].join(', '));
  if (page.contentRange !== undefined) res.setHeader('Content-Range', page.contentRange);
  if (page.next !== undefined) res.status(206).setHeader('Next-Range', formatRange(page.next));
  res.json(page.items.map(present));
}

/** For lists whose entries need no other order. */
export const BY_ID: SortKeys<{ id: string }> = { id: (item) => item.id };
