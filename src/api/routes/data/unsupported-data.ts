import { Router } from 'express';
import { notSupported } from '../../../domain/errors';
import type { ApiServices } from '../../services';

const DATABASE = '/client/v11/databases/:database';
/** Backups, restores and copies (CLI contract, section 2.6). */
const BACKUPS = [
  `${DATABASE}/backups`,
  `${DATABASE}/restores`,
  `${DATABASE}/transfers`,
  `${DATABASE}/transfer-schedules{/*rest}`,
  '/client/v11/apps/:app/transfers{/*rest}',
];

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

  for (const path of BACKUPS) {
    router.all(path, () => {
      throw notSupported(
        'dynodock does not take backups of databases yet. heroku pg:pull and pg:push copy a database to and from this machine.',
      );
    });
  }
  for (const path of ['upgrade/{*rest}', 'unfollow']) {
    router.all(`${DATABASE}/${path}`, () => {
      throw notSupported('dynodock does not support followers and upgrades of Heroku Postgres.');
    });
  }

  return router;
}
