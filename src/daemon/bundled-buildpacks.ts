import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { BundledBuildpack } from '../api/services';

/** The buildpacks that come with dynodock: each folder's name, and the first line of its README. */
export function bundledBuildpacks(folder: string): BundledBuildpack[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(path.join(folder, entry.name, 'bin', 'detect')))
    .map((entry) => ({ name: `heroku/${entry.name}`, description: describe(path.join(folder, entry.name)) }));
}

function describe(folder: string): string {
  const readme = path.join(folder, 'README.md');
  if (!existsSync(readme)) return path.basename(folder);
  const lines = readFileSync(readme, 'utf8').split('\n');
  return lines.find((line) => line.trim() !== '' && !line.startsWith('#'))?.trim() ?? path.basename(folder);
}
