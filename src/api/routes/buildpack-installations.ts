import { Router } from 'express';
import { accountOf } from '../auth';
import { presentBuildpackInstallation } from '../presenters/buildpack';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const updateBody = new RequestBody<{ updates: { buildpack: string }[] }>('buildpack-installation', 'Update');

export function buildpackInstallationRoutes({
  apps,
  buildpackInstallations,
}: Pick<ApiServices, 'apps' | 'buildpackInstallations'>): Router {
  const router = Router();

  // Not paged: there are a handful, their order matters, and the CLI sends an empty Range.
  router.get('/apps/:app/buildpack-installations', (req, res) => {
    res.json(buildpackInstallations.get(apps.find(req.params.app)).map(presentBuildpackInstallation));
  });

  router.put('/apps/:app/buildpack-installations', (req, res) => {
    const { updates } = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    const urls = updates.map((update) => update.buildpack);
    const installed = buildpackInstallations.replace(accountOf(res), app, urls);
    res.json(installed.map(presentBuildpackInstallation));
  });

  return router;
}
