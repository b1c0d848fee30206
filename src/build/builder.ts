import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pack as createPack, type Pack } from 'tar-stream';
import type { ConfigVars } from '../domain/config-vars';
import type { AppId, BuildId, SlugId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import type { ProcessImages } from '../domain/slug';
import { stackTitle, type StackName } from '../domain/stack';
import {
  EngineError,
  type Attachment,
  type ContainerEngine,
  type ContainerId,
  type Mount,
} from '../engine/engine';
import { APP_LABEL, APP_NAME_LABEL, BUILD_LABEL, ownedLabels } from '../engine/labels';
import { trustedEnvironment, trustMounts } from '../engine/trust';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import {
  BuildFailure,
  compileFailed,
  engineDoesNotAnswer,
  engineWentAway,
  incompatible,
  notDetected,
} from './build-failure';
import {
  bundledBuildpacks,
  detectableBuildpacks,
  resolveBuildpack,
  withoutCredentials,
  type BuildpackSource,
} from './buildpacks';
import { ContainerBuilder } from './container-builder';
import { ContainerImages } from './container-images';
import { complaint, detail, formatSize, heading, LineOutput, type BuildOutput } from './output';
import { discoverProcessTypes, parseReleaseInfo } from './process-types';
import { ResultReader, type RunnerFailure, type RunnerSlug } from './result-reader';
import { discardSlug, keepSlug, PARTIAL_SUFFIX, writeSlug, type SlugArchive, type SlugTarget } from './slug';
import { SlugImages } from './slug-images';
import { appendDirectory, appendEntry, appendSource, DYNO_UID, type Source } from './source';

export interface BuilderOptions {
  engine: ContainerEngine;
  installationId: string;
  imagesFor: (stack: StackName) => { run: string; build: string };
  /** Folder with the bundled buildpacks, one folder each. */
  buildpacksDir: string;
  /** May apps name buildpacks in folders of this machine (file:///…)? Default false. */
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
  /** With less left on a disk no build is begun. Default 1 GiB. */
  minFreeBytes?: number;
}

export interface BuildRequest {
  buildId: BuildId;
  slugId: SlugId;
  appId: AppId;
  appName: string;
  stack: StackName;
  source: Source;
  /** As stored for the app; empty = detect. */
  buildpacks: readonly string[];
  configVars: ConfigVars;
  /** What buildpacks see as SOURCE_VERSION. */
  version: string;
}

export interface BuiltSlug {
  /** `SHA256:<hex>` of the archive. */
  checksum: string;
  /** Bytes of it. */
  size: number;
  /** Nothing is there where images are all that was built. */
  archivePath: string;
  /** Reference of the run image plus this slug. */
  image: string;
  /** Of the container stack: what each process type runs. */
  images?: ProcessImages;
  processTypes: ProcessTypes;
  buildpackProvidedDescription: string;
  /** What ran, e.g. `heroku/nodejs`: names to store on an app that had none. */
  buildpacks: string[];
  /** The last buildpack's bin/release asks for these on the first deploy. */
  configVars: Readonly<Record<string, string>>;
  addons: string[];
  timings: BuildTimings;
}

/** Milliseconds of each phase. */
export interface BuildTimings {
  /** Volume and container made, attached to. */
  containerMs: number;
  /** Sources and buildpacks copied in. */
  sourceMs: number;
  /** From the container's start to its result. */
  compileMs: number;
  /** The slug's archive. */
  slugMs: number;
  imageMs: number;
}

const DEFAULTS = { timeoutMs: 15 * 60_000, slugMaxBytes: 500 * 1024 ** 2, minFreeBytes: 1024 ** 3 };

const RUNNER_PATH = path.join(__dirname, 'runner.sh');
/** Below /tmp of the build container. */
const TOOLS = 'dynodock';
const FIELD_SEPARATOR = '\x1f';

/**
 * Turns sources into slugs. Each build runs in a container of its own, made from the stack's build image: buildpacks
 * and the app's own scripts are untrusted code. What lasts is the app's cache volume, the slug's archive and the
 * image that is the run image plus the slug as one layer.
 */
export class Builder {
  readonly slugImages: SlugImages;
  /** For apps on the container stack. */
  readonly containerImages: ContainerImages;
  readonly containers: ContainerBuilder;
  readonly #options: BuilderOptions;
  readonly #limits: Required<BuildLimits>;
  readonly #active = new Set<string>();
  /** Did a build end without removing its container, because the engine was away? */
  #hasLeftovers = false;

  constructor(options: BuilderOptions) {
    this.#options = options;
    this.slugImages = new SlugImages(options);
    this.#limits = { ...DEFAULTS, ...options.limits };
    this.containerImages = new ContainerImages(options);
    this.containers = new ContainerBuilder({
      ...options,
      images: this.containerImages,
      memoryBytes: this.#limits.memoryBytes,
      newSourcePath: () => this.slugImages.newLayerPath(),
    });
  }

  /** Rejects with BuildFailure for what the client should read, with anything else for a bug. */
  async build(request: BuildRequest, output: BuildOutput, callerSignal: AbortSignal): Promise<BuiltSlug> {
    const deadline = new AbortController();
    const cancelDeadline = this.#options.clock.after(this.#limits.timeoutMs, () => {
      deadline.abort(this.#timeout());
    });
    const canceled = new AbortController();
    const cancel = (): void => canceled.abort(new BuildFailure('canceled', 'The build was canceled.'));
    if (callerSignal.aborted) cancel();
    callerSignal.addEventListener('abort', cancel, { once: true });
    const signal = AbortSignal.any([deadline.signal, canceled.signal]);
    try {
      signal.throwIfAborted();
      return await this.#build(request, new LineOutput(output), signal);
    } catch (error) {
      // Whatever else failed then failed because of that.
      signal.throwIfAborted();
      throw toFailure(error);
    } finally {
      cancelDeadline();
      callerSignal.removeEventListener('abort', cancel);
    }
  }

  /** Removes what an earlier run of the daemon left behind when it was killed. To be called before the first build. */
  async sweep(): Promise<{ containers: number }> {
    const { workDir, slugsDir } = this.#options;
    const containers = await this.#removeOrphans();
    for (const directory of [workDir, slugsDir]) {
      await mkdir(directory, { recursive: true });
      const names = await readdir(directory, { recursive: true });
      const unfinished = names.filter((name) => LAYER_FILE.test(name) || name.endsWith(PARTIAL_SUFFIX));
      await Promise.all(unfinished.map((name) => rm(path.join(directory, name), { force: true })));
    }
    return { containers };
  }

  /** Removes the containers of builds that ended while the engine was away, which may still run. */
  async removeLeftovers(): Promise<void> {
    if (!this.#hasLeftovers) return;
    this.#hasLeftovers = false;
    try {
      const containers = await this.#removeOrphans();
      this.#options.logger.info('leftover build containers removed', { containers });
    } catch (error) {
      this.#hasLeftovers = true;
      if (!(error instanceof EngineError)) throw error;
      this.#options.logger.debug('leftover build containers not removed', { error });
    }
  }

  async #removeOrphans(): Promise<number> {
    const { engine, installationId } = this.#options;
    const containers = await engine.list(ownedLabels(installationId, 'build'));
    const orphans = containers.filter(({ labels }) => !this.#active.has(labels[BUILD_LABEL] ?? ''));
    await Promise.all(orphans.map(({ id }) => engine.remove(id)));
    return orphans.length;
  }

  /** `heroku builds:cache:purge`. Fails with EngineError `conflict` while a build uses it. */
  async purgeCache(appId: AppId): Promise<void> {
    await this.#options.engine.removeVolume(this.#cacheVolume(appId));
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

  async #build(request: BuildRequest, output: LineOutput, signal: AbortSignal): Promise<BuiltSlug> {
    const { engine, logger } = this.#options;
    if (request.stack === 'container') return this.#buildContainers(request, output, signal);
    await output.lines(heading(`Building on the ${stackTitle(request.stack)} stack`));
    const buildpacks = await this.#resolveBuildpacks(request, output);
    await this.#assertDiskSpace();
    // One that still runs would share the cache with this build.
    await this.removeLeftovers();
    const { clock } = this.#options;
    const startedAt = clock.now().getTime();

    this.#active.add(request.buildId);
    let id: ContainerId | undefined;
    let attachment: Attachment | undefined;
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
      id = await this.#createContainer(request, buildpacks.mode);
      attachment = await engine.attach(id, { stdin: false });
      signal.throwIfAborted();
      const createdAt = clock.now().getTime();
      const warnings = await this.#putFiles(id, request, buildpacks.sources, signal);
      if (warnings.length > 0) await output.lines(...warnings.map(complaint));
      const copiedAt = clock.now().getTime();
      signal.throwIfAborted();
      await engine.start(id);
      const compiled = await this.#follow(id, attachment, request, target, output, signal);
      const archivedAt = clock.now().getTime();
      const { checksum } = compiled.archive;
      const image = await this.slugImages.make({ ...request, checksum }, target.layerPath);
      signal.throwIfAborted();
      await keepSlug(target);
      await output.lines(detail(`Done: ${formatSize(compiled.archive.size)}`));
      return {
        ...compiled.archive,
        archivePath: target.archivePath,
        image,
        processTypes: compiled.processTypes,
        buildpackProvidedDescription: compiled.slug.app,
        buildpacks: compiled.slug.buildpacks,
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
      signal.removeEventListener('abort', hangUp);
      attachment?.close();
      await discardSlug(target);
      await rm(target.layerPath, { force: true });
      if (id !== undefined) {
        await engine.remove(id).catch((error: unknown) => {
          // The build's outcome stands; the container goes when the engine takes orders again.
          this.#hasLeftovers = true;
          logger.warn('build container not removed', { build: request.buildId, error });
        });
      }
      // The order to create it may have been carried out without an answer.
      else this.#hasLeftovers = true;
      this.#active.delete(request.buildId);
    }
  }

  async #buildContainers(request: BuildRequest, output: LineOutput, signal: AbortSignal): Promise<BuiltSlug> {
    await this.#assertDiskSpace();
    const { timings, ...built } = await this.containers.build(request, output, signal);
    return {
      ...built,
      archivePath: this.slugImages.archivePath(request.appId, request.slugId),
      buildpackProvidedDescription: CONTAINER_DESCRIPTION,
      buildpacks: [],
      configVars: {},
      addons: [],
      timings: { containerMs: 0, slugMs: 0, ...timings },
    };
  }

  async #resolveBuildpacks(request: BuildRequest, output: LineOutput): Promise<BuildpackChoice> {
    const catalog = {
      bundled: await bundledBuildpacks(this.#options.buildpacksDir),
      allowLocal: this.#options.allowLocalBuildpacks ?? false,
    };
    // Dev Center "Buildpacks": the older way to set one, which overrides what is stored.
    const override = request.configVars.BUILDPACK_URL;
    const stored = override === undefined || override === '' ? request.buildpacks : [override];
    if (stored.length === 0) {
      await output.lines(heading('Determining which buildpack to use for this app'));
      return { mode: 'detect', sources: detectableBuildpacks(catalog) };
    }
    const buildpacks = stored.map((text) => resolveBuildpack(text, catalog));
    const [only] = buildpacks;
    if (buildpacks.length === 1 && only !== undefined) {
      await output.lines(heading(`Using buildpack: ${only.name}`));
    } else {
      await output.lines(
        heading('Using buildpacks:'),
        ...buildpacks.map(({ name }, index) => detail(`${index + 1}. ${name}`)),
      );
    }
    return { mode: 'listed', sources: buildpacks };
  }

  /** A disk that fills up in mid-build takes running apps and the store down with it. */
  async #assertDiskSpace(): Promise<void> {
    const { engine, slugsDir, workDir } = this.#options;
    await Promise.all([slugsDir, workDir].map((directory) => mkdir(directory, { recursive: true })));
    // The first that a build wants of the engine.
    const { rootDir } = await engine.info().catch((error: unknown) => {
      throw error instanceof EngineError && error.kind === 'unreachable' ? engineDoesNotAnswer(error) : error;
    });
    for (const directory of [slugsDir, workDir, rootDir]) {
      let free: number;
      try {
        const { bavail, bsize } = await statfs(directory);
        free = bavail * bsize;
      } catch (error) {
        // The engine may be on another host, where only it can tell.
        if (directory === rootDir) continue;
        throw error;
      }
      if (free < this.#limits.minFreeBytes) {
        throw new BuildFailure(
          'disk',
          `The disk is nearly full: ${formatSize(free)} left where ${formatSize(this.#limits.minFreeBytes)} are needed to build.`,
        );
      }
    }
  }

  async #createContainer(request: BuildRequest, mode: BuildpackChoice['mode']): Promise<ContainerId> {
    const { engine, installationId, caBundlePath } = this.#options;
    const cache = this.#cacheVolume(request.appId);
    await engine.ensureVolume(cache, ownedLabels(installationId, 'cache', { [APP_LABEL]: request.appId }));
    const mounts: Mount[] = [{ kind: 'volume', source: cache, target: '/cache', readOnly: false }];
    mounts.push(...trustMounts(caBundlePath));
    const mtime = String(Math.floor(request.source.time.getTime() / 1000));
    const command = [`/tmp/${TOOLS}/runner.sh`, mode, `/tmp/${buildDirName(request)}`, mtime];
    return engine.create({
      name: `dynodock-build-${request.buildId}`,
      image: this.#options.imagesFor(request.stack).build,
      command: ['/bin/bash', ...command],
      env: { ...buildEnvironment(request), ...trustedEnvironment(caBundlePath) },
      labels: ownedLabels(installationId, 'build', {
        [BUILD_LABEL]: request.buildId,
        [APP_LABEL]: request.appId,
        [APP_NAME_LABEL]: request.appName,
      }),
      user: `${DYNO_UID}:${DYNO_UID}`,
      workingDir: '/app',
      network: this.#options.network,
      limits: { memoryBytes: this.#limits.memoryBytes, pids: this.#limits.pids },
      mounts,
      unprivileged: true,
      discardLog: true,
    });
  }

  /** Sources, buildpacks, config vars and the runner, in one transfer. Answers warnings for the client. */
  async #putFiles(
    id: ContainerId,
    request: BuildRequest,
    buildpacks: readonly BuildpackSource[],
    signal: AbortSignal,
  ): Promise<string[]> {
    const pack = createPack();
    const tar = pack as unknown as Readable;
    // It only fails with what is thrown below; without a listener that would be thrown once more, out of nowhere.
    tar.on('error', () => undefined);
    const sent = this.#options.engine.putArchive(id, '/tmp', tar);
    try {
      const filled = fillArchive(pack, request, buildpacks, signal);
      // If the transfer fails nobody reads the archive any more, and filling it would wait for ever.
      const failed = sent.then(() => new Promise<never>(() => undefined));
      const warnings = await Promise.race([filled, failed]);
      await sent;
      return warnings;
    } catch (error) {
      tar.destroy(error instanceof Error ? error : new Error(String(error)));
      // Its failure is a consequence of the one that is thrown.
      sent.catch(() => undefined);
      throw error;
    }
  }

  async #follow(
    id: ContainerId,
    attachment: Attachment,
    request: BuildRequest,
    target: SlugTarget,
    output: LineOutput,
    signal: AbortSignal,
  ): Promise<Compiled> {
    const { engine, clock } = this.#options;
    const pump = new OutputPump(attachment.stderr, output);
    const result = new ResultReader(attachment.stdout);
    const compiled = (async (): Promise<Compiled | undefined> => {
      const header = await result.header();
      if (header === undefined) return undefined;
      await pump.caughtUp(signal);
      if ('failure' in header) throw await this.#explain(id, header.failure, signal);
      const compiledAt = clock.now().getTime();
      const lastBuildpack = header.slug.buildpacks.at(-1) ?? '';
      const release = parseReleaseInfo(header.slug.release, lastBuildpack);
      const discovered = discoverProcessTypes(header.slug.procfile, release.defaultProcessTypes);
      await output.lines(...discovered.lines, '', heading('Compressing...'));
      const archive = await writeSlug(result.tar(), target, signal);
      const { addons, configVars } = release;
      return { slug: header.slug, processTypes: discovered.types, addons, configVars, compiledAt, archive };
    })();
    const [finished] = await Promise.all([compiled, pump.done]);
    const { exitCode } = await engine.wait(id, { signal });
    if (finished !== undefined && exitCode === 0) return finished;
    throw await this.#unexpectedEnd(id, exitCode, request);
  }

  async #explain(id: ContainerId, failure: RunnerFailure, signal: AbortSignal): Promise<BuildFailure> {
    // Only known once the container has ended: a compile that fails for want of memory just says "Killed".
    await this.#options.engine.wait(id, { signal });
    const { oomKilled } = await this.#options.engine.inspect(id);
    if (oomKilled === true) return this.#outOfMemory();
    const buildpack = withoutCredentials(failure.buildpack);
    switch (failure.kind) {
      case 'not_detected':
        return notDetected();
      case 'incompatible':
        return incompatible(buildpack);
      case 'compile':
        return compileFailed(failure.name);
      case 'release':
        return new BuildFailure('release', `bin/release of ${buildpack} failed.`);
      case 'fetch':
        return new BuildFailure('buildpack', `Buildpack ${buildpack} could not be fetched.`, [
          complaint(`Buildpack ${buildpack} could not be fetched:`),
          complaint(withoutCredentials(failure.detail) || 'no reason was given'),
        ]);
      case 'invalid':
        return new BuildFailure('buildpack', `${buildpack} is not a buildpack: ${failure.detail}.`);
      default:
        return new BuildFailure('container', `The build could not be run: ${failure.detail}.`);
    }
  }

  async #unexpectedEnd(id: ContainerId, exitCode: number, request: BuildRequest): Promise<BuildFailure> {
    const { oomKilled } = await this.#options.engine.inspect(id);
    if (oomKilled === true) return this.#outOfMemory();
    this.#options.logger.warn('build container ended without a result', { build: request.buildId, exitCode });
    return new BuildFailure('container', `The build ended unexpectedly with status ${exitCode}.`);
  }

  #outOfMemory(): BuildFailure {
    const limit = formatSize(this.#limits.memoryBytes);
    return new BuildFailure('memory', `Push rejected, the build needed more than its ${limit} of memory.`);
  }

  #cacheVolume(appId: AppId): string {
    return `dynodock-cache-${this.#options.installationId}-${appId}`;
  }

  #timeout(): BuildFailure {
    const minutes = this.#limits.timeoutMs / 60_000;
    const limit =
      minutes >= 1 ? `${Math.round(minutes)} minutes` : `${this.#limits.timeoutMs / 1000} seconds`;
    return new BuildFailure('timeout', `Push rejected, the build took longer than ${limit}.`);
  }
}

