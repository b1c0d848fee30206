import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type { ContainerEngine } from '../engine/engine';
import { ImageBuilder } from './image-builder';
import { readRecipe, recipeHash, type RecipeFile } from './recipe';
import {
  ensureBase,
  nodeArchitecture,
  stackImageReferences,
  stackLabels,
  type StackImageOptions,
} from './stack-images';

export type AddOnImagesOptions = Omit<StackImageOptions, 'signal' | 'workDir'>;

/** `recipe`: a folder of images/addons, made here. `registry`: pulled, where a registry can be reached. */
export type AddOnImageSource = { kind: 'recipe'; name: string } | { kind: 'registry'; reference: string };

interface AddOnRecipe {
  reference: string;
  parent: string;
  files: readonly RecipeFile[];
}

/** A recipe whose server needs Node.js says so in this file: `heroku-24-run`. Without it: Debian and nothing else. */
const PARENT_FILE = 'parent';
const PULL_TIMEOUT_MS = 10 * 60_000;
/** Complete, because what is left out is taken over from the build container. */
const CONFIG = {
  env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
  user: '0:0',
  workingDir: '/',
  entrypoint: [],
  command: ['/bin/bash'],
};

/** The images of add-ons: each is made on first use, or in advance by `dynodock images --addons`. */
export class AddOnImages {
  readonly #options: AddOnImagesOptions;
  readonly #recipes: ReadonlyMap<string, AddOnRecipe>;
  readonly #base: { reference: string; files: readonly RecipeFile[] };

  private constructor(
    options: AddOnImagesOptions,
    recipes: ReadonlyMap<string, AddOnRecipe>,
    base: { reference: string; files: readonly RecipeFile[] },
  ) {
    this.#options = options;
    this.#recipes = recipes;
    this.#base = base;
  }

  /** Reads the recipes, which tell what the images are called; builds nothing. */
  static async open(options: AddOnImagesOptions): Promise<AddOnImages> {
    const { imagesDir, engine } = options;
    const { architecture } = await engine.info();
    const { base, stacks } = await stackImageReferences(imagesDir, architecture);
    const folder = path.join(imagesDir, 'addons');
    const entries = await readdir(folder, { withFileTypes: true });
    const recipes = new Map<string, AddOnRecipe>();
    for (const { name } of entries.filter((entry) => entry.isDirectory())) {
      const files = await readRecipe(path.join(folder, name));
      const asked = files
        .find((file) => file.path === PARENT_FILE)
        ?.content.toString('utf8')
        .trim();
      if (asked !== undefined && asked !== 'heroku-24-run') {
        throw new Error(`images/addons/${name}/${PARENT_FILE}: ${asked} is not heroku-24-run`);
      }
      const parent = asked === undefined ? base : stacks['heroku-24'].run;
      const hash = recipeHash(files, [name, parent, nodeArchitecture(architecture)]);
      recipes.set(name, { reference: `dynodock/addon-${name}:${hash}`, parent, files });
    }
    const baseFiles = await readRecipe(path.join(imagesDir, 'stack', 'base'));
    return new AddOnImages(options, recipes, { reference: base, files: baseFiles });
  }

  /** Of all that are made here; reclaiming leaves them alone. */
  get references(): string[] {
    return [...this.#recipes.values()].map(({ reference }) => reference);
  }

  get names(): string[] {
    return [...this.#recipes.keys()].sort();
  }

  reference(image: AddOnImageSource): string {
    return image.kind === 'registry' ? image.reference : this.#recipe(image.name).reference;
  }

  /** Does the engine have it? */
  async isThere(image: AddOnImageSource): Promise<boolean> {
    return (await this.#options.engine.inspectImage(this.reference(image))) !== undefined;
  }

  /** Does nothing if the engine has it. `onLine` is told what happens, besides whoever is told of all images. */
  async ensure(
    image: AddOnImageSource,
    signal: AbortSignal,
    onLine: (line: string) => void = () => undefined,
  ): Promise<void> {
    const { engine } = this.#options;
    const onProgress = (line: string): void => {
      this.#options.onProgress(line);
      onLine(line.trim());
    };
    if (await this.isThere(image)) return;
    if (image.kind === 'registry') {
      onProgress(`Pulling ${image.reference}`);
      await pull(engine, image.reference, signal);
    } else await this.#build(image.name, signal, onProgress);
  }

  async #build(name: string, signal: AbortSignal, onProgress: (line: string) => void): Promise<void> {
    const { hostTools, engine, caBundlePath } = this.#options;
    const { reference, parent, files } = this.#recipe(name);
    const needsNode = parent !== this.#base.reference;
    const builder = new ImageBuilder({
      engine,
      caBundlePath,
      buildEnv: {
        ...this.#options.buildEnv,
        ...(needsNode ? { npm_config_registry: await hostTools.npmRegistry(signal) } : {}),
      },
      onProgress,
    });
    if (!needsNode) {
      const { architecture } = await engine.info();
      await ensureBase({
        engine,
        builder,
        reference: parent,
        files: this.#base.files,
        architecture: nodeArchitecture(architecture),
        hostTools,
        onProgress,
        signal,
      });
    }
    await builder.ensure(
      {
        reference,
        parent,
        files,
        config: CONFIG,
        labels: stackLabels(`addon-${name}`),
        trustHostAuthorities: true,
      },
      signal,
    );
  }

  #recipe(name: string): AddOnRecipe {
    const recipe = this.#recipes.get(name);
    if (recipe === undefined) throw new Error(`there is no folder images/addons/${name}`);
    return recipe;
  }
}

/** Registries that can't be reached may keep one waiting. */
async function pull(engine: ContainerEngine, reference: string, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PULL_TIMEOUT_MS)]);
  await Promise.race([
    engine.pullImage(reference),
    new Promise<never>((_resolve, reject) => {
      limit.addEventListener('abort', () => reject(new Error(`${reference} did not arrive in time`)), {
        once: true,
      });
    }),
  ]);
}
