import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { BuildFailure } from '../../src/build/build-failure';
import type { BuildRequest, BuiltSlug } from '../../src/build/build-request';
import { Builder } from '../../src/build/builder';
import type { AppId, BuildId, SlugId } from '../../src/domain/ids';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { INSTALLATION_LABEL, ownedLabels } from '../../src/engine/labels';
import { systemClock } from '../../src/lib/clock';
import { silentLogger } from '../../src/lib/logger';
import { COMMIT_TIME, TestRepository, writeFiles, type TestFiles } from '../support/git-repository';
import { caBundlePath, PROJECT_DIR, realEngine, realStackImages } from '../support/stack';

jest.setTimeout(5 * 60_000);

const INSTALLATION = `test-${randomUUID().slice(0, 8)}`;
const MANY = 100_000;

let engine: DockerEngine;
let builder: Builder;
let directory: string;
let repository: TestRepository;
let output = '';

beforeAll(async () => {
  engine = await realEngine();
  const images = await realStackImages(engine);
  directory = mkdtempSync(path.join(tmpdir(), 'dynodock-bad-input-'));
  // Takes everything for an app, and leaves it as it is.
  writeFiles(path.join(directory, 'plain'), {
    'bin/detect': { content: '#!/bin/sh\necho Plain\n', mode: 0o755 },
    'bin/compile': { content: '#!/bin/sh\n', mode: 0o755 },
  });
  builder = new Builder({
    engine,
    installationId: INSTALLATION,
    imagesFor: (stack) => images[stack as keyof typeof images],
    buildpacksDir: path.join(PROJECT_DIR, 'buildpacks'),
    buildpackCacheDir: path.join(directory, 'buildpacks'),
    slugsDir: path.join(directory, 'slugs'),
    workDir: path.join(directory, 'work'),
    network: 'bridge',
    ...(caBundlePath === undefined ? {} : { caBundlePath }),
    clock: systemClock,
    logger: silentLogger,
    limits: { memoryBytes: 1024 ** 3, pids: 512 },
  });
}, 10 * 60_000);

