import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readBuildOptions, type BuildArguments } from '../../../src/cli/build-options';
import { CommandError } from '../../../src/cli/terminal';

const directory = mkdtempSync(path.join(tmpdir(), 'dynodock-test-options-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function read(given: BuildArguments, folder = 'My App'): ReturnType<typeof readBuildOptions> {
  return readBuildOptions(folder, given, directory);
}

test('names the image after the folder', () => {
  expect(read({})).toEqual({
    directory: path.join(directory, 'My App'),
    buildpacks: [],
    configVars: {},
    tag: 'dynodock/build:My-App',
    stack: 'heroku-24',
    test: false,
  });
  expect(read({}, '..hidden').tag).toBe('dynodock/build:hidden');
  expect(read({}, '/').tag).toBe('dynodock/build:app');
  expect(read({}, 'x'.repeat(200)).tag).toHaveLength('dynodock/build:'.length + 128);
});

test('takes names that images can have, and gives them a tag', () => {
  for (const tag of ['shop', 'a/b/c', 'localhost:5000/shop', 'example.com/a__b-c']) {
    expect(read({ tag }).tag).toBe(`${tag}:latest`);
  }
  expect(read({ tag: 'localhost:5000/shop:V1.2' }).tag).toBe('localhost:5000/shop:V1.2');
  for (const tag of ['', 'Shop', 'a b', 'shop:', '-a', 'a//b', `a:${'x'.repeat(129)}`, 'a@sha256:00']) {
    expect(() => read({ tag })).toThrow(CommandError);
  }
});

test('takes a folder for a buildpack, and leaves names and URLs alone', () => {
  const given = ['heroku/nodejs', 'https://example.com/a.git#v1', './mine', '../theirs', '/opt/x y'];
  expect(read({ buildpack: given }).buildpacks).toEqual([
    'heroku/nodejs',
    'https://example.com/a.git#v1',
    `file://${directory}/mine`,
    `file://${path.dirname(directory)}/theirs`,
    'file:///opt/x%20y',
  ]);
});

test('reads config vars of a file and of the command line, which wins', () => {
  writeFileSync(
    path.join(directory, '.env'),
    '\uFEFF# comment\r\nA=1\r\n\r\nexport B="two words"\nC=\'x=y\'\nD=\n',
  );
  expect(read({ envFile: '.env', env: ['A=2', 'E= kept '] }).configVars).toEqual({
    A: '2',
    B: 'two words',
    C: 'x=y',
    D: '',
    E: ' kept ',
  });
});

test('never shows a line that it does not understand, which may be a secret', () => {
  writeFileSync(path.join(directory, 'bad'), 'A=1\nhunter2\n');
  expect(() => read({ envFile: 'bad' })).toThrow(/^bad, line 2: not KEY=VALUE\.$/);
  expect(() => read({ env: ['hunter2'] })).toThrow(/^--env has to be KEY=VALUE\.$/);
  expect(() => read({ env: ['1A=x'] })).toThrow('Config var key "1A" is invalid');
  expect(() => read({ envFile: 'absent' })).toThrow(/absent cannot be read \(ENOENT\)\.$/);
});

test('knows the stacks that buildpacks build for', () => {
  expect(read({ stack: 'heroku-22' }).stack).toBe('heroku-22');
  expect(() => read({ stack: 'cedar-14' })).toThrow('There is no stack cedar-14.');
  expect(() => read({ stack: 'container' })).toThrow('which docker build does');
});
