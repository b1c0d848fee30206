import { buffer } from 'node:stream/consumers';
import type { Pack } from 'tar-stream';
import { BuildFailure } from './build-failure';
import { formatSize } from './output';
import { parseSlugIgnore } from './slug-ignore';
import { ArchiveError, packEntry, readCompression, walkTree, type TreeEntry } from './tar-tree';

/** A tar on this machine, gzipped or not, that has been gone through once. */
export interface ArchiveSource {
  kind: 'archive';
  path: string;
  compression: 'gzip' | 'none';
  /** The folder around everything, as archives of code hosts have one; it is left out. `''` = there is none. */
  topFolder: string;
  /** Content of `.slugignore`. */
  slugIgnore: string;
  /** Of the newest entry: the modification time of everything in the slug. */
  time: Date;
}

const SLUGIGNORE_MAX_BYTES = 1024 * 1024;

/** Goes through the archive at `path`, and says what it found. Throws BuildFailure if it can't be built from. */
export async function readArchive(path: string, signal: AbortSignal): Promise<ArchiveSource> {
  try {
    const compression = await readCompression(path);
    const roots = new Map<string, TreeEntry['kind']>();
    const ignores = new Map<string, string>();
    let time = 0;
    let files = 0;
    await walkTree(path, { compression, signal }, async (entry, content) => {
      const [root = '', ...rest] = entry.path.split('/');
      roots.set(root, rest.length === 0 ? entry.kind : 'directory');
      time = Math.max(time, entry.mtime.getTime());
      if (entry.kind !== 'directory') files += 1;
      const isIgnoreFile = entry.kind === 'file' && /^(?:[^/]+\/)?\.slugignore$/.test(entry.path);
      // Only the one of the only root counts in the end.
      if (!isIgnoreFile || (rest.length > 0 && roots.size > 1)) return;
      if (entry.size > SLUGIGNORE_MAX_BYTES) throw new ArchiveError('its .slugignore is larger than 1 MB');
      ignores.set(entry.path, (await buffer(content)).toString('utf8'));
    });
    if (files === 0) throw new ArchiveError('there are no files in it');
    const [[root, kind] = ['', 'file']] = roots;
    const topFolder = roots.size === 1 && kind === 'directory' ? root : '';
    const slugIgnore = ignores.get(topFolder === '' ? '.slugignore' : `${topFolder}/.slugignore`) ?? '';
    return { kind: 'archive', path, compression, topFolder, slugIgnore, time: new Date(time) };
  } catch (error) {
    signal.throwIfAborted();
    throw toFailure(error);
  }
}

/** The text of one file at its top, undefined if there is none. Throws BuildFailure. */
export async function readArchiveFile(
  source: ArchiveSource,
  name: string,
  { maxBytes, signal }: { maxBytes: number; signal: AbortSignal },
): Promise<string | undefined> {
  let text: string | undefined;
  try {
    await walkTree(source.path, { compression: source.compression, signal }, async (entry, content) => {
      if (withoutFolder(entry.path, source.topFolder) !== name) return;
      if (entry.kind !== 'file') throw new ArchiveError(`its ${name} is not a regular file`);
      if (entry.size > maxBytes) throw new ArchiveError(`its ${name} is larger than ${formatSize(maxBytes)}`);
      text = (await buffer(content)).toString('utf8');
    });
    return text;
  } catch (error) {
    signal.throwIfAborted();
    throw toFailure(error);
  }
}

/** Appends its files to `pack` below `folder`, but for what git and `.slugignore` are to keep out of slugs. */
export async function appendArchiveSource(
  pack: Pack,
  { folder, uid }: { folder: string; uid: number },
  source: ArchiveSource,
  signal: AbortSignal,
): Promise<{ ignored: number; warnings: string[] }> {
  const ignore = parseSlugIgnore(source.slugIgnore);
  const isLeftOut = (path: string, isDirectory: boolean): boolean =>
    path === '.gitmodules' || path.split('/').includes('.git') || ignore(path, isDirectory);
  let ignored = 0;
  try {
    await walkTree(source.path, { compression: source.compression, signal }, async (entry, content) => {
      const path = withoutFolder(entry.path, source.topFolder);
      if (path === '') return;
      if (isLeftOut(path, entry.kind === 'directory')) {
        ignored += 1;
        return;
      }
      const target = entry.kind === 'hardlink' ? withoutFolder(entry.target, source.topFolder) : entry.target;
      if (entry.kind === 'hardlink' && isLeftOut(target, false)) {
        throw new ArchiveError(`its hard link ${path} leads to a file that is kept out of the slug`);
      }
      const linkname = entry.kind === 'hardlink' ? `${folder}/${target}` : target;
      await packEntry(pack, { ...entry, path: `${folder}/${path}`, target: linkname }, uid, content);
    });
  } catch (error) {
    signal.throwIfAborted();
    throw toFailure(error);
  }
  return { ignored, warnings: [] };
}

function withoutFolder(path: string, folder: string): string {
  if (folder === '') return path;
  return path === folder ? '' : path.slice(folder.length + 1);
}

function toFailure(error: unknown): unknown {
  return error instanceof ArchiveError
    ? new BuildFailure('source', `The source archive cannot be used: ${error.message}.`, undefined, {
        cause: error,
      })
    : error;
}
