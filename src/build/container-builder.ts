import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type { AppId } from '../domain/ids';
import type { ProcessImage, ProcessImages } from '../domain/slug';
import type { ContainerEngine, ImageBuildResult } from '../engine/engine';
import type { Clock } from '../lib/clock';
import { containerBuildFailed, manifestInvalid, manifestMissing, type BuildFailure } from './build-failure';
import { ContainerSource } from './container-context';
import type { BuildRequest, BuiltSlug } from './build-request';
import { BASE_NAMES, type ContainerImages, type KeptImage } from './container-images';
import { commandLine, HerokuYmlError, parseHerokuYml, type HerokuYml, type ImageCommand } from './heroku-yml';
import { complaint, formatSize, type LineOutput } from './output';

export interface ContainerBuilderOptions {
  engine: ContainerEngine;
  images: ContainerImages;
  /** Of what runs in builds. */
  network: string;
  memoryBytes: number;
  /** Given to what runs in builds, e.g. proxy settings, which become no part of an image. */
  buildEnv?: Readonly<Record<string, string>>;
  /** A file for the source, which the caller removes. */
  newSourcePath: () => string;
  clock: Clock;
}

export type ContainerBuild = Pick<BuildRequest, 'appId' | 'source'>;

/** What app lists show as the app's kind. */
export const CONTAINER_DESCRIPTION = 'Container';

/** A built app without an archive; `checksum`, `size` and `image` speak of its images. */
export type BuiltImages = Omit<BuiltSlug, 'archivePath'> & { images: ProcessImages };

/** One Dockerfile, apart from where its files come from. */
export interface DockerfileBuild {
  appId: AppId;
  /** How the output calls the image: a process type. */
  name: string;
  /** Path of the Dockerfile as people know it. */
  title: string;
  /** The same within the context. */
  dockerfile: string;
  context: Readable;
  buildArgs: Readonly<Record<string, string>>;
}

/**
 * Builds of the container stack: what heroku.yml names, by the engine's own builder (Dev Center "Building Docker Images
 * with heroku.yml"). The images stay with the engine, where dynos are made of them: there is no registry between.
 */
export class ContainerBuilder {
  readonly #options: ContainerBuilderOptions;

  constructor(options: ContainerBuilderOptions) {
    this.#options = options;
  }

  /** Throws BuildFailure for what the client should read. */
  async build(
    { appId, source }: ContainerBuild,
    output: LineOutput,
    signal: AbortSignal,
  ): Promise<BuiltImages> {
    const { clock, newSourcePath } = this.#options;
    const startedAt = clock.now().getTime();
    await output.lines('=== Fetching app code', '');
    const tarPath = newSourcePath();
    await mkdir(path.dirname(tarPath), { recursive: true });
    const files = new ContainerSource(tarPath);
    try {
      await files.read(source, signal);
      if (files.warnings.length > 0) await output.lines(...files.warnings.map(complaint));
      const manifest = readManifest(files);
      const fetchedAt = clock.now().getTime();
      const built = await this.#buildAll(appId, manifest, files, output, signal);
      const builtAt = clock.now().getTime();
      return {
        ...assemble(manifest, built),
        buildpackProvidedDescription: CONTAINER_DESCRIPTION,
        buildpacks: [],
        configVars: {},
        addons: [],
        size: [...built.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
        timings: {
          containerMs: 0,
          slugMs: 0,
          sourceMs: fetchedAt - startedAt,
          compileMs: builtAt - fetchedAt,
          imageMs: clock.now().getTime() - builtAt,
        },
      };
    } finally {
      await rm(tarPath, { force: true });
    }
  }

  /** Throws BuildFailure. */
  async buildDockerfile(build: DockerfileBuild, output: LineOutput, signal: AbortSignal): Promise<KeptImage> {
    const { engine, images, network, memoryBytes, buildEnv = {} } = this.#options;
    await output.lines(`=== Building ${build.name} (${build.title})`);
    const result = await engine.buildImage(
      {
        dockerfile: build.dockerfile,
        buildArgs: { ...buildEnv, ...build.buildArgs },
        labels: images.labels(build.appId),
        network,
        memoryBytes,
      },
      build.context,
      { onOutput: (text) => output.raw(Buffer.from(text)), signal },
    );
    await images.keepStages(build.appId, build.name, result.stages);
    signal.throwIfAborted();
    if (result.outcome === 'called-off') throw new Error('a build was called off by nobody');
    if (result.outcome === 'failed') throw this.#explain(build, result);
    const kept = await images.keep(build.appId, result.imageId);
    await output.lines('');
    return kept;
  }

  async #buildAll(
    appId: AppId,
    { dockerfiles, buildArgs }: HerokuYml,
    files: ContainerSource,
    output: LineOutput,
    signal: AbortSignal,
  ): Promise<Map<string, KeptImage>> {
    const missing = Object.entries(dockerfiles).find(([, file]) => !files.has(file));
    if (missing !== undefined) {
      const [name, file] = missing;
      throw manifestInvalid(`build.docker.${name}: there is no ${file} in the app`, undefined);
    }
    await this.#options.images.ensureBases();
    const built = new Map<string, KeptImage>();
    for (const [name, title] of Object.entries(dockerfiles)) {
      signal.throwIfAborted();
      const { tar, dockerfile } = files.context(title, signal);
      try {
        const build = { appId, name, title, dockerfile, context: tar, buildArgs };
        built.set(name, await this.buildDockerfile(build, output, signal));
      } finally {
        tar.destroy();
      }
    }
    return built;
  }

