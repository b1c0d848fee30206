import type { AppFeature } from '../../platform/app-features/app-features';

export function presentAppFeature(feature: AppFeature): Record<string, unknown> {
  return {
    created_at: feature.createdAt,
    description: feature.description,
    display_name: feature.displayName,
    doc_url: feature.docUrl,
    enabled: feature.enabled,
    // On Heroku the address of the team behind a feature.
    feedback_email: '',
    id: feature.id,
    name: feature.name,
    state: feature.state,
    updated_at: feature.updatedAt,
  };
}
