import type { AppId, BuildId, ReleaseId, SlugId } from './ids';
import type { Actor } from './account';
import type { StackName } from './stack';

export type BuildStatus = 'pending' | 'succeeded' | 'failed';

export interface Build {
  id: BuildId;
  appId: AppId;
  status: BuildStatus;
  stack: StackName;
  /** Commit or other version of the source. */
  version: string | null;
  versionDescription: string | null;
  buildpacks: readonly string[];
  /**
   * Of `buildpacks`, in their order: a commit, or `sha256:<hex>` of an archive or a folder. Empty until the build has
   * succeeded.
   */
  buildpackRevisions: readonly string[];
  user: Actor;
  slugId: SlugId | null;
  releaseId: ReleaseId | null;
  /** Why it failed, in words. */
  failure: string | null;
  createdAt: Date;
  updatedAt: Date;
}
