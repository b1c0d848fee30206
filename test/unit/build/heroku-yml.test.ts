import fc from 'fast-check';
import { stringify } from 'yaml';
import { commandLine, HerokuYmlError, parseHerokuYml } from '../../../src/build/heroku-yml';

test('Heroku’s own example', () => {
  const manifest = parseHerokuYml(`
setup:
  addons:
    - plan: heroku-postgresql
      as: DATABASE
  config:
    S3_BUCKET: my-example-bucket
build:
  docker:
    web: Dockerfile
    worker: worker/Dockerfile
  config:
    RAILS_ENV: development
    FOO: 1
release:
  command:
    - ./deployment-tasks.sh
  image: worker
run:
  web: bundle exec puma -C config/puma.rb
  worker:
    command:
      - python myworker.py
    image: worker
  asset-syncer:
    command: [python, asset syncer.py]
    image: worker
`);
  expect(manifest).toEqual({
    dockerfiles: { web: 'Dockerfile', worker: 'worker/Dockerfile' },
    buildArgs: { RAILS_ENV: 'development', FOO: '1' },
    processes: {
      web: { image: 'web', command: { kind: 'shell', line: 'bundle exec puma -C config/puma.rb' } },
      worker: { image: 'worker', command: { kind: 'shell', line: 'python myworker.py' } },
      'asset-syncer': { image: 'worker', command: { kind: 'exec', argv: ['python', 'asset syncer.py'] } },
      release: { image: 'worker', command: { kind: 'exec', argv: ['./deployment-tasks.sh'] } },
    },
  });
});

test('without a command a process runs what its image says, without an image it runs in that of web', () => {
  const { processes } = parseHerokuYml(
    'build: {docker: {web: ./Dockerfile, clock: c/Dockerfile}}\nrun: {worker: node worker.js}',
  );
  expect(processes).toEqual({
    web: { image: 'web', command: null },
    clock: { image: 'clock', command: null },
    worker: { image: 'web', command: { kind: 'shell', line: 'node worker.js' } },
  });
});

test('a list of one word with something for a shell in it goes to a shell', () => {
  const { processes } = parseHerokuYml(
    'build: {docker: {web: D}}\nrun: {web: ["$START"], a: [one], b: [7, 8]}',
  );
  expect(processes['web']?.command).toEqual({ kind: 'shell', line: '$START' });
  expect(processes['a']?.command).toEqual({ kind: 'exec', argv: ['one'] });
  expect(processes['b']?.command).toEqual({ kind: 'exec', argv: ['7', '8'] });
});

const BUILD = 'build: {docker: {web: Dockerfile, worker: w/Dockerfile}}\n';

test.each([
  ['', 'build.docker: missing'],
  ['[]', 'heroku.yml: must be a map'],
  ['build: [', 'not valid YAML: '],
  ['build: {docker: {}}', 'build.docker: names no Dockerfile'],
  ['build: {docker: Dockerfile}', 'build.docker: must be a map'],
  ['build: {docker: {web: 5}}', 'build.docker.web: must be the path of a Dockerfile'],
  ['build: {docker: {web: ../Dockerfile}}', 'build.docker.web: must be a path within the app'],
  ['build: {docker: {web: /etc/Dockerfile}}', 'build.docker.web: must be a path within the app'],
  ['build: {docker: {"we b": Dockerfile}}', 'build.docker.we b: not a process type'],
  ['build: {languages: [ruby]}', 'build.languages: not supported'],
  ['build: {packages: [x]}', 'build.packages: not supported'],
  ['build: {dockr: {web: Dockerfile}}', 'build.dockr: not known; known are docker, config'],
  ['run: {web: x}', 'build.docker: missing'],
  [`${BUILD}runn: {web: x}`, 'runn: not known; known are setup, build, release, run'],
  [
    `${BUILD}run: {web: {image: other, command: x}}`,
    'run.web: image other is not built; build.docker has web, worker',
  ],
  [`${BUILD}run: {web: {comand: x}}`, 'run.web.comand: not known'],
  [`${BUILD}run: {web: ""}`, 'run.web: command is empty'],
  [`${BUILD}run: {web: [{}]}`, 'run.web: command must be a text, or a list of texts'],
  [`${BUILD}run: {web: [rake one, rake two]}`, 'run.web: a list is one program and its arguments'],
  [`${BUILD}release: {image: web}`, 'release: command is missing'],
  [`${BUILD}release: {command: [x]}\nrun: {release: y}`, 'release: run.release says it already'],
  ['build: {docker: {a: A, b: B}}\nrun: {c: x}', 'run.c: image is missing; name one of build.docker'],
  ['build: {docker: {web: D}, config: {"A B": 1}}', 'build.config: "A B" is not a valid name'],
  ['build: {docker: {web: D}, config: {A: [1]}}', 'build.config.A: must be a text'],
  [`${BUILD}setup: {addons: {plan: x}}`, 'setup.addons: must be a list'],
  [`${BUILD}setup: {addons: [{as: x}]}`, 'setup.addons[0]: plan is missing'],
])('%j is refused', (text, message) => {
  expect(() => parseHerokuYml(text)).toThrow(HerokuYmlError);
  expect(() => parseHerokuYml(text)).toThrow(message);
});

