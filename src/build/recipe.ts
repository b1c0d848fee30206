import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack, type Pack } from 'tar-stream';

/** One file of a folder from which an image is made. */
export interface RecipeFile {
  /** Relative to the recipe's folder, with forward slashes. */
  path: string;
  content: Buffer;
}

/** The files of a folder and the folders below it, in an order that does not depend on the file system. */
export async function readRecipe(directory: string): Promise<RecipeFile[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  const recipe = await Promise.all(
    files.map(async (file) => ({
      path: path.relative(directory, file).split(path.sep).join('/'),
      content: await readFile(file),
    })),
  );
  return recipe.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/**
 * Names what a recipe makes: 12 hexadecimal digits over its files, what it is built on and the architecture.
 * `facts` are further inputs, such as another stack's name for the same files.
 */
export function recipeHash(recipe: readonly RecipeFile[], facts: readonly string[]): string {
  const hash = createHash('sha256');
  // Lengths keep two different lists from running together to the same bytes.
  for (const fact of facts) hash.update(`fact ${Buffer.byteLength(fact)} ${fact}\n`);
  for (const file of recipe) {
    hash.update(`file ${Buffer.byteLength(file.path)} ${file.path} ${file.content.length}\n`);
    hash.update(file.content);
  }
  return hash.digest('hex').slice(0, 12);
}

/** `KEY=value` lines of a recipe's versions.env, which its shell scripts source as well. */
export function readVersions(recipe: readonly RecipeFile[]): Record<string, string> {
  const file = recipe.find((candidate) => candidate.path === 'versions.env');
  const lines = file?.content.toString('utf8').split('\n') ?? [];
  return Object.fromEntries(
    lines.flatMap((line) => {
      const match = /^([A-Z_]+)=(\S+)$/.exec(line);
      return match?.[1] === undefined || match[2] === undefined ? [] : [[match[1], match[2]]];
    }),
  );
}

/** Files that are too large to hold in memory: fetched packages. */
export interface LargeFile {
  path: string;
  hostPath: string;
}

/** A tar with a recipe's files below `folder`; everything belongs to root. The stream fails if a file cannot be read. */
export function packRecipe(
  folder: string,
  recipe: readonly RecipeFile[],
  largeFiles: readonly LargeFile[],
): Readable {
  const tar = pack();
  fill(tar, folder, recipe, largeFiles).then(
    () => tar.finalize(),
    (error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return tar as unknown as Readable;
}

async function fill(
  tar: Pack,
  folder: string,
  recipe: readonly RecipeFile[],
  largeFiles: readonly LargeFile[],
): Promise<void> {
  tar.entry({ name: `${folder}/`, type: 'directory', mode: 0o755 });
  for (const file of recipe) {
    tar.entry({ name: `${folder}/${file.path}`, mode: 0o755 }, file.content);
  }
  for (const file of largeFiles) {
    const { size } = await stat(file.hostPath);
    await pipeline(
      createReadStream(file.hostPath),
      tar.entry({ name: `${folder}/${file.path}`, mode: 0o644, size }),
    );
  }
}
