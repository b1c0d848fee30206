import type { AppId, BuildId, ReleaseId, SlugId } from './ids';
import type { Actor } from './account';
import { invalidParams } from './errors';
import type { StackName } from './stack';

export type BuildStatus = 'pending' | 'succeeded' | 'failed';

/** An archive of source code somewhere on the web. */
export interface SourceBlob {
  url: string;
  /** `SHA256:<hex>` that it has to have; null = any. */
  checksum: string | null;
}

export interface Build {
  id: BuildId;
  appId: AppId;
  status: BuildStatus;
  stack: StackName;
  /** Commit or other version of the source. */
  version: string | null;
  versionDescription: string | null;
  /** Where its source was fetched from; absent or null = from the app's own repository. */
  sourceBlob?: SourceBlob | null;
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

const CHECKSUM = /^SHA256:[0-9a-f]{64}$/i;

/** Throws invalid_params unless it is one as the Platform API writes them; `''` counts as none. */
export function parseChecksum(text: string | null | undefined): string | null {
  if (text == null || text === '') return null;
  if (!CHECKSUM.test(text)) {
    throw invalidParams('The checksum must have the form SHA256:<64 hexadecimal digits>.');
  }
  return text;
}

/** Throws invalid_params for what nothing can be fetched from. */
export function parseSourceUrl(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw invalidParams('source_blob.url must be an http:// or https:// URL.');
  }
  return text;
}
