import type { BundledBuildpack } from '../services';
import { buildpackUrn } from './buildpack';

const SINCE = '2026-01-01T00:00:00.000Z';

/** Fields: those that @heroku/buildpack-registry 1.0 reads. */
export function presentRegistryEntry(buildpack: BundledBuildpack): Record<string, unknown> {
  const [namespace = '', name = ''] = buildpack.name.split('/');
  return {
    // What `heroku buildpacks:set` stores.
    blob_url: buildpackUrn(buildpack.name),
    category: 'languages',
    created_at: SINCE,
    description: buildpack.description,
    id: buildpack.name,
    name,
    namespace,
    source: { type: 'bundled', owner: namespace, repo: name },
    support: { method: 'website', address: 'bundled with dynodock' },
    two_factor_authentication: false,
    updated_at: SINCE,
  };
}

/** A bundled buildpack has one revision: the one that came with this dynodock. */
export function presentRegistryRevision(buildpack: BundledBuildpack): Record<string, unknown> {
  return {
    buildpack: { id: buildpack.name },
    created_at: SINCE,
    id: `${buildpack.name}@1`,
    license: 'MIT',
    release: 1,
    status: 'published',
    updated_at: SINCE,
  };
}