test('anchors and merges work, and many of them are refused', () => {
  const text = 'x: &x {A: "1"}\nbuild: {docker: {web: D}, config: {<<: *x, B: "2"}}';
  expect(() => parseHerokuYml(text)).toThrow('x: not known');
  const merged = 'setup: {config: &x {A: "1"}}\nbuild: {docker: {web: D}, config: {<<: *x, B: "2"}}';
  expect(parseHerokuYml(merged).buildArgs).toEqual({ A: '1', B: '2' });
  const bomb = [
    'a: &a [1,1,1,1,1,1,1,1,1]',
    ...'bcdefgh'.split('').map((name, index) => {
      const before = 'abcdefg'[index] ?? '';
      return `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(',')}]`;
    }),
  ].join('\n');
  expect(() => parseHerokuYml(bomb)).toThrow(HerokuYmlError);
});

const name = fc
  .stringMatching(/^[A-Za-z][-\w]{0,8}$/)
  .filter((text) => text !== 'release' && text !== '__proto__');
const word = fc
  .string({ minLength: 1, maxLength: 12 })
  .filter((text) => text.trim() !== '' && !text.includes('\0'));

test('property: what is written comes back', () => {
  const manifests = fc.record({
    images: fc.uniqueArray(name, { minLength: 1, maxLength: 4 }),
    args: fc.dictionary(fc.stringMatching(/^[A-Z_]{1,6}$/), word, { maxKeys: 3 }),
    line: word,
    argv: fc.tuple(fc.stringMatching(/^[\w./-]{1,9}$/), word).map(([first, second]) => [first, second]),
  });
  fc.assert(
    fc.property(manifests, ({ images, args, line, argv }) => {
      const [first = ''] = images;
      const parsed = parseHerokuYml(
        stringify({
          build: {
            docker: Object.fromEntries(images.map((image) => [image, `${image}/Dockerfile`])),
            config: args,
          },
          run: { [first]: line, extra1: { command: argv, image: first } },
          release: { command: line, image: first },
        }),
      );
      expect(Object.keys(parsed.dockerfiles)).toEqual(expect.arrayContaining(images));
      expect(parsed.buildArgs).toEqual(args);
      expect(parsed.processes[first]?.command).toEqual({ kind: 'shell', line: line.trim() });
      expect(parsed.processes['extra1']).toEqual({ image: first, command: { kind: 'exec', argv } });
      expect(parsed.processes['release']?.image).toBe(first);
    }),
  );
});

test('property: whatever is in the file, it is a manifest or an error in words', () => {
  const anything = fc.oneof(
    fc.string(),
    fc.anything({ maxDepth: 4 }).map((value) => {
      try {
        return stringify({ build: value, run: value, release: value, setup: value });
      } catch {
        // Not everything can be written as YAML.
        return '';
      }
    }),
  );
  fc.assert(
    fc.property(anything, (text) => {
      try {
        const { processes, dockerfiles } = parseHerokuYml(text);
        for (const { image } of Object.values(processes)) expect(dockerfiles).toHaveProperty([image]);
      } catch (error) {
        expect(error).toBeInstanceOf(HerokuYmlError);
      }
    }),
  );
});

test('a command line does in a shell what the list says', () => {
  expect(commandLine({ kind: 'exec', argv: ['echo', "it's $HOME", 'a b'] })).toBe(
    `echo 'it'\\''s $HOME' 'a b'`,
  );
  expect(commandLine({ kind: 'shell', line: 'a && b' })).toBe('a && b');
});
