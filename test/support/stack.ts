import { existsSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createHostTools } from '../../src/build/host-tools';
import { ensureStackImages, type StackImageOptions, type StackImages } from '../../src/build/stack-images';
import { DockerEngine } from '../../src/engine/docker-engine';
import { locateEngine } from '../../src/engine/engine-location';

export const PROJECT_DIR = path.join(__dirname, '../..');

const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt';
/** Some networks replace certificates: containers then need the host's list of authorities. */
export const caBundlePath = existsSync(CA_BUNDLE) ? CA_BUNDLE : undefined;

export async function realEngine(): Promise<DockerEngine> {
  const location = await locateEngine({ environment: process.env, homeDir: homedir() });
  return new DockerEngine(location.address);
}

export function stackImageOptions(engine: DockerEngine, progress: string[]): StackImageOptions {
  return {
    engine,
    imagesDir: path.join(PROJECT_DIR, 'images'),
    caBundlePath,
    workDir: path.join(tmpdir(), 'dynodock-test-images'),
    hostTools: createHostTools({ searchPath: process.env.PATH ?? '' }),
    onProgress: (line) => progress.push(line),
    signal: AbortSignal.timeout(10 * 60_000),
  };
}

/** Built on the first use on a machine, which takes about a minute. */
export async function realStackImages(engine: DockerEngine): Promise<StackImages> {
  return ensureStackImages(stackImageOptions(engine, []));
}
