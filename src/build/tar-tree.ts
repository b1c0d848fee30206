import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Header, type Pack } from 'tar-stream';

/** What is wrong with an archive, as the end of a sentence: `it has …`. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
}

export interface TreeEntry {
  kind: 'file' | 'directory' | 'symlink' | 'hardlink';
  /** Relative, without `.` and `..`; never that of the root. */
  path: string;
  /** A symbolic link's text as it is, or the path of what a hard link is another name of. */
  target: string;
  mode: number;
  size: number;
  mtime: Date;
}

export interface WalkOptions {
  compression: 'gzip' | 'none';
  signal: AbortSignal;
  /** Of the content of all files. Default 4 GiB. */
  maxBytes?: number;
  /** Default 500,000. */
  maxEntries?: number;
}

const MAX_BYTES = 4 * 1024 ** 3;
const MAX_ENTRIES = 500_000;
const GZIP_MAGIC = [0x1f, 0x8b];
/** What people also pack their code with; by the first bytes. */
const OTHER_FORMATS: readonly (readonly [magic: readonly number[], name: string])[] = [
  [[0x50, 0x4b], 'a zip file'],
  [[0x42, 0x5a, 0x68], 'compressed with bzip2'],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], 'compressed with xz'],
  [[0x28, 0xb5, 0x2f, 0xfd], 'compressed with zstd'],
  [[0x3c], 'a web page or XML'],
  [[0x7b], 'JSON'],
];

/** Throws ArchiveError for what is neither gzip nor a plain tar, going by its first bytes. */
export async function readCompression(file: string): Promise<WalkOptions['compression']> {
  const handle = await open(file, 'r');
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(512), 0, 512, 0);
    const head = buffer.subarray(0, bytesRead);
    if (head.length === 0) throw new ArchiveError('it is empty');
    if (startsWith(head, GZIP_MAGIC)) return 'gzip';
    const other = OTHER_FORMATS.find(([magic]) => startsWith(head, magic));
    // A tar begins with a file's name, which may look like any of these.
    if (head.length === 512 && hasTarChecksum(head)) return 'none';
    throw new ArchiveError(
      other === undefined ? 'it is not a (gzipped) tar' : `it is ${other[1]}, not a (gzipped) tar`,
    );
  } finally {
    await handle.close();
  }
}

/**
 * Goes through a tar that anybody may have made. What comes out can be written below any folder without leaving it:
 * paths have no `..` and are not absolute, nothing lies behind a symbolic link, and a hard link is another name of a
 * file that came before. Where symbolic links point is left alone; nothing here follows them. Throws ArchiveError.
 */
export async function walkTree(
  file: string,
  options: WalkOptions,
  visit: (entry: TreeEntry, content: Readable) => Promise<void>,
): Promise<void> {
  const guard = new TreeGuard(options.maxBytes ?? MAX_BYTES, options.maxEntries ?? MAX_ENTRIES);
  const entries = extract();
  const sink = entries as unknown as NodeJS.WritableStream;
  const { signal } = options;
  const fed =
    options.compression === 'gzip'
      ? pipeline(createReadStream(file), createGunzip(), sink, { signal })
      : pipeline(createReadStream(file), sink, { signal });
  // Whichever of the two fails ends the other.
  fed.catch(() => undefined);
  try {
    for await (const entry of entries) {
      const placed = guard.place(entry.header);
      if (placed !== undefined) await visit(placed, entry as unknown as Readable);
      entry.resume();
    }
    await fed;
  } catch (error) {
    entries.destroy();
    signal.throwIfAborted();
    throw toArchiveError(error);
  }
}

/** Resolves once the entry has been taken, so that a slow reader holds the writer up. */
export async function packEntry(pack: Pack, entry: TreeEntry, uid: number, content: Readable): Promise<void> {
  const header = {
    name: entry.kind === 'directory' ? `${entry.path}/` : entry.path,
    type: entry.kind === 'hardlink' ? ('link' as const) : entry.kind,
    mode: entry.mode,
    mtime: entry.mtime,
    ...(entry.target === '' ? {} : { linkname: entry.target }),
    uid,
    gid: uid,
  };
  if (entry.kind === 'file') {
    const sink = pack.entry({ ...header, size: entry.size });
    return pipeline(content, sink as unknown as NodeJS.WritableStream);
  }
  return new Promise((resolve, reject) => {
    pack.entry(header, '', (error) => (error ? reject(error) : resolve()));
  });
}

class TreeGuard {
  readonly #maxBytes: number;
  readonly #maxEntries: number;
  readonly #kinds = new Map<string, TreeEntry['kind']>();
  #bytes = 0;
  #entries = 0;

