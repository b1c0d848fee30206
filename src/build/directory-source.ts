import { createReadStream, type Dirent } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Pack } from 'tar-stream';
import { BuildFailure } from './build-failure';
import { parseSlugIgnore, type SlugIgnore } from './slug-ignore';
import { appendEntry, DYNO_UID, type AppendedSource } from './tar-entry';

/** A folder of this machine as it is, whether a git repository or not. */
export interface DirectorySource {
  kind: 'directory';
  directory: string;
  /** The modification time of everything in the slug. */
  time: Date;
}

const MAX_SLUGIGNORE_BYTES = 1024 * 1024;
const OWNER = { uid: DYNO_UID, gid: DYNO_UID };

/**
 * Appends the folder's files to `pack` below `folder`, but for git's own data and what `.slugignore` names; symbolic
 * links stay links, wherever they point. Throws BuildFailure if something can't be read.
 */
export async function appendDirectorySource(
  pack: Pack,
  folder: string,
  source: DirectorySource,
  signal: AbortSignal,
): Promise<AppendedSource> {
  const walk: Walk = {
    pack,
    folder,
    source,
    ignore: await readSlugIgnore(source.directory),
    signal,
    ignored: 0,
    special: 0,
  };
  await append(walk, '');
  const warnings =
    walk.special === 0 ? [] : [`Sockets, pipes and devices were left out: ${walk.special} of them.`];
  return { ignored: walk.ignored, warnings };
}

interface Walk {
  pack: Pack;
  folder: string;
  source: DirectorySource;
  ignore: SlugIgnore;
  signal: AbortSignal;
  ignored: number;
  /** Neither files nor folders nor links. */
  special: number;
}

/** What is in the folder `relative` of the source. */
async function append(walk: Walk, relative: string): Promise<void> {
  for (const entry of await entriesOf(walk.source.directory, relative)) {
    walk.signal.throwIfAborted();
    const inside = relative === '' ? entry.name : `${relative}/${entry.name}`;
    // A folder in a repository, a file in a worktree or a submodule.
    if (entry.name === '.git') continue;
    if (walk.ignore(inside, entry.isDirectory())) {
      walk.ignored += 1;
      continue;
    }
    const name = `${walk.folder}/${inside}`;
    const mtime = walk.source.time;
    try {
      if (entry.isDirectory()) {
        await appendEntry(walk.pack, {
          name: `${name}/`,
          type: 'directory',
          mode: 0o755,
          mtime,
          ...OWNER,
        });
        await append(walk, inside);
      } else if (entry.isSymbolicLink()) {
        const linkname = await readlink(path.join(walk.source.directory, inside));
        await appendEntry(walk.pack, { name, type: 'symlink', linkname, mode: 0o777, mtime, ...OWNER });
      } else if (entry.isFile()) await appendFile(walk, inside, name);
      else walk.special += 1;
    } catch (error) {
      walk.signal.throwIfAborted();
      throw failureOf(inside, error);
    }
  }
}

async function appendFile({ pack, source, signal }: Walk, inside: string, name: string): Promise<void> {
  const file = path.join(source.directory, inside);
  const { size, mode } = await lstat(file);
  // As git has them (and with it what is pushed): 644 or 755, whatever the umask.
  const header = { name, size, mode: (mode & 0o100) === 0 ? 0o644 : 0o755, mtime: source.time, ...OWNER };
  if (size === 0) {
    await appendEntry(pack, header);
    return;
  }
  // What is added to it meanwhile does not count; if it shrinks the entry would be too short, which fails.
  const content = createReadStream(file, { end: size - 1 });
  await pipeline(content, pack.entry(header) as unknown as NodeJS.WritableStream, { signal });
}

/** In an order that does not depend on the file system. */
async function entriesOf(directory: string, relative: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(path.join(directory, relative), { withFileTypes: true });
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw failureOf(relative === '' ? '.' : relative, error);
  }
}

async function readSlugIgnore(directory: string): Promise<SlugIgnore> {
  const file = path.join(directory, '.slugignore');
  try {
    const info = await lstat(file);
    if (!info.isFile()) return parseSlugIgnore('');
    if (info.size > MAX_SLUGIGNORE_BYTES)
      throw new BuildFailure('source', '.slugignore is larger than 1 MB.');
    return parseSlugIgnore(await readFile(file, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return parseSlugIgnore('');
    throw failureOf('.slugignore', error);
  }
}

function failureOf(inside: string, error: unknown): BuildFailure {
  if (error instanceof BuildFailure) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const reason =
    code === 'EACCES' || code === 'EPERM'
      ? 'permission denied'
      : code === 'ENOENT'
        ? 'it is gone'
        : error instanceof Error
          ? error.message
          : String(error);
  return new BuildFailure(
    'source',
    `The source could not be read: ${JSON.stringify(inside)}: ${reason}`,
    undefined,
    { cause: error },
  );
}
