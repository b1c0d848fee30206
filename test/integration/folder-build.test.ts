import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { folderBuildsId } from '../../src/build/storage';
import { readBuildOptions, type BuildArguments } from '../../src/cli/build-options';
import { CommandError } from '../../src/cli/terminal';
import { loadConfig } from '../../src/daemon/config';
import { networkName } from '../../src/daemon/engine-setup';
import { buildFolder, type FolderBuildEnd } from '../../src/daemon/folder-build';
import { Paths } from '../../src/daemon/paths';
import type { DockerEngine } from '../../src/engine/docker-engine';
import { INSTALLATION_LABEL, ownedLabels } from '../../src/engine/labels';
import { silentLogger } from '../../src/lib/logger';
import { writeFiles, type TestFiles } from '../support/git-repository';
import { PROJECT_DIR, realEngine, realStackImages } from '../support/stack';

jest.setTimeout(120_000);

const directory = mkdtempSync(path.join(tmpdir(), 'dynodock-folder-build-'));
const paths = new Paths(path.join(directory, 'data'));
const installationId = folderBuildsId(paths.dataDir);
const TAG = `dynodock-test/folder:${installationId}`;
let engine: DockerEngine;
let output = '';

beforeAll(async () => {
  engine = await realEngine();
  await realStackImages(engine);
  paths.create();
}, 10 * 60_000);

afterAll(async () => {
  const owned = { [INSTALLATION_LABEL]: installationId };
  for (const { id } of await engine.list(owned)) await engine.remove(id);
  for (const { name } of await engine.listVolumes(owned)) await engine.removeVolume(name);
  for (const { references, id } of await engine.listImages(owned)) {
    for (const reference of references.length === 0 ? [id] : references) await engine.removeImage(reference);
  }
  await engine.removeNetwork(networkName(installationId));
  rmSync(directory, { recursive: true, force: true });
}, 60_000);

beforeEach(() => {
  output = '';
});

function folder(name: string, files: TestFiles): string {
  const made = path.join(directory, name);
  writeFiles(made, files);
  return made;
}

