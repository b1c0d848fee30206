import { checkRead, checkWrite, parseRange } from '../../../../images/addons/bucketeer/conditions';
import type { StoredObject } from '../../../../images/addons/bucketeer/bucket-store';

const MODIFIED = new Date('2026-01-01T10:00:00.500Z');
const OBJECT = { etag: 'abc', modifiedAt: MODIFIED } as StoredObject;

test.each([
  [undefined, undefined],
  ['bytes=0-4', { from: 0, to: 4 }],
  ['bytes=5-', { from: 5, to: 9 }],
  ['bytes=-3', { from: 7, to: 9 }],
  ['bytes=-30', { from: 0, to: 9 }],
  ['bytes=8-100', { from: 8, to: 9 }],
  // Not what can be done, or not a range: the whole.
  ['bytes=0-1,3-4', undefined],
  ['bytes=4-2', undefined],
  ['lines=1-2', undefined],
  ['bytes=-', undefined],
])('range %s of ten bytes', (header, range) => {
  expect(parseRange(header, 10)).toEqual(range);
});

test.each([['bytes=10-'], ['bytes=-0'], ['bytes=11-12']])('range %s is not satisfiable', (header) => {
  expect(() => parseRange(header, 10)).toThrow('not satisfiable');
});

test('conditions of reads', () => {
  expect(checkRead({}, OBJECT)).toBe('ok');
  expect(checkRead({ 'if-none-match': '"abc"' }, OBJECT)).toBe('not-modified');
  expect(checkRead({ 'if-none-match': '"x", W/"abc"' }, OBJECT)).toBe('not-modified');
  expect(checkRead({ 'if-none-match': '"x"', 'if-modified-since': MODIFIED.toUTCString() }, OBJECT)).toBe(
    'ok',
  );
  // To the second, as it was answered.
  expect(checkRead({ 'if-modified-since': MODIFIED.toUTCString() }, OBJECT)).toBe('not-modified');
  expect(checkRead({ 'if-modified-since': 'Thu, 01 Jan 2026 09:59:59 GMT' }, OBJECT)).toBe('ok');
  expect(() => checkRead({ 'if-match': '"x"' }, OBJECT)).toThrow('preconditions');
  expect(() => checkRead({ 'if-unmodified-since': 'Thu, 01 Jan 2026 09:59:59 GMT' }, OBJECT)).toThrow(
    'preconditions',
  );
  expect(checkRead({ 'if-unmodified-since': MODIFIED.toUTCString() }, OBJECT)).toBe('ok');
});

test('conditions of writes', () => {
  checkWrite({}, OBJECT);
  checkWrite({ 'if-none-match': '*' }, undefined);
  expect(() => checkWrite({ 'if-none-match': '*' }, OBJECT)).toThrow('preconditions');
  checkWrite({ 'if-match': '"abc"' }, OBJECT);
  expect(() => checkWrite({ 'if-match': '"x"' }, OBJECT)).toThrow('preconditions');
  expect(() => checkWrite({ 'if-match': '"abc"' }, undefined)).toThrow('does not exist');
});
