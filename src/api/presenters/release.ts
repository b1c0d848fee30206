import type { App } from '../../domain/app';
import type { Release } from '../../domain/release';
import { presentAppReference } from './app';

export interface ReleaseSurroundings {
  /** null for a release without a release command. */
  outputStreamUrl: string | null;
  /** It is made of images, and not of a slug. */
  isOfImages: boolean;
}

export function presentRelease(
  release: Release,
  app: App,
  { outputStreamUrl, isOfImages }: ReleaseSurroundings,
): Record<string, unknown> {
  return {
    addon_plan_names: release.addonPlanNames,
    app: presentAppReference(app),
    artifacts:
      release.slugId === null ? [] : [{ type: isOfImages ? 'docker-image' : 'slug', id: release.slugId }],
    created_at: release.createdAt,
    current: release.current,
    description: release.description,
    // `heroku rollback` without an argument takes the newest but one of these.
    eligible_for_rollback: release.status === 'succeeded' && release.slugId !== null,
    id: release.id,
    output_stream_url: outputStreamUrl,
    slug: release.slugId === null || isOfImages ? null : { id: release.slugId },
    status: release.status,
    updated_at: release.updatedAt,
    user: { id: release.user.id, email: release.user.email },
    version: release.version,
  };
}
