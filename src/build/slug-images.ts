import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, link, mkdir, open, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { AppId, SlugId } from '../domain/ids';
import type { Slug } from '../domain/slug';
import type { StackName } from '../domain/stack';
import { EngineError, type ContainerEngine } from '../engine/engine';
import { APP_LABEL, ownedLabels } from '../engine/labels';
import { slugTooLarge } from './build-failure';
import { formatSize } from './output';
import { ArchiveError } from './tar-tree';
import { checksumOf, writeUploadedLayer } from './uploaded-slug';

export interface SlugImagesOptions {
  engine: ContainerEngine;
  installationId: string;
  imagesFor: (stack: StackName) => { run: string };
  /** Where slug archives are kept, as `<app id>/<slug id>.tgz`. */
  slugsDir: string;
  /** For temporary files as large as a slug. */
  workDir: string;
}

type RestorableSlug = Pick<Slug, 'id' | 'appId' | 'stack' | 'checksum' | 'uploaded'>;

/** In a tar's header: the entry's modification time, octal digits (POSIX.1-2017 pax, "ustar Interchange Format"). */
const MTIME = { offset: 136, length: 12 };

/** What slugs run as: the run image of their stack plus one layer. */
export class SlugImages {
  readonly #options: SlugImagesOptions;
  readonly #restoring = new Map<string, Promise<string>>();

  constructor(options: SlugImagesOptions) {
    this.#options = options;
  }

