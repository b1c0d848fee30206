import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import type { Clock } from '../lib/clock';
import { download, DownloadError } from '../lib/download';
import { ArchiveError, copyArchive, UnpackBudget } from './archive-copy';
import { BuildpackFetchError } from './buildpack-fetch-error';
import type { BuildpackSource } from './buildpacks';
import { archiveGitBuildpack } from './git-buildpack';
import { GitRemote } from './git-remote';

export interface BuildpackCacheOptions {
  /** Below it a folder per place that buildpacks were fetched from. */
  directory: string;
  /** PEM file of the authorities to trust, where that is not the list of git and Node. */
  authoritiesFile?: string | undefined;
  clock: Clock;
  limits?: Partial<BuildpackLimits>;
}

export interface BuildpackLimits {
  /** Of an archive as it is sent, and of a git repository as it is fetched. Default 256 MiB. */
  maxBytes: number;
  /** Of all files together. Default 1 GiB. */
  maxUnpackedBytes: number;
  maxEntries: number;
  /** To ask what is new. With a copy here the wait is not worth more. Default 10 s. */
  askTimeoutMs: number;
  /** Default 5 minutes. */
  fetchTimeoutMs: number;
}

const DEFAULTS: BuildpackLimits = {
  maxBytes: 256 * 1024 ** 2,
  maxUnpackedBytes: 1024 ** 3,
  maxEntries: 100_000,
  askTimeoutMs: 10_000,
  fetchTimeoutMs: 5 * 60_000,
};

/** A buildpack that was fetched, as it is on this machine. */
export interface FetchedBuildpack {
  /** Commit, or `sha256:<hex>` of an archive. */
  revision: string;
  /** Gzipped tar with its files, possibly in a folder of their own. */
  file: string;
  /** Set when nobody could be asked whether it is still the newest. */
  stale?: { reason: BuildpackFetchError; checkedAt: Date };
}

type Fetchable = Extract<BuildpackSource, { kind: 'git' | 'archive' }>;

/** What `current.json` in the folder of a place says. */
interface Current {
  revision: string;
  checkedAt: number;
  etag: string | null;
  lastModified: string | null;
}

/** A full commit id: what it names never changes. */
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
export const CURRENT_FILE = 'current.json';
export const UNFINISHED_PREFIX = 'unfinished-';

/**
 * Buildpacks from elsewhere, each revision an archive on this machine. What is asked first is whether there is a newer
 * one; only that is fetched, and if nobody can be asked the last one serves. Two that fetch the same at once do the
 * work twice and end with the same file. Old revisions are left to whoever reclaims disk space.
 */
export class BuildpackCache {
  readonly #options: BuildpackCacheOptions;
  readonly #limits: BuildpackLimits;

