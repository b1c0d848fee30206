import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { extract, type Pack } from 'tar-stream';
import { GIT_OPTIONS, gitEnvironment } from '../lib/git';
import { killGroup, run, spawnGroup } from '../lib/process';
import { appendArchiveSource, type ArchiveSource } from './archive-source';
import { BuildFailure } from './build-failure';
import { parseSlugIgnore, type SlugIgnore } from './slug-ignore';

/** What a slug is made of. A kind for each way in which it comes. */
export type Source = GitSource | ArchiveSource;

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
}

/** Owner of everything in a build container: user `dyno` of the stack images. */
export const DYNO_UID = 10001;

const GIT_TIMEOUT_MS = 60_000;

export interface AppendedSource {
  /** Files that `.slugignore` left out. */
  ignored: number;
  warnings: string[];
}

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
  }
}

/**
 * Appends the commit's files to `pack` below `folder`, as a checkout would write them, but for what `.slugignore`
 * names (Heroku removes that before the buildpack runs) and `.gitmodules`.
 */
async function appendGitSource(
  pack: Pack,
  folder: string,
  source: GitSource,
  signal: AbortSignal,
): Promise<AppendedSource> {
  const special = await readSpecialFiles(source, signal);
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
    const [ignored] = await Promise.all([copyEntries(entries, pack, folder, special.ignore), fed]);
    const code = await ended;
    if (code !== 0) throw new Error(`git archive exited with status ${code}: ${complaints.trim()}`);
    return { ignored, warnings: special.warnings };
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
): Promise<number> {
  let ignored = 0;
  for await (const entry of entries) {
    const { header } = entry;
    const name = header.name.replace(/\/+$/, '');
    if (name === '.gitmodules' || ignore(name, header.type === 'directory')) {
      ignored += 1;
      entry.resume();
      continue;
    }
    await pipeline(
      entry as unknown as NodeJS.ReadableStream,
      pack.entry({
        name: `${folder}/${header.name}`,
        type: header.type,
        size: header.size,
        mode: header.mode,
        mtime: header.mtime,
        ...(header.linkname ? { linkname: header.linkname } : {}),
        uid: DYNO_UID,
        gid: DYNO_UID,
      }) as unknown as NodeJS.WritableStream,
    );
  }
  return ignored;
}

interface SpecialFiles {
  ignore: SlugIgnore;
  warnings: string[];
}

async function readSpecialFiles(source: GitSource, signal: AbortSignal): Promise<SpecialFiles> {
  const git = async (...args: string[]): Promise<string> => {
    const options = { env: gitEnvironment(source.environment), timeoutMs: GIT_TIMEOUT_MS, signal };
    return (await run('git', [...GIT_OPTIONS, '-C', source.repositoryDir, ...args], options)).stdout;
  };
  try {
    const listed = await git(
      'ls-tree',
      '-z',
      '--name-only',
      source.commit,
      '--',
      '.slugignore',
      '.gitmodules',
    );
    const names = listed.split('\0');
    return {
      ignore: parseSlugIgnore(
        names.includes('.slugignore') ? await git('cat-file', 'blob', `${source.commit}:.slugignore`) : '',
      ),
      warnings: names.includes('.gitmodules')
        ? ['Git submodules are not supported by this version of dynodock: their folders are empty.']
        : [],
    };
  } catch (error) {
    signal.throwIfAborted();
    throw new BuildFailure('source', `The source could not be read: ${firstLine(String(error))}`, undefined, {
      cause: error,
    });
  }
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

/** Resolves once the entry has been taken, so that a slow reader holds the writer up. */
export function appendEntry(
  pack: Pack,
  header: Parameters<Pack['entry']>[0],
  content: Buffer | string = '',
): Promise<void> {
  return new Promise((resolve, reject) => {
    pack.entry(header, content, (error) => (error ? reject(error) : resolve()));
  });
}

function firstLine(text: string): string {
  return text.trim().split('\n')[0] ?? '';
}
