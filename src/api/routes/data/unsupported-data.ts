import { Router } from 'express';
import { notSupported } from '../../../domain/errors';
import type { ApiServices } from '../../services';

const DATABASE = '/client/v11/databases/:database';
/** What the CLI asks of Heroku's data API and dynodock does not have. Comes after all that it has. */
export function unsupportedDataRoutes({ apps, addons }: Pick<ApiServices, 'apps' | 'addons'>): Router {
  const router = Router();

  // Servers here are never maintained by anybody but their owner.
  router.get('/data/maintenances/v1/apps/:app', (req, res) => {
    apps.find(req.params.app);
    res.json({ maintenances: [] });
  });
  router.get('/data/maintenances/v1/:addon/history', (req, res) => {
    addons.find(req.params.addon);
    res.json({ maintenances: [] });
  });
  router.all('/data/maintenances/{*rest}', () => {
    throw notSupported('dynodock does not maintain add-ons: there is no maintenance to show or to schedule.');
  });
  router.all('/data/postgres/{*rest}', () => {
    throw notSupported('dynodock does not support the Advanced plans of Heroku Postgres.');
  });

  router.all(`${DATABASE}/upgrade/{*rest}`, () => {
    throw notSupported(
      'dynodock does not support upgrades of databases in place. addons:create heroku-postgresql -- --fork DATABASE --version 16 makes a copy on another version.',
    );
  });
  router.all(`${DATABASE}/unfollow`, () => {
    throw notSupported('dynodock does not support followers of databases.');
  });

  return router;
}
