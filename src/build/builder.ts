import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type { AppId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import { stackTitle, type StackName } from '../domain/stack';
import { EngineError, type Attachment, type ContainerEngine, type ContainerId } from '../engine/engine';
import { APP_LABEL, ownedLabels } from '../engine/labels';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { BuildContainers } from './build-containers';
import { BuildFailure, engineDoesNotAnswer, engineWentAway } from './build-failure';
import { putBuildFiles } from './build-files';
import type { BuildRequest, BuiltSlug, TestedSource, TestRequest, UsedBuildpack } from './build-request';
import { BuildpackCache } from './buildpack-cache';
import { chooseBuildpacks, type BuildpackChoice } from './buildpack-choice';
import { bundledBuildpacks } from './buildpacks';
import { assertDiskSpace } from './disk-space';
import { watchContainer } from './heartbeat';
import { ContainerBuilder } from './container-builder';
import { ContainerImages } from './container-images';
import { complaint, detail, formatSize, heading, LineOutput, type BuildOutput } from './output';
import { OutputPump } from './output-pump';
import { discoverProcessTypes, parseReleaseInfo } from './process-types';
import { ResultReader, type RunnerFailure, type RunnerSlug, type RunnerTest } from './result-reader';
import { explainFailure } from './runner-failure';
import { discardSlug, keepSlug, PARTIAL_SUFFIX, writeSlug, type SlugArchive, type SlugTarget } from './slug';
import { SlugImages } from './slug-images';
import { fetchSubmodules } from './push-submodules';
import type { Source } from './source';

export interface BuilderOptions {
  engine: ContainerEngine;
  installationId: string;
  imagesFor: (stack: StackName) => { run: string; build: string };
  /** Folder with the bundled buildpacks, one folder each. */
  buildpacksDir: string;
  /** Where buildpacks from elsewhere are kept. */
  buildpackCacheDir: string;
  /** PEM file of the authorities that the daemon's own connections trust. */
  authoritiesFile?: string | undefined;
  /** May apps name buildpacks in folders of this machine (file:///…)? Default true. */
  allowLocalBuildpacks?: boolean;
  /** Where slug archives are kept, as `<app id>/<slug id>.tgz`. */
  slugsDir: string;
  /** For temporary files as large as a slug. */
  workDir: string;
  /** Network of the build containers. */
  network: string;
  /** The host's bundle of trusted authorities, on the engine's host; mounted over the image's. */
  caBundlePath?: string;
  /** Proxy settings for builds of Dockerfiles. */
  buildEnv?: Readonly<Record<string, string>>;
  clock: Clock;
  logger: Logger;
  limits: BuildLimits;
}

export interface BuildLimits {
  memoryBytes: number;
  pids: number;
  /** Heroku's limit of a build (Dev Center "Limits", "Slug compilation"). Default 15 minutes. */
  timeoutMs?: number;
  /** Of the compressed slug (Dev Center "Slug Compiler", "Slug size"). Default 500 MiB. */
  slugMaxBytes?: number;
  /** Of what buildpacks print; the build goes on without the rest. Default 256 MiB. */
  outputMaxBytes?: number;
  /** With less left on a disk no build is begun. Default 1 GiB. */
  minFreeBytes?: number;
}

const DEFAULTS = {
  timeoutMs: 15 * 60_000,
  slugMaxBytes: 500 * 1024 ** 2,
  outputMaxBytes: 256 * 1024 ** 2,
  minFreeBytes: 1024 ** 3,
};

/**
 * Turns sources into slugs. Each build runs in a container of its own, made from the stack's build image: buildpacks
 * and the app's own scripts are untrusted code. What lasts is the app's cache volume, the slug's archive and the
 * image that is the run image plus the slug as one layer.
 */
export class Builder {
  readonly slugImages: SlugImages;
  /** For apps on the container stack. */
  readonly containerImages: ContainerImages;
  readonly containerBuilder: ContainerBuilder;
  readonly #containers: BuildContainers;
  readonly #buildpackCache: BuildpackCache;
  readonly #options: BuilderOptions;
  readonly #limits: Required<BuildLimits>;

  constructor(options: BuilderOptions) {
    this.#options = options;
    this.slugImages = new SlugImages(options);
    this.#containers = new BuildContainers(options);
    this.#buildpackCache = new BuildpackCache({
      directory: options.buildpackCacheDir,
      authoritiesFile: options.authoritiesFile,
      clock: options.clock,
    });
    this.#limits = { ...DEFAULTS, ...options.limits };
    this.containerImages = new ContainerImages(options);
    this.containerBuilder = new ContainerBuilder({
      ...options,
      images: this.containerImages,
      memoryBytes: this.#limits.memoryBytes,
      newSourcePath: () => this.slugImages.newLayerPath(),
    });
  }

  /** Rejects with BuildFailure for what the client should read, with anything else for a bug. */
  build(request: BuildRequest, output: BuildOutput, callerSignal: AbortSignal): Promise<BuiltSlug>;
  build(request: TestRequest, output: BuildOutput, callerSignal: AbortSignal): Promise<TestedSource>;
  async build(
    request: BuildRequest | TestRequest,
    output: BuildOutput,
    callerSignal: AbortSignal,
  ): Promise<BuiltSlug | TestedSource> {
    const deadline = new AbortController();
    const cancelDeadline = this.#options.clock.after(this.#limits.timeoutMs, () => {
      deadline.abort(this.#timeout());
    });
    const canceled = new AbortController();
    const cancel = (): void => canceled.abort(new BuildFailure('canceled', 'The build was canceled.'));
    if (callerSignal.aborted) cancel();
    callerSignal.addEventListener('abort', cancel, { once: true });
    const lost = new AbortController();
    const signal = AbortSignal.any([deadline.signal, canceled.signal, lost.signal]);
    const stuck = this.#whenStuck(request, signal);
    try {
      signal.throwIfAborted();
      const work = this.#build(request, new LineOutput(output), signal, (failure) => lost.abort(failure));
      // If it is given up, it may still fail.
      work.catch(() => undefined);
      return await Promise.race([work, stuck.promise]);
    } catch (error) {
      // Whatever else failed then failed because of that.
      signal.throwIfAborted();
      throw toFailure(error);
    } finally {
      cancelDeadline();
      stuck.cancel();
      callerSignal.removeEventListener('abort', cancel);
    }
  }

  /** Removes what an earlier run of the daemon left behind when it was killed. To be called before the first build. */
  async sweep(): Promise<{ containers: number }> {
    const { workDir, slugsDir } = this.#options;
    const containers = await this.#containers.removeOrphans();
    for (const directory of [workDir, slugsDir]) {
      await mkdir(directory, { recursive: true });
      const names = await readdir(directory, { recursive: true });
      const unfinished = names.filter((name) => LAYER_FILE.test(name) || name.endsWith(PARTIAL_SUFFIX));
      await Promise.all(unfinished.map((name) => rm(path.join(directory, name), { force: true })));
    }
    return { containers };
  }

  /** Removes the containers of builds that ended while the engine was away, which may still run. */
  removeLeftovers(): Promise<void> {
    return this.#containers.removeLeftovers();
  }

  /** `heroku builds:cache:purge`. Fails with EngineError `conflict` while a build uses it. */
  async purgeCache(appId: AppId): Promise<void> {
    await this.#containers.purgeCache(appId);
  }

  /** The app is gone, its containers too: removes its cache, archives and images. */
  async removeApp(appId: AppId): Promise<void> {
    const { engine, installationId, slugsDir } = this.#options;
    await this.purgeCache(appId);
    for (const role of ['slug', 'layers'] as const) {
      const images = await engine.listImages(ownedLabels(installationId, role, { [APP_LABEL]: appId }));
      for (const { id, references } of images) {
        for (const name of references.length === 0 ? [id] : references) await engine.removeImage(name);
      }
    }
    await rm(path.join(slugsDir, appId), { recursive: true, force: true });
  }

  /** Rejects when a build that was called off does not end: a call to the engine hangs, and would hold its app up. */
  #whenStuck(
    { buildId }: Pick<BuildRequest, 'buildId'>,
    signal: AbortSignal,
  ): { promise: Promise<never>; cancel: () => void } {
    const { clock, logger } = this.#options;
    let cancel = (): void => undefined;
    const promise = new Promise<never>((_resolve, reject) => {
      signal.addEventListener(
        'abort',
        () => {
          cancel = clock.after(GIVE_UP_MS, () => {
            logger.warn('build given up, which does not end', { build: buildId });
            reject(new Error('the build does not end'));
          });
        },
        { once: true },
      );
    });
    promise.catch(() => undefined);
    return { promise, cancel: () => cancel() };
  }

  async #build(
    request: BuildRequest | TestRequest,
    output: LineOutput,
    signal: AbortSignal,
    lost: (failure: BuildFailure) => void,
  ): Promise<BuiltSlug | TestedSource> {
    const { engine, clock } = this.#options;
    if (request.stack === 'container') {
      if (request.mode === 'test') {
        throw new BuildFailure('not_supported', 'Tests of apps on the container stack are not supported.');
      }
      await this.#assertDiskSpace();
      const built = await this.containerBuilder.build(request, output, signal);
      return { ...built, archivePath: this.slugImages.archivePath(request.appId, request.slugId) };
    }
    await output.lines(heading(`Building on the ${stackTitle(request.stack)} stack`));
    const { previousStack } = request;
    if (previousStack != null && previousStack !== request.stack) {
      await output.lines(detail(`Stack changed from ${previousStack} to ${request.stack}`));
    }
    const choice = await this.#chooseBuildpacks(request, output, signal);
    await this.#assertDiskSpace();
    const source = await this.#withSubmodules(request.source, output, signal);
    // One that still runs would share the cache with this build.
    await this.#containers.removeLeftovers();
    const startedAt = clock.now().getTime();

    this.#containers.expect(request.buildId);
    let id: ContainerId | undefined;
    let attachment: Attachment | undefined;
    let endWatch = (): void => undefined;
    // Without its streams every read of this build fails at once, even when the engine answers no more.
    const hangUp = (): void => attachment?.close();
    signal.addEventListener('abort', hangUp, { once: true });
    const target: SlugTarget = {
      archivePath: this.slugImages.archivePath(request.appId, request.slugId),
      layerPath: this.slugImages.newLayerPath(),
      maxBytes: this.#limits.slugMaxBytes,
    };
    try {
      await mkdir(path.dirname(target.archivePath), { recursive: true });
      const created = await this.#containers.create(request, choice.mode);
      id = created;
      const send = (tar: Readable): Promise<void> => engine.putArchive(created, '/', tar);
      attachment = await engine.attach(id, { stdin: false });
      signal.throwIfAborted();
      const createdAt = clock.now().getTime();
      const warnings = await putBuildFiles(
        send,
        { ...request, source },
        choice.buildpacks,
        () => this.#buildpackCache.newBudget(),
        signal,
      );
      if (warnings.length > 0) await output.lines(...warnings.map(complaint));
      const copiedAt = clock.now().getTime();
      signal.throwIfAborted();
      await engine.start(id);
      endWatch = watchContainer(engine, id, clock, lost);
      const compiled = await this.#follow(id, attachment, request, target, output, signal);
      endWatch();
      const used = usedBuildpacks(choice, compiled.result.buildpacks);
      if (!('archive' in compiled)) {
        const { app, exitCode } = compiled.result;
        return { exitCode, buildpackProvidedDescription: app, buildpacks: used };
      }
      // Follows from there being a slug.
      if (request.mode === 'test') throw new RangeError('tests gave a slug');
      const archivedAt = clock.now().getTime();
      const { checksum, size, layer } = compiled.archive;
      const image = await this.slugImages.make({ ...request, checksum }, target.layerPath, layer);
      signal.throwIfAborted();
      await keepSlug(target);
      await output.lines(detail(`Done: ${formatSize(size)}`));
      return {
        checksum,
        size,
        archivePath: target.archivePath,
        image,
        processTypes: compiled.processTypes,
        buildpackProvidedDescription: compiled.result.app,
        buildpacks: used,
        configVars: compiled.configVars,
        addons: compiled.addons,
        timings: {
          containerMs: createdAt - startedAt,
          sourceMs: copiedAt - createdAt,
          compileMs: compiled.compiledAt - copiedAt,
          slugMs: archivedAt - compiled.compiledAt,
          imageMs: clock.now().getTime() - archivedAt,
        },
      };
    } finally {
      endWatch();
      signal.removeEventListener('abort', hangUp);
      attachment?.close();
      await discardSlug(target);
      await rm(target.layerPath, { force: true });
      await this.#containers.dismiss(request.buildId, id);
    }
  }

  async #chooseBuildpacks(
    request: BuildRequest | TestRequest,
    output: LineOutput,
    signal: AbortSignal,
  ): Promise<BuildpackChoice> {
    const catalog = {
      bundled: await bundledBuildpacks(this.#options.buildpacksDir),
      allowLocal: this.#options.allowLocalBuildpacks ?? true,
    };
    return chooseBuildpacks(request, catalog, this.#buildpackCache, output, signal);
  }

  async #withSubmodules(source: Source, output: LineOutput, signal: AbortSignal): Promise<Source> {
    if (source.kind !== 'git') return source;
    const { authoritiesFile, clock } = this.#options;
    return {
      ...source,
      submodules: await fetchSubmodules(source, { authoritiesFile, clock }, output, signal),
    };
  }

  async #assertDiskSpace(): Promise<void> {
    const { engine, slugsDir, workDir } = this.#options;
    const directories = [slugsDir, workDir];
    await Promise.all(directories.map((directory) => mkdir(directory, { recursive: true })));
    // The first that a build wants of the engine.
    const { rootDir } = await engine.info().catch((error: unknown) => {
      throw error instanceof EngineError && error.kind === 'unreachable' ? engineDoesNotAnswer(error) : error;
    });
    await assertDiskSpace(directories, rootDir, this.#limits.minFreeBytes);
  }

  async #follow(
    id: ContainerId,
    attachment: Attachment,
    request: BuildRequest | TestRequest,
    target: SlugTarget,
    output: LineOutput,
    signal: AbortSignal,
  ): Promise<Compiled | { result: RunnerTest }> {
    const { engine, clock } = this.#options;
    const pump = new OutputPump(attachment.stderr, output, this.#limits.outputMaxBytes);
    const result = new ResultReader(attachment.stdout);
    const compiled = (async (): Promise<Compiled | { result: RunnerTest } | undefined> => {
      const header = await result.header();
      if (header === undefined) return undefined;
      await pump.caughtUp(signal);
      if ('failure' in header) throw await this.#explain(id, header.failure, signal);
      if ('test' in header) return { result: header.test };
      const compiledAt = clock.now().getTime();
      const lastBuildpack = header.slug.buildpacks.at(-1) ?? '';
      const release = parseReleaseInfo(header.slug.release, lastBuildpack);
      const discovered = discoverProcessTypes(header.slug.procfile, release.defaultProcessTypes);
      await output.lines(...discovered.lines, '', heading('Compressing...'));
      const archive = await writeSlug(result.tar(), target, signal);
      const { addons, configVars } = release;
      return { result: header.slug, processTypes: discovered.types, addons, configVars, compiledAt, archive };
    })();
    const [finished] = await Promise.all([compiled, pump.done]);
    const { exitCode } = await engine.wait(id, { signal });
    if (finished !== undefined && exitCode === 0) return finished;
    throw await this.#unexpectedEnd(id, exitCode, request, finished !== undefined);
  }

  async #explain(id: ContainerId, failure: RunnerFailure, signal: AbortSignal): Promise<BuildFailure> {
    // Only known once the container has ended: a compile that fails for want of memory just says "Killed".
    await this.#options.engine.wait(id, { signal });
    const { oomKilled } = await this.#options.engine.inspect(id);
    return oomKilled === true ? this.#outOfMemory() : explainFailure(failure);
  }

  async #unexpectedEnd(
    id: ContainerId,
    exitCode: number,
    request: BuildRequest | TestRequest,
    compiled: boolean,
  ): Promise<BuildFailure> {
    const { oomKilled } = await this.#options.engine.inspect(id);
    if (oomKilled === true) return this.#outOfMemory();
    if (compiled)
      return new BuildFailure('container', 'The slug could not be packed, as the lines above say.');
    this.#options.logger.warn('build container ended without a result', { build: request.buildId, exitCode });
    return new BuildFailure('container', `The build ended unexpectedly with status ${exitCode}.`);
  }

  #outOfMemory(): BuildFailure {
    const limit = formatSize(this.#limits.memoryBytes);
    return new BuildFailure('memory', `Push rejected, the build needed more than its ${limit} of memory.`);
  }

  #timeout(): BuildFailure {
    const minutes = this.#limits.timeoutMs / 60_000;
    const limit =
      minutes >= 1 ? `${Math.round(minutes)} minutes` : `${this.#limits.timeoutMs / 1000} seconds`;
    return new BuildFailure('timeout', `Push rejected, the build took longer than ${limit}.`);
  }
}

interface Compiled {
  result: RunnerSlug;
  processTypes: ProcessTypes;
  addons: string[];
  configVars: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  compiledAt: number;
  archive: SlugArchive;
}

/** Longer than the engine's calls may take, but for transfers. */
const GIVE_UP_MS = 90_000;

/** The container, in which anything may have run, only has a say in which one was detected. */
function usedBuildpacks({ mode, buildpacks }: BuildpackChoice, names: readonly string[]): UsedBuildpack[] {
  const used = mode === 'listed' ? buildpacks : buildpacks.filter(({ name }) => names.includes(name));
  return used.map(({ name, revision }) => ({ name, revision }));
}

const LAYER_FILE = /^slug-[0-9a-f-]{36}\.tar$/;

function toFailure(error: unknown): unknown {
  if (error instanceof BuildFailure) return error;
  if (error instanceof EngineError) {
    switch (error.kind) {
      case 'unreachable':
        return engineWentAway(error);
      case 'no_space':
        return new BuildFailure('disk', 'The disk of the container engine is full.', undefined, {
          cause: error,
        });
      default:
        return error;
    }
  }
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOSPC') {
    return new BuildFailure('disk', 'The disk is full.', undefined, { cause: error });
  }
  return error;
}
