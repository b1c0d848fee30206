import { createReadStream, createWriteStream } from 'node:fs';
import path from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { extract, pack as createPack, type Header } from 'tar-stream';
import { parseDockerIgnore, type DockerIgnore } from '../lib/docker-ignore';
import { appendSource, type Source } from './source';

/** Small files that say how the others are to be built. */
const MAX_MANIFEST_BYTES = 1024 * 1024;
const MANIFEST = 'heroku.yml';

/** A source as one tar on the disk, read once for each Dockerfile that is built of it. */
export class ContainerSource {
  /** null without one. */
  manifest: string | null = null;
  warnings: readonly string[] = [];
  readonly #tarPath: string;
  readonly #files = new Set<string>();
  readonly #ignores = new Map<string, DockerIgnore>();

  constructor(tarPath: string) {
    this.#tarPath = tarPath;
  }

  /** Throws BuildFailure if the source can't be read. */
  async read(source: Source, signal: AbortSignal): Promise<void> {
    const pack = createPack();
    const tar = pack as unknown as Readable;
    const filled = appendSource(pack, ROOT, source, signal).then(({ warnings }) => {
      this.warnings = warnings;
      pack.finalize();
    });
    // It only fails with what is thrown below.
    tar.on('error', () => undefined);
    filled.catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))));
    const written = pipeline(tar, createWriteStream(this.#tarPath, { mode: 0o600 }), { signal });
    await Promise.all([filled, written]);
    await this.#survey(signal);
  }

  has(file: string): boolean {
    return this.#files.has(file);
  }

  /** The folder of the Dockerfile is the context (Dev Center "Building Docker Images with heroku.yml"). */
  context(dockerfile: string, signal: AbortSignal): { tar: Readable; dockerfile: string } {
    const folder = path.posix.dirname(dockerfile);
    const name = path.posix.basename(dockerfile);
    const ignore = this.#ignores.get(folder) ?? ((): boolean => false);
    const entries = extract();
    const pack = createPack();
    const output = new PassThrough();
    const copied = (async (): Promise<void> => {
      for await (const entry of entries) {
        const file = withinFolder(entry.header, folder);
        const needed = file === name || file === IGNORE_FILE;
        if (file === undefined || (!needed && ignore(file))) {
          entry.resume();
          continue;
        }
        const header: Header = {
          ...entry.header,
          name: entry.header.type === 'directory' ? `${file}/` : file,
        };
        // Its length is that of the name that it had.
        delete header.pax;
        await pipeline(
          entry as unknown as NodeJS.ReadableStream,
          pack.entry(header) as unknown as NodeJS.WritableStream,
        );
      }
      pack.finalize();
    })();
    const all = Promise.all([
      pipeline(createReadStream(this.#tarPath), entries as unknown as NodeJS.WritableStream, { signal }),
      copied,
      pipeline(pack as unknown as NodeJS.ReadableStream, output, { signal }),
    ]);
    all.catch((error: unknown) => {
      const failure = error instanceof Error ? error : new Error(String(error));
      for (const stream of [pack as unknown as Readable, entries as unknown as Readable, output]) {
        stream.destroy(failure);
      }
    });
    // Whoever reads `output` hears of the failure; nobody may be reading any more, and the others fail with it.
    for (const stream of [pack as unknown as Readable, entries as unknown as Readable, output]) {
      stream.on('error', () => undefined);
    }
    return { tar: output, dockerfile: name };
  }

  async #survey(signal: AbortSignal): Promise<void> {
    const entries = extract();
    const surveyed = (async (): Promise<void> => {
      for await (const entry of entries) {
        const file = withinFolder(entry.header, '.');
        const isFile = entry.header.type === 'file' && file !== undefined;
        if (isFile) this.#files.add(file);
        const wanted = isFile && (file === MANIFEST || path.posix.basename(file) === IGNORE_FILE);
        if (!wanted || entry.header.size > MAX_MANIFEST_BYTES) {
          entry.resume();
          continue;
        }
        const text = (await buffer(entry)).toString('utf8');
        if (file === MANIFEST) this.manifest = text;
        else this.#ignores.set(path.posix.dirname(file), parseDockerIgnore(text));
      }
    })();
    await Promise.all([
      pipeline(createReadStream(this.#tarPath), entries as unknown as NodeJS.WritableStream, { signal }),
      surveyed,
    ]);
  }
}

const ROOT = 'app';
const IGNORE_FILE = '.dockerignore';

/** The entry's path below the folder; undefined if it is not there, or is the folder itself. */
function withinFolder({ name }: Header, folder: string): string | undefined {
  const file = path.posix
    .relative(path.posix.join(ROOT, folder), path.posix.normalize(name))
    .replace(/\/+$/, '');
  return file === '' || file === '..' || file.startsWith('../') ? undefined : file;
}
