import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pack as createPack, type Pack } from 'tar-stream';
import type { BuildRequest, TestRequest } from './build-request';
import { ArchiveError, type UnpackBudget } from './archive-copy';
import { unusableBuildpack } from './build-failure';
import { appendBuildpack, type PinnedBuildpack } from './pinned-buildpack';
import { appendSource } from './source';
import { appendEntry, DYNO_UID } from './tar-entry';

const RUNNER_PATH = path.join(__dirname, 'runner.sh');
/** Below /tmp of the build container. */
export const TOOLS = 'dynodock';

/**
 * Sources, buildpacks, config vars and the runner go into a build container in one transfer; `send` takes the tar to
 * its root: Docker refuses symbolic links that leave the folder which a tar is unpacked in, and an app may well have
 * some. Answers warnings for the client.
 */
export async function putBuildFiles(
  send: (tar: Readable) => Promise<void>,
  request: BuildRequest | TestRequest,
  buildpacks: readonly PinnedBuildpack[],
  newBudget: () => UnpackBudget,
  signal: AbortSignal,
): Promise<string[]> {
  const pack = createPack();
  const tar = pack as unknown as Readable;
  // It only fails with what is thrown below; without a listener that would be thrown once more, out of nowhere.
  tar.on('error', () => undefined);
  const sent = send(tar);
  try {
    const filled = fillArchive(pack, request, buildpacks, newBudget, signal);
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

async function fillArchive(
  pack: Pack,
  request: BuildRequest | TestRequest,
  buildpacks: readonly PinnedBuildpack[],
  newBudget: () => UnpackBudget,
  signal: AbortSignal,
): Promise<string[]> {
  const owner = { uid: DYNO_UID, gid: DYNO_UID };
  const buildDir = `tmp/${buildDirName(request)}`;
  const tools = `tmp/${TOOLS}`;
  await appendEntry(pack, { name: `${buildDir}/`, type: 'directory', mode: 0o755, ...owner });
  const source = await appendSource(pack, buildDir, request.source, signal);
  for (const folder of [tools, `${tools}/env`, `${tools}/buildpacks.d`]) {
    await appendEntry(pack, { name: `${folder}/`, type: 'directory', mode: 0o755, ...owner });
  }
  await appendEntry(pack, { name: `${tools}/runner.sh`, mode: 0o755, ...owner }, await readFile(RUNNER_PATH));
  for (const [name, value] of Object.entries(request.configVars)) {
    await appendEntry(pack, { name: `${tools}/env/${name}`, mode: 0o600, ...owner }, value);
  }
  const list = buildpacks.map(({ name }) => `${name}\n`).join('');
  await appendEntry(pack, { name: `${tools}/buildpacks`, mode: 0o600, ...owner }, list);
  for (const [index, buildpack] of buildpacks.entries()) {
    const folder = `${tools}/buildpacks.d/${index + 1}`;
    await appendBuildpack(pack, folder, buildpack, newBudget(), signal).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw unusableBuildpack(
        buildpack.name,
        cause instanceof ArchiveError ? cause.message : 'it could not be read',
        cause,
      );
    });
  }
  pack.finalize();
  return source.warnings;
}

/**
 * The same for every build of an app, so that paths which a buildpack bakes in are the same too; otherwise like
 * Heroku's, which buildpacks must not rely on.
 */
export function buildDirName(request: BuildRequest | TestRequest): string {
  return `build_${shortHash(request.appId, 8)}`;
}

export function shortHash(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits);
}