  constructor(options: BuildpackCacheOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULTS, ...options.limits };
  }

  /** For what is read of archives that were not fetched. */
  newBudget(): UnpackBudget {
    return new UnpackBudget(this.#limits.maxUnpackedBytes, this.#limits.maxEntries);
  }

  /** Rejects with BuildpackFetchError if it can't be had, and was not before; with the signal's reason. */
  async fetch(source: Fetchable, signal: AbortSignal): Promise<FetchedBuildpack> {
    const folder = path.join(this.#options.directory, keyOf(source));
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const known = await readCurrent(folder);
    let fetched: FetchedBuildpack;
    try {
      fetched =
        source.kind === 'git'
          ? await this.#fetchGit(source, folder, known, signal)
          : await this.#fetchArchive(source, folder, known, signal);
    } catch (error) {
      // Why it was called off says more than that something was.
      signal.throwIfAborted();
      if (!(error instanceof BuildpackFetchError) || error.reason !== 'unreachable' || known === undefined)
        throw error;
      const { revision, checkedAt } = known;
      const file = fileOf(folder, revision);
      fetched = { revision, file, stale: { reason: error, checkedAt: new Date(checkedAt) } };
    }
    // Those used longest ago are the first that make room for others.
    const now = this.#options.clock.now();
    await utimes(fetched.file, now, now);
    return fetched;
  }

  async #fetchGit(
    source: Extract<BuildpackSource, { kind: 'git' }>,
    folder: string,
    known: Current | undefined,
    signal: AbortSignal,
  ): Promise<FetchedBuildpack> {
    const { clock, authoritiesFile } = this.#options;
    const { ref, url, credentials } = source;
    if (known !== undefined && known.revision === ref) return { revision: ref, file: fileOf(folder, ref) };
    const { askTimeoutMs, fetchTimeoutMs, maxBytes } = this.#limits;
    const remoteOptions = { url, credentials, authoritiesFile, clock, signal };
    const remote = new GitRemote(remoteOptions);
    const found = COMMIT.test(ref)
      ? undefined
      : await remote.resolve(ref, known === undefined ? 6 * askTimeoutMs : askTimeoutMs);
    if (found === undefined && !/^[0-9a-f]{7,64}$/.test(ref)) {
      const what = ref === '' ? 'default branch' : `branch, tag or commit ${ref}`;
      throw new BuildpackFetchError('refused', remote.host, `it has no ${what}`);
    }
    if (found !== undefined && found.commit === known?.revision) {
      await this.#writeCurrent(folder, { ...known, checkedAt: clock.now().getTime() });
      return { revision: found.commit, file: fileOf(folder, found.commit) };
    }
    return this.#inWorkDir(folder, async (workDir) => {
      const file = path.join(workDir, 'archive');
      const revision = await archiveGitBuildpack(found ?? { name: ref }, {
        ...remoteOptions,
        workDir: path.join(workDir, 'git'),
        file,
        budget: this.newBudget(),
        limits: { timeoutMs: fetchTimeoutMs, maxBytes },
      });
      return this.#keep(folder, file, { revision, etag: null, lastModified: null });
    });
  }

  async #fetchArchive(
    source: Extract<BuildpackSource, { kind: 'archive' }>,
    folder: string,
    known: Current | undefined,
    signal: AbortSignal,
  ): Promise<FetchedBuildpack> {
    const { clock, authoritiesFile } = this.#options;
    const { askTimeoutMs, fetchTimeoutMs, maxBytes } = this.#limits;
    const url = new URL(source.url);
    const authorities = authoritiesFile === undefined ? undefined : await readFile(authoritiesFile, 'utf8');
    const late = new AbortController();
    const inTime = clock.after(fetchTimeoutMs, () => late.abort());
    return this.#inWorkDir(folder, async (workDir) => {
      const file = path.join(workDir, 'archive');
      const answer = await download(url, {
        file,
        maxBytes,
        idleTimeoutMs: known === undefined ? 3 * askTimeoutMs : askTimeoutMs,
        signal: AbortSignal.any([signal, late.signal]),
        ...(source.credentials === undefined ? {} : { credentials: source.credentials }),
        ...(known === undefined ? {} : { unless: known }),
        ...(authorities === undefined ? {} : { authorities }),
      });
      if (answer.outcome === 'unchanged' && known !== undefined) {
        await this.#writeCurrent(folder, { ...known, checkedAt: clock.now().getTime() });
        return { revision: known.revision, file: fileOf(folder, known.revision) };
      }
      if (answer.outcome === 'unchanged') {
        throw new BuildpackFetchError('refused', url.host, 'it answers with status 304 to who has no copy');
      }
      await inspectArchive(file, this.newBudget(), signal);
      const { etag, lastModified } = answer;
      return this.#keep(folder, file, { revision: `sha256:${answer.sha256}`, etag, lastModified });
    })
      .catch((error: unknown) => {
        signal.throwIfAborted();
        if (late.signal.aborted) {
          const detail = `no whole answer within ${fetchTimeoutMs / 60_000} minutes`;
          throw new BuildpackFetchError('unreachable', url.host, detail);
        }
        throw toFetchError(error, url.host);
      })
      .finally(inTime);
  }

  /** Complete and checked, it gets its name; from then on it is the place's newest. */
  async #keep(
    folder: string,
    file: string,
    { revision, ...validators }: Omit<Current, 'checkedAt'>,
  ): Promise<FetchedBuildpack> {
    const target = fileOf(folder, revision);
    await rename(file, target);
    await this.#writeCurrent(folder, {
      revision,
      ...validators,
      checkedAt: this.#options.clock.now().getTime(),
    });
    return { revision, file: target };
  }

  async #inWorkDir<T>(folder: string, work: (workDir: string) => Promise<T>): Promise<T> {
    const workDir = path.join(folder, `${UNFINISHED_PREFIX}${randomUUID()}`);
    await mkdir(workDir, { mode: 0o700 });
    try {
      return await work(workDir);
    } finally {
      await rm(workDir, { recursive: true, force: true });
    }
  }

  async #writeCurrent(folder: string, current: Current): Promise<void> {
    const unfinished = path.join(folder, `${UNFINISHED_PREFIX}${randomUUID()}`);
    await writeFile(unfinished, JSON.stringify(current), { mode: 0o600 });
    await rename(unfinished, path.join(folder, CURRENT_FILE));
  }
}

