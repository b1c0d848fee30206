import { Router } from 'express';
import { PlatformError } from '../../../domain/errors';
import type { ApiServices } from '../../services';

/** Before everything that the data API has about one database: a sleeping one is woken, since it will be asked. */
export function wakingRoutes({ addons }: Pick<ApiServices, 'addons'>): Router {
  const router = Router();
  for (const path of ['/client/v11', '/postgres/v0', '/redis/v0']) {
    router.use(`${path}/databases/:database`, async (req, _res, next) => {
      try {
        await addons.awaken(addons.find(req.params.database));
      } catch (error) {
        // There is none of this name: what the request is about says so in its own way.
        if (!(error instanceof PlatformError && error.id === 'not_found')) throw error;
      }
      next();
    });
  }
  return router;
}
