import { formatDuration, parseDuration } from '../../../src/cli/duration';

test.each([
  ['30', 30],
  ['30s', 30],
  ['1.5h', 5400],
  ['10m', 600],
  ['2d', 172_800],
  ['0', 0],
])('%s is %d seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', 'soon', '-1s', '5 years', 's', '1e3'])('%j is no time', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test.each([
  [1800, '30m'],
  [3600, '1h'],
  [90, '90s'],
  [86_400, '1d'],
  [0.5, '0.5s'],
  [0, '0s'],
])('%d seconds are shown as %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});
