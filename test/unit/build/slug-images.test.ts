import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { SlugImages } from '../../../src/build/slug-images';
import type { AppId, SlugId } from '../../../src/domain/ids';
import type { Slug } from '../../../src/domain/slug';
import { APP_LABEL, ownedLabels } from '../../../src/engine/labels';
import { tgzOf } from '../../support/archives';
import { FakeClock } from '../../support/fake-clock';
import { FakeEngine } from '../../support/fake-engine';

const COMMITTED = new Date('2024-05-06T07:08:09Z');

async function aTar(): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name: 'app/', type: 'directory', mtime: COMMITTED });
  tar.entry({ name: 'app/a', mtime: COMMITTED }, 'content');
  tar.finalize();
  return buffer(tar);
}

describe('SlugImages', () => {
  let directory: string;
  let engine: FakeEngine;
  let base: string;
  let images: SlugImages;
  let slug: { id: SlugId; appId: AppId; stack: 'heroku-24'; checksum: string };
  let layer: string;

  beforeEach(async () => {
    directory = mkdtempSync(path.join(tmpdir(), 'dynodock-slug-images-'));
    engine = new FakeEngine(new FakeClock());
    base = 'run:1';
    engine.addImage('run:1');
    engine.addImage('run:2');
    images = new SlugImages({
      engine,
      installationId: 'test',
      imagesFor: () => ({ run: base }),
      slugsDir: path.join(directory, 'slugs'),
      workDir: path.join(directory, 'work'),
    });
    const tar = await aTar();
    const archive = gzipSync(tar);
    slug = {
      id: randomUUID() as SlugId,
      appId: randomUUID() as AppId,
      stack: 'heroku-24',
      checksum: `SHA256:${createHash('sha256').update(archive).digest('hex')}`,
    };
    mkdirSync(path.dirname(images.archivePath(slug.appId, slug.id)), { recursive: true });
    writeFileSync(images.archivePath(slug.appId, slug.id), archive);
    layer = path.join(directory, 'layer.tar');
    writeFileSync(layer, tar);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('an image that is made again from the archive is the same one', async () => {
    const reference = await images.make(slug, layer);
    const made = await engine.inspectImage(reference);
    await engine.removeImage(reference);
    expect(await images.restore(slug)).toBe(reference);
    expect(await engine.inspectImage(reference)).toEqual(made);
    expect(made?.createdAt).toEqual(COMMITTED);
    expect(made?.labels).toEqual(ownedLabels('test', 'slug', { [APP_LABEL]: slug.appId }));
    expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
  });

  test('on a newer stack it is made on that one, under another name', async () => {
    const reference = await images.make(slug, layer);
    base = 'run:2';
    const restored = await images.restore(slug);
    expect(restored).not.toBe(reference);
    expect(await engine.inspectImage(restored)).toBeDefined();
  });

  test('is made once for all who want it at the same time', async () => {
    const [one, two] = [images.restore(slug), images.restore(slug)];
    expect(two).toBe(one);
    await one;
    // Later is another time.
    const three = images.restore(slug);
    expect(three).not.toBe(one);
    await three;
  });

  test('without the archive it says what is missing', async () => {
    rmSync(images.archivePath(slug.appId, slug.id));
    await expect(images.restore(slug)).rejects.toMatchObject({
      name: 'EngineError',
      kind: 'not_found',
      message: 'neither the image of the slug nor its archive is there',
    });
  });

  test('an archive that is not what was built becomes no image', async () => {
    const file = images.archivePath(slug.appId, slug.id);
    const changed = gzipSync(Buffer.from('something else'));
    writeFileSync(file, changed);
    await expect(images.restore(slug)).rejects.toMatchObject({ kind: 'other' });
    writeFileSync(file, readFileSync(file).subarray(0, 10));
    await expect(images.restore(slug)).rejects.toMatchObject({ kind: 'other' });
    expect(await engine.listImages(ownedLabels('test', 'slug'))).toEqual([]);
    expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
  });

  describe('of a slug that was made elsewhere', () => {
    let file: string;
    let upload: { id: SlugId; appId: AppId; stack: 'heroku-24'; checksum: string | null };
    let sum: string;

    beforeEach(async () => {
      file = path.join(directory, 'upload.tgz');
      const archive = await tgzOf({ './app/bin/web': 'x' });
      writeFileSync(file, archive);
      sum = `SHA256:${createHash('sha256').update(archive).digest('hex')}`;
      upload = { id: randomUUID() as SlugId, appId: slug.appId, stack: 'heroku-24', checksum: null };
    });

    test('are the same one when they are made again, and for equal archives', async () => {
      const adopted = await images.adopt({ ...upload, checksum: sum.toUpperCase() }, file, 1000);
      expect(adopted).toMatchObject({ checksum: sum, size: readFileSync(file).length });
      rmSync(file);
      const made = await engine.inspectImage(adopted.image);
      await engine.removeImage(adopted.image);
      expect(await images.restore({ ...upload, ...adopted, uploaded: true })).toBe(adopted.image);
      expect(await engine.inspectImage(adopted.image)).toEqual(made);
      const archive = images.archivePath(upload.appId, upload.id);
      const again = await images.adopt({ ...upload, id: randomUUID() as SlugId }, archive, 1000);
      expect(again).toEqual(adopted);
      expect(readdirSync(path.join(directory, 'work'))).toEqual([]);
    });

    test.each<[string, () => [checksum: string | null, maxBytes: number], string]>([
      ['is too large', () => [null, 10], `Compiled slug size: `],
      [
        'is not what was announced',
        () => [`SHA256:${'0'.repeat(64)}`, 1000],
        `Checksum does match expected value. Expected: SHA256:${'0'.repeat(64)} Actual: SHA256:`,
      ],
    ])('are not made of what %s', async (_what, given, message) => {
      const [checksum, maxBytes] = given();
      await expect(images.adopt({ ...upload, checksum }, file, maxBytes)).rejects.toThrow(message);
      expect(readdirSync(path.join(directory, 'slugs', upload.appId))).toEqual([`${slug.id}.tgz`]);
      expect(await engine.listImages(ownedLabels('test', 'slug'))).toEqual([]);
    });

    test('and copies for another app outlive the one that they are made of', async () => {
      const adopted = await images.adopt(upload, file, 1000);
      const original = { ...upload, ...adopted, uploaded: true } as Slug;
      const copy = { ...original, id: randomUUID() as SlugId, appId: randomUUID() as AppId };
      const image = await images.copy(original, copy);
      rmSync(path.join(directory, 'slugs', upload.appId), { recursive: true });
      await engine.removeImage(adopted.image);
      expect(await engine.inspectImage(image)).toMatchObject({ labels: { [APP_LABEL]: copy.appId } });
      await engine.removeImage(image);
      expect(await images.restore(copy)).toBe(image);
      await expect(images.copy(original, { ...copy, id: randomUUID() as SlugId })).rejects.toMatchObject({
        kind: 'not_found',
      });
    });
  });
});
