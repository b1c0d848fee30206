import { Router } from 'express';
import { dynoName, type Dyno } from '../../domain/dyno';
import { notSupported } from '../../domain/errors';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentDyno } from '../presenters/dyno';
import type { ApiServices } from '../services';

const SORT_KEYS: SortKeys<Dyno> = { name: dynoName, id: (dyno) => dyno.id };

export function dynoRoutes({ apps, dynos }: Pick<ApiServices, 'apps' | 'dynos'>): Router {
  const router = Router();

  router.get('/apps/:app/dynos', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, dynos.list(app), SORT_KEYS, (dyno) => presentDyno(dyno, app));
  });

  router.post('/apps/:app/dynos', (req) => {
    apps.find(req.params.app);
    throw notSupported('dynodock does not support one-off dynos (heroku run) yet.');
  });

  router.delete('/apps/:app/dynos', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { all: true });
    res.status(202).json({});
  });

  router.get('/apps/:app/dynos/:dyno', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentDyno(dynos.find(app, req.params.dyno), app));
  });

  router.post('/apps/:app/dynos/:dyno', (req) => {
    dynos.find(apps.find(req.params.app), req.params.dyno);
    throw notSupported('dynodock does not support running commands inside a dyno (heroku run:inside) yet.');
  });

  router.delete('/apps/:app/dynos/:dyno', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { name: req.params.dyno });
    res.status(202).json({});
  });

  router.post('/apps/:app/dynos/:dyno/actions/stop', (req, res) => {
    dynos.stop(accountOf(res), apps.find(req.params.app), { name: req.params.dyno });
    res.status(202).json({});
  });

  router.delete('/apps/:app/formations/:type', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { type: req.params.type });
    res.status(202).json({});
  });

  router.post('/apps/:app/formations/:type/actions/stop', (req, res) => {
    dynos.stop(accountOf(res), apps.find(req.params.app), { type: req.params.type });
    res.status(202).json({});
  });

  return router;
}