async function build(
  name: string,
  given: BuildArguments = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<FolderBuildEnd> {
  const options = readBuildOptions(name, { tag: TAG, ...given }, directory);
  const config = loadConfig({ ...process.env, DYNODOCK_HOME: paths.dataDir });
  const print = (chunk: string | Uint8Array): Promise<void> => {
    output += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
    return Promise.resolve();
  };
  const context = { config, paths, packageDir: PROJECT_DIR, logger: silentLogger, tell: () => undefined };
  return buildFolder(options, { ...context, print, signal });
}

/** As a user starts it. */
async function run(...command: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('docker', ['run', '--rm', '--network=none', TAG, ...command]);
  return stdout;
}

/** A buildpack whose compile is `script`. */
function buildpack(name: string, script: string): string {
  const mode = 0o755;
  folder(name, {
    'bin/detect': { content: '#!/bin/sh\necho Test\n', mode },
    'bin/compile': { content: `#!/usr/bin/env bash\n${script}\n`, mode },
  });
  return `./${name}`;
}

const APP = {
  Procfile: 'web: echo "web on $PORT in $(pwd) with $FROM_PROFILE"\nworker: echo working\n',
  '.profile': 'export FROM_PROFILE=profile\n',
  '.slugignore': 'notes\n',
  '.gitignore': 'built\n',
  '.git/HEAD': 'ref: refs/heads/main\n',
  notes: 'n',
  built: 'b',
};

test('builds a folder to an image that starts process types and commands', async () => {
  const own = buildpack('own', 'cat "$3/SECRET" > /dev/null && touch "$1/compiled" "$2/cached"');
  folder('app', APP);
  const { lines } = await build('app', { buildpack: [own], env: ['SECRET=hush'] });
  expect(lines).toEqual([
    `Image ${TAG} is built. To run it:`,
    `  docker run --rm -e PORT=5000 -p 5000:5000 ${TAG} web`,
    `  docker run --rm ${TAG} worker`,
    `  docker run --rm -it ${TAG} bash`,
  ]);
  expect(output).toContain('-----> Building on the Heroku-24 stack\n');
  expect(output).toContain('       Procfile declares types     -> web, worker\n');

  expect(await run()).toBe('web on 5000 in /app with profile\n');
  expect(await run('worker')).toBe('working\n');
  expect(await run('printf', '[%s]', 'a  b', '$HOME', "'")).toBe("[a  b][$HOME][']");
  expect(await run('ls -A /app | tr "\\n" " "; echo "$SECRET"')).toBe(
    '.gitignore .profile .slugignore Procfile built compiled \n',
  );
  const { stdout } = await promisify(execFile)('docker', ['image', 'inspect', TAG]);
  expect(stdout).not.toContain('hush');
});

test('runs the tests of a folder in place of a build', async () => {
  const mode = 0o755;
  const before = await engine.inspectImage(TAG);
  folder('testing', {
    'bin/detect': { content: '#!/bin/sh\necho Test\n', mode },
    'bin/compile': { content: '#!/bin/sh\nexit 9\n', mode },
    'bin/test-compile': { content: '#!/bin/sh\ntouch "$1/compiled"\n', mode },
    'bin/test': { content: '#!/bin/sh\ncd "$1" && ls && exit "$(cat status)"\n', mode },
  });
  folder('tested', { status: '0' });
  const given = { buildpack: ['./testing'], test: true };
  expect(await build('tested', given)).toEqual({ exitCode: 0, lines: ['Tests passed.'] });
  expect(output).toContain('\ncompiled\nstatus\n');
  folder('tested', { status: '7' });
  expect(await build('tested', given)).toEqual({ exitCode: 7, lines: ['Tests failed with status 7.'] });
  expect((await engine.inspectImage(TAG))?.id).toBe(before?.id);
  const none = build('tested', { buildpack: [buildpack('testless', '')], test: true });
  await expect(none).rejects.toThrow('it has no bin/test');
});

test('of the same folder gives the same image, with the cache of before, and of another leaves no old one', async () => {
  const own = buildpack('caching', 'ls "$2"; touch "$2/cached"; echo "${MARK-}" > "$1/mark"');
  folder('again', APP);
  await build('again', { buildpack: [own] });
  const first = await engine.inspectImage(TAG);
  await build('again', { buildpack: [own] });
  expect(output).toContain('\ncached\n');
  expect((await engine.inspectImage(TAG))?.id).toBe(first?.id);

  folder('again', { extra: 'x' });
  await build('again', { buildpack: [own] });
  const images = await engine.listImages(ownedLabels(installationId, 'slug'));
  expect(images.flatMap(({ references }) => references)).toEqual([TAG]);
  expect(images.map(({ id }) => id)).not.toContain(first?.id);
});

test('says why a build failed, and leaves the image of before', async () => {
  const before = await engine.inspectImage(TAG);
  const own = buildpack('failing', 'echo about to fail; exit 3');
  folder('failing-app', APP);
  const failed = build('failing-app', { buildpack: [own] });
  await expect(failed).rejects.toThrow(new CommandError('Push rejected, failed to compile Test app.'));
  const end = [
    'about to fail',
    ' !     Push rejected, failed to compile Test app.',
    '',
    ' !     Build failed',
    '',
  ];
  expect(output.endsWith(end.join('\n'))).toBe(true);
  expect((await engine.inspectImage(TAG))?.id).toBe(before?.id);
  await expect(build('no-such-folder')).rejects.toThrow('no-such-folder is no folder.');
});

test('ends when it is called off, lets no other build of the folder in meanwhile, and leaves nothing', async () => {
  const own = buildpack('waiting', 'echo waiting; sleep 1000');
  folder('waiting-app', APP);
  const calledOff = new AbortController();
  const ended = build('waiting-app', { buildpack: [own] }, calledOff.signal);
  ended.catch(() => undefined);
  while (!output.includes('waiting\n')) await new Promise((resolve) => setTimeout(resolve, 50));
  await expect(build('waiting-app')).rejects.toThrow('Another build of this folder is in progress.');
  calledOff.abort();
  await expect(ended).rejects.toThrow('The build was canceled.');
  expect(await engine.list(ownedLabels(installationId, 'build'))).toEqual([]);
  expect(readdirSync(paths.folderBuilds)).toEqual([]);
  expect(readdirSync(paths.run)).toEqual([]);
});
