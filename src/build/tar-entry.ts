import type { Pack } from 'tar-stream';

/** Owner of everything in a build container: user `dyno` of the stack images. */
export const DYNO_UID = 10001;

export interface AppendedSource {
  /** Files that `.slugignore` left out. */
  ignored: number;
  warnings: string[];
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
