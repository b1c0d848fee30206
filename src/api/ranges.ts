import { PlatformError } from '../domain/errors';

/** Dev Center "Platform API Reference", "Ranges". */
export const DEFAULT_MAX = 200;
export const LARGEST_MAX = 1000;

/** One page of a list, as asked for: `Range: version ]12..; max=15, order=desc`. */
export interface Range {
  /** What the list is sorted by. */
  property: string;
  /** Where the page begins, in the direction of `order`; undefined = at the end of the list that comes first. */
  start: RangeBound | undefined;
  end: RangeBound | undefined;
  max: number;
  order: 'asc' | 'desc';
}

export interface RangeBound {
  value: string;
  /** Written with a bracket: the bound itself is not part of the page. */
  exclusive: boolean;
}

/** `<property> <start>..<end>`, then options after a semicolon. Values are ids, names, numbers or host names. */
const RANGE =
  /^([a-z_]+) +(\]?)([^\s;,.[\]]+(?:\.[^\s;,.[\]]+)*)?\.\.([^\s;,.[\]]+(?:\.[^\s;,.[\]]+)*)?(\[?) *(?:[;,](.*))?$/;

/**
 * Reads a Range header. Options come as `; max=15, order=desc`, `; order=desc,max=1` and with a trailing `;`; the
 * header may also be empty (contract, section 1.5). `properties` are those that the list can be sorted by, the first
 * being the default. Throws requested_range_not_satisfiable.
 */
export function parseRange(header: string | undefined, properties: readonly [string, ...string[]]): Range {
  const text = header?.trim() ?? '';
  const range: Range = {
    property: properties[0],
    start: undefined,
    end: undefined,
    max: DEFAULT_MAX,
    order: 'asc',
  };
  if (text === '') return range;
  const match = RANGE.exec(text);
  if (match === null) throw unsatisfiable(`Range ${JSON.stringify(text)} can't be read.`);
  const [, property = '', startBracket, start, end, endBracket, options = ''] = match;
  if (!properties.includes(property)) {
    throw unsatisfiable(`This list can't be sorted by ${property}, only by: ${properties.join(', ')}.`);
  }
  range.property = property;
  if (start !== undefined) range.start = { value: start, exclusive: startBracket === ']' };
  if (end !== undefined) range.end = { value: end, exclusive: endBracket === '[' };
  for (const option of options.split(/[;,]/).map((part) => part.trim())) {
    if (option === '') continue;
    const [key, value = ''] = option.split('=').map((part) => part.trim());
    if (key === 'max' && /^\d{1,6}$/.test(value) && Number(value) > 0) {
      range.max = Math.min(Number(value), LARGEST_MAX);
    } else if (key === 'order' && (value === 'asc' || value === 'desc')) range.order = value;
    else throw unsatisfiable(`Range option ${JSON.stringify(option)} is not understood.`);
  }
  return range;
}

export function formatRange(range: Range): string {
  const start = range.start === undefined ? '' : `${range.start.exclusive ? ']' : ''}${range.start.value}`;
  const end = range.end === undefined ? '' : `${range.end.value}${range.end.exclusive ? '[' : ''}`;
  const order = range.order === 'desc' ? ', order=desc' : '';
  return `${range.property} ${start}..${end}; max=${range.max}${order}`;
}

/** The value of an item by which a list is sorted. */
export type SortKey = string | number;

export interface Page<T> {
  items: T[];
  /** `name a..c`; undefined for an empty page. */
  contentRange: string | undefined;
  /** What to ask for to get the rest; undefined when there is none. */
  next: Range | undefined;
}

/**
 * The part of `items` that was asked for. A page may exceed `max` where items have equal keys, since the next page
 * can only begin after a key.
 */
export function paginate<T>(items: readonly T[], range: Range, key: (item: T) => SortKey): Page<T> {
  const sign = range.order === 'asc' ? 1 : -1;
  const numeric = items.some((item) => typeof key(item) === 'number');
  const start = bound(range.start, numeric);
  const end = bound(range.end, numeric);
  const selected = items
    .filter((item) => {
      const value = key(item);
      if (start !== undefined) {
        const distance = sign * compare(value, start.value);
        if (distance < 0 || (start.exclusive && distance === 0)) return false;
      }
      if (end !== undefined) {
        const distance = sign * compare(value, end.value);
        if (distance > 0 || (end.exclusive && distance === 0)) return false;
      }
      return true;
    })
    .sort((a, b) => sign * compare(key(a), key(b)));

  let length = Math.min(range.max, selected.length);
  const keyAt = (index: number): SortKey | undefined => {
    const item = selected[index];
    return item === undefined ? undefined : key(item);
  };
  while (length < selected.length && keyAt(length) === keyAt(length - 1)) length += 1;

  const first = keyAt(0);
  const last = keyAt(length - 1);
  return {
    items: selected.slice(0, length),
    contentRange:
      first === undefined || last === undefined ? undefined : `${range.property} ${first}..${last}`,
    next:
      length < selected.length && last !== undefined
        ? { ...range, start: { value: String(last), exclusive: true } }
        : undefined,
  };
}

function bound(
  given: RangeBound | undefined,
  numeric: boolean,
): { value: SortKey; exclusive: boolean } | undefined {
  if (given === undefined) return undefined;
  if (!numeric) return given;
  if (!/^\d{1,15}$/.test(given.value)) throw unsatisfiable(`${given.value} is not a number.`);
  return { value: Number(given.value), exclusive: given.exclusive };
}

/** By code units, so that the order does not depend on a locale. */
function compare(a: SortKey, b: SortKey): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function unsatisfiable(message: string): PlatformError {
  return new PlatformError('requested_range_not_satisfiable', message);
}
