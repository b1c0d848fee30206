import path from 'node:path';
import { ImageBuilder } from './image-builder';
import { readRecipe, readVersions, recipeHash, type RecipeFile } from './recipe';
import { readFile } from 'node:fs/promises';
import {
  ensureBase,
  nodeArchitecture,
  required,
  stackImageReferences,
  stackLabels,
  withTemporaryDirectory,
  type StackImageOptions,
} from './stack-images';

export interface DaemonImageOptions extends StackImageOptions {
  /** Holds package.json, dist/, bin/, buildpacks/ and images/. */
  projectDir: string;
}

/** What docker-compose.yml asks for. */
export const LATEST_DAEMON_IMAGE = 'dynodock/daemon:latest';

const PROJECT_FILES = ['package.json', 'package-lock.json'];
const PROJECT_FOLDERS = ['bin', 'buildpacks', 'dist', 'images'];

/**
 * Makes the image in which docker-compose.yml runs daemon and router, unless the engine has it for these very files,
 * and points LATEST_DAEMON_IMAGE to it. Answers the exact reference. Needs a compiled project and takes about a
 * minute.
 */
export async function ensureDaemonImage(options: DaemonImageOptions): Promise<string> {
  const { engine, signal, hostTools } = options;
  const architecture = nodeArchitecture((await engine.info()).architecture);
  const { base } = await stackImageReferences(options.imagesDir, architecture);
  const recipe = await readRecipe(path.join(options.imagesDir, 'daemon'));
  const files = [...recipe, ...(await readProject(options.projectDir))];
  const reference = `dynodock/daemon:${recipeHash(files, ['daemon', base, architecture])}`;

  if ((await engine.inspectImage(reference)) === undefined) {
    await withTemporaryDirectory(options.workDir, async (directory) => {
      const versions = readVersions(recipe);
      const builder = new ImageBuilder({
        engine,
        caBundlePath: options.caBundlePath,
        buildEnv: { ...options.buildEnv, npm_config_registry: await hostTools.npmRegistry(signal) },
        onProgress: options.onProgress,
      });
      const baseFiles = await readRecipe(path.join(options.imagesDir, 'stack', 'base'));
      await ensureBase({ ...options, builder, reference: base, files: baseFiles, architecture });
      await builder.ensure(
        {
          reference,
          parent: base,
          files,
          largeFiles: async (fetchSignal) => {
            const node = `node-linux-${architecture}@${required(versions, 'NODE_VERSION')}`;
            const npm = `npm@${required(versions, 'NPM_VERSION')}`;
            const [nodePath, npmPath] = await Promise.all([
              hostTools.fetchPackage(node, directory, fetchSignal),
              hostTools.fetchPackage(npm, directory, fetchSignal),
            ]);
            return [
              { path: 'node.tgz', hostPath: nodePath },
              { path: 'npm.tgz', hostPath: npmPath },
            ];
          },
          config: {
            env: {
              PATH: '/opt/dynodock/app/bin:/opt/dynodock/node/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
              NODE_ENV: 'production',
              NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt',
            },
            user: '0:0',
            workingDir: '/opt/dynodock/app',
            // An init, because git and the builds' helpers leave orphans behind.
            entrypoint: ['/usr/bin/tini', '-g', '--'],
            command: ['dynodock', 'up'],
          },
          labels: stackLabels('daemon'),
          trustHostAuthorities: true,
        },
        signal,
      );
    });
  }
  await engine.tagImage(reference, LATEST_DAEMON_IMAGE);
  return reference;
}

/** Below app/, where the recipe's provision.sh expects them. */
async function readProject(projectDir: string): Promise<RecipeFile[]> {
  const single = await Promise.all(
    PROJECT_FILES.map(async (name) => ({
      path: `app/${name}`,
      content: await readFile(path.join(projectDir, name)),
    })),
  );
  const folders = await Promise.all(
    PROJECT_FOLDERS.map(async (folder) => {
      const files = await readRecipe(path.join(projectDir, folder));
      return files.map((file) => ({ path: `app/${folder}/${file.path}`, content: file.content }));
    }),
  );
  return [...single, ...folders.flat()];
}
