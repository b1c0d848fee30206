import { Router } from 'express';
import { accountOf } from '../../auth';
import { presentRedis, presentRedisSettings } from '../../presenters/redis';
import type { ApiServices } from '../../services';
import { fieldsOf, stringOf } from './data-body';

const DATABASE = '/redis/v0/databases/:database';

/** `redis:*` (CLI contract, section 2.7). */
export function redisRoutes({ redis }: Pick<ApiServices, 'redis'>): Router {
  const router = Router();
  const { own } = redis;

  router.get(DATABASE, async (req, res) => {
    const addon = own.find(req.params.database);
    if (addon.state !== 'provisioned') {
      // Without a message: only then redis:info leaves it out rather than failing (contract, G5).
      res.status(404).json({ id: 'not_found' });
      return;
    }
    const info = await redis.infoRows(addon);
    res.json(
      presentRedis(addon, { url: own.url(addon), info, prefersNativeTls: redis.prefersNativeTls(addon) }),
    );
  });

  router.get(`${DATABASE}/wait`, (req, res) => {
    const { waiting, message } = own.waitStatus(own.find(req.params.database));
    res.json({ 'waiting?': waiting, message });
  });

  router.post(`${DATABASE}/credentials_rotation`, async (req, res) => {
    await redis.rotate(accountOf(res), own.findProvisioned(req.params.database));
    res.json({ message: 'Credentials rotated.' });
  });

  router.patch(`${DATABASE}/config`, async (req, res) => {
    const addon = own.findProvisioned(req.params.database);
    res.json(presentRedisSettings(await redis.configure(accountOf(res), addon, fieldsOf(req.body))));
  });

  router.post(`${DATABASE}/stats/reset`, async (req, res) => {
    await redis.resetStatistics(accountOf(res), own.findProvisioned(req.params.database));
    res.json({ message: 'Stats reset successful.' });
  });

  router.post(`${DATABASE}/upgrade`, (req) => {
    redis.upgrade(own.findProvisioned(req.params.database), stringOf(req.body, 'version'));
  });

  return router;
}
