import { Router } from 'express';
import { notSupported } from '../../domain/errors';
import { accountOf } from '../auth';
import { sendList } from '../lists';
import { presentAppFeature } from '../presenters/app-feature';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const updateBody = new RequestBody<{ enabled: boolean }>('app-feature', 'Update');

export function appFeatureRoutes({ apps, appFeatures }: Pick<ApiServices, 'apps' | 'appFeatures'>): Router {
  const router = Router();

  router.get('/apps/:app/features', (req, res) => {
    const features = appFeatures.list(apps.find(req.params.app));
    sendList(req, res, features, { name: (item) => item.name, id: (item) => item.id }, presentAppFeature);
  });

  // What `heroku ps:exec` and its kin ask for first (contract, section 3.3).
  router.get('/apps/:app/features/runtime-heroku-exec', (req) => {
    apps.find(req.params.app);
    throw notSupported('dynodock does not support heroku ps:exec, ps:copy, ps:forward and ps:socks.');
  });

  router.get('/apps/:app/features/:feature', (req, res) => {
    res.json(presentAppFeature(appFeatures.find(apps.find(req.params.app), req.params.feature)));
  });

  router.patch('/apps/:app/features/:feature', (req, res) => {
    const { enabled } = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    res.json(presentAppFeature(appFeatures.set(accountOf(res), app, req.params.feature, enabled)));
  });

  return router;
}