afterAll(async () => {
  const owned = { [INSTALLATION_LABEL]: INSTALLATION };
  for (const { id } of await engine.list(owned)) await engine.remove(id);
  for (const { name } of await engine.listVolumes(owned)) await engine.removeVolume(name);
  for (const image of await engine.listImages(owned)) {
    for (const reference of image.references) await engine.removeImage(reference);
  }
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

beforeEach(() => {
  repository = new TestRepository();
  output = '';
});
afterEach(async () => {
  repository.remove();
  expect(await engine.list(ownedLabels(INSTALLATION, 'build'))).toEqual([]);
});

async function build(commit: string, more: Partial<Omit<BuildRequest, 'mode'>> = {}): Promise<BuiltSlug> {
  const request = {
    buildId: randomUUID() as BuildId,
    slugId: randomUUID() as SlugId,
    appId: randomUUID() as AppId,
    appName: 'demo',
    stack: 'heroku-24' as const,
    source: {
      kind: 'git' as const,
      repositoryDir: path.join(repository.directory, '.git'),
      commit,
      environment: {},
      time: COMMIT_TIME,
    },
    buildpacks: [],
    configVars: {},
    version: commit,
    ...more,
  };
  const write = (chunk: string | Uint8Array): Promise<void> => {
    output += Buffer.from(chunk as Uint8Array).toString('utf8');
    return Promise.resolve();
  };
  return builder.build(request, { write }, new AbortController().signal);
}

function plain(files: TestFiles): Promise<BuiltSlug> {
  return build(repository.commit(files), { buildpacks: [`file://${directory}/plain`] });
}

/** All that the client sees of a build that fails. */
async function failure(files: TestFiles): Promise<string[]> {
  try {
    await build(repository.commit(files));
  } catch (error) {
    if (!(error instanceof BuildFailure)) throw error;
    return [...output.split('\n'), ...error.lines];
  }
  throw new Error(`the build did not fail:\n${output}`);
}

const COMPILE_FAILED = ' !     Push rejected, failed to compile Node.js app.';

/** Names in the slug as `tar` lists them, control characters escaped. */
function listOf(slug: BuiltSlug): string[] {
  const listed = execFileSync('tar', ['-tzf', slug.archivePath, '--quoting-style=escape'], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 ** 2,
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  return listed.trimEnd().split('\n');
}

describe('a Node.js app', () => {
  test.each([
    ['{ "name": ', ' !     package.json is not valid JSON:'],
    ['[]', ' !     package.json must contain a JSON object.'],
    ['', ' !     package.json must contain a JSON object.'],
  ])('with a package.json of %j is refused', async (content, expected) => {
    const lines = await failure({ 'package.json': content });
    expect(lines).toContain(expected);
    expect(lines.at(-1)).toBe(COMPILE_FAILED);
  });

  test.each([
    ['banana', /^ ! {5}.*engines\.node.*banana/],
    [
      '999.x',
      /^ ! {5}There is no release of Node\.js that satisfies engines\.node in package\.json: 999\.x$/,
    ],
  ])('that wants Node.js %s is refused', async (node, expected) => {
    const lines = await failure({ 'package.json': JSON.stringify({ engines: { node } }) });
    expect(lines.some((line) => expected.test(line))).toBe(true);
    expect(lines.at(-1)).toBe(COMPILE_FAILED);
  });

  test('whose installation fails shows the last lines of it', async () => {
    const scripts = { postinstall: 'echo the very reason >&2; exit 7' };
    const lines = await failure({ 'package.json': JSON.stringify({ scripts }) });
    expect(lines.some((line) => line.includes('the very reason'))).toBe(true);
    expect(lines).toContain(' !     npm install failed.');
    expect(lines.at(-1)).toBe(COMPILE_FAILED);
  });

  test('whose packages cannot be fetched is told from which host', async () => {
    // A port at which nobody listens.
    const server = createServer().listen(0);
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    for (const [registry, host] of [
      [`http://127.0.0.1:${port}/`, `127.0.0.1:${port}`],
      ['https://registry.invalid/', 'registry.invalid'],
    ]) {
      output = '';
      const lines = await failure({
        '.npmrc': `registry=${registry}\n`,
        'package.json': JSON.stringify({ dependencies: { anything: '1.0.0' } }),
      });
      expect(lines).toContain(` !     ${host} could not be reached: is the network down?`);
      expect(lines.at(-1)).toBe(COMPILE_FAILED);
    }
  });
});

test('a commit without files is told that no language was found', async () => {
  const lines = await failure({});
  expect(lines).toContain(' !     No default language could be detected for this app.');
});

test('a Procfile with a byte order mark and Windows line ends counts', async () => {
  const slug = await plain({ Procfile: '\uFEFFweb: node a.js\r\n\r\nworker: b\r\n' });
  expect(slug.processTypes).toEqual({ web: 'node a.js', worker: 'b' });
});

test('symbolic links stay what they are, wherever they point', async () => {
  const slug = await plain({
    a: { symlink: 'b' },
    b: { symlink: 'a' },
    self: { symlink: '.' },
    out: { symlink: '../../../etc/passwd' },
    absolute: { symlink: '/etc' },
    [`long/${'l'.repeat(120)}`]: { symlink: `../${'t'.repeat(200)}` },
  });
  const listed = execFileSync('tar', ['-tvzf', slug.archivePath], { encoding: 'utf8' });
  const links = listed.split('\n').flatMap((line) => /\S+ -> \S+$/.exec(line) ?? []);
  expect(links.sort()).toEqual([
    'app/a -> b',
    'app/absolute -> /etc',
    'app/b -> a',
    `app/long/${'l'.repeat(120)} -> ../${'t'.repeat(200)}`,
    'app/out -> ../../../etc/passwd',
    'app/self -> .',
  ]);
});

test('files may be called anything', async () => {
  const names = [
    'häßlich/日本語 ☃.txt',
    'a\nnew line',
    ' spaces  in it ',
    '-rf',
    '--help',
    'tab\tand \\ back*slash?"\'$(x)',
    `deep/${'d'.repeat(255)}/${'ü'.repeat(127)}n`,
    '.slugignored',
  ];
  const slug = await plain(Object.fromEntries(names.map((name) => [name, 'x'])));
  const escaped = (name: string): string =>
    `app/${name.replace(/[\\\n\t]/g, (c) => ({ '\n': '\\n', '\t': '\\t' })[c] ?? '\\\\')}`;
  expect(
    listOf(slug)
      .filter((name) => !name.endsWith('/'))
      .sort(),
  ).toEqual(names.map(escaped).sort());
});

test('pointers of Git LFS are warned of', async () => {
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`;
  await plain({ 'logo.psd': pointer, 'b/film.mov': pointer, 'README.md': 'version 1' });
  expect(output).toContain(
    ' !     Git LFS is not supported, as on Heroku: the content of "b/film.mov" and 1 more was not pushed,\n',
  );
  await plain({ 'logo.psd': 'real', 'b/film.mov': 'real' });
  expect(output.match(/Git LFS/g)).toHaveLength(2);
});

test(
  `${MANY} small files become a slug`,
  async () => {
    for (let folder = 0; folder < 100; folder += 1) {
      const target = path.join(repository.directory, `folder-${folder}`);
      mkdirSync(target);
      for (let file = 0; file < MANY / 100; file += 1) {
        writeFileSync(path.join(target, `file-${file}`), `${folder} ${file}\n`);
      }
    }
    const slug = await plain({});
    expect(listOf(slug).filter((name) => !name.endsWith('/'))).toHaveLength(MANY);
    // For whoever runs it: no limit is asserted, machines differ.
    console.info(`${MANY} files: ${JSON.stringify(slug.timings)}`);
  },
  15 * 60_000,
);
