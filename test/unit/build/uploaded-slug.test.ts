import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { extract } from 'tar-stream';
import { writeUploadedLayer } from '../../../src/build/uploaded-slug';
import { tarOf, tgzOf } from '../../support/archives';

const signal = new AbortController().signal;

describe('the layer of a slug that was made elsewhere', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-slug-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  async function layerOf(content: Buffer): Promise<Buffer> {
    const archive = path.join(directory, 'slug.tgz');
    const layer = path.join(directory, 'layer.tar');
    writeFileSync(archive, content);
    await writeUploadedLayer(archive, layer, signal);
    return readFileSync(layer);
  }

  async function entriesOf(layer: Buffer): Promise<string[]> {
    const found: string[] = [];
    const entries = extract();
    entries.end(layer);
    for await (const entry of entries) {
      const { name, uid, gid, mode } = entry.header;
      found.push(`${name} ${uid}:${gid} ${mode.toString(8)}`);
      entry.resume();
    }
    return found;
  }

  test('has all of ./app, owned by the user of dynos, with the folders that the archive left out', async () => {
    const content = await tgzOf({
      './': { directory: true },
      './app/bin/web': { content: 'x', mode: 0o4755 },
      './app/closed': { directory: true, mode: 0o500 },
    });
    expect(await entriesOf(await layerOf(content))).toEqual([
      'app/ 10001:10001 755',
      'app/bin/ 10001:10001 755',
      'app/bin/web 10001:10001 755',
      'app/closed/ 10001:10001 700',
    ]);
  });

  test('is the same for the same archive', async () => {
    const content = await tgzOf({ 'app/a': 'a', 'app/b': 'b' });
    expect((await layerOf(content)).equals(await layerOf(content))).toBe(true);
  });

  test.each([
    ['is not gzipped', () => tarOf({ 'app/a': 'a' }), 'it is not gzipped'],
    ['has more than ./app', () => tgzOf({ 'app/a': 'a', 'etc/x': 'x' }), 'it has "etc/x" outside of ./app'],
    ['climbs out', () => tgzOf({ 'app/../../etc/x': 'x' }), 'its entry app/../../etc/x leads out of it'],
    ['has a file in the place of ./app', () => tgzOf({ app: 'x' }), './app is no folder'],
    [
      'has nothing in it',
      () => tgzOf({ 'app/': { directory: true } }),
      'there are no files below ./app in it',
    ],
    [
      'writes through a link',
      () =>
        tgzOf([
          ['app/up', { symlink: '/usr/bin' }],
          ['app/up/bash', 'x'],
        ]),
      'its entry app/up/bash lies behind the symbolic link app/up',
    ],
  ])('is not made of what %s', async (_what, content, reason) => {
    await expect(layerOf(await content())).rejects.toThrow(reason);
  });

  test('that cannot be written fails', async () => {
    const archive = path.join(directory, 'slug.tgz');
    writeFileSync(archive, await tgzOf({ 'app/a': 'a'.repeat(10_000) }));
    await expect(writeUploadedLayer(archive, '/dev/full', signal)).rejects.toMatchObject({ code: 'ENOSPC' });
  });
});