  #explain(build: DockerfileBuild, failed: Extract<ImageBuildResult, { outcome: 'failed' }>): BuildFailure {
    const { reason, step } = failed;
    const where = `${build.name} (${build.title})`;
    if (step !== null && /^FROM\s/i.test(step)) {
      return containerBuildFailed(
        'dockerfile',
        `The image that ${where} starts from is not there: ${reason}`,
        [
          `=!= ${step}: the container engine does not have this image and could not pull it:`,
          `=!= ${reason}`,
          '',
          `Without a registry, start from an image that the engine has: ${BASE_NAMES.join(', ')}`,
        ],
      );
    }
    if (/returned a non-zero code: 137/.test(reason)) {
      const limit = formatSize(this.#options.memoryBytes);
      return containerBuildFailed('memory', `Building ${where} was ended, probably for want of memory.`, [
        `=!= build step: ${reason}`,
        `=!= It was killed, probably because it needed more than its ${limit} of memory.`,
      ]);
    }
    return containerBuildFailed('dockerfile', `Building ${where} failed: ${reason}`, [
      `=!= build step: ${reason}`,
    ]);
  }
}

function readManifest(files: ContainerSource): HerokuYml {
  if (files.manifest === null) throw manifestMissing();
  try {
    return parseHerokuYml(files.manifest);
  } catch (error) {
    if (error instanceof HerokuYmlError) throw manifestInvalid(error.message, error);
    throw error;
  }
}

/** What runs per process type. Throws BuildFailure for an image that says nothing of what to run. */
function assemble(
  { processes }: HerokuYml,
  built: ReadonlyMap<string, KeptImage>,
): Pick<BuiltImages, 'images' | 'processTypes' | 'checksum' | 'image'> {
  const images: Record<string, ProcessImage> = {};
  const processTypes: Record<string, string> = {};
  for (const [type, { image, command }] of Object.entries(processes)) {
    const kept = built.get(image);
    if (kept === undefined) throw new Error(`image ${image} was not built`);
    if (command === null && kept.command === '') {
      throw manifestInvalid(
        `the image of ${type} has neither a CMD nor an ENTRYPOINT; name a command in run.${type}`,
        undefined,
      );
    }
    images[type] = processImageOf(kept, command);
    processTypes[type] = command === null ? kept.command : commandLine(command);
  }
  return { images, processTypes, ...summarize(images) };
}

function processImageOf(
  { reference, id, runsAsRoot, argv }: KeptImage,
  command: ImageCommand | null,
): ProcessImage {
  return { reference, id, runsAsRoot, argv: command === null ? argv : argvOf(command) };
}

function argvOf(command: ImageCommand): readonly string[] {
  return command.kind === 'exec' ? command.argv : ['/bin/sh', '-c', command.line];
}

/** What stands in a slug's row for its archive and its one image. */
export function summarize(images: ProcessImages): { checksum: string; image: string } {
  const facts = Object.entries(images)
    .map(([type, { id, argv }]) => [type, id, argv] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const checksum = `SHA256:${createHash('sha256').update(JSON.stringify(facts)).digest('hex')}`;
  return { checksum, image: (images['web'] ?? Object.values(images)[0])?.reference ?? '' };
}
