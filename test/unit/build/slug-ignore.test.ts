import fc from 'fast-check';
import { parseSlugIgnore } from '../../../src/build/slug-ignore';

describe('.slugignore', () => {
  test.each([
    ['*.psd', 'art/a.psd', true],
    ['*.psd', 'a.psd.txt', false],
    ['/docs', 'docs/a/b.txt', true],
    ['/docs', 'src/docs/a.txt', false],
    ['docs', 'src/docs/a.txt', true],
    ['docs/', 'docs', false],
    ['docs/', 'docs/a', true],
    ['src/*.md', 'src/a.md', true],
    ['src/*.md', 'src/x/a.md', false],
    ['**/cache/*.tmp', 'cache/a.tmp', true],
    ['**/cache/*.tmp', 'a/b/cache/a.tmp', true],
    ['a/**', 'a/b/c', true],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['file?.txt', 'file1.txt', true],
    ['file?.txt', 'file/.txt', false],
    ['[ab].txt', 'b.txt', true],
    ['[!ab].txt', 'b.txt', false],
    ['[!ab].txt', 'c.txt', true],
    ['[z-a]', '[z-a]', true],
    ['\\#x', '#x', true],
    ['# comment', '# comment', false],
    ['!kept', '!kept', false],
    ['a.c', 'abc', false],
    ['trailing  ', 'trailing', true],
    ['', 'a', false],
    ['/', 'a', false],
  ])('%j leaves out %j: %s', (pattern, path, expected) => {
    expect(parseSlugIgnore(`${pattern}\r\n`)(path, false)).toBe(expected);
  });

  test('takes any text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, path) => {
        parseSlugIgnore(text)(path, false);
      }),
    );
  });
});
