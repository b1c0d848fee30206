import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { BuildFailure } from '../../build/build-failure';
import type { SlugImages } from '../../build/slug-images';
import { ArchiveError } from '../../build/tar-tree';
import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { parseChecksum } from '../../domain/build';
import { conflict, invalidParams, notFound, notSupported, PlatformError } from '../../domain/errors';
import { isUuid, type SlugId } from '../../domain/ids';
import { isProcessType, type ProcessTypes } from '../../domain/procfile';
import type { Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import type { SlugUpload } from '../../domain/slug-upload';
import { isStackName, STACK_IDS, STACK_NAMES, type StackName } from '../../domain/stack';
import { EngineError } from '../../engine/engine';
import type { AppResources } from '../apps/apps';
import {
  openBlob,
  PARTIAL_SUFFIX,
  receiveBlob,
  type BlobLimits,
  type OpenBlob,
  type Upload,
} from '../blobs/blob-file';
import type { BlobUrls } from '../blobs/blob-urls';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';

export interface SlugsOptions {
  /** Of archives that are not released yet: `<app id>/<slug id>.tgz`. */
  uploadsDir: string;
  urls: BlobUrls;
  limits: BlobLimits;
  images: Pick<SlugImages, 'adopt' | 'copy' | 'archivePath'>;
  releases: Pick<Releases, 'createFromSlug'>;
  /** Of the compressed slug. Default 500 MiB, as on Heroku. */
  slugMaxBytes?: number;
}

export interface NewSlug {
  processTypes: ProcessTypes;
  /** Name or id; absent = the one that the app is built for. */
  stack?: string | null;
  commit?: string | null;
  commitDescription?: string | null;
  buildpackProvidedDescription?: string | null;
  checksum?: string | null;
}

/** How long the URLs of archives are good. */
const URL_TTL_MS = 3_600_000;
const SLUG_MAX_BYTES = 500 * 1024 ** 2;

/**
 * Slugs, built here or elsewhere. One that is made elsewhere (Dev Center "Deploying Slugs using the Platform API") is
 * announced and uploaded; its first release checks it and makes it a slug like any other. The first release by another
 * app gives that app a copy, which does not depend on the slug that it was made from.
 */
export class Slugs implements AppResources {
  readonly #context: PlatformContext;
  readonly #options: SlugsOptions;
  /** Two releases of one slug at a time share the work. */
  readonly #underWay = new Map<string, Promise<Slug>>();

  constructor(context: PlatformContext, options: SlugsOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Removes what an earlier run of the daemon left half done. */
  async start(): Promise<void> {
    const { uploadsDir } = this.#options;
    await mkdir(uploadsDir, { recursive: true, mode: 0o700 });
    const names = await readdir(uploadsDir, { recursive: true });
    const unfinished = names.filter((name) => name.endsWith(PARTIAL_SUFFIX));
    await Promise.all(unfinished.map((name) => rm(path.join(uploadsDir, name), { force: true })));
  }

  find(app: App, id: string): Slug | SlugUpload {
    const { store } = this.#context;
    if (!isUuid(id)) throw notFound('slug');
    const slugId = id as SlugId;
    const found =
      [store.slugs.get(slugId), store.slugUploads.get(slugId)].find((slug) => slug?.appId === app.id) ??
      store.slugs.copyOf(slugId, app.id);
    // What releases of images consist of is no slug to the API.
    if (found === undefined || ('images' in found && found.images !== undefined)) throw notFound('slug');
    return found;
  }

  create(actor: Actor, app: App, input: NewSlug): SlugUpload {
    const { store, clock, newId } = this.#context;
    const now = clock.now();
    const upload: SlugUpload = {
      id: newId() as SlugId,
      appId: app.id,
      stack: parseStack(input.stack ?? app.buildStack),
      commit: emptyToNull(input.commit),
      commitDescription: emptyToNull(input.commitDescription),
      processTypes: parseProcessTypes(input.processTypes),
      buildpackProvidedDescription: emptyToNull(input.buildpackProvidedDescription),
      checksum: parseChecksum(input.checksum),
      size: null,
      createdAt: now,
      updatedAt: now,
    };
    store.transaction(() => {
      store.slugUploads.insert(upload);
      record(this.#context, app.id, actor, 'slug.create', { slug: upload.id });
    });
    return upload;
  }

  /** Path and query by which its archive is uploaded, or fetched. */
  blobPath(method: 'GET' | 'PUT', { id }: Pick<Slug, 'id'>): string {
    return this.#options.urls.sign(method, { kind: 'slugs', id }, URL_TTL_MS);
  }

  /** May be repeated until it is released; the last one counts. */
  async upload(id: string, upload: Upload): Promise<void> {
    const { store, clock } = this.#context;
    const slug = this.#awaited(id);
    const file = this.#uploadPath(slug);
    const size = await receiveBlob(file, upload, this.#options.limits);
    try {
      this.#awaited(id);
    } catch (error) {
      // The app was destroyed, or the slug released, while it came.
      await rm(file, { force: true });
      throw error;
    }
    store.slugUploads.setSize(slug.id, size, clock.now());
  }

  /** Its archive. Throws not_found before the upload, gone when it has expired. */
  async open(id: string): Promise<OpenBlob> {
    const { store } = this.#context;
    const slug = store.slugs.get(id as SlugId);
    const upload = store.slugUploads.get(id as SlugId);
    if (slug !== undefined) {
      const blob = await openBlob(this.#options.images.archivePath(slug.appId, slug.id));
      if (blob === undefined) throw expired();
      return blob;
    }
    const blob = upload === undefined ? undefined : await openBlob(this.#uploadPath(upload));
    if (blob === undefined) throw notFound('slug');
    return blob;
  }

  /** A new release of a slug: one of this app, made here or elsewhere, or one of another app. */
  async release(actor: Actor, app: App, slugId: string, description?: string): Promise<Release> {
    if (!isUuid(slugId)) throw notFound('slug');
    const slug = await this.#slugFor(app, slugId as SlugId);
    return this.#options.releases.createFromSlug(actor, app, slug.id, description);
  }

  /** The app is gone. */
  async remove(app: App): Promise<void> {
    await rm(path.join(this.#options.uploadsDir, app.id), { recursive: true, force: true });
  }

  async #slugFor(app: App, id: SlugId): Promise<Slug> {
    const { store } = this.#context;
    const upload = store.slugUploads.get(id);
    const slug = upload === undefined ? store.slugs.get(id) : await this.#once(id, () => this.#adopt(upload));
    if (slug === undefined || slug.images !== undefined) throw notFound('slug');
    return slug.appId === app.id ? slug : this.#once(`${id} ${app.id}`, () => this.#copy(slug, app));
  }

  async #once(key: string, work: () => Promise<Slug>): Promise<Slug> {
    let underWay = this.#underWay.get(key);
    if (underWay === undefined) {
      underWay = work().finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, underWay);
    }
    try {
      return await underWay;
    } catch (error) {
      throw toPlatformError(error);
    }
  }

  async #adopt(upload: SlugUpload): Promise<Slug> {
    const { store, clock } = this.#context;
    const { images, slugMaxBytes = SLUG_MAX_BYTES } = this.#options;
    const file = this.#uploadPath(upload);
    if (upload.size === null || !existsSync(file)) {
      throw invalidParams(
        'Nothing has been uploaded for this slug yet. PUT its archive to the URL in blob.url first.',
      );
    }
    const adopted = await images.adopt(upload, file, slugMaxBytes);
    const slug: Slug = { ...upload, ...adopted, uploaded: true, updatedAt: clock.now() };
    await this.#keep(slug, () => store.slugUploads.delete(upload.id));
    await rm(file, { force: true });
    return slug;
  }

  async #copy(slug: Slug, app: App): Promise<Slug> {
    const { store, clock, newId } = this.#context;
    const { images } = this.#options;
    const before = store.slugs.copyOf(slug.id, app.id);
    if (before !== undefined && existsSync(images.archivePath(app.id, before.id))) return before;
    const now = clock.now();
    const copy: Slug = {
      ...slug,
      id: newId() as SlugId,
      appId: app.id,
      copiedFrom: slug.id,
      createdAt: now,
      updatedAt: now,
    };
    const image = await images.copy(slug, copy).catch((error: unknown) => {
      throw error instanceof EngineError && error.kind === 'not_found' ? expired(error) : error;
    });
    return this.#keep({ ...copy, image });
  }

  async #keep(slug: Slug, alongside: () => void = () => undefined): Promise<Slug> {
    const { store } = this.#context;
    try {
      store.transaction(() => {
        if (store.apps.get(slug.appId) === undefined) throw notFound('app');
        alongside();
        store.slugs.insert(slug);
      });
      return slug;
    } catch (error) {
      // Its image is found by the next look at the disk.
      await rm(this.#options.images.archivePath(slug.appId, slug.id), { force: true });
      throw error;
    }
  }

  #awaited(id: string): SlugUpload {
    const { store } = this.#context;
    const upload = store.slugUploads.get(id as SlugId);
    if (upload !== undefined) return upload;
    throw store.slugs.get(id as SlugId) === undefined
      ? notFound('slug')
      : conflict('This slug has been released; its archive cannot be replaced.');
  }

  #uploadPath({ appId, id }: Pick<SlugUpload, 'appId' | 'id'>): string {
    return path.join(this.#options.uploadsDir, appId, `${id}.tgz`);
  }
}

function parseStack(text: string): StackName {
  const name = STACK_NAMES.find((stack) => STACK_IDS[stack] === text) ?? text;
  if (!isStackName(name)) {
    throw invalidParams(`Stack ${text} is not available. Available stacks: ${STACK_NAMES.join(', ')}.`);
  }
  if (name === 'container') throw notSupported('Slugs are not of the container stack.');
  return name;
}

function parseProcessTypes(types: ProcessTypes): ProcessTypes {
  for (const [type, command] of Object.entries(types)) {
    if (!isProcessType(type)) {
      throw invalidParams('A process type is made of letters, digits, dashes and underscores.');
    }
    if (command.trim() === '') throw invalidParams(`There is no command for process type ${type}.`);
  }
  return types;
}

function emptyToNull(text: string | null | undefined): string | null {
  return text == null || text === '' ? null : text;
}

function expired(cause?: unknown): PlatformError {
  return new PlatformError('gone', 'The slug has expired.', 'slug', { cause });
}

function toPlatformError(error: unknown): unknown {
  const unavailable = (message: string): PlatformError =>
    new PlatformError('service_unavailable', message, undefined, { cause: error });
  if (error instanceof ArchiveError) {
    return invalidParams(`The slug's archive cannot be used: ${error.message}.`);
  }
  if (error instanceof BuildFailure) return invalidParams(error.message);
  if (error instanceof EngineError) {
    switch (error.kind) {
      case 'unreachable':
        return unavailable('The container engine does not answer.');
      case 'no_space':
        return unavailable('The disk is full.');
      default:
        return error;
    }
  }
  return (error as NodeJS.ErrnoException | null)?.code === 'ENOSPC'
    ? unavailable('The disk is full.')
    : error;
}
