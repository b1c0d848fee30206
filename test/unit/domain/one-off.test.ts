import { parseDynoSize } from '../../../src/domain/dyno-size';
import {
  assertRoomForOneOff,
  parseEnvironment,
  substituteProcessType,
  terminalSize,
} from '../../../src/domain/one-off';

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

describe('assertRoomForOneOff', () => {
  const check = (size: string, present: string[], herokuLimits: boolean): void =>
    assertRoomForOneOff(parseDynoSize(size), present.map(parseDynoSize), { herokuLimits });
  const times = (count: number, size: string): string[] => Array.from({ length: count }, () => size);

  test.each([
    ['free', 1, 'Free'],
    ['eco', 1, 'Eco'],
    ['basic', 50, 'Basic'],
    ['standard-1x', 50, 'Standard-1X'],
    ['standard-2x', 50, 'Standard-2X'],
    ['performance-m', 5, 'Performance-M'],
    ['performance-2xl', 5, 'Performance-2XL'],
  ])('allows as many %s dynos at once as Heroku does: %d', (size, max, title) => {
    expect(() => check(size, times(max - 1, size), true)).not.toThrow();
    expect(() => check(size, times(max, size), true)).toThrow(
      `Cannot run more than ${max} ${title} size dynos.`,
    );
  });

  test('counts sizes of a kind together, and no others', () => {
    expect(() => check('standard-2x', times(50, 'standard-1x'), true)).toThrow('more than 50 Standard-2X');
    expect(() => check('performance-l', times(50, 'standard-1x'), true)).not.toThrow();
  });

  test("allows 50 of any sizes where Heroku's limits are off", () => {
    const present = [...times(40, 'eco'), ...times(9, 'performance-m')];
    expect(() => check('eco', present, false)).not.toThrow();
    expect(() => check('eco', [...present, 'basic'], false)).toThrow('more than 50');
  });
});
