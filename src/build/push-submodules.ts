import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Clock } from '../lib/clock';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { run } from '../lib/process';
import { BuildFailure } from './build-failure';
import { BuildpackFetchError } from './buildpack-fetch-error';
import { GitRemote } from './git-remote';
import { listSubmodules, resolveSubmoduleUrl, type Submodule } from './git-submodules';
import { complaint, detail, formatSize, heading, type LineOutput } from './output';
import type { FetchedSubmodule, GitSource } from './source';

export interface SubmoduleOptions {
  /** PEM file of the authorities to trust, where that is not git's list. */
  authoritiesFile?: string | undefined;
  clock: Clock;
  limits?: Partial<SubmoduleLimits>;
}

interface SubmoduleLimits {
  /** Of all repositories of one push together, as they are fetched. Heroku's limit of a checkout with submodules. */
  maxBytes: number;
  /** Of each. */
  timeoutMs: number;
  maxCount: number;
  maxDepth: number;
}

const DEFAULTS: SubmoduleLimits = { maxBytes: 1024 ** 3, timeoutMs: 5 * 60_000, maxCount: 100, maxDepth: 10 };
const LOCAL_TIMEOUT_MS = 60_000;
/** In the app's own repository, with which it goes away. */
const FOLDER = 'modules';

/**
 * Fetches the submodules of a pushed commit, and theirs, at the commits that the trees name (Dev Center "Git Submodules"):
 * only over http, https and git://, into bare repositories from which nothing is run. What was fetched for the last
 * push and is still wanted is there already. Throws BuildFailure naming the submodule that can't be had.
 */
export async function fetchSubmodules(
  source: GitSource,
  options: SubmoduleOptions,
  output: LineOutput,
  signal: AbortSignal,
): Promise<FetchedSubmodule[]> {
  const { repositoryDir, commit, environment } = source;
  const listed = await listSubmodules(repositoryDir, commit, environment, signal).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw new BuildFailure('source', 'The list of submodules (.gitmodules) could not be read.', undefined, {
      cause,
    });
  });
  const folder = path.join(repositoryDir, FOLDER);
  const job: Job = {
    ...options,
    ...DEFAULTS,
    ...options.limits,
    folder,
    output,
    signal,
    bytes: 0,
    fetched: [],
  };
  if (listed.length > 0) await output.lines(heading('Git submodules detected, installing'));
  for (const module of listed) await fetchOne(job, module, undefined, '', 1);
  await keepOnly(folder, new Set(job.fetched.map((module) => path.basename(module.repositoryDir))));
  return job.fetched;
}

interface Job extends SubmoduleOptions, SubmoduleLimits {
  folder: string;
  output: LineOutput;
  signal: AbortSignal;
  bytes: number;
  fetched: FetchedSubmodule[];
}

/** The repository that names a submodule. */
interface Parent {
  url: string;
  credentials: string | undefined;
}

async function fetchOne(
  job: Job,
  module: Submodule,
  parent: Parent | undefined,
  prefix: string,
  depth: number,
): Promise<void> {
  const inside = prefix === '' ? module.path : `${prefix}/${module.path}`;
  if (job.fetched.length >= job.maxCount || depth > job.maxDepth) {
    throw failed(
      inside,
      `there are more than ${job.maxCount} submodules, or ${job.maxDepth} inside of each other`,
    );
  }
  const resolved = resolveSubmoduleUrl(module.url, parent?.url);
  if (resolved === undefined) throw failed(inside, whyNot(module.url));
  const { url } = resolved;
  const isParentsHost = parent !== undefined && new URL(url).origin === new URL(parent.url).origin;
  const credentials = resolved.credentials ?? (isParentsHost ? parent.credentials : undefined);
  await job.output.lines(detail(`${printable(inside)} (${url}) at ${module.commit.slice(0, 7)}`));
  const repositoryDir = await obtain(job, { url, credentials }, module.commit, inside);
  job.fetched.push({ path: inside, repositoryDir, commit: module.commit });
  for (const inner of await listSubmodules(repositoryDir, module.commit, {}, job.signal)) {
    await fetchOne(job, inner, { url, credentials }, inside, depth + 1);
  }
}

/** Answers the bare repository that has the commit. */
async function obtain(
  job: Job,
  { url, credentials }: Parent,
  commit: string,
  inside: string,
): Promise<string> {
  const { clock, authoritiesFile, signal } = job;
  const key = createHash('sha256').update(`${url}\n${commit}`).digest('hex').slice(0, 24);
  const kept = path.join(job.folder, `${key}.git`);
  const left = job.maxBytes - job.bytes;
  if (!(await exists(kept))) {
    const made = path.join(job.folder, `new-${randomUUID()}.git`);
    try {
      await mkdir(path.join(made, 'info'), { recursive: true });
      const options = { env: gitEnvironment(), timeoutMs: LOCAL_TIMEOUT_MS, signal };
      await run('git', [...GIT_OPTIONS, 'init', '--quiet', '--bare', '--template=', made], options);
      // All files, as a checkout has them: the repository's own attributes say what its releases leave out.
      await writeFile(path.join(made, 'info', 'attributes'), '* -export-ignore -export-subst\n');
      const remote = new GitRemote({ url, credentials, authoritiesFile, clock, signal });
      await remote.fetch(made, { name: commit }, { timeoutMs: job.timeoutMs, maxBytes: Math.max(left, 1) });
      // Whole or not at all.
      await rename(made, kept);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BuildpackFetchError)) throw error;
      throw failed(inside, `${error.host}: ${error.detail}`, error);
    } finally {
      await rm(made, { recursive: true, force: true });
    }
  }
  job.bytes += await sizeOf(kept);
  if (job.bytes > job.maxBytes)
    throw failed(inside, `all submodules together are larger than ${formatSize(job.maxBytes)}`);
  return kept;
}

async function keepOnly(folder: string, names: ReadonlySet<string>): Promise<void> {
  if (!(await exists(folder))) return;
  for (const name of await readdir(folder)) {
    if (!names.has(name)) await rm(path.join(folder, name), { recursive: true, force: true });
  }
}

function whyNot(url: string): string {
  if (/^\.\.?\//.test(url)) {
    return `its URL ${printable(url)} is relative, and this repository has no place on a server that it could be relative to`;
  }
  if (/^ssh:|^[^/:]+@[^/:]+:/.test(url)) {
    return 'its URL is one of SSH, for which there is no key here: use https://, with a token in it if it is private';
  }
  return 'its URL is not one of https://, http:// and git://';
}

function failed(inside: string, reason: string, cause?: unknown): BuildFailure {
  const message = `Submodule ${printable(inside)} could not be fetched: ${reason}`;
  return new BuildFailure(
    'source',
    message,
    [complaint(message), complaint('Push rejected, submodule install failed')],
    cause === undefined ? undefined : { cause },
  );
}

/** On one line, whatever it is called. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- those are the ones that would break the line
  return /[\x00-\x1f\x7f]/.test(text) ? JSON.stringify(text) : text;
}

async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(directory, { recursive: true })) {
    bytes += (await stat(path.join(directory, name))).size;
  }
  return bytes;
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
