import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { extract, type Pack } from 'tar-stream';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { killGroup, run, spawnGroup } from '../lib/process';
import { appendArchiveSource, type ArchiveSource } from './archive-source';
import { BuildFailure } from './build-failure';
import { appendDirectorySource, type DirectorySource } from './directory-source';
import { appendEntry, DYNO_UID, type AppendedSource } from './tar-entry';
import { parseSlugIgnore, type SlugIgnore } from './slug-ignore';

/** What a slug is made of. A kind for each way in which it comes. */
export type Source = GitSource | ArchiveSource | DirectorySource;

/** A commit in a git repository on this machine. */
export interface GitSource {
  kind: 'git';
  repositoryDir: string;
  commit: string;
  /**
   * Variables by which git finds objects that are not in the repository yet: during a push they are in quarantine
   * (git-receive-pack(1), "Quarantine Environment").
   */
  environment: Readonly<Record<string, string>>;
  /** Of the commit: the modification time of everything in the slug. */
  time: Date;
  /** Absent: their folders are empty. */
  submodules?: readonly FetchedSubmodule[];
}

/** A submodule at the commit that the tree names, or a submodule of one. */
export interface FetchedSubmodule {
  /** Its folder, from the top. */
  path: string;
  repositoryDir: string;
  commit: string;
}

const GIT_TIMEOUT_MS = 60_000;

/** Appends the source's files to `pack` below `folder`. Throws BuildFailure if it can't be read. */
export function appendSource(
  pack: Pack,
  folder: string,
  source: Source,
  signal: AbortSignal,
): Promise<AppendedSource> {
  switch (source.kind) {
    case 'git':
      return appendGitSource(pack, folder, source, signal);
    case 'archive':
      return appendArchiveSource(pack, { folder, uid: DYNO_UID }, source, signal);
    case 'directory':
      return appendDirectorySource(pack, folder, source, signal);
  }
}

/**
 * Appends the commit's files and those of its submodules to `pack` below `folder`, as a checkout would write them, but
 * for what `.slugignore` names (Heroku removes that before the buildpack runs) and `.gitmodules`.
 */
async function appendGitSource(
  pack: Pack,
  folder: string,
  source: GitSource,
  signal: AbortSignal,
): Promise<AppendedSource> {
  const ignore = await readSlugIgnore(source, signal);
  const copied: Copied = { ignored: 0, pointers: [] };
  await appendTree(pack, folder, source, ignore, copied, signal);
  for (const { path: inside, repositoryDir, commit } of source.submodules ?? []) {
    if (ignore(inside, true)) continue;
    const ignoreInside: SlugIgnore = (name, isDirectory) => ignore(`${inside}/${name}`, isDirectory);
    const tree = { repositoryDir, commit, environment: {} };
    await appendTree(pack, `${folder}/${inside}`, tree, ignoreInside, copied, signal);
  }
  return { ignored: copied.ignored, warnings: pointerWarnings(copied.pointers) };
}

