import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { presentRegistryEntry, presentRegistryRevision } from '../presenters/buildpack-registry-entry';
import type { BundledBuildpack } from '../services';

/**
 * The buildpack registry, with the bundled buildpacks as its contents. The CLI asks it, without a token, what
 * `heroku buildpacks:set heroku/nodejs` means; HEROKU_BUILDPACK_REGISTRY_URL points it here.
 */
export function buildpackRegistryRoutes(bundled: readonly BundledBuildpack[]): Router {
  const router = Router();
  const find = (name: string): BundledBuildpack => {
    const found = bundled.find((buildpack) => buildpack.name === name);
    if (found === undefined) throw notFound('buildpack');
    return found;
  };

  router.get('/buildpacks', (req, res) => {
    res.json(
      bundled.filter(matching(new URL(req.url, 'http://localhost').searchParams)).map(presentRegistryEntry),
    );
  });

  router.get('/buildpacks/:buildpack', (req, res) => {
    res.json(presentRegistryEntry(find(req.params.buildpack)));
  });

  router.get('/buildpacks/:buildpack/revisions', (req, res) => {
    res.json([presentRegistryRevision(find(req.params.buildpack))]);
  });

  router.get('/buildpacks/:buildpack/readme', (req, res) => {
    const { description } = find(req.params.buildpack);
    res.json({ content: Buffer.from(`${description}\n`).toString('base64'), encoding: 'base64' });
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