  constructor(maxBytes: number, maxEntries: number) {
    this.#maxBytes = maxBytes;
    this.#maxEntries = maxEntries;
  }

  /** undefined for the root itself. */
  place(header: Header): TreeEntry | undefined {
    const { size } = header;
    this.#entries += 1;
    this.#bytes += size;
    if (this.#entries > this.#maxEntries) {
      throw new ArchiveError(`it has more than ${this.#maxEntries} entries`);
    }
    if (this.#bytes > this.#maxBytes) {
      throw new ArchiveError(`it unpacks to more than ${Math.round(this.#maxBytes / 1024 ** 2)} MB`);
    }
    const kind = kindOf(header);
    const path = this.#pathOf(header.name, header.name);
    if (path === '') {
      if (kind === 'directory') return undefined;
      throw new ArchiveError(`it has an entry without a name`);
    }
    // Of what is no link it is null, whatever the type says.
    let target = (header.linkname as string | null) ?? '';
    if (kind === 'hardlink') {
      target = this.#pathOf(target, header.name);
      if (this.#kinds.get(target) !== 'file') {
        throw new ArchiveError(`its hard link ${show(path)} leads to no file in it`);
      }
    }
    if (kind === 'symlink' && (target === '' || target.includes('\0'))) {
      throw new ArchiveError(`its link ${show(path)} leads nowhere`);
    }
    // A hard link to a file may be linked to in its turn.
    this.#kinds.set(path, kind === 'hardlink' ? 'file' : kind);
    return {
      kind,
      path,
      target,
      mode: permissionsOf(header.mode, kind),
      size: kind === 'file' ? size : 0,
      mtime: Number.isNaN(header.mtime.getTime()) ? new Date(0) : header.mtime,
    };
  }

  #pathOf(text: string, entry: string): string {
    const parts = text.split('/').filter((part) => part !== '' && part !== '.');
    if (text.startsWith('/') || parts.includes('..') || text.includes('\0')) {
      throw new ArchiveError(`its entry ${show(entry)} leads out of it`);
    }
    for (let depth = 1; depth < parts.length; depth += 1) {
      const parent = parts.slice(0, depth).join('/');
      const kind = this.#kinds.get(parent);
      if (kind === 'symlink') {
        throw new ArchiveError(`its entry ${show(entry)} lies behind the symbolic link ${show(parent)}`);
      }
    }
    return parts.join('/');
  }
}

function kindOf({ type, name }: Header): TreeEntry['kind'] {
  switch (type) {
    case 'file':
    case 'contiguous-file':
      return 'file';
    case 'directory':
    case 'symlink':
      return type;
    case 'link':
      return 'hardlink';
    default:
      throw new ArchiveError(`its entry ${show(name)} is neither file, folder nor link`);
  }
}

/** Without set-user-ID and the like; and who owns it can read and replace it. */
function permissionsOf(mode: number, kind: TreeEntry['kind']): number {
  return (mode & 0o777) | (kind === 'directory' ? 0o700 : 0o600);
}

function toArchiveError(error: unknown): unknown {
  if (error instanceof ArchiveError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (code.startsWith('Z_')) return new ArchiveError('it is cut off or damaged', { cause: error });
  switch (message) {
    // Texts of tar-stream, which has no codes.
    case 'Unexpected end of data':
      return new ArchiveError('it is cut off', { cause: error });
    case 'Invalid header':
    case 'Header exceeds max size':
      return new ArchiveError('it is damaged', { cause: error });
    default:
      return message.startsWith('Invalid tar header')
        ? new ArchiveError('it is no tar, or damaged', { cause: error })
        : error;
  }
}

/** POSIX.1-2017 pax, "ustar Interchange Format": sum of all bytes of the header, its own eight counted as blanks. */
function hasTarChecksum(block: Buffer): boolean {
  const stated = Number.parseInt(block.toString('latin1', 148, 156), 8);
  let sum = 8 * 0x20;
  for (const [index, byte] of block.entries()) if (index < 148 || index >= 156) sum += byte;
  return stated === sum;
}

function startsWith(head: Buffer, magic: readonly number[]): boolean {
  return magic.every((byte, index) => head[index] === byte);
}

/** Quoted where it has anything that would upset a terminal. */
function show(text: string): string {
  const clipped = text.length > 100 ? `${text.slice(0, 97)}...` : text;
  return /^[\w./@+~-]+$/.test(clipped) ? clipped : JSON.stringify(clipped);
}