async function appendTree(
  pack: Pack,
  folder: string,
  source: Pick<GitSource, 'repositoryDir' | 'commit' | 'environment'>,
  ignore: SlugIgnore,
  copied: Copied,
  signal: AbortSignal,
): Promise<void> {
  const child = spawnGroup(
    'git',
    // Heroku's files are 644 and 755 whatever the umask.
    [
      ...GIT_OPTIONS,
      '-c',
      'tar.umask=0022',
      '-C',
      source.repositoryDir,
      'archive',
      '--format=tar',
      source.commit,
    ],
    { env: gitEnvironment(source.environment), stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const end = (): void => killGroup(child, 'SIGKILL');
  signal.addEventListener('abort', end, { once: true });
  let complaints = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaints = `${complaints}${chunk.toString('utf8')}`.slice(-2000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
  // Awaited below, after the stream; until then its failure is not an unhandled one.
  ended.catch(() => undefined);
  try {
    if (child.stdout === null) throw new Error('git archive has no standard output');
    const entries = extract();
    const fed = pipeline(child.stdout, entries as unknown as NodeJS.WritableStream, { signal });
    await Promise.all([copyEntries(entries, pack, folder, ignore, copied), fed]);
    const code = await ended;
    if (code !== 0) throw new Error(`git archive exited with status ${code}: ${complaints.trim()}`);
  } catch (error) {
    signal.throwIfAborted();
    throw new BuildFailure(
      'source',
      `The source could not be read: ${firstLine(complaints || String(error))}`,
      undefined,
      {
        cause: error,
      },
    );
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}

async function copyEntries(
  entries: ReturnType<typeof extract>,
  pack: Pack,
  folder: string,
  ignore: SlugIgnore,
  copied: Copied,
): Promise<void> {
  for await (const entry of entries) {
    const { header } = entry;
    const name = header.name.replace(/\/+$/, '');
    if (name === '.gitmodules' || ignore(name, header.type === 'directory')) {
      copied.ignored += 1;
      entry.resume();
      continue;
    }
    const target: Parameters<Pack['entry']>[0] = {
      name: `${folder}/${header.name}`,
      type: header.type,
      size: header.size,
      mode: header.mode,
      mtime: header.mtime,
      ...(header.linkname ? { linkname: header.linkname } : {}),
      uid: DYNO_UID,
      gid: DYNO_UID,
    };
    if (header.type === 'file' && header.size <= MAX_POINTER_BYTES) {
      // Held for a moment, which for many small files is also much faster than a pipeline for each.
      const content = await buffer(entry);
      if (content.subarray(0, POINTER.length).equals(POINTER)) copied.pointers.push(name);
      await appendEntry(pack, target, content);
      continue;
    }
    await pipeline(
      entry as unknown as NodeJS.ReadableStream,
      pack.entry(target) as unknown as NodeJS.WritableStream,
    );
  }
}

async function readSlugIgnore(source: GitSource, signal: AbortSignal): Promise<SlugIgnore> {
  const git = async (...args: string[]): Promise<string> => {
    const options = { env: gitEnvironment(source.environment), timeoutMs: GIT_TIMEOUT_MS, signal };
    return (await run('git', [...GIT_OPTIONS, '-C', source.repositoryDir, ...args], options)).stdout;
  };
  try {
    const listed = await git('ls-tree', '-z', source.commit, '--', '.slugignore');
    // Of a link the text would be a path, and no pattern.
    const isFile = /^100\d{3} blob /.test(listed);
    return parseSlugIgnore(isFile ? await git('cat-file', 'blob', `${source.commit}:.slugignore`) : '');
  } catch (error) {
    signal.throwIfAborted();
    throw new BuildFailure('source', `The source could not be read: ${firstLine(String(error))}`, undefined, {
      cause: error,
    });
  }
}

interface Copied {
  /** Files that `.slugignore` left out. */
  ignored: number;
  /** Files of which Git LFS has the content. */
  pointers: string[];
}

/** git-lfs docs/spec.md, "The Pointer": less than 1024 bytes, and this comes first. */
const MAX_POINTER_BYTES = 1024;
const POINTER = Buffer.from('version https://git-lfs.github.com/spec/v1\n');

function pointerWarnings(pointers: readonly string[]): string[] {
  const [first] = pointers;
  if (first === undefined) return [];
  const others = pointers.length === 1 ? '' : ` and ${pointers.length - 1} more`;
  return [
    `Git LFS is not supported, as on Heroku: the content of ${JSON.stringify(first)}${others} was not pushed,`,
    'the app has a pointer of Git LFS in its place. Commit the file itself, or fetch it in the build.',
  ];
}

/** Appends a folder of this machine, e.g. a buildpack; symbolic links stay links. */
export async function appendDirectory(pack: Pack, folder: string, directory: string): Promise<void> {
  const owner = { uid: DYNO_UID, gid: DYNO_UID };
  await appendEntry(pack, { name: `${folder}/`, type: 'directory', mode: 0o755, ...owner });
  const entries = await readdir(directory, { withFileTypes: true });
  for (const entry of entries) {
    const source = path.join(directory, entry.name);
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (entry.name !== '.git') await appendDirectory(pack, name, source);
    } else if (entry.isSymbolicLink()) {
      await appendEntry(pack, { name, type: 'symlink', linkname: await readlink(source), ...owner });
    } else if (entry.isFile()) {
      const { mode } = await stat(source);
      await appendEntry(pack, { name, mode: mode & 0o777, ...owner }, await readFile(source));
    }
  }
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}
