import { Router } from 'express';
import { notFound } from '../../domain/errors';
import {
  presentRegistryEntry,
  presentRegistryRevision,
  type RegistryEntry,
} from '../presenters/buildpack-registry-entry';
import type { BundledBuildpack } from '../services';

/** Heroku's own on GitHub. Builds fetch what is not bundled (build/buildpacks.ts). */
const OFFICIAL = [
  'ruby', 'nodejs', 'clojure', 'python', 'java', 'gradle', 'scala', 'php', 'go', 'dotnet',
  'apt', 'chrome-for-testing', 'google-chrome', 'nginx', 'pgbouncer', 'static',
].map((name) => `heroku/${name}`); // prettier-ignore
/** Anybody else's may exist: Heroku's registry, which knows, is only asked when an app is built. */
const OF_OTHERS = /^(?!heroku\/)[\w.-]+\/[\w.-]+$/;
const FETCHED = 'Fetched from where Heroku has it when an app is built.';

/**
 * The buildpack registry: lists the bundled buildpacks, and knows by name those that builds fetch. The CLI asks it,
 * without a token, what `heroku buildpacks:set heroku/nodejs` means; HEROKU_BUILDPACK_REGISTRY_URL points it here.
 */
export function buildpackRegistryRoutes(bundled: readonly BundledBuildpack[]): Router {
  const router = Router();
  const find = (name: string): RegistryEntry => {
    const found = bundled.find((buildpack) => buildpack.name === name);
    if (found !== undefined) return { ...found, origin: 'bundled' };
    if (!OFFICIAL.includes(name) && !OF_OTHERS.test(name)) throw notFound('buildpack');
    return { name, description: FETCHED, origin: 'fetched' };
  };

  router.get('/buildpacks', (req, res) => {
    res.json(
      bundled
        .filter(matching(new URL(req.url, 'http://localhost').searchParams))
        .map((buildpack) => presentRegistryEntry({ ...buildpack, origin: 'bundled' })),
    );
  });

  router.get('/buildpacks/:buildpack', (req, res) => {
    res.json(presentRegistryEntry(find(req.params.buildpack)));
  });

  router.get('/buildpacks/:buildpack/revisions', (req, res) => {
    res.json([presentRegistryRevision(find(req.params.buildpack))]);
  });

  router.get('/buildpacks/:buildpack/revisions/:revision', (req, res) => {
    const revision = presentRegistryRevision(find(req.params.buildpack));
    if (revision.id !== req.params.revision) throw notFound('revision');
    res.json(revision);
  });

  router.get('/buildpacks/:buildpack/readme', (req, res) => {
    const buildpack = find(req.params.buildpack);
    const text = buildpack.origin === 'bundled' ? buildpack.readme : `${buildpack.description}\n`;
    res.json({ content: Buffer.from(text).toString('base64'), encoding: 'base64' });
  });

  return router;
}

/** `in[namespace][]=heroku&in[name][]=ruby&like[description]=Ruby`; each may be absent or repeated. */
function matching(query: URLSearchParams): (buildpack: BundledBuildpack) => boolean {
  const namespaces = query.getAll('in[namespace][]');
  const names = query.getAll('in[name][]');
  const words = query.getAll('like[description]').map((text) => text.toLowerCase());
  return ({ name: fullName, description }) => {
    const [namespace = '', name = ''] = fullName.split('/');
    return (
      (namespaces.length === 0 || namespaces.includes(namespace)) &&
      (names.length === 0 || names.includes(name)) &&
      words.every((word) => description.toLowerCase().includes(word))
    );
  };
}
