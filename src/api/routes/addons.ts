import { Router } from 'express';
import { notFound } from '../../domain/errors';
import type { ApiServices } from '../services';

/**
 * There are no add-ons: lists are empty (empty-collections.ts), each one asked for is not found, and creating one
 * is answered by unsupported.ts. The two `resolve` actions answer 404 rather than an empty list, since the CLI goes
 * on to its other ways of finding a database only then (contract, section 2.3).
 */
export function addonRoutes({ apps }: Pick<ApiServices, 'apps'>): Router {
  const router = Router();

  router.post('/actions/addons/resolve', () => {
    throw notFound('add_on');
  });
  router.post('/actions/addon-attachments/resolve', () => {
    throw notFound('add_on attachment');
  });
  router.get('/addons/:addon', () => {
    throw notFound('add_on');
  });
  router.get('/addon-attachments/:attachment', () => {
    throw notFound('add_on attachment');
  });
  router.get('/apps/:app/addons/:addon', (req) => {
    apps.find(req.params.app);
    throw notFound('add_on');
  });
  router.get('/apps/:app/addon-attachments/:attachment', (req) => {
    apps.find(req.params.app);
    throw notFound('add_on attachment');
  });

  return router;
}
