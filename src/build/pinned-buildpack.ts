import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Pack } from 'tar-stream';
import type { UnpackBudget } from './archive-copy';
import { copyArchive } from './archive-copy';
import { openArchive, type BuildpackCache } from './buildpack-cache';
import type { BuildpackFetchError } from './buildpack-fetch-error';
import type { BuildpackSource } from './buildpacks';
import { appendDirectory } from './source';

/** A buildpack at one revision, of which everything is on this machine. */
export interface PinnedBuildpack {
  name: string;
  /** Commit of a repository; `sha256:<hex>` of an archive, or of the names and contents in a folder. */
  revision: string;
  files: { kind: 'directory'; directory: string } | { kind: 'archive'; file: string };
  bundled: boolean;
  stale?: { reason: BuildpackFetchError; checkedAt: Date };
}

/**
 * Finds out which revision it is, and fetches that where it has to. Rejects with BuildpackFetchError, with the system's
 * error for what is on this machine, and with the signal's reason.
 */
export async function pinBuildpack(
  source: BuildpackSource,
  cache: BuildpackCache,
  signal: AbortSignal,
): Promise<PinnedBuildpack> {
  const { name } = source;
  switch (source.kind) {
    case 'directory': {
      const { directory, bundled } = source;
      const revision = await revisionOfDirectory(directory, cache.newBudget());
      return { name, revision, files: { kind: 'directory', directory }, bundled };
    }
    case 'file': {
      const hash = createHash('sha256');
      for await (const chunk of createReadStream(source.file, { signal })) hash.update(chunk as Buffer);
      const revision = `sha256:${hash.digest('hex')}`;
      return { name, revision, files: { kind: 'archive', file: source.file }, bundled: false };
    }
    case 'git':
    case 'archive': {
      const { revision, file, stale } = await cache.fetch(source, signal);
      return {
        name,
        revision,
        files: { kind: 'archive', file },
        bundled: false,
        ...(stale === undefined ? {} : { stale }),
      };
    }
  }
}

/** Appends its files to `pack` below `folder`. Throws ArchiveError for what is wrong with an archive. */
export function appendBuildpack(
  pack: Pack,
  folder: string,
  { files }: PinnedBuildpack,
  budget: UnpackBudget,
  signal: AbortSignal,
): Promise<void> {
  return files.kind === 'directory'
    ? appendDirectory(pack, folder, files.directory)
    : copyArchive(openArchive(files.file), pack, folder, budget, signal);
}

/** `3f2a1b9c0d12`: enough of a revision to tell it from others. */
export function shortRevision(revision: string): string {
  return revision.replace(/^sha256:/, '').slice(0, 12);
}

/** By the names, contents and executable bits of what is in it, without git's own folder. */
export async function revisionOfDirectory(directory: string, budget?: UnpackBudget): Promise<string> {
  const hash = createHash('sha256');
  await hashDirectory(hash, directory, '', budget);
  return `sha256:${hash.digest('hex')}`;
}

async function hashDirectory(
  hash: Hash,
  directory: string,
  prefix: string,
  budget: UnpackBudget | undefined,
): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(directory, entry.name);
    const name = `${prefix}${entry.name}`;
    if (entry.isDirectory()) {
      if (entry.name !== '.git') await hashDirectory(hash, file, `${name}/`, budget);
    } else if (entry.isSymbolicLink()) {
      hash.update(`link\0${name}\0${await readlink(file)}\0`);
    } else if (entry.isFile()) {
      const { mode, size } = await stat(file);
      budget?.take(size);
      hash.update(`file\0${name}\0${mode & 0o111 ? 'x' : '-'}\0${size}\0`);
      hash.update(await readFile(file));
    }
  }
}
