import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack as createPack, type Pack } from 'tar-stream';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { killGroup, run, spawnGroup } from '../lib/process';
import type { UnpackBudget } from './archive-copy';
import { ArchiveError, copyArchive } from './archive-copy';
import { BuildpackFetchError } from './buildpack-fetch-error';
import { GitRemote, type FetchLimits, type GitRemoteOptions, type Wanted } from './git-remote';
import { listSubmodules, resolveSubmoduleUrl } from './git-submodules';

const LOCAL_TIMEOUT_MS = 60_000;
/** More is no buildpack but an attempt to keep us busy. */
const MAX_SUBMODULES = 20;
const MAX_SUBMODULE_DEPTH = 4;

export interface GitBuildpackOptions extends GitRemoteOptions {
  /** Empty folder for what is fetched; to be removed afterwards. */
  workDir: string;
  /** The archive that is written. */
  file: string;
  budget: UnpackBudget;
  limits: FetchLimits;
}

/**
 * Writes the files of a repository at a ref or commit, with those of its submodules, as a gzipped tar; answers the
 * commit. What is fetched lies in bare repositories only and reaches a disk as files first in a build container.
 */
export async function archiveGitBuildpack(wanted: Wanted, options: GitBuildpackOptions): Promise<string> {
  const remote = new GitRemote(options);
  const pack = createPack();
  const tar = pack as unknown as Readable;
  // Only fails with what is thrown below.
  tar.on('error', () => undefined);
  const written = pipeline(tar, createGzip({ level: 1 }), createWriteStream(options.file, { mode: 0o600 }), {
    signal: options.signal,
  });
  written.catch(() => undefined);
  const filled = addRepository({ options, pack, submodules: 0 }, remote, wanted, 'buildpack', 0);
  try {
    const failed = written.then(() => new Promise<never>(() => undefined));
    const commit = await Promise.race([filled, failed]);
    pack.finalize();
    await written;
    return commit;
  } catch (error) {
    tar.destroy(error instanceof Error ? error : new Error(String(error)));
    // Its files are removed next: until then git must have ended. It fails with the same, or because of it.
    await filled.catch(() => undefined);
    if (error instanceof ArchiveError) throw new BuildpackFetchError('unusable', remote.host, error.message);
    throw error;
  }
}

interface Job {
  options: GitBuildpackOptions;
  pack: Pack;
  submodules: number;
}

async function addRepository(
  job: Job,
  remote: GitRemote,
  wanted: Wanted,
  folder: string,
  depth: number,
): Promise<string> {
  const { options } = job;
  const directory = path.join(options.workDir, `${job.submodules}.git`);
  await mkdir(directory, { recursive: true });
  await git(directory, ['init', '--quiet', '--bare', '--template='], options.signal);
  // All files, as a clone has them: the repository's own attributes say what its releases leave out.
  await mkdir(path.join(directory, 'info'), { recursive: true });
  await writeFile(path.join(directory, 'info', 'attributes'), '* -export-ignore -export-subst\n');
  const commit = await remote.fetch(directory, wanted, options.limits);
  await addFiles(job, directory, commit, folder);
  for (const module of await listSubmodules(directory, commit, {}, options.signal)) {
    job.submodules += 1;
    if (job.submodules > MAX_SUBMODULES || depth >= MAX_SUBMODULE_DEPTH) {
      throw new BuildpackFetchError('unusable', remote.host, 'it has too many submodules');
    }
    const resolved = resolveSubmoduleUrl(module.url, remote.url);
    if (resolved === undefined) {
      throw new BuildpackFetchError(
        'unusable',
        remote.host,
        `its submodule ${module.path} has no URL that is fetched`,
      );
    }
    const { url } = resolved;
    const sameHost = new URL(url).origin === new URL(remote.url).origin;
    const { credentials, ...rest } = options;
    const inner = new GitRemote({ ...rest, url, ...(sameHost ? { credentials } : {}) });
    await addRepository(job, inner, { name: module.commit }, `${folder}/${module.path}`, depth + 1);
  }
  return commit;
}

async function addFiles(job: Job, directory: string, commit: string, folder: string): Promise<void> {
  const { signal, budget } = job.options;
  const child = spawnGroup(
    'git',
    [...GIT_OPTIONS, '-c', 'tar.umask=0022', '-C', directory, 'archive', '--format=tar', commit],
    { env: gitEnvironment(), stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
  ended.catch(() => undefined);
  const end = (): void => killGroup(child, 'SIGKILL');
  try {
    if (child.stdout === null) throw new Error('git archive has no standard output');
    await copyArchive(child.stdout, job.pack, folder, budget, signal);
    const code = await ended;
    if (code !== 0) throw new Error(`git archive exited with status ${code}`);
  } finally {
    end();
  }
}

async function git(directory: string, args: string[], signal: AbortSignal): Promise<string> {
  const options = { env: gitEnvironment(), timeoutMs: LOCAL_TIMEOUT_MS, signal };
  return (await run('git', [...GIT_OPTIONS, '-C', directory, ...args], options)).stdout;
}
