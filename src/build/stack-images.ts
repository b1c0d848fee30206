import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { StackName } from '../domain/stack';
import { ROLE_LABEL, STACK_LABEL } from '../engine/labels';
import type { ContainerEngine, ImageConfig, Labels } from '../engine/engine';
import { HostToolError, type Architecture, type HostTools } from './host-tools';
import { ImageBuilder } from './image-builder';
import { readRecipe, readVersions, recipeHash, type LargeFile, type RecipeFile } from './recipe';

/** The stacks that have images of ours; apps on `container` bring their own. */
export type BuildpackStack = Exclude<StackName, 'container'>;

/** Image references: dynos run slugs on `run`, buildpacks compile them in `build`. */
export type StackImages = Readonly<Record<BuildpackStack, { run: string; build: string }>>;

export interface StackImageOptions {
  engine: ContainerEngine;
  /** The project's images/ folder. */
  imagesDir: string;
  /** The host's bundle of trusted certificate authorities, if there is one; it becomes no part of any image. */
  caBundlePath: string | undefined;
  /** Temporary files go below this folder, which is created if need be. */
  workDir: string;
  /** Given to the programs that build, e.g. proxy settings; becomes no part of any image. */
  buildEnv?: Readonly<Record<string, string>>;
  hostTools: HostTools;
  onProgress: (line: string) => void;
  signal: AbortSignal;
}

/** `base` is what every other image starts from. */
export interface StackReferences {
  base: string;
  stacks: StackImages;
}

const DEBIAN_IMAGE = 'debian:bookworm-slim';
const PULL_TIMEOUT_MS = 20_000;