  archivePath(appId: AppId, slugId: SlugId): string {
    return path.join(this.#options.slugsDir, appId, `${slugId}.tgz`);
  }

  /** A file for a slug's plain tar, which the caller removes. */
  newLayerPath(): string {
    return path.join(this.#options.workDir, `slug-${randomUUID()}.tar`);
  }

  /** Equal slugs on equal stacks are one image. Answers its reference. */
  async make(
    slug: Pick<Slug, 'appId' | 'stack' | 'checksum'>,
    layerTarPath: string,
    layer?: { diffId: string; sizeBytes: number },
  ): Promise<string> {
    const { engine, installationId, imagesFor } = this.#options;
    const base = imagesFor(slug.stack).run;
    const reference = referenceOf(slug, base);
    if ((await engine.inspectImage(reference)) !== undefined) return reference;
    await engine.addLayer({
      base,
      reference,
      layerTarPath,
      ...(layer === undefined ? {} : { layer }),
      config: { labels: ownedLabels(installationId, 'slug', { [APP_LABEL]: slug.appId }) },
      createdAt: await timeOf(layerTarPath),
    });
    return reference;
  }

  /**
   * Makes the image of a slug once more, from its archive: the same image where the stack is still the same, else one
   * on the stack as it is now. Answers its reference. Fails with EngineError, as starting a container of it would.
   */
  restore(slug: RestorableSlug): Promise<string> {
    // All dynos of an app ask for it at once.
    let restoring = this.#restoring.get(slug.id);
    if (restoring === undefined) {
      restoring = this.#restore(slug).finally(() => this.#restoring.delete(slug.id));
      this.#restoring.set(slug.id, restoring);
    }
    return restoring;
  }

  /**
   * Takes the archive of a slug that was made elsewhere: checks it, makes its image and keeps it. Equal archives on
   * equal stacks are one image. Throws ArchiveError or BuildFailure for what is wrong with it, EngineError or what the
   * disk says for the rest.
   */
  async adopt(
    slug: Pick<Slug, 'id' | 'appId' | 'stack'> & { checksum: string | null },
    file: string,
    maxBytes: number,
  ): Promise<Pick<Slug, 'checksum' | 'size' | 'image'>> {
    const { size } = await stat(file);
    if (size > maxBytes) throw slugTooLarge(formatSize(size), formatSize(maxBytes));
    const archivePath = this.archivePath(slug.appId, slug.id);
    const layerPath = this.newLayerPath();
    try {
      await mkdir(this.#options.workDir, { recursive: true });
      // A name of its own for this very content: the upload may be repeated meanwhile.
      await linkOrCopy(file, archivePath);
      const checksum = await checksumOf(archivePath);
      if (slug.checksum !== null && checksum.toLowerCase() !== slug.checksum.toLowerCase()) {
        // The text of Heroku's R17 (Dev Center "Error Codes").
        throw new ArchiveError(
          `Checksum does match expected value. Expected: ${slug.checksum} Actual: ${checksum}`,
        );
      }
      await writeUploadedLayer(archivePath, layerPath, new AbortController().signal);
      return { checksum, size, image: await this.make({ ...slug, checksum }, layerPath) };
    } catch (error) {
      await rm(archivePath, { force: true });
      throw error;
    } finally {
      await rm(layerPath, { force: true });
    }
  }

  /** Gives another app's slug an archive and an image of its own. Fails with EngineError `not_found` if it has expired. */
  async copy(slug: Slug, copy: RestorableSlug): Promise<string> {
    const archivePath = this.archivePath(copy.appId, copy.id);
    try {
      await linkOrCopy(this.archivePath(slug.appId, slug.id), archivePath);
      return await this.restore(copy);
    } catch (error) {
      await rm(archivePath, { force: true });
      throw error instanceof EngineError ? error : failureOf(error);
    }
  }

  async #restore(slug: RestorableSlug): Promise<string> {
    const layerPath = this.newLayerPath();
    try {
      await mkdir(this.#options.workDir, { recursive: true });
      const archivePath = this.archivePath(slug.appId, slug.id);
      const checksum =
        slug.uploaded === true ? await checksumOf(archivePath) : await unpack(archivePath, layerPath);
      if (checksum !== slug.checksum) {
        // Heroku's R17 (Dev Center "Error Codes").
        throw new EngineError('other', `the slug's archive has changed: its checksum is ${checksum}`);
      }
      if (slug.uploaded === true)
        await writeUploadedLayer(archivePath, layerPath, new AbortController().signal);
      return await this.make(slug, layerPath);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw failureOf(error);
    } finally {
      await rm(layerPath, { force: true });
    }
  }
}

/** One content under two names, which go one by one; and young, so that it is not taken for something left behind. */
async function linkOrCopy(file: string, target: string): Promise<void> {
  await mkdir(path.dirname(target), { recursive: true });
  await rm(target, { force: true });
  try {
    await link(file, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw error;
    // Not all file systems have hard links.
    await copyFile(file, target);
  }
  const now = new Date();
  await utimes(target, now, now);
}

function referenceOf({ appId, checksum }: Pick<Slug, 'appId' | 'checksum'>, base: string): string {
  const content = createHash('sha256').update(`${base}\n${checksum}`).digest('hex').slice(0, 16);
  return `dynodock/slug:${appId.slice(0, 8)}-${content}`;
}

/** Answers the archive's checksum. */
async function unpack(archivePath: string, layerPath: string): Promise<string> {
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  await pipeline(
    createReadStream(archivePath),
    hashing,
    createGunzip(),
    createWriteStream(layerPath, { mode: 0o600 }),
  );
  return `SHA256:${hash.digest('hex')}`;
}

/**
 * The image's creation time: that of the slug's first file, which builds set to the commit's. Taken from the slug
 * alone, so that an image made again from the archive is the same one.
 */
async function timeOf(layerTarPath: string): Promise<Date> {
  const file = await open(layerTarPath, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(MTIME.length), 0, MTIME.length, MTIME.offset);
    const seconds = Number.parseInt(buffer.toString('latin1'), 8);
    return new Date((Number.isFinite(seconds) ? seconds : 0) * 1000);
  } finally {
    await file.close();
  }
}

function failureOf(error: unknown): EngineError {
  const cause = { cause: error };
  switch ((error as NodeJS.ErrnoException | undefined)?.code) {
    case 'ENOENT':
      return new EngineError('not_found', 'neither the image of the slug nor its archive is there', cause);
    case 'ENOSPC':
      return new EngineError('no_space', 'the disk is full', cause);
    default:
      return new EngineError('other', 'the image of the slug could not be made from its archive', cause);
  }
}
