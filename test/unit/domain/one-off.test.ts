import { parseEnvironment, substituteProcessType, terminalSize } from '../../../src/domain/one-off';

describe('substituteProcessType', () => {
  const types = { web: 'node web.js', 'my-worker': 'work' };

  test.each([
    ['web', 'node web.js'],
    ['web --port 1', 'node web.js --port 1'],
    ['  my-worker now', 'work now'],
    ['web ; echo done', 'node web.js ; echo done'],
    ['webs', 'webs'],
    ['web; echo done', 'web; echo done'],
    ['echo web', 'echo web'],
    ['toString', 'toString'],
    ['./web', './web'],
  ])('makes of %j %j', (command, expected) => {
    expect(substituteProcessType(command, types)).toBe(expected);
  });
});

test('an environment takes numbers as they are, and leaves out what is not set', () => {
  expect(parseEnvironment({ TERM: 'xterm', COLUMNS: 80, DEBUG: true, LINES: null })).toEqual({
    TERM: 'xterm',
    COLUMNS: '80',
    DEBUG: 'true',
  });
});

test.each([
  [
    { COLUMNS: '133', LINES: '44' },
    { columns: 133, rows: 44 },
  ],
  [{}, { columns: 80, rows: 24 }],
  [
    { COLUMNS: '0', LINES: '-1' },
    { columns: 80, rows: 24 },
  ],
  [
    { COLUMNS: 'wide', LINES: '99999' },
    { columns: 80, rows: 24 },
  ],
])('the terminal of %j is %j', (env, size) => {
  expect(terminalSize(env)).toEqual(size);
});
