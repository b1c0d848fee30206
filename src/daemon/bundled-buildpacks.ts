import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import type { BundledBuildpack } from '../api/services';
import { revisionOfDirectory } from '../build/pinned-buildpack';

/** The buildpacks that come with dynodock: each folder's name, what it consists of, and its README. */
export async function bundledBuildpacks(folder: string): Promise<BundledBuildpack[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory() && existsSync(path.join(folder, entry.name, 'bin', 'detect')))
    .map((entry) => entry.name);
  return Promise.all(
    names.sort().map(async (name) => {
      const directory = path.join(folder, name);
      const file = path.join(directory, 'README.md');
      const readme = existsSync(file) ? await readFile(file, 'utf8') : `${name}\n`;
      return {
        name: `heroku/${name}`,
        description: firstSentence(readme) ?? name,
        readme,
        revision: await revisionOfDirectory(directory),
        updatedAt: await newestChange(directory),
      };
    }),
  );
}

function firstSentence(readme: string): string | undefined {
  return readme
    .split('\n')
    .find((line) => line.trim() !== '' && !line.startsWith('#'))
    ?.trim();
}

async function newestChange(directory: string): Promise<Date> {
  const names = await readdir(directory, { recursive: true });
  const times = await Promise.all(
    names.map(async (name) => (await stat(path.join(directory, name))).mtimeMs),
  );
  return new Date(Math.max(...times));
}