/** undefined if nothing whole is here. */
async function readCurrent(folder: string): Promise<Current | undefined> {
  try {
    const current = parseCurrent(JSON.parse(await readFile(path.join(folder, CURRENT_FILE), 'utf8')));
    if (current !== undefined) await stat(fileOf(folder, current.revision));
    return current;
  } catch (error) {
    // Cut off while it was written, or reclaimed: it is fetched again. Or it is no folder of ours.
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof SyntaxError || code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** The archive that the folder of a place has as its newest. */
export async function currentFile(folder: string): Promise<string | undefined> {
  const current = await readCurrent(folder);
  return current === undefined ? undefined : fileOf(folder, current.revision);
}

/** Reads an archive to its end. Throws ArchiveError for what is none, and for what nobody should unpack. */
export function inspectArchive(file: string, budget: UnpackBudget, signal: AbortSignal): Promise<void> {
  return copyArchive(openArchive(file), undefined, 'buildpack', budget, signal);
}

export function openArchive(file: string): ReturnType<typeof createGunzip> {
  const gunzip = createGunzip();
  const stream = createReadStream(file);
  stream.on('error', (error) => gunzip.destroy(error));
  gunzip.on('close', () => stream.destroy());
  return stream.pipe(gunzip);
}

function fileOf(folder: string, revision: string): string {
  return path.join(folder, `${revision.replace(/^sha256:/, '')}.tgz`);
}

/** By place and reference. Who asks makes no difference: a copy is for everybody on this machine. */
function keyOf(source: Fetchable): string {
  const parts = [source.kind, source.url, source.kind === 'git' ? source.ref : ''];
  return createHash('sha256').update(parts.join('\0')).digest('hex').slice(0, 40);
}

function parseCurrent(value: unknown): Current | undefined {
  const { revision, checkedAt, etag, lastModified } = (value ?? {}) as Partial<
    Record<keyof Current, unknown>
  >;
  if (typeof revision !== 'string' || !/^(?:sha256:)?[0-9a-f]{40,64}$/.test(revision)) return undefined;
  if (typeof checkedAt !== 'number') return undefined;
  return {
    revision,
    checkedAt,
    etag: typeof etag === 'string' ? etag : null,
    lastModified: typeof lastModified === 'string' ? lastModified : null,
  };
}

function toFetchError(error: unknown, host: string): unknown {
  if (error instanceof ArchiveError) {
    return new BuildpackFetchError('unusable', host, error.message, { cause: error });
  }
  if (!(error instanceof DownloadError)) return error;
  const reason = error.reason === 'too_large' ? 'unusable' : error.reason;
  return new BuildpackFetchError(reason, error.host, error.message, { cause: error });
}