/** `detect`: the first one that applies; `listed`: all of them, in order. */
interface BuildpackChoice {
  mode: 'detect' | 'listed';
  sources: BuildpackSource[];
}

interface Compiled {
  slug: RunnerSlug;
  processTypes: ProcessTypes;
  addons: string[];
  configVars: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  compiledAt: number;
  archive: SlugArchive;
}

/** What app lists show as the app's kind. */
const CONTAINER_DESCRIPTION = 'Container';

const LAYER_FILE = /^slug-[0-9a-f-]{36}\.tar$/;

/** Passes on what buildpacks print. */
class OutputPump {
  readonly done: Promise<void>;
  readonly #stderr: Readable;
  #writing = false;

  constructor(stderr: Readable, output: LineOutput) {
    this.#stderr = stderr;
    this.done = this.#run(output);
    // Whoever waits for the result first gets the same failure from there.
    this.done.catch(() => undefined);
  }

  async #run(output: LineOutput): Promise<void> {
    for await (const chunk of this.#stderr as AsyncIterable<Uint8Array>) {
      this.#writing = true;
      try {
        await output.raw(chunk);
      } finally {
        this.#writing = false;
      }
    }
  }

  /**
   * Resolves once all that was printed before the result has been passed on: both streams come in order through one
   * connection, so it is in the buffer by the time the result is read.
   */
  async caughtUp(signal: AbortSignal): Promise<void> {
    do {
      signal.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#writing || this.#stderr.readableLength > 0);
  }
}

