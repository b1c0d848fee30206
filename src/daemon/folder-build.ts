import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { BuildFailure } from '../build/build-failure';
import { Builder } from '../build/builder';
import type { BuiltSlug } from '../build/build-request';
import { complaint } from '../build/output';
import { folderBuildsId } from '../build/storage';
import { DEFAULT_PORT, makeStandaloneImage } from '../build/standalone-image';
import type { FolderBuildOptions } from '../cli/build-options';
import { CommandError } from '../cli/terminal';
import type { AppId, BuildId, SlugId } from '../domain/ids';
import type { ContainerEngine } from '../engine/engine';
import { APP_LABEL, ownedLabels } from '../engine/labels';
import { systemClock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Config } from './config';
import { connectEngine, copyTrustBundle, ensureNetwork } from './engine-setup';
import { prepareImages } from './images';
import { DataFolderLock, LockedError } from './lock';
import type { Paths } from './paths';

export interface FolderBuildContext {
  config: Config;
  paths: Paths;
  /** Holds buildpacks/ and images/. */
  packageDir: string;
  logger: Logger;
  /** Build output, as it comes. */
  print: (chunk: string | Uint8Array) => Promise<void>;
  /** Progress of what is prepared before. */
  tell: (line: string) => void;
  signal: AbortSignal;
}

export const BUILD_PIDS = 4096;

/** Of everything in an image that was made of a folder: equal files give equal images. What `pack` uses as well. */
const FILE_TIME = new Date('1980-01-01T00:00:01Z');

/**
 * Builds a folder to an image with no app and, running or not, no daemon: straight over the engine, with the limits of
 * the settings. Two builds of one folder exclude each other. Answers what to tell the user; throws CommandError when the build
 * fails, whose reason has been printed with its output. The exit status is that of tests, if those are run.
 */
export async function buildFolder(
  options: FolderBuildOptions,
  context: FolderBuildContext,
): Promise<FolderBuildEnd> {
  const { config, paths, packageDir } = context;
  assertFolder(options.directory);
  const id = idOf(options.directory);
  const lock = new DataFolderLock(path.join(paths.run, `build-${id.slice(0, 8)}.sock`));
  try {
    await lock.acquire();
  } catch (error) {
    if (error instanceof LockedError) {
      throw new CommandError(
        'Another build of this folder is in progress.',
        'It has the cache, so this one has to wait.',
      );
    }
    throw error;
  }
  // Whoever has the lock may clear away what a killed build of this folder has left.
  const workDir = path.join(paths.folderBuilds, id);
  try {
    rmSync(workDir, { recursive: true, force: true });
    mkdirSync(workDir, { recursive: true, mode: 0o700 });
    const { engine } = await connectEngine(config);
    const installationId = folderBuildsId(paths.dataDir);
    await removeLeftovers(engine, installationId, id);
    const images = await prepareImages({
      config,
      paths,
      imagesDir: path.join(packageDir, 'images'),
      onProgress: context.tell,
    });
    const caBundlePath = copyTrustBundle(config, paths);
    const builder = new Builder({
      engine,
      installationId,
      imagesFor: () => images[options.stack],
      buildpacksDir: path.join(packageDir, 'buildpacks'),
      buildpackCacheDir: paths.buildpacks,
      authoritiesFile: caBundlePath,
      allowLocalBuildpacks: true,
      slugsDir: path.join(workDir, 'slugs'),
      workDir,
      network: await ensureNetwork(engine, installationId),
      clock: systemClock,
      logger: context.logger,
      limits: {
        memoryBytes: config.buildMemoryMb * 1024 * 1024,
        pids: BUILD_PIDS,
        timeoutMs: config.buildTimeoutMs,
        minFreeBytes: config.minFreeDiskBytes,
      },
      ...(caBundlePath === undefined ? {} : { caBundlePath }),
    });
    return await build(builder, engine, { ...options, id, installationId, workDir }, context);
  } finally {
    rmSync(workDir, { recursive: true, force: true });
    await lock.release();
  }
}

export interface FolderBuildEnd {
  exitCode: number;
  lines: string[];
}

interface Job extends FolderBuildOptions {
  id: AppId;
  installationId: string;
  workDir: string;
}

async function build(
  builder: Builder,
  engine: ContainerEngine,
  job: Job,
  { print, signal }: FolderBuildContext,
): Promise<FolderBuildEnd> {
  const request = {
    buildId: randomUUID() as BuildId,
    slugId: randomUUID() as SlugId,
    appId: job.id,
    appName: path.basename(job.directory),
    stack: job.stack,
    source: { kind: 'directory' as const, directory: job.directory, time: FILE_TIME },
    buildpacks: job.buildpacks,
    configVars: job.configVars,
    // It is no commit.
    version: '',
  };
  const output = { write: print };
  let slug: BuiltSlug;
  try {
    if (job.test) {
      const { exitCode } = await builder.build({ ...request, mode: 'test' }, output, signal);
      const verdict = exitCode === 0 ? 'Tests passed.' : `Tests failed with status ${exitCode}.`;
      return { exitCode, lines: [verdict] };
    }
    slug = await builder.build(request, output, signal);
  } catch (error) {
    if (!(error instanceof BuildFailure)) throw error;
    await print(`${[...error.lines, '', complaint('Build failed')].join('\n')}\n`);
    throw new CommandError(error.message);
  }
  await makeStandaloneImage(engine, {
    slugImage: slug.image,
    processTypes: slug.processTypes,
    installationId: job.installationId,
    reference: job.tag,
    createdAt: FILE_TIME,
    layerPath: path.join(job.workDir, 'start.tar'),
  });
  return { exitCode: 0, lines: howToRun(job.tag, Object.keys(slug.processTypes)) };
}

/** As lines of a shell. */
export function howToRun(tag: string, types: readonly string[]): string[] {
  const run = (type: string): string =>
    type === 'web'
      ? `docker run --rm -e PORT=${DEFAULT_PORT} -p ${DEFAULT_PORT}:${DEFAULT_PORT} ${tag} web`
      : `docker run --rm ${tag} ${type}`;
  const sorted = [...types].sort((a, b) => Number(b === 'web') - Number(a === 'web'));
  return [
    `Image ${tag} is built. To run it:`,
    ...sorted.map((type) => `  ${run(type)}`),
    `  docker run --rm -it ${tag} bash`,
  ];
}

async function removeLeftovers(engine: ContainerEngine, installationId: string, id: AppId): Promise<void> {
  const left = await engine.list(ownedLabels(installationId, 'build', { [APP_LABEL]: id }));
  await Promise.all(left.map((container) => engine.remove(container.id)));
}

function assertFolder(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new CommandError(`${directory} is no folder.`);
  }
}

/** The same folder has the same cache. */
function idOf(directory: string): AppId {
  return createHash('sha256').update(directory).digest('hex').slice(0, 32) as AppId;
}
