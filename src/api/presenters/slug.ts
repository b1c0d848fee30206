import type { Slug } from '../../domain/slug';
import type { SlugUpload } from '../../domain/slug-upload';
import { presentStackReference } from './stack';

/** `blob`: where its archive is fetched, or to be uploaded. */
export function presentSlug(
  slug: Slug | SlugUpload,
  blob: { method: 'GET' | 'PUT'; url: string },
): Record<string, unknown> {
  return {
    blob,
    buildpack_provided_description: slug.buildpackProvidedDescription,
    checksum: slug.checksum,
    commit: slug.commit,
    commit_description: slug.commitDescription,
    created_at: slug.createdAt,
    deleted_at: null,
    id: slug.id,
    process_types: slug.processTypes,
    size: slug.size,
    stack: presentStackReference(slug.stack),
    updated_at: slug.updatedAt,
  };
}