async function fillArchive(
  pack: Pack,
  request: BuildRequest,
  buildpacks: readonly BuildpackSource[],
  signal: AbortSignal,
): Promise<string[]> {
  const owner = { uid: DYNO_UID, gid: DYNO_UID };
  const buildDir = buildDirName(request);
  await appendEntry(pack, { name: `${buildDir}/`, type: 'directory', mode: 0o755, ...owner });
  const source = await appendSource(pack, buildDir, request.source, signal);
  for (const folder of [TOOLS, `${TOOLS}/env`, `${TOOLS}/buildpacks.d`]) {
    await appendEntry(pack, { name: `${folder}/`, type: 'directory', mode: 0o755, ...owner });
  }
  await appendEntry(pack, { name: `${TOOLS}/runner.sh`, mode: 0o755, ...owner }, await readFile(RUNNER_PATH));
  for (const [name, value] of Object.entries(request.configVars)) {
    await appendEntry(pack, { name: `${TOOLS}/env/${name}`, mode: 0o600, ...owner }, value);
  }
  const lines = buildpacks.map((buildpack) =>
    [
      buildpack.kind,
      buildpack.name,
      'url' in buildpack ? buildpack.url : '',
      'ref' in buildpack ? buildpack.ref : '',
    ].join(FIELD_SEPARATOR),
  );
  const list = lines.map((line) => `${line}\n`).join('');
  await appendEntry(pack, { name: `${TOOLS}/buildpacks`, mode: 0o600, ...owner }, list);
  for (const [index, buildpack] of buildpacks.entries()) {
    if (buildpack.kind !== 'directory') continue;
    await appendDirectory(pack, `${TOOLS}/buildpacks.d/${index + 1}`, buildpack.directory).catch(
      (cause: unknown) => {
        throw new BuildFailure('buildpack', `Buildpack ${buildpack.name} could not be read.`, undefined, {
          cause,
        });
      },
    );
  }
  pack.finalize();
  return source.warnings;
}

/**
 * The same for every build of an app, so that paths which a buildpack bakes in are the same too; otherwise like
 * Heroku's, which buildpacks must not rely on.
 */
function buildDirName(request: BuildRequest): string {
  return `build_${shortHash(request.appId, 8)}`;
}

/** Dev Center "Buildpack API": config vars are not among them, they are files in ENV_DIR. */
function buildEnvironment(request: BuildRequest): Record<string, string> {
  const number = 1000 + (Number.parseInt(shortHash(request.buildId, 8), 16) % 9000);
  return {
    STACK: request.stack,
    SOURCE_VERSION: request.version,
    REQUEST_ID: request.buildId,
    HOME: '/app',
    DYNO: `run.${number}`,
    CURL_CONNECT_TIMEOUT: '90',
    CURL_TIMEOUT: '600',
  };
}

function shortHash(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}

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
