import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { packRecipe, readRecipe, readVersions, recipeHash } from '../../../src/build/recipe';
import { nodeArchitecture, stackImageReferences } from '../../../src/build/stack-images';

const IMAGES = path.join(__dirname, '../../../images');

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'dynodock-recipes-'));
  await cp(IMAGES, directory, { recursive: true });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('references of the stack images', () => {
  it('are the same for the same recipes', async () => {
    expect(await stackImageReferences(directory, 'x86_64')).toEqual(
      await stackImageReferences(IMAGES, 'amd64'),
    );
  });

  it('have the form dynodock/<name>:<12 hexadecimal digits> and are all different', async () => {
    const { base, stacks } = await stackImageReferences(IMAGES, 'x86_64');
    const all = [base, ...Object.values(stacks).flatMap((images) => [images.run, images.build])];
    for (const reference of all) expect(reference).toMatch(/^dynodock\/[a-z0-9-]+:[0-9a-f]{12}$/);
    expect(new Set(all.map((reference) => reference.split(':')[1])).size).toBe(5);
  });

  it('differ between architectures', async () => {
    const x64 = await stackImageReferences(IMAGES, 'x86_64');
    const arm64 = await stackImageReferences(IMAGES, 'aarch64');
    expect(x64.base).not.toBe(arm64.base);
    expect(x64.stacks['heroku-24'].run).not.toBe(arm64.stacks['heroku-24'].run);
  });

  it('change for a recipe and all that is built on it, but not for what it is built on', async () => {
    const before = await stackImageReferences(directory, 'x86_64');
    await writeFile(path.join(directory, 'stack', 'run', 'versions.env'), 'NODE_VERSION=24.0.0\n');
    const after = await stackImageReferences(directory, 'x86_64');
    expect(after.base).toBe(before.base);
    for (const stack of ['heroku-24', 'heroku-22'] as const) {
      expect(after.stacks[stack].run).not.toBe(before.stacks[stack].run);
      expect(after.stacks[stack].build).not.toBe(before.stacks[stack].build);
    }
  });

  it('are refused for an architecture without Node.js', () => {
    expect(() => nodeArchitecture('riscv64')).toThrow('not for riscv64');
  });
});

describe('a recipe', () => {
  const file = (name: string, content: string) => ({ path: name, content: Buffer.from(content) });

  it('has another hash when bytes move from one file or fact to another', () => {
    const hashes = [
      recipeHash([file('a', 'xy'), file('b', '')], []),
      recipeHash([file('a', 'x'), file('b', 'y')], []),
      recipeHash([file('ab', 'xy')], []),
      recipeHash([file('a', 'xy')], ['b']),
      recipeHash([file('a', 'xy')], ['b', '']),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  it('is read in an order of its own and packed with executable scripts below one folder', async () => {
    const recipe = await readRecipe(path.join(directory, 'stack', 'run'));
    expect(recipe.map((entry) => entry.path)).toEqual(['dyno-launch', 'provision.sh', 'versions.env']);
    await writeFile(path.join(directory, 'large'), 'x'.repeat(200_000));
    const names: string[] = [];
    const reader = extract();
    packRecipe('folder', recipe, [{ path: 'node.tgz', hostPath: path.join(directory, 'large') }]).pipe(
      reader,
    );
    for await (const entry of reader) {
      names.push(`${entry.header.name} ${entry.header.mode.toString(8)} ${entry.header.uid}`);
      entry.resume();
    }
    expect(names).toEqual([
      'folder/ 755 0',
      'folder/dyno-launch 755 0',
      'folder/provision.sh 755 0',
      'folder/versions.env 755 0',
      'folder/node.tgz 644 0',
    ]);
  });

  it('whose file is missing fails the stream instead of ending it early', async () => {
    const tar = packRecipe('folder', [], [{ path: 'node.tgz', hostPath: path.join(directory, 'absent') }]);
    await expect(buffer(tar)).rejects.toThrow('ENOENT');
  });

  it('says versions in lines that the shell understands as well', async () => {
    const versions = readVersions(await readRecipe(path.join(IMAGES, 'stack', 'run')));
    expect(versions).toEqual({
      NODE_VERSION: expect.stringMatching(/^24\.\d+\.\d+$/),
      NPM_VERSION: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });
});
