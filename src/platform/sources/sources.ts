import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { BuildFailure } from '../../build/build-failure';
import { notFound } from '../../domain/errors';
import {
  openBlob,
  PARTIAL_SUFFIX,
  receiveBlob,
  type BlobLimits,
  type OpenBlob,
  type Upload,
} from '../blobs/blob-file';
import type { Blob, BlobUrls } from '../blobs/blob-urls';
import type { PlatformContext } from '../context';

export interface SourcesOptions {
  /** `<id>.tgz` */
  directory: string;
  urls: BlobUrls;
  limits: BlobLimits;
}

export interface NewSource {
  /** Paths and queries. */
  putPath: string;
  getPath: string;
}

/** How long both URLs of a source are good, and what was uploaded is kept. Heroku's are good for an hour. */
export const SOURCE_TTL_MS = 24 * 3_600_000;

/**
 * Archives of source code on their way to a build (`POST /sources`). There is no record of one but its file: the URLs
 * say by themselves what they are good for.
 */
export class Sources {
  readonly #context: Pick<PlatformContext, 'clock' | 'newId'>;
  readonly #options: SourcesOptions;

  constructor(context: Pick<PlatformContext, 'clock' | 'newId'>, options: SourcesOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Removes what an earlier run of the daemon left half done, and what is too old. */
  async start(): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(directory)) {
      const file = path.join(directory, name);
      const { mtimeMs } = await stat(file);
      const age = this.#context.clock.now().getTime() - mtimeMs;
      if (name.endsWith(PARTIAL_SUFFIX) || age >= SOURCE_TTL_MS)
        await rm(file, { recursive: true, force: true });
    }
  }

  create(): NewSource {
    const { urls } = this.#options;
    const blob: Blob = { kind: 'sources', id: this.#context.newId() };
    return {
      putPath: urls.sign('PUT', blob, SOURCE_TTL_MS),
      getPath: urls.sign('GET', blob, SOURCE_TTL_MS),
    };
  }

  /** May be repeated; the last one counts. */
  async upload(id: string, upload: Upload): Promise<void> {
    await receiveBlob(this.#path(id), upload, this.#options.limits);
  }

  /** Throws not_found before the upload, and when it was too long ago. */
  async open(id: string): Promise<OpenBlob> {
    const blob = await openBlob(this.#path(id));
    if (blob === undefined) throw notFound('source');
    return blob;
  }

  /** The file behind a `get_url`, under whatever name the client reaches us; undefined for URLs of others. */
  localFile(url: URL): string | undefined {
    const blob = this.#options.urls.verify('GET', url);
    if (blob?.kind !== 'sources') return undefined;
    if (blob.expired) throw new BuildFailure('source', 'The URL of the source has expired.');
    const file = this.#path(blob.id);
    if (existsSync(file)) return file;
    throw new BuildFailure('source', 'Nothing has been uploaded to the URL of the source yet.');
  }

  #path(id: string): string {
    return path.join(this.#options.directory, `${id}.tgz`);
  }
}
