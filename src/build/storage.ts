import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { AppId, BuildId, SlugId } from '../domain/ids';
import {
  EngineError,
  type ContainerEngine,
  type DiskUsage,
  type ImageInfo,
  type Labels,
} from '../engine/engine';
import { CURRENT_FILE, currentFile, UNFINISHED_PREFIX } from './buildpack-cache';
import { APP_LABEL, INSTALLATION_LABEL, ownedLabels, ROLE_LABEL, type Role } from '../engine/labels';

export interface StorageOptions {
  engine: ContainerEngine;
  installationId: string;
  /** `<app id>/<slug id>.tgz` */
  slugsDir: string;
  /** `<app id>/<build id>.txt` */
  outputDir: string;
  workDir: string;
  /** Buildpacks from elsewhere: a folder per place, a file per revision. */
  buildpackCacheDir: string;
  /** Archives of source code: `<id>.tgz`. */
  sourcesDir: string;
  /** Archives of slugs that are not released yet: `<app id>/<slug id>.tgz`. */
  uploadsDir: string;
}

const FOLDER_BUILDS = '-folders';

/**
 * In place of an installation's id on what `dynodock build` makes, which no daemon looks after. It keeps nothing from
 * being removed either: an image that a build wants is made again.
 */
export function folderBuildsId(dataDir: string): string {
  return `${createHash('sha256').update(dataDir).digest('hex').slice(0, 8)}${FOLDER_BUILDS}`;
}

interface StoredImage {
  id: string;
  references: readonly string[];
  /** What goes with it: what it shares with other images is not counted. null where the engine was not asked. */
  bytes: number | null;
}
interface StoredFile {
  path: string;
  bytes: number;
  modifiedAt: Date;
}

/** Something that a build has left on the disk, here or at the engine. */
export type Stored =
  | ({ kind: 'slug-image'; appId: AppId } & StoredImage)
  /** Stages of Dockerfiles that no image of a release is made of. */
  | ({ kind: 'build-layers'; appId: AppId; createdAt: Date } & StoredImage)
  /** Of every installation on the engine: the run and build images, their base, and the daemon's own. */
  | ({ kind: 'stack-image'; createdAt: Date } & StoredImage)
  | { kind: 'build-cache'; appId: AppId; name: string; bytes: number | null }
  /** `slugId` is what the file is called; there need not be such a slug. */
  | ({ kind: 'slug-archive'; appId: AppId; slugId: SlugId } & StoredFile)
  | ({ kind: 'build-output'; appId: AppId; buildId: BuildId } & StoredFile)
  /** `modifiedAt` is when a build last used it; `current`: what the place's next build uses, if nothing is newer. */
  | ({ kind: 'buildpack'; current: boolean } & StoredFile)
  | ({ kind: 'slug-upload'; appId: AppId; slugId: SlugId } & StoredFile)
  | ({ kind: 'source-blob' } & StoredFile)
  | ({ kind: 'work-file' } & StoredFile);

export interface StorageView {
  things: Stored[];
  /** References and ids of the images of all containers that the engine has, or of the one app's. */
  imagesInUse: ReadonlySet<string>;
  /** Ids of other installations that have something on the same engine. */
  otherInstallations: ReadonlySet<string>;
  /** All images of the engine together; null where it was not asked, or could not tell. */
  imagesBytes: number | null;
}

/** What builds leave behind: finds and removes it, but does not decide about it. */
export class Storage {
  readonly #options: StorageOptions;

  constructor(options: StorageOptions) {
    this.#options = options;
  }

