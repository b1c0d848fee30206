import { Router, type RequestHandler } from 'express';
import { requestOrigin } from '../request-origin';
import type { ApiServices } from '../services';

export function sourceRoutes({ apps, sources }: Pick<ApiServices, 'apps' | 'sources'>): Router {
  const router = Router();
  const create: RequestHandler = (req, res) => {
    const { getPath, putPath } = sources.create();
    const origin = requestOrigin(req);
    res.status(201).json({ source_blob: { get_url: `${origin}${getPath}`, put_url: `${origin}${putPath}` } });
  };
  router.post('/sources', create);
  // The older form, which clients still use; the schema calls it deprecated.
  router.post('/apps/:app/sources', (req, res, next) => {
    apps.find(req.params.app);
    create(req, res, next);
  });
  return router;
}
