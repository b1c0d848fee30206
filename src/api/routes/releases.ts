import { Router } from 'express';
import type { Release } from '../../domain/release';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentRelease } from '../presenters/release';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const createBody = new RequestBody<{ slug: string; description?: string }>('release', 'Create');
const rollbackBody = new RequestBody<{ release: string }>('release', 'Rollback');

const SORT_KEYS: SortKeys<Release> = {
  version: (release) => release.version,
  id: (release) => release.id,
};

export function releaseRoutes({ apps, releases }: Pick<ApiServices, 'apps' | 'releases'>): Router {
  const router = Router();

  router.get('/apps/:app/releases', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, releases.list(app), SORT_KEYS, (release) => presentRelease(release, app));
  });

  // One endpoint for both: a body with `release` rolls back, one with `slug` releases that slug.
  router.post('/apps/:app/releases', (req, res) => {
    const app = apps.find(req.params.app);
    const release = isRollback(req.body)
      ? releases.rollback(accountOf(res), app, rollbackBody.parse(req.body).release)
      : createFromSlug(req.body);
    res.status(201).json(presentRelease(release, app));

    function createFromSlug(body: unknown): Release {
      const { slug, description } = createBody.parse(body);
      return releases.createFromSlug(accountOf(res), app, slug, description);
    }
  });

  router.get('/apps/:app/releases/:release', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentRelease(releases.find(app, req.params.release), app));
  });

  return router;
}

function isRollback(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'release' in body;
}
