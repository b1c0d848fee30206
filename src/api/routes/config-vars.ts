import { Router } from 'express';
import type { ConfigVarChanges } from '../../domain/config-vars';
import { accountOf } from '../auth';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const updateBody = new RequestBody<ConfigVarChanges>('config-var', 'Update', {
  // Whatever the key: the domain says which keys are allowed.
  additionalProperties: { type: ['string', 'null'] },
});

export function configVarRoutes({
  addons,
  apps,
  configVars,
}: Pick<ApiServices, 'addons' | 'apps' | 'configVars'>): Router {
  const router = Router();

  router.get('/apps/:app/config-vars', async (req, res) => {
    const app = apps.find(req.params.app);
    // Whoever has the URLs connects: pg:psql and redis:cli at once, without another word to this API.
    await addons.awakenOf(app);
    res.json(configVars.get(app));
  });

  router.patch('/apps/:app/config-vars', (req, res) => {
    const changes = updateBody.parse(req.body);
    res.json(configVars.update(accountOf(res), apps.find(req.params.app), changes));
  });

  router.get('/apps/:app/releases/:release/config-vars', (req, res) => {
    res.json(configVars.ofRelease(apps.find(req.params.app), req.params.release));
  });

  return router;
}
