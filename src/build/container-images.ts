import type { Readable } from 'node:stream';
import { pack as createPack } from 'tar-stream';
import type { AppId } from '../domain/ids';
import type { ProcessImage } from '../domain/slug';
import { EngineError, type ContainerEngine, type ImageConfig } from '../engine/engine';
import {
  APP_LABEL,
  INSTALLATION_LABEL,
  ownedLabels,
  ROLE_LABEL,
  STACK_IMAGE_LABEL,
  STACK_LABEL,
} from '../engine/labels';
import { quoteExpanding } from '../lib/shell';

export interface ContainerImagesOptions {
  engine: ContainerEngine;
  installationId: string;
  imagesFor: (stack: 'heroku-24' | 'heroku-22') => { run: string; build: string };
}

/** An image as a process type runs it when nothing else is said. */
export interface KeptImage extends Pick<ProcessImage, 'reference' | 'runsAsRoot' | 'argv'> {
  /** `sha256:<hex>` of what was kept. */
  id: string;
  sizeBytes: number;
  /** Its own command as one line; '' if it has none. */
  command: string;
}

/** Why an image can't be released, in words for whoever asked. */
export class UnusableImage extends Error {
  override readonly name = 'UnusableImage';
}

/**
 * What Dockerfiles can start from where there is no registry: the stack images, without the program that only slugs
 * need. Names of our own rather than `heroku/heroku:24`, because what a registry has under that name is another thing.
 */
const BASES = [
  { name: 'dynodock/heroku:24', stack: 'heroku-24', kind: 'run' },
  { name: 'dynodock/heroku:24-build', stack: 'heroku-24', kind: 'build' },
  { name: 'dynodock/heroku:22', stack: 'heroku-22', kind: 'run' },
  { name: 'dynodock/heroku:22-build', stack: 'heroku-22', kind: 'build' },
] as const;

export const BASE_NAMES: readonly string[] = BASES.map(({ name }) => name);

const DIGITS = 16;
const SHELLS = new Set(['/bin/sh', 'sh', '/bin/bash', 'bash']);

/** The images of apps on the container stack, as far as they belong to this installation. */
export class ContainerImages {
  readonly #options: ContainerImagesOptions;

  constructor(options: ContainerImagesOptions) {
    this.#options = options;
  }

