import { statfs } from 'node:fs/promises';
import { BuildFailure } from './build-failure';
import { formatSize } from './output';

/**
 * A disk that fills up in mid-build takes running apps and the store down with it. Throws BuildFailure if one of
 * `directories` has less than `minFreeBytes` left. That of the engine may be on another host, where only it can tell.
 */
export async function assertDiskSpace(
  directories: readonly string[],
  engineRootDir: string,
  minFreeBytes: number,
): Promise<void> {
  for (const directory of [...directories, engineRootDir]) {
    let free: number;
    try {
      const { bavail, bsize } = await statfs(directory);
      free = bavail * bsize;
    } catch (error) {
      if (directory === engineRootDir) continue;
      throw error;
    }
    if (free < minFreeBytes) {
      throw new BuildFailure(
        'disk',
        `The disk is nearly full: ${formatSize(free)} left where ${formatSize(minFreeBytes)} are needed to build.`,
      );
    }
  }
}
