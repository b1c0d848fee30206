import { Router, type Request } from 'express';
import type { App } from '../../domain/app';
import type { Release } from '../../domain/release';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentRelease } from '../presenters/release';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';
import { outputStreamUrl } from './output-streams';

/** `heroku releases:retry` sends no slug where a release has none, but is made of images. */
const createBody = new RequestBody<{ slug?: string; description?: string }>('release', 'Create', {
  required: [],
});
const rollbackBody = new RequestBody<{ release: string }>('release', 'Rollback');

const SORT_KEYS: SortKeys<Release> = {
  version: (release) => release.version,
  id: (release) => release.id,
};

export function releaseRoutes(
  { apps, releases, slugs }: Pick<ApiServices, 'apps' | 'releases' | 'slugs'>,
  streamKeys: StreamKeys,
): Router {
  const router = Router();
  const present = (req: Request, app: App, release: Release): Record<string, unknown> =>
    presentRelease(release, app, {
      outputStreamUrl:
        release.command === null ? null : outputStreamUrl(req, streamKeys, 'releases', release.id),
      isOfImages: releases.isOfImages(release),
    });

  router.get('/apps/:app/releases', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, releases.list(app), SORT_KEYS, (release) => present(req, app, release));
  });

  // One endpoint for both: a body with `release` rolls back, one with `slug` releases that slug.
  router.post('/apps/:app/releases', async (req, res) => {
    const app = apps.find(req.params.app);
    const release = isRollback(req.body)
      ? releases.rollback(accountOf(res), app, rollbackBody.parse(req.body).release)
      : await createFromSlug(req.body);
    res.status(201).json(present(req, app, release));

    async function createFromSlug(body: unknown): Promise<Release> {
      const { slug, description } = createBody.parse(body);
      if (slug === undefined) return releases.repeatImages(accountOf(res), app, description);
      return slugs.release(accountOf(res), app, slug, description);
    }
  });

  router.get('/apps/:app/releases/:release', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, app, releases.find(app, req.params.release)));
  });

  return router;
}

function isRollback(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'release' in body;
}
