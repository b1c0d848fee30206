import type { Slug } from '../../domain/slug';
import { presentStackReference } from './stack';

export function presentSlug(slug: Slug): Record<string, unknown> {
  return {
    // Slugs are kept as layers of images; there is no archive to fetch, but the schema wants a text here.
    blob: { method: 'GET', url: `urn:dynodock:slug:${slug.id}` },
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
