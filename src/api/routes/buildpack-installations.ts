import { Router } from 'express';
import { invalidParams } from '../../domain/errors';
import { accountOf } from '../auth';
import { presentBuildpackInstallation } from '../presenters/buildpack';
import { RequestBody } from '../schema/request-body';
import type { ApiServices, BundledBuildpack } from '../services';

const updateBody = new RequestBody<{ updates: { buildpack?: string }[] }>(
  'buildpack-installation',
  'Update',
  {
    properties: {
      updates: {
        type: 'array',
        // The CLI leaves it out when the registry does not know the name that its user gave.
        items: { type: 'object', properties: { buildpack: { type: 'string' } } },
      },
    },
  },
);

export function buildpackInstallationRoutes(
  { apps, buildpackInstallations }: Pick<ApiServices, 'apps' | 'buildpackInstallations'>,
  bundled: readonly BundledBuildpack[],
): Router {
  const router = Router();

  // Not paged: there are a handful, their order matters, and the CLI sends an empty Range.
  router.get('/apps/:app/buildpack-installations', (req, res) => {
    res.json(buildpackInstallations.get(apps.find(req.params.app)).map(presentBuildpackInstallation));
  });

  router.put('/apps/:app/buildpack-installations', (req, res) => {
    const { updates } = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    const urls = updates.map(({ buildpack }) => {
      if (buildpack !== undefined) return buildpack;
      const names = bundled.map(({ name }) => name).join(', ');
      throw invalidParams(
        `There is no buildpack of that name. dynodock comes with ${names}, fetches Heroku's other ones, and takes the URL of any git repository.`,
      );
    });
    const installed = buildpackInstallations.replace(accountOf(res), app, urls);
    res.json(installed.map(presentBuildpackInstallation));
  });

  return router;
}
