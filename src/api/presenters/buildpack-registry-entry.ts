import type { BundledBuildpack } from '../services';
import { buildpackUrn } from './buildpack';

const SINCE = '2026-01-01T00:00:00.000Z';

export interface RegistryEntry extends BundledBuildpack {
  /** Does it come with dynodock, or is it fetched by each build? */
  origin: 'bundled' | 'fetched';
}

/** Fields: those that @heroku/buildpack-registry 1.0 reads. */
export function presentRegistryEntry(buildpack: RegistryEntry): Record<string, unknown> {
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
    source: { type: buildpack.origin, owner: namespace, repo: name },
    support: { method: 'website', address: `${buildpack.origin} by dynodock` },
    two_factor_authentication: false,
    updated_at: SINCE,
  };
}

/** The one that came with this dynodock, or the newest. */
export function presentRegistryRevision(buildpack: RegistryEntry): Record<string, unknown> {
  return {
    buildpack: { id: buildpack.name },
    created_at: SINCE,
    id: `${buildpack.name}@1`,
    license: buildpack.origin === 'bundled' ? 'MIT' : 'unknown',
    release: 1,
    status: 'published',
    updated_at: SINCE,
  };
}
