import { AddOnImages } from '../build/addon-images';
import { ensureDaemonImage } from '../build/daemon-image';
import { createHostTools } from '../build/host-tools';
import { ensureStackImages, type StackImageOptions, type StackImages } from '../build/stack-images';
import { CommandError } from '../cli/terminal';
import type { Config } from './config';
import { connectEngine, copyTrustBundle } from './engine-setup';
import type { Paths } from './paths';

export interface ImagesOptions {
  config: Config;
  paths: Paths;
  imagesDir: string;
  onProgress: (line: string) => void;
}

/** Settings of the host's programs that those inside the build containers need as well. */
const PASSED_ON = ['http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];

/** Builds those stack images that the engine does not have yet. */
export async function prepareImages(options: ImagesOptions): Promise<StackImages> {
  return ensureStackImages(await imageOptions(options));
}

/** Knows the images of add-ons, and builds them when they are asked for. */
export async function openAddOnImages(options: ImagesOptions): Promise<AddOnImages> {
  return AddOnImages.open(await imageOptions(options));
}

/** Builds those of add-ons that the engine does not have yet, all or these; answers their references. */
export async function buildAddOnImages(options: ImagesOptions, names?: readonly string[]): Promise<string[]> {
  const images = await openAddOnImages(options);
  const unknown = names?.find((name) => !images.names.includes(name));
  if (unknown !== undefined) {
    throw new CommandError(`There is no image ${unknown}. Images of add-ons: ${images.names.join(', ')}.`);
  }
  const references: string[] = [];
  for (const name of names ?? images.names) {
    await images.ensure({ kind: 'recipe', name }, new AbortController().signal);
    references.push(images.reference({ kind: 'recipe', name }));
  }
  return references;
}

/** Builds the image of daemon and router for docker-compose.yml; answers its reference. */
export async function buildDaemonImage(options: ImagesOptions & { packageDir: string }): Promise<string> {
  return ensureDaemonImage({ ...(await imageOptions(options)), projectDir: options.packageDir });
}

async function imageOptions({
  config,
  paths,
  imagesDir,
  onProgress,
}: ImagesOptions): Promise<StackImageOptions> {
  const { engine } = await connectEngine(config);
  return {
    engine,
    imagesDir,
    caBundlePath: copyTrustBundle(config, paths),
    workDir: paths.work,
    buildEnv: proxySettings(config.environment),
    hostTools: createHostTools({ searchPath: config.environment.PATH ?? '' }),
    onProgress,
    signal: new AbortController().signal,
  };
}

/** Settings of this process that programs need inside containers as well. */
export function proxySettings(environment: Config['environment']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      PASSED_ON.includes(name) && value !== undefined ? [[name, value]] : [],
    ),
  );
}
