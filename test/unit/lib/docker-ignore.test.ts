import { parseDockerIgnore } from '../../../src/lib/docker-ignore';

const PATHS = [
  'Dockerfile',
  'a.log',
  'src/a.log',
  'src/deep/a.log',
  'node_modules/x/index.js',
  'tmp/keep/a',
  'tmp/b',
  'ab.md',
];

/** What stays. */
function kept(text: string): string[] {
  const ignores = parseDockerIgnore(text);
  return PATHS.filter((path) => !ignores(path));
}

test.each([
  ['nothing', '', PATHS],
  ['comments and blank lines', '# a.log\n\n  \n', PATHS],
  ['a name counts from the root only', 'a.log', PATHS.filter((path) => path !== 'a.log')],
  ['two stars are any number of folders', '**/*.log', PATHS.filter((path) => !path.endsWith('.log'))],
  ['one star stays in its folder', 'src/*.log', PATHS.filter((path) => path !== 'src/a.log')],
  [
    'a folder goes with all that is in it',
    '/node_modules/',
    PATHS.filter((path) => !path.startsWith('node')),
  ],
  ['the last rule that matches decides', 'tmp\n!tmp/keep', PATHS.filter((path) => path !== 'tmp/b')],
  ['an exception may be taken back', 'tmp\n!tmp/keep\ntmp', PATHS.filter((path) => !path.startsWith('tmp'))],
  ['everything but one', '*\n!Dockerfile', ['Dockerfile']],
  ['one character, and a class of them', '?[a-c].md', PATHS.filter((path) => path !== 'ab.md')],
  ['a negated class', 'a[^x].md', PATHS.filter((path) => path !== 'ab.md')],
  ['paths are cleaned', './src/../a.log', PATHS.filter((path) => path !== 'a.log')],
  [
    'lines of another system',
    'a.log\r\ntmp\r\n',
    PATHS.filter((path) => path !== 'a.log' && !path.startsWith('tmp')),
  ],
  ['what is no pattern is a name', '(', PATHS],
])('%s', (_, text, expected) => {
  expect(kept(text)).toEqual(expected);
});