  /** Makes or renews those bases that the engine has not as this version of dynodock has them. */
  async ensureBases(): Promise<void> {
    const { engine, imagesFor } = this.#options;
    for (const { name, stack, kind } of BASES) {
      const parent = imagesFor(stack)[kind];
      const present = await engine.imageConfig(name);
      if (present?.labels?.[STACK_IMAGE_LABEL] === parent) continue;
      const dockerfile = `FROM ${parent}\nUSER root\nENTRYPOINT []\nCMD ["bash"]\n`;
      const labels = { [ROLE_LABEL]: 'stack', [STACK_LABEL]: stack, [STACK_IMAGE_LABEL]: parent };
      await engine.tagImage(await this.#derive(dockerfile, labels), name);
    }
  }

  /** Gives an image that was built for the app its name, which keeps it. Equal images have one name. */
  async keep(appId: AppId, imageId: string): Promise<KeptImage> {
    const { engine } = this.#options;
    const image = await engine.inspectImage(imageId);
    const config = await engine.imageConfig(imageId);
    if (image === undefined || config === undefined) {
      throw new EngineError('not_found', `image ${imageId} is gone`);
    }
    const reference = `dynodock/slug:${appId.slice(0, 8)}-${hexOf(image.id).slice(0, DIGITS)}`;
    await engine.tagImage(image.id, reference);
    return {
      reference,
      id: image.id,
      sizeBytes: image.sizeBytes,
      runsAsRoot: isRoot(config.user ?? ''),
      argv: expandedCommand(config),
      command: [...(config.entrypoint ?? []), ...(config.command ?? [])].join(' '),
    };
  }

  /**
   * An image that the engine has from somewhere, by name, id or digest, for this app: as an image of ours that is the
   * very same but for labels, so that it stays whatever happens to the other, and can be found and removed. Throws
   * UnusableImage.
   */
  async adopt(appId: AppId, reference: string): Promise<KeptImage> {
    const { engine, installationId } = this.#options;
    const image = await engine.inspectImage(reference);
    if (image === undefined) {
      throw new UnusableImage(
        `The container engine has no image ${reference}. Build it there first, or use: dynodock container:push`,
      );
    }
    const config = await engine.imageConfig(image.id);
    if (config === undefined) throw new EngineError('not_found', `image ${reference} is gone`);
    if ((config.entrypoint ?? []).length === 0 && (config.command ?? []).length === 0) {
      throw new UnusableImage(`The image ${reference} has neither a CMD nor an ENTRYPOINT.`);
    }
    const isOurs = image.labels[INSTALLATION_LABEL] === installationId && image.labels[APP_LABEL] === appId;
    if (isOurs) return this.keep(appId, image.id);
    const derived = await this.#derive(`FROM ${image.id}\n`, this.labels(appId));
    return { ...(await this.keep(appId, derived)), id: image.id };
  }

  /** Bytes of each that the engine has. */
  async sizeOf(references: readonly string[]): Promise<Map<string, number>> {
    const sizes = new Map<string, number>();
    for (const reference of references) {
      const image = await this.#options.engine.inspectImage(reference);
      if (image !== undefined) sizes.set(reference, image.sizeBytes);
    }
    return sizes;
  }

  /** Of everything that is built for the app. */
  labels(appId: AppId): Record<string, string> {
    return { ...ownedLabels(this.#options.installationId, 'slug', { [APP_LABEL]: appId }) };
  }

  /**
   * Keeps what an earlier build has left behind as a cache, under names of its own, in place of what the build before
   * had left: the next one is quicker, and reclaiming finds it.
   */
  async keepStages(appId: AppId, what: string, stages: readonly string[]): Promise<void> {
    const { engine, installationId } = this.#options;
    const labels = ownedLabels(installationId, 'layers', { [APP_LABEL]: appId });
    for (const [index, stage] of stages.entries()) {
      const derived = await this.#derive(`FROM ${stage}\n`, labels);
      await engine.tagImage(derived, `dynodock/layers:${appId.slice(0, 8)}-${what}-${index}`);
    }
  }

  async #derive(dockerfile: string, labels: Readonly<Record<string, string>>): Promise<string> {
    const { engine } = this.#options;
    const pack = createPack();
    pack.entry({ name: 'Dockerfile' }, dockerfile);
    pack.finalize();
    const context = pack as unknown as Readable;
    // Of a transfer that breaks off the engine tells.
    context.on('error', () => undefined);
    const spec = { dockerfile: 'Dockerfile', buildArgs: {}, labels, network: 'none' };
    const result = await engine.buildImage(spec, context, {
      onOutput: () => Promise.resolve(),
      signal: AbortSignal.timeout(DERIVE_TIMEOUT_MS),
    });
    if (result.outcome === 'built') return result.imageId;
    const reason = result.outcome === 'failed' ? result.reason : `not done after ${DERIVE_TIMEOUT_MS} ms`;
    throw new EngineError('other', `cannot derive an image: ${reason}`);
  }
}

/** Nothing runs in such a build. */
const DERIVE_TIMEOUT_MS = 60_000;

function isRoot(user: string): boolean {
  const [name = ''] = user.split(':');
  return name === '' || name === 'root' || /^0+$/.test(name);
}

/**
 * Heroku runs an image's command through a shell unless it has an entrypoint, so that variables in it are filled in
 * ("Container Registry & Runtime", "Dockerfile commands and runtime"); here only where there are any, since not every
 * image has a shell.
 */
function expandedCommand({ entrypoint = [], command = [] }: ImageConfig): readonly string[] | null {
  const [first = ''] = command;
  if (entrypoint.length > 0 || SHELLS.has(first) || !command.some((word) => word.includes('$'))) return null;
  return ['/bin/sh', '-c', `exec ${command.map(quoteExpanding).join(' ')}`];
}

function hexOf(id: string): string {
  return id.slice(id.indexOf(':') + 1);
}
