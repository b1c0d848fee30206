import type { ConfigVars } from '../domain/config-vars';
import type { AppId, BuildId, SlugId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import type { ProcessImages } from '../domain/slug';
import type { StackName } from '../domain/stack';
import type { Source } from './source';

export interface BuildRequest {
  /** A slug is made; see TestRequest. */
  mode?: 'build';
  buildId: BuildId;
  slugId: SlugId;
  appId: AppId;
  appName: string;
  stack: StackName;
  source: Source;
  /** As stored for the app; empty = detect. */
  buildpacks: readonly string[];
  /** Were they given for this very build? Then config var BUILDPACK_URL does not count. */
  buildpacksGiven?: boolean;
  configVars: ConfigVars;
  /** What buildpacks see as SOURCE_VERSION. */
  version: string;
  /** Of the app's last build that succeeded, if any. */
  previousStack?: StackName | null;
}

/** The app's tests are run in place of a build: no slug comes of it (Dev Center "Testpack API"). */
export interface TestRequest extends Omit<BuildRequest, 'mode'> {
  mode: 'test';
}

export interface TestedSource {
  /** Of the last buildpack's bin/test: 0 = passed. */
  exitCode: number;
  buildpackProvidedDescription: string;
  buildpacks: UsedBuildpack[];
}

/** A buildpack that ran, and which revision of it. */
export interface UsedBuildpack {
  /** E.g. `heroku/nodejs`, or a URL without secrets. */
  name: string;
  /** Commit of a repository; `sha256:<hex>` of an archive or a folder. */
  revision: string;
}

export interface BuiltSlug {
  /** `SHA256:<hex>` of the archive. */
  checksum: string;
  /** Bytes of it. */
  size: number;
  /** Nothing is there where images are all that was built. */
  archivePath: string;
  /** Reference of the run image plus this slug. */
  image: string;
  /** Of the container stack: what each process type runs. */
  images?: ProcessImages;
  processTypes: ProcessTypes;
  buildpackProvidedDescription: string;
  /** What ran, in order. */
  buildpacks: UsedBuildpack[];
  /** The last buildpack's bin/release asks for these on the first deploy. */
  configVars: Readonly<Record<string, string>>;
  addons: string[];
  timings: BuildTimings;
}

/** Milliseconds of each phase. */
export interface BuildTimings {
  /** Volume and container made, attached to. */
  containerMs: number;
  /** Sources and buildpacks copied in. */
  sourceMs: number;
  /** From the container's start to its result. */
  compileMs: number;
  /** The slug's archive. */
  slugMs: number;
  imageMs: number;
}
