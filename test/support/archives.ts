import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** Content of a file, or what else an entry is. */
export type ArchiveEntry =
  | string
  | { content?: string | Buffer; mode?: number; mtime?: Date }
  | { symlink: string }
  | { hardlink: string }
  | { directory: true; mode?: number }
  | { fifo: true };

/** A tar of these entries, in this order, whatever their names. */
export async function tarOf(
  entries: Record<string, ArchiveEntry> | [string, ArchiveEntry][],
): Promise<Buffer> {
  const tar = pack();
  for (const [name, entry] of Array.isArray(entries) ? entries : Object.entries(entries)) {
    if (typeof entry === 'string') tar.entry({ name, mtime: new Date(1_000_000) }, entry);
    else if ('symlink' in entry) tar.entry({ name, type: 'symlink', linkname: entry.symlink });
    else if ('hardlink' in entry) tar.entry({ name, type: 'link', linkname: entry.hardlink });
    else if ('directory' in entry) tar.entry({ name, type: 'directory', mode: entry.mode ?? 0o755 });
    else if ('fifo' in entry) tar.entry({ name, type: 'fifo' });
    else {
      const { content = '', mode = 0o644, mtime = new Date(1_000_000) } = entry;
      tar.entry({ name, mode, mtime }, content);
    }
  }
  tar.finalize();
  return buffer(tar);
}

export async function tgzOf(...args: Parameters<typeof tarOf>): Promise<Buffer> {
  return gzipSync(await tarOf(...args));
}
