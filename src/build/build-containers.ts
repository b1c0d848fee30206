import type { AppId, BuildId } from '../domain/ids';
import type { StackName } from '../domain/stack';
import { EngineError, type ContainerEngine, type ContainerId, type Mount } from '../engine/engine';
import { APP_LABEL, APP_NAME_LABEL, BUILD_LABEL, ownedLabels } from '../engine/labels';
import { trustedEnvironment, trustMounts } from '../engine/trust';
import type { Logger } from '../lib/logger';
import { buildDirName, shortHash, TOOLS } from './build-files';
import type { RunnerMode } from './buildpack-choice';
import type { BuildRequest, TestRequest } from './build-request';
import { DYNO_UID } from './tar-entry';

export interface BuildContainersOptions {
  engine: ContainerEngine;
  installationId: string;
  imagesFor: (stack: StackName) => { build: string };
  /** Network of the build containers. */
  network: string;
  /** The host's bundle of trusted authorities, on the engine's host; mounted over the image's. */
  caBundlePath?: string;
  logger: Logger;
  limits: { memoryBytes: number; pids: number };
}

/** The containers that builds run in, one each, and the apps' cache volumes. */
export class BuildContainers {
  readonly #options: BuildContainersOptions;
  readonly #active = new Set<string>();
  /** Did a build end without removing its container, because the engine was away? */
  #hasLeftovers = false;

  constructor(options: BuildContainersOptions) {
    this.#options = options;
  }

  /** From here on the build's container is no orphan. */
  expect(buildId: BuildId): void {
    this.#active.add(buildId);
  }

  async create(request: BuildRequest | TestRequest, choice: RunnerMode): Promise<ContainerId> {
    const { engine, installationId, caBundlePath } = this.#options;
    const cache = this.#cacheVolume(request.appId);
    await engine.ensureVolume(cache, ownedLabels(installationId, 'cache', { [APP_LABEL]: request.appId }));
    const mounts: Mount[] = [{ kind: 'volume', source: cache, target: '/cache', readOnly: false }];
    mounts.push(...trustMounts(caBundlePath));
    const mtime = String(Math.floor(request.source.time.getTime() / 1000));
    const mode = request.mode ?? 'build';
    const command = [`/tmp/${TOOLS}/runner.sh`, choice, mode, `/tmp/${buildDirName(request)}`, mtime];
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
      limits: { memoryBytes: this.#options.limits.memoryBytes, pids: this.#options.limits.pids },
      mounts,
      unprivileged: true,
      discardLog: true,
    });
  }

  /** The build has ended; undefined if its container was never seen. */
  async dismiss(buildId: BuildId, id: ContainerId | undefined): Promise<void> {
    if (id !== undefined) {
      await this.#options.engine.remove(id).catch((error: unknown) => {
        // The build's outcome stands; the container goes when the engine takes orders again.
        this.#hasLeftovers = true;
        this.#options.logger.warn('build container not removed', { build: buildId, error });
      });
    }
    // The order to create it may have been carried out without an answer.
    else this.#hasLeftovers = true;
    this.#active.delete(buildId);
  }

  /** Removes the containers of builds that ended while the engine was away, which may still run. */
  async removeLeftovers(): Promise<void> {
    if (!this.#hasLeftovers) return;
    this.#hasLeftovers = false;
    try {
      const containers = await this.removeOrphans();
      this.#options.logger.info('leftover build containers removed', { containers });
    } catch (error) {
      this.#hasLeftovers = true;
      if (!(error instanceof EngineError)) throw error;
      this.#options.logger.debug('leftover build containers not removed', { error });
    }
  }

  /** Those of builds that no longer run. */
  async removeOrphans(): Promise<number> {
    const { engine, installationId } = this.#options;
    const containers = await engine.list(ownedLabels(installationId, 'build'));
    const orphans = containers.filter(({ labels }) => !this.#active.has(labels[BUILD_LABEL] ?? ''));
    await Promise.all(orphans.map(({ id }) => engine.remove(id)));
    return orphans.length;
  }

  /** Fails with EngineError `conflict` while a build uses it. */
  async purgeCache(appId: AppId): Promise<void> {
    await this.#options.engine.removeVolume(this.#cacheVolume(appId));
  }

  #cacheVolume(appId: AppId): string {
    return `dynodock-cache-${this.#options.installationId}-${appId}`;
  }
}

/** Dev Center "Buildpack API": config vars are not among them, they are files in ENV_DIR. */
function buildEnvironment(request: BuildRequest | TestRequest): Record<string, string> {
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
