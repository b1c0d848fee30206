import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack as createPack } from 'tar-stream';
import { DYNO_UID } from './tar-entry';
import { ArchiveError, packEntry, readCompression, walkTree, type TreeEntry } from './tar-tree';

/** What slugs consist of (Dev Center "Deploying Slugs using the Platform API", "Create slug archive"). */
const ROOT = 'app';

/** `SHA256:<hex>` of a file. */
export async function checksumOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `SHA256:${hash.digest('hex')}`;
}

/**
 * Writes the image layer of a slug that was made elsewhere: its files below `./app`, owned by the user that dynos run
 * as. The same archive gives the same bytes. Throws ArchiveError for what is no slug.
 */
export async function writeUploadedLayer(
  archivePath: string,
  layerPath: string,
  signal: AbortSignal,
): Promise<void> {
  if ((await readCompression(archivePath)) !== 'gzip') throw new ArchiveError('it is not gzipped');
  const pack = createPack();
  const written = pipeline(pack as unknown as Readable, createWriteStream(layerPath, { mode: 0o600 }), {
    signal,
  });
  // A disk that is full is noticed below.
  written.catch(() => undefined);
  const folders = new Set<string>();
  const fill = async (): Promise<void> => {
    let files = 0;
    await walkTree(archivePath, { compression: 'gzip', signal }, async (entry, content) => {
      if (entry.path !== ROOT && !entry.path.startsWith(`${ROOT}/`)) {
        throw new ArchiveError(`it has ${JSON.stringify(entry.path)} outside of ./app`);
      }
      if (entry.path === ROOT && entry.kind !== 'directory') throw new ArchiveError('./app is no folder');
      // What archives leave out would else belong to root.
      for (const folder of missingFolders(entry, folders)) {
        await packEntry(pack, folder, DYNO_UID, Readable.from([]));
      }
      if (entry.kind === 'directory') folders.add(entry.path);
      else files += 1;
      await packEntry(pack, entry, DYNO_UID, content);
    });
    if (files === 0) throw new ArchiveError('there are no files below ./app in it');
    pack.finalize();
  };
  try {
    // If writing fails nobody reads what is packed any more, and packing would wait for ever.
    await Promise.race([fill(), written.then(() => new Promise<never>(() => undefined))]);
    await written;
  } catch (error) {
    (pack as unknown as Readable).destroy();
    throw error;
  }
}

function missingFolders(entry: TreeEntry, known: Set<string>): TreeEntry[] {
  const parts = entry.path.split('/').slice(0, -1);
  const missing = parts
    .map((_part, index) => parts.slice(0, index + 1).join('/'))
    .filter((path) => !known.has(path));
  for (const path of missing) known.add(path);
  return missing.map((path) => ({
    kind: 'directory',
    path,
    target: '',
    mode: 0o755,
    size: 0,
    mtime: entry.mtime,
  }));
}
