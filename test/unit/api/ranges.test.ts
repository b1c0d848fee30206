import fc from 'fast-check';
import { formatRange, LARGEST_MAX, paginate, parseRange, type Range } from '../../../src/api/ranges';

const PROPERTIES = ['id', 'name', 'version'] as const;
const parse = (header: string | undefined): Range => parseRange(header, PROPERTIES);

describe('parseRange', () => {
  const whole = { property: 'id', start: undefined, end: undefined, max: 200, order: 'asc' };

  test.each<[string | undefined, Partial<Range>]>([
    [undefined, {}],
    ['', {}],
    ['id ..', {}],
    ['version ..; max=15, order=desc', { property: 'version', max: 15, order: 'desc' }],
    ['version ..; order=desc,max=1', { property: 'version', max: 1, order: 'desc' }],
    ['version ..; max=1; order=desc', { property: 'version', max: 1, order: 'desc' }],
    ['id ..; max=1000;', { max: 1000 }],
    ['id ..;max=5000', { max: LARGEST_MAX }],
    ['name ]abc..', { property: 'name', start: { value: 'abc', exclusive: true } }],
    [
      'name abc..xyz[',
      { property: 'name', start: { value: 'abc', exclusive: false }, end: { value: 'xyz', exclusive: true } },
    ],
    ['name a.example..', { property: 'name', start: { value: 'a.example', exclusive: false } }],
    [
      'name ]*.a.example..; max=2',
      { property: 'name', start: { value: '*.a.example', exclusive: true }, max: 2 },
    ],
  ])('reads %j', (header, expected) => {
    expect(parse(header)).toEqual({ ...whole, ...expected });
  });

  test.each([
    'bytes=0-100',
    'id',
    '..',
    'colour ..',
    'id ..; max=-1',
    'id ..; max=0',
    'id ..; max=x',
    'id ..; order=',
    'id ..; page=2',
    'id a b..',
  ])('refuses %j', (header) => {
    expect(() => parse(header)).toThrow(expect.objectContaining({ status: 416 }));
  });

  test('never throws anything but 416, and never takes long', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^id [\].a]*\.\.[a.[]*;?[a-z=,; ]*$/)),
        (header) => {
          try {
            parse(header);
          } catch (error) {
            expect(error).toMatchObject({ id: 'requested_range_not_satisfiable' });
          }
        },
      ),
    );
  });

  test('reads back what formatRange writes', () => {
    const bound = fc.option(
      fc.record({ value: fc.stringMatching(/^[\w*-]+(\.[\w-]+)*$/), exclusive: fc.boolean() }),
      { nil: undefined },
    );
    const range = fc.record<Range>({
      property: fc.constantFrom(...PROPERTIES),
      start: bound,
      end: bound,
      max: fc.integer({ min: 1, max: LARGEST_MAX }),
      order: fc.constantFrom('asc', 'desc'),
    });
    fc.assert(fc.property(range, (given) => expect(parse(formatRange(given))).toEqual(given)));
  });
});

describe('paginate', () => {
  interface Item {
    id: number;
    name: string;
  }
  const item = fc.record({ id: fc.nat({ max: 50 }), name: fc.stringMatching(/^[a-c]{1,2}$/) });

  test.each(['id', 'name'] as const)('by %s gives every item once, in order, page after page', (property) => {
    const key = (entry: Item): string | number => entry[property];
    fc.assert(
      fc.property(
        fc.array(item, { maxLength: 40 }),
        fc.integer({ min: 1, max: 10 }),
        fc.constantFrom('asc' as const, 'desc' as const),
        (items, max, order) => {
          const seen: Item[] = [];
          let header: string | undefined = `${property} ..; max=${max}, order=${order}`;
          for (let pages = 0; header !== undefined; pages += 1) {
            expect(pages).toBeLessThanOrEqual(items.length);
            const page: ReturnType<typeof paginate<Item>> = paginate(items, parse(header), key);
            seen.push(...page.items);
            header = page.next === undefined ? undefined : formatRange(page.next);
          }
          expect(seen).toHaveLength(items.length);
          expect(new Set(seen)).toEqual(new Set(items));
          const keys = seen.map(key);
          const sorted = [...keys].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
          expect(keys).toEqual(order === 'asc' ? sorted : sorted.reverse());
        },
      ),
    );
  });

  test('compares numbers as numbers', () => {
    const page = paginate([{ id: 9 }, { id: 10 }, { id: 100 }], parse('id 10..'), (entry) => entry.id);
    expect(page.items).toEqual([{ id: 10 }, { id: 100 }]);
    expect(page.contentRange).toBe('id 10..100');
    expect(() => paginate([{ id: 9 }], parse('id abc..'), (entry) => entry.id)).toThrow(
      'abc is not a number',
    );
  });
});
