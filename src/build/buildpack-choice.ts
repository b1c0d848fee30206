import { ArchiveError } from './archive-copy';
import { BuildFailure, unusableBuildpack } from './build-failure';
import type { BuildRequest } from './build-request';
import type { BuildpackCache } from './buildpack-cache';
import { BuildpackFetchError } from './buildpack-fetch-error';
import {
  detectableBuildpacks,
  resolveBuildpack,
  type BuildpackCatalog,
  type BuildpackSource,
} from './buildpacks';
import { complaint, detail, heading, type LineOutput } from './output';
import { pinBuildpack, shortRevision, type PinnedBuildpack } from './pinned-buildpack';

/** `detect`: the first buildpack that applies; `listed`: all of them, in order. */
export type RunnerMode = 'detect' | 'listed';

/** What the runner is to do with which buildpacks. */
export interface BuildpackChoice {
  mode: RunnerMode;
  buildpacks: PinnedBuildpack[];
}

/** Names the buildpacks of a build to the client, and gets them. Rejects with BuildFailure if that fails. */
export async function chooseBuildpacks(
  request: Pick<BuildRequest, 'buildpacks' | 'buildpacksGiven' | 'configVars'>,
  catalog: BuildpackCatalog,
  cache: BuildpackCache,
  output: LineOutput,
  signal: AbortSignal,
): Promise<BuildpackChoice> {
  // Dev Center "Buildpacks": the older way to set one, which overrides what is stored.
  const override = request.configVars.BUILDPACK_URL;
  const stored =
    override === undefined || override === '' || request.buildpacksGiven === true
      ? request.buildpacks
      : [override];
  const pin = (source: BuildpackSource): Promise<PinnedBuildpack> => pinOrFail(source, cache, signal);
  if (stored.length === 0) {
    await output.lines(heading('Determining which buildpack to use for this app'));
    return { mode: 'detect', buildpacks: await Promise.all(detectableBuildpacks(catalog).map(pin)) };
  }
  const sources = stored.map((text) => resolveBuildpack(text, catalog));
  const [only] = sources;
  const isOne = sources.length === 1 && only !== undefined;
  await output.lines(
    ...(isOne
      ? [heading(`Using buildpack: ${only.name}`)]
      : [heading('Using buildpacks:'), ...sources.map(({ name }, index) => detail(`${index + 1}. ${name}`))]),
  );
  const buildpacks: PinnedBuildpack[] = [];
  for (const source of sources) {
    const buildpack = await pin(source);
    buildpacks.push(buildpack);
    await output.lines(...staleness(buildpack));
    // What is bundled changes with dynodock only, and Heroku's output says nothing of it.
    const of = isOne ? '' : ` of ${buildpack.name}`;
    if (!buildpack.bundled) await output.lines(detail(`Revision ${shortRevision(buildpack.revision)}${of}`));
  }
  return { mode: 'listed', buildpacks };
}

function staleness({ name, revision, stale }: PinnedBuildpack): string[] {
  if (stale === undefined) return [];
  const checked = stale.checkedAt.toISOString().slice(0, 16).replace('T', ' ');
  return [
    complaint(`Buildpack ${name}: ${stale.reason.host} could not be reached (${stale.reason.detail}).`),
    complaint(`Using revision ${shortRevision(revision)}, which was the newest at ${checked} UTC.`),
  ];
}

async function pinOrFail(
  source: BuildpackSource,
  cache: BuildpackCache,
  signal: AbortSignal,
): Promise<PinnedBuildpack> {
  const { name } = source;
  try {
    return await pinBuildpack(source, cache, signal);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof BuildpackFetchError) throw explain(name, cause);
    if (cause instanceof ArchiveError) throw unusableBuildpack(name, cause.message, cause);
    const { code } = cause as NodeJS.ErrnoException;
    if (source.kind === 'directory' || source.kind === 'file') {
      throw unusableBuildpack(
        name,
        LOCAL_REASONS[code ?? ''] ?? `it could not be read (${code ?? String(cause)})`,
        cause,
      );
    }
    throw cause;
  }
}

/** Of the system's errors. */
const LOCAL_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder on the machine that dynodock runs on',
  ENOTDIR: 'it is neither a folder nor a .tgz archive',
  EISDIR: 'it is a folder, not an archive',
  EACCES: 'dynodock may not read it',
};

function explain(name: string, error: BuildpackFetchError): BuildFailure {
  const { host, detail: reason } = error;
  if (error.reason === 'unusable') return unusableBuildpack(name, reason, error);
  const message =
    error.reason === 'unreachable'
      ? `Buildpack ${name} could not be fetched: ${host} could not be reached.`
      : `Buildpack ${name} could not be fetched from ${host}.`;
  return new BuildFailure('buildpack', message, [complaint(message), complaint(`Reason: ${reason}`)], {
    cause: error,
  });
}
