import { setTimeout as delay } from 'node:timers/promises';
import {
  EngineError,
  ignoring,
  type ContainerEngine,
  type ContainerId,
  type ContainerInfo,
  type ImageConfig,
  type Labels,
} from '../engine/engine';
import { packRecipe, type LargeFile, type RecipeFile } from './recipe';

/** How one image is made: a container of `parent` runs the recipe's provision.sh as root and is committed. */
export interface ImageRecipe {
  reference: string;
  parent: string;
  files: readonly RecipeFile[];
  /** Fetched only if the image has to be built. */
  largeFiles?: (signal: AbortSignal) => Promise<readonly LargeFile[]>;
  /** Absent files mean that only the configuration differs from the parent's. */
  config: ImageConfig;
  /** Labels of image and container alike: commit hands the container's down to the image. */
  labels: Labels;
  /** Mount the host's CA bundle while provision.sh runs. */
  trustHostAuthorities: boolean;
}

export interface ImageBuilderOptions {
  engine: ContainerEngine;
  /** On the engine's host; undefined if it has no bundle. */
  caBundlePath: string | undefined;
  /** Given to provision.sh, e.g. proxy settings; never part of an image. */
  buildEnv: Readonly<Record<string, string>>;
  onProgress: (line: string) => void;
}

const RECIPE_FOLDER = 'dynodock-recipe';
/** The recipe's folder is not to be part of the image; bash has read the script by then. */
const PROVISION = `
set -a; . /tmp/${RECIPE_FOLDER}/.build-env; set +a
bash /tmp/${RECIPE_FOLDER}/provision.sh; status=$?
rm -rf /tmp/${RECIPE_FOLDER} /tmp/node-compile-cache
exit $status`;

const BUILD_TIMEOUT_MS = 20 * 60_000;
/** Copying files into a container and committing it, while it is not running, takes seconds. */
const ABANDONED_AFTER_MS = 60_000;
const POLL_MS = 500;
const KEPT_LINES = 20;

/**
 * Makes images through the engine alone, so that no `docker build` and no registry is needed. Several processes may
 * want the same image at the same time: the build container's name is the lock, and whoever cannot create it waits
 * for the image, or takes over once the other is seen to have gone away.
 */
export class ImageBuilder {
  readonly #engine: ContainerEngine;
  readonly #caBundlePath: string | undefined;
  readonly #buildEnv: Readonly<Record<string, string>>;
  readonly #onProgress: (line: string) => void;

  constructor(options: ImageBuilderOptions) {
    this.#engine = options.engine;
    this.#caBundlePath = options.caBundlePath;
    this.#buildEnv = options.buildEnv;
    this.#onProgress = options.onProgress;
  }

  /** Does nothing if the engine has the image already. */
  async ensure(recipe: ImageRecipe, callerSignal: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([callerSignal, AbortSignal.timeout(BUILD_TIMEOUT_MS)]);
    let idle: { id: ContainerId; since: number } | undefined;
    let announced = false;
    for (;;) {
      signal.throwIfAborted();
      if ((await this.#engine.inspectImage(recipe.reference)) !== undefined) return;
      const mine = await this.#claim(recipe);
      if (mine !== undefined) {
        await this.#build(mine, recipe, signal);
        return;
      }
      const other = await this.#inspectClaim(recipe);
      if (other === undefined) continue;
      if (!announced) this.#onProgress(`Waiting for another build of ${recipe.reference}`);
      announced = true;
      if (other.state === 'running' || other.state === 'paused') {
        idle = undefined;
        await this.#engine.wait(other.id, { signal }).catch((error: unknown) => {
          signal.throwIfAborted();
          ignoring('not_found')(error);
        });
        continue;
      }
      // Measured by watching, because the engine's clock need not agree with ours.
      if (idle?.id !== other.id) idle = { id: other.id, since: performance.now() };
      if (performance.now() - idle.since > ABANDONED_AFTER_MS) {
        this.#onProgress(`Taking over an abandoned build of ${recipe.reference}`);
        await this.#engine.remove(other.id);
        idle = undefined;
        continue;
      }
      await delay(POLL_MS, undefined, { signal });
    }
  }

  /** The new build container, or undefined if there is one already. */
  async #claim(recipe: ImageRecipe): Promise<ContainerId | undefined> {
    const caBundle = recipe.trustHostAuthorities ? this.#caBundlePath : undefined;
    try {
      return await this.#engine.create({
        name: containerName(recipe.reference),
        image: recipe.parent,
        command: ['/bin/bash', '-c', PROVISION],
        env: {},
        labels: recipe.labels,
        user: '0:0',
        workingDir: '/',
        network: 'bridge',
        // Package managers change owners and switch users.
        unprivileged: false,
        mounts:
          caBundle === undefined
            ? []
            : [
                {
                  kind: 'bind',
                  source: caBundle,
                  target: '/etc/ssl/certs/ca-certificates.crt',
                  readOnly: true,
                },
              ],
      });
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'conflict') return undefined;
      throw error;
    }
  }

  async #inspectClaim(recipe: ImageRecipe): Promise<ContainerInfo | undefined> {
    try {
      return await this.#engine.inspect(containerName(recipe.reference));
    } catch (error) {
      // Removed between the two calls: the next round finds the image, or the name free.
      if (error instanceof EngineError && error.kind === 'not_found') return undefined;
      throw error;
    }
  }

  async #build(id: ContainerId, recipe: ImageRecipe, signal: AbortSignal): Promise<void> {
    try {
      const startedAt = performance.now();
      if (recipe.files.length > 0) {
        this.#onProgress(`Building ${recipe.reference}`);
        await this.#provision(id, recipe, signal);
      }
      await this.#engine.commit(id, recipe.reference, { ...recipe.config, labels: recipe.labels });
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      if (recipe.files.length > 0) this.#onProgress(`Built ${recipe.reference} in ${seconds} s`);
    } finally {
      await this.#engine.remove(id);
    }
  }

  async #provision(id: ContainerId, recipe: ImageRecipe, signal: AbortSignal): Promise<void> {
    const largeFiles = await recipe.largeFiles?.(signal);
    signal.throwIfAborted();
    const buildEnv: RecipeFile = {
      path: '.build-env',
      content: Buffer.from(shellAssignments(this.#buildEnv)),
    };
    const tar = packRecipe(RECIPE_FOLDER, [...recipe.files, buildEnv], largeFiles ?? []);
    await this.#engine.putArchive(id, '/tmp', tar);
    signal.throwIfAborted();
    await this.#engine.start(id);
    const lastLines: string[] = [];
    for await (const line of this.#engine.logs(id, { follow: true, signal })) {
      this.#onProgress(`  ${line.text}`);
      lastLines.push(line.text);
      if (lastLines.length > KEPT_LINES) lastLines.shift();
    }
    signal.throwIfAborted();
    const { exitCode } = await this.#engine.wait(id, { signal });
    if (exitCode !== 0) {
      throw new Error(
        `The image ${recipe.reference} could not be built: its provision.sh ended with status ${exitCode}.\n` +
          lastLines.join('\n'),
      );
    }
  }
}

/** Deterministic, because it is the lock: `dynodock/heroku-24-run:abc` → `dynodock-stack-heroku-24-run-abc`. */
function containerName(reference: string): string {
  return `dynodock-stack-${reference.replace(/^dynodock\//, '').replaceAll(/[^\w.-]/g, '-')}`;
}

function shellAssignments(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join('');
}
