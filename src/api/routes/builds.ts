import { Router, type Request } from 'express';
import type { App } from '../../domain/app';
import type { Build } from '../../domain/build';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentBuild } from '../presenters/build';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';
import { outputStreamUrl } from './output-streams';

const SORT_KEYS: SortKeys<Build> = {
  id: (build) => build.id,
  started_at: (build) => build.createdAt.toISOString(),
};

export function buildRoutes(
  { apps, builds }: Pick<ApiServices, 'apps' | 'builds'>,
  streamKeys: StreamKeys,
): Router {
  const router = Router();
  const present = (req: Request, app: App, build: Build): Record<string, unknown> =>
    presentBuild(build, {
      outputStreamUrl: outputStreamUrl(req, streamKeys, 'builds', build.id),
      gitUrl: apps.gitUrl(app),
    });

  router.get('/apps/:app/builds', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, builds.list(app), SORT_KEYS, (build) => present(req, app, build));
  });

  router.get('/apps/:app/builds/:build', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, app, builds.find(app, req.params.build)));
  });

  // `heroku builds:cache:purge` of the plugin heroku-builds.
  router.delete('/apps/:app/build-cache', async (req, res) => {
    const app = apps.find(req.params.app);
    await builds.purgeCache(accountOf(res), app);
    res.json({});
  });

  return router;
}