  /** All of it with its sizes; or, quicker, what belongs to one app, without what only the engine can measure. */
  async look(appId?: AppId): Promise<StorageView> {
    const { engine, slugsDir, outputDir, workDir, sourcesDir, uploadsDir } = this.#options;
    const usage = appId === undefined ? await this.#diskUsage() : undefined;
    const things: Stored[] = [
      ...(await this.#slugImages(usage, appId)),
      ...(await this.#layers(usage, appId)),
      ...(await filesOfApps(slugsDir, appId)).map(({ app, name, ...file }) => ({
        kind: 'slug-archive' as const,
        appId: app,
        slugId: name as SlugId,
        ...file,
      })),
      ...(await filesOfApps(outputDir, appId)).map(({ app, name, ...file }) => ({
        kind: 'build-output' as const,
        appId: app,
        buildId: name as BuildId,
        ...file,
      })),
      ...(await filesOfApps(uploadsDir, appId)).map(({ app, name, ...file }) => ({
        kind: 'slug-upload' as const,
        appId: app,
        slugId: name as SlugId,
        ...file,
      })),
    ];
    if (appId === undefined) {
      things.push(...(await this.#buildpacks()));
      things.push(...(await this.#stackImages(usage)), ...(await this.#caches(usage)));
      for (const file of await filesIn(workDir)) things.push({ kind: 'work-file', ...file });
      for (const file of await filesIn(sourcesDir)) things.push({ kind: 'source-blob', ...file });
    }
    const containers = await engine.list(appId === undefined ? {} : { [APP_LABEL]: appId });
    return {
      things,
      imagesInUse: new Set(containers.map(({ image }) => image)),
      otherInstallations: appId === undefined ? await this.#otherInstallations(containers) : new Set(),
      imagesBytes: usage?.imagesBytes ?? null,
    };
  }

  /** All images of the engine together; null where it cannot tell. */
  async imagesBytes(): Promise<number | null> {
    return (await this.#diskUsage())?.imagesBytes ?? null;
  }

  /** Gone already is success. Fails with EngineError `conflict` while a container uses it. */
  async remove(thing: Stored): Promise<void> {
    const { engine } = this.#options;
    switch (thing.kind) {
      case 'slug-image':
      case 'build-layers':
      case 'stack-image':
        for (const name of thing.references.length === 0 ? [thing.id] : thing.references) {
          await engine.removeImage(name);
        }
        return;
      case 'build-cache':
        return engine.removeVolume(thing.name);
      case 'slug-archive':
      case 'build-output':
      case 'buildpack':
      case 'slug-upload':
      case 'source-blob':
      case 'work-file':
        return rm(thing.path, { recursive: true, force: true });
    }
  }

  async #buildpacks(): Promise<Stored[]> {
    const { buildpackCacheDir } = this.#options;
    const found: Stored[] = [];
    for (const place of await entriesOf(buildpackCacheDir)) {
      const folder = path.join(buildpackCacheDir, place.name);
      const current = await currentFile(folder);
      for (const { name } of await entriesOf(folder)) {
        // Goes with what it speaks of.
        if (name === CURRENT_FILE) continue;
        const file = path.join(folder, name);
        const measured = await measure(file);
        if (measured === undefined) continue;
        const isUnfinished = name.startsWith(UNFINISHED_PREFIX);
        found.push(
          isUnfinished
            ? { kind: 'work-file', ...measured }
            : { kind: 'buildpack', current: file === current, ...measured },
        );
      }
    }
    return found;
  }

  async #diskUsage(): Promise<DiskUsage | undefined> {
    try {
      return await this.#options.engine.diskUsage();
    } catch (error) {
      // It counts for somebody else just now, or has no such call: sizes are then not known, which is no failure.
      if (error instanceof EngineError && error.kind !== 'unreachable') return undefined;
      throw error;
    }
  }

  async #slugImages(usage: DiskUsage | undefined, appId: AppId | undefined): Promise<Stored[]> {
    const { engine, installationId } = this.#options;
    const labels = ownedLabels(installationId, 'slug', appId === undefined ? {} : { [APP_LABEL]: appId });
    const images = await engine.listImages(labels);
    return images.map((image) => ({
      kind: 'slug-image',
      appId: (image.labels[APP_LABEL] ?? '') as AppId,
      ...toStored(image, usage),
    }));
  }

  async #layers(usage: DiskUsage | undefined, appId: AppId | undefined): Promise<Stored[]> {
    const { engine, installationId } = this.#options;
    const labels = ownedLabels(installationId, 'layers', appId === undefined ? {} : { [APP_LABEL]: appId });
    return (await engine.listImages(labels)).map((image) => ({
      kind: 'build-layers',
      appId: (image.labels[APP_LABEL] ?? '') as AppId,
      createdAt: image.createdAt,
      ...toStored(image, usage),
    }));
  }

  async #stackImages(usage: DiskUsage | undefined): Promise<Stored[]> {
    const images = await this.#options.engine.listImages({ [ROLE_LABEL]: 'stack' satisfies Role });
    return images.map((image) => ({
      kind: 'stack-image',
      createdAt: image.createdAt,
      ...toStored(image, usage),
    }));
  }

  async #caches(usage: DiskUsage | undefined): Promise<Stored[]> {
    const { engine, installationId } = this.#options;
    const volumes = await engine.listVolumes(ownedLabels(installationId, 'cache'));
    return volumes.map(({ name, labels }) => ({
      kind: 'build-cache',
      appId: (labels[APP_LABEL] ?? '') as AppId,
      name,
      bytes: usage?.volumes.get(name) ?? null,
    }));
  }

  async #otherInstallations(containers: readonly { labels: Labels }[]): Promise<ReadonlySet<string>> {
    const { engine, installationId } = this.#options;
    const found: { labels: Labels }[] = [
      ...(await engine.listImages({ [ROLE_LABEL]: 'slug' satisfies Role })),
      ...(await engine.listVolumes({ [ROLE_LABEL]: 'cache' satisfies Role })),
      ...containers,
    ];
    const ids = found.flatMap(({ labels }) => labels[INSTALLATION_LABEL] ?? []);
    return new Set(ids.filter((id) => id !== installationId && !id.endsWith(FOLDER_BUILDS)));
  }
}

function toStored({ id, references }: ImageInfo, usage: DiskUsage | undefined): StoredImage {
  return { id, references, bytes: usage?.images.get(id) ?? null };
}

/** Files that lie in a folder per app; `name` is without its extension. */
async function filesOfApps(
  directory: string,
  appId: AppId | undefined,
): Promise<({ app: AppId; name: string } & StoredFile)[]> {
  const apps =
    appId === undefined
      ? (await entriesOf(directory)).filter((entry) => entry.isDirectory()).map(({ name }) => name as AppId)
      : [appId];
  const found: ({ app: AppId; name: string } & StoredFile)[] = [];
  for (const app of apps) {
    for (const entry of await entriesOf(path.join(directory, app))) {
      const file = await measure(path.join(directory, app, entry.name));
      if (file !== undefined) found.push({ app, name: entry.name.replace(/\..*$/, ''), ...file });
    }
  }
  return found;
}

async function filesIn(directory: string): Promise<StoredFile[]> {
  const files = (await entriesOf(directory)).map(({ name }) => measure(path.join(directory, name)));
  return (await Promise.all(files)).filter((file) => file !== undefined);
}

/** Nothing where there is no such folder. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** A file, or a folder with all that is in it; undefined if it is gone meanwhile. */
async function measure(file: string): Promise<StoredFile | undefined> {
  try {
    const { size, mtime } = await lstat(file);
    let bytes = size;
    for (const name of await namesBelow(file)) bytes += (await lstat(path.join(file, name))).size;
    return { path: file, bytes, modifiedAt: mtime };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function namesBelow(file: string): Promise<string[]> {
  try {
    return await readdir(file, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return [];
    throw error;
  }
}
