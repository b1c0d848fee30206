import type { Build } from '../../domain/build';
import { presentBuildpack } from './buildpack';
import { GENERATION_NAME } from './generation';

export interface BuildSurroundings {
  outputStreamUrl: string;
  /** Of the repository that a pushed commit comes from. */
  gitUrl: string;
}

export function presentBuild(
  build: Build,
  { outputStreamUrl, gitUrl }: BuildSurroundings,
): Record<string, unknown> {
  return {
    app: { id: build.appId },
    buildpacks: build.buildpacks.map(presentBuildpack),
    created_at: build.createdAt,
    generation: GENERATION_NAME,
    id: build.id,
    output_stream_url: outputStreamUrl,
    release: build.releaseId === null ? null : { id: build.releaseId },
    slug: build.slugId === null || build.stack === 'container' ? null : { id: build.slugId },
    source_blob: {
      checksum: build.sourceBlob?.checksum ?? null,
      url: build.sourceBlob?.url ?? gitUrl,
      version: build.version,
      version_description: build.versionDescription,
    },
    stack: build.stack,
    status: build.status,
    updated_at: build.updatedAt,
    user: { id: build.user.id, email: build.user.email },
  };
}
