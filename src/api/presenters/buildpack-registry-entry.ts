import type { BundledBuildpack } from '../services';
import { buildpackUrn } from './buildpack';

/** A buildpack that the registry knows: one that comes with dynodock, or one that each build fetches. */
export type RegistryEntry =
  ({ origin: 'bundled' } & BundledBuildpack) | { origin: 'fetched'; name: string; description: string };

/** Of those that are fetched nobody here knows when they were made. */
const SINCE = new Date('2026-01-01T00:00:00.000Z');

/** Heroku's registry has them in three drawers: languages, packages, tools. */
const LANGUAGES = ['ruby', 'nodejs', 'clojure', 'python', 'java', 'gradle', 'scala', 'php', 'go', 'dotnet'];

/** Fields: those that @heroku/buildpack-registry 1.0 reads. */
export function presentRegistryEntry(buildpack: RegistryEntry): Record<string, unknown> {
  const [namespace = '', name = ''] = buildpack.name.split('/');
  const since = sinceOf(buildpack);
  return {
    // What `heroku buildpacks:set` stores.
    blob_url: buildpackUrn(buildpack.name),
    category: LANGUAGES.includes(name) ? 'languages' : 'tools',
    created_at: since,
    description: buildpack.description,
    id: buildpack.name,
    name,
    namespace,
    source: { type: buildpack.origin, owner: namespace, repo: name },
    support: { method: 'website', address: `${buildpack.origin} by dynodock` },
    two_factor_authentication: false,
    updated_at: since,
  };
}

/** The one that came with this dynodock, or the newest. */
export function presentRegistryRevision(buildpack: RegistryEntry): Record<string, unknown> {
  const since = sinceOf(buildpack);
  return {
    buildpack: { id: buildpack.name },
    created_at: since,
    id: buildpack.origin === 'bundled' ? buildpack.revision : 'newest',
    license: buildpack.origin === 'bundled' ? 'MIT' : 'unknown',
    release: 1,
    status: 'published',
    updated_at: since,
  };
}

function sinceOf(buildpack: RegistryEntry): Date {
  return buildpack.origin === 'bundled' ? buildpack.updatedAt : SINCE;
}
