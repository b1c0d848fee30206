import { BuildFailure } from '../../../src/build/build-failure';
import { discoverProcessTypes, parseReleaseInfo } from '../../../src/build/process-types';

describe('discoverProcessTypes', () => {
  test('shows what the Procfile declares and which defaults come on top', () => {
    expect(discoverProcessTypes('web: a\nworker: b\n', { web: 'default', console: 'irb' })).toEqual({
      types: { web: 'a', worker: 'b', console: 'irb' },
      lines: [
        '-----> Discovering process types',
        '       Procfile declares types     -> web, worker',
        '       Default types for buildpack -> console',
      ],
    });
  });

  test('does without a Procfile', () => {
    expect(discoverProcessTypes(null, {}).lines).toEqual([
      '-----> Discovering process types',
      '       Procfile declares types     -> (none)',
    ]);
    expect(discoverProcessTypes('# nothing yet\n', { web: 'x' }).types).toEqual({ web: 'x' });
  });

  test('points out lines that are no entries', () => {
    expect(discoverProcessTypes('web: a\nworker b\n', {}).lines[1]).toMatch(
      /^ ! {5}Procfile line 2 is ignored \(no colon.*\): worker b$/,
    );
  });

  test('fails when none of a Procfile’s lines is an entry', () => {
    expect(() => discoverProcessTypes('web node server.js\n', { web: 'x' })).toThrow(BuildFailure);
  });
});

describe('parseReleaseInfo', () => {
  test('reads what bin/release may say', () => {
    const yaml =
      '---\naddons:\n  - heroku-postgresql\nconfig_vars:\n  A: 1\ndefault_process_types:\n  web: npm start\n';
    expect(parseReleaseInfo(yaml, 'x')).toEqual({
      addons: ['heroku-postgresql'],
      configVars: { A: '1' },
      defaultProcessTypes: { web: 'npm start' },
    });
  });

  test.each(['', '--- {}\n', '# nothing', 'default_process_types:\n'])('takes %j as nothing', (yaml) => {
    expect(parseReleaseInfo(yaml, 'x')).toEqual({ addons: [], configVars: {}, defaultProcessTypes: {} });
  });

  test.each([
    'a: [',
    '- list',
    'default_process_types: text',
    'default_process_types: {web: [1]}',
    'addons: x',
  ])('refuses %j', (yaml) => {
    expect(() => parseReleaseInfo(yaml, 'heroku/x')).toThrow(
      /bin\/release of heroku\/x did not print valid YAML/,
    );
  });
});