/** Every recipe's container and image; also what keeps them apart from those of an installation. */
export function stackLabels(name: string): Labels {
  return { [ROLE_LABEL]: 'stack', [STACK_LABEL]: name };
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Complete, because what is left out is taken over from the build container. */
const BASE_CONFIG: ImageConfig = { env: { PATH }, user: '0:0', workingDir: '/', command: ['/bin/bash'] };

/** Programs that bring their own list of authorities are pointed to the system's, which may be the host's. */
const TRUST_ENV = {
  NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
  SSL_CERT_FILE: '/etc/ssl/certs/ca-certificates.crt',
};

function stackConfig(stack: BuildpackStack, env: Readonly<Record<string, string>> = {}): ImageConfig {
  return {
    env: { PATH, HOME: '/app', LANG: 'C.UTF-8', STACK: stack, ...env },
    user: '10001:10001',
    workingDir: '/app',
    entrypoint: ['/usr/local/bin/dyno-launch'],
  };
}

interface Recipes {
  base: readonly RecipeFile[];
  run: readonly RecipeFile[];
  build: readonly RecipeFile[];
}

/** What the images of this version of dynodock are called on an engine of that architecture; builds nothing. */
export async function stackImageReferences(
  imagesDir: string,
  architecture: string,
): Promise<StackReferences> {
  return referencesOf(await readRecipes(imagesDir), nodeArchitecture(architecture));
}

async function readRecipes(imagesDir: string): Promise<Recipes> {
  const [base, run, build] = await Promise.all(
    ['base', 'run', 'build'].map((name) => readRecipe(path.join(imagesDir, 'stack', name))),
  );
  return { base: base ?? [], run: run ?? [], build: build ?? [] };
}

function referencesOf(recipes: Recipes, architecture: Architecture): StackReferences {
  const name = (image: string, files: readonly RecipeFile[], parent: string): string =>
    `dynodock/${image}:${recipeHash(files, [image, parent, architecture])}`;
  const base = name('base', recipes.base, DEBIAN_IMAGE);
  const run24 = name('heroku-24-run', recipes.run, base);
  const build24 = name('heroku-24-build', recipes.build, run24);
  return {
    base,
    stacks: {
      'heroku-24': { run: run24, build: build24 },
      'heroku-22': { run: name('heroku-22-run', [], run24), build: name('heroku-22-build', [], build24) },
    },
  };
}

/**
 * Makes those images of the stacks that the engine does not have yet and answers their references. Other processes
 * may do the same at the same time. Takes about a minute where nothing is there, milliseconds where all is.
 */
export async function ensureStackImages(options: StackImageOptions): Promise<StackImages> {
  const { engine, signal } = options;
  const recipes = await readRecipes(options.imagesDir);
  const architecture = nodeArchitecture((await engine.info()).architecture);
  const { base, stacks } = referencesOf(recipes, architecture);
  const wanted = Object.values(stacks).flatMap((images) => [images.run, images.build]);
  if (await hasAll(engine, wanted)) return stacks;

  await withTemporaryDirectory(options.workDir, async (directory) => {
    const builder = new ImageBuilder({
      engine,
      caBundlePath: options.caBundlePath,
      buildEnv: options.buildEnv ?? {},
      onProgress: options.onProgress,
    });
    const versions = readVersions(recipes.run);
    const fetchNode = once((fetchSignal: AbortSignal) => {
      const specifier = `node-linux-${architecture}@${required(versions, 'NODE_VERSION')}`;
      options.onProgress(`Fetching the npm package ${specifier}`);
      return options.hostTools.fetchPackage(specifier, directory, fetchSignal);
    });
    const node = async (fetchSignal: AbortSignal): Promise<LargeFile> => ({
      path: 'node.tgz',
      hostPath: await fetchNode(fetchSignal),
    });
    const npm = async (fetchSignal: AbortSignal): Promise<LargeFile> => ({
      path: 'npm.tgz',
      hostPath: await options.hostTools.fetchPackage(
        `npm@${required(versions, 'NPM_VERSION')}`,
        directory,
        fetchSignal,
      ),
    });

    const { 'heroku-24': heroku24, 'heroku-22': heroku22 } = stacks;
    await ensureBase({ ...options, builder, reference: base, files: recipes.base, architecture });
    await builder.ensure(
      {
        reference: heroku24.run,
        parent: base,
        files: recipes.run,
        largeFiles: async (fetchSignal) => Promise.all([node(fetchSignal), npm(fetchSignal)]),
        config: stackConfig('heroku-24'),
        labels: stackLabels('heroku-24'),
        trustHostAuthorities: true,
      },
      signal,
    );
    await builder.ensure(
      {
        reference: heroku24.build,
        parent: heroku24.run,
        files: recipes.build,
        largeFiles: async (fetchSignal) => [await node(fetchSignal)],
        config: stackConfig('heroku-24', TRUST_ENV),
        labels: stackLabels('heroku-24'),
        trustHostAuthorities: true,
      },
      signal,
    );
    // Same content under another name, for apps that ask for it: Debian has no counterpart to either of the two.
    for (const [kind, env] of [
      ['run', {}],
      ['build', TRUST_ENV],
    ] as const) {
      await builder.ensure(
        {
          reference: heroku22[kind],
          parent: heroku24[kind],
          files: [],
          config: stackConfig('heroku-22', env),
          labels: stackLabels('heroku-22'),
          trustHostAuthorities: false,
        },
        signal,
      );
    }
  });
  return stacks;
}

export interface EnsureBaseOptions {
  engine: ContainerEngine;
  builder: ImageBuilder;
  reference: string;
  files: readonly RecipeFile[];
  architecture: Architecture;
  hostTools: HostTools;
  onProgress: (line: string) => void;
  signal: AbortSignal;
}

/** The base comes from Debian's own image where the engine has it or gets it, else from Debian's packages. */
export async function ensureBase(options: EnsureBaseOptions): Promise<void> {
  const { engine, reference, signal, onProgress } = options;
  if ((await engine.inspectImage(reference)) !== undefined) return;
  if (await hasDebianImage(engine, onProgress)) {
    await options.builder.ensure(
      {
        reference,
        parent: DEBIAN_IMAGE,
        files: options.files,
        config: BASE_CONFIG,
        labels: stackLabels('base'),
        // See images/stack/base/provision.sh.
        trustHostAuthorities: false,
      },
      signal,
    );
    return;
  }
  onProgress(`Building ${reference} from Debian's packages`);
  const rootFileSystem = await options.hostTools.debianRootFileSystem({
    architecture: options.architecture,
    signal,
    onProgress: (line) => onProgress(`  ${line}`),
  });
  let failure: Error | undefined;
  rootFileSystem.once('error', (error) => (failure = error));
  try {
    await engine.importImage(rootFileSystem, reference, { ...BASE_CONFIG, labels: stackLabels('base') });
  } catch (error) {
    // Why the tar ended early says more than that the engine missed the rest of it.
    throw failure ?? error;
  } finally {
    rootFileSystem.destroy();
  }
}

async function hasDebianImage(engine: ContainerEngine, onProgress: (line: string) => void): Promise<boolean> {
  if ((await engine.inspectImage(DEBIAN_IMAGE)) !== undefined) return true;
  onProgress(`Pulling ${DEBIAN_IMAGE}`);
  const timeout = AbortSignal.timeout(PULL_TIMEOUT_MS);
  const outcome = await Promise.race([
    engine.pullImage(DEBIAN_IMAGE).then(
      () => 'pulled',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    ),
    new Promise<string>((resolve) => {
      timeout.addEventListener('abort', () => resolve(`no answer within ${PULL_TIMEOUT_MS / 1000} s`));
    }),
  ]);
  if (outcome === 'pulled') return true;
  // Common and no failure: there are machines without any image registry.
  onProgress(`  Not available (${outcome})`);
  return false;
}

/** @throws HostToolError if there is no Node.js for it. */
export function nodeArchitecture(engineArchitecture: string): Architecture {
  switch (engineArchitecture) {
    case 'x86_64':
    case 'amd64':
    case 'x64':
      return 'x64';
    case 'aarch64':
    case 'arm64':
      return 'arm64';
    default:
      throw new HostToolError(`Images can be built for x86_64 and arm64, not for ${engineArchitecture}`);
  }
}

async function hasAll(engine: ContainerEngine, references: readonly string[]): Promise<boolean> {
  const found = await Promise.all(references.map((reference) => engine.inspectImage(reference)));
  return found.every((image) => image !== undefined);
}

export async function withTemporaryDirectory<T>(
  parent: string,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(path.join(parent, 'images-'));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export function required(versions: Readonly<Record<string, string>>, key: string): string {
  const value = versions[key];
  if (value === undefined) throw new Error(`versions.env does not say ${key}`);
  return value;
}

function once<A, T>(work: (argument: A) => Promise<T>): (argument: A) => Promise<T> {
  let result: Promise<T> | undefined;
  return (argument) => (result ??= work(argument));
}
