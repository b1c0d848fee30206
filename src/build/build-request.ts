import type { ConfigVars } from '../domain/config-vars';
import type { AppId, BuildId, SlugId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import type { StackName } from '../domain/stack';
import type { Source } from './source';

export interface BuildRequest {
  buildId: BuildId;
  slugId: SlugId;
  appId: AppId;
  appName: string;
  stack: StackName;
  source: Source;
  /** As stored for the app; empty = detect. */
  buildpacks: readonly string[];
  configVars: ConfigVars;
  /** What buildpacks see as SOURCE_VERSION. */
  version: string;
}

export interface BuiltSlug {
  /** `SHA256:<hex>` of the archive. */
  checksum: string;
  /** Bytes of it. */
  size: number;
  archivePath: string;
  /** Reference of the run image plus this slug. */
  image: string;
  processTypes: ProcessTypes;
  buildpackProvidedDescription: string;
  /** What ran, e.g. `heroku/nodejs`: names to store on an app that had none. */
  buildpacks: string[];
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
