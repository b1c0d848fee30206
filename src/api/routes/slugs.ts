import { Router } from 'express';
import { presentSlug } from '../presenters/slug';
import type { ApiServices } from '../services';

export function slugRoutes({ apps, slugs }: Pick<ApiServices, 'apps' | 'slugs'>): Router {
  const router = Router();
  router.get('/apps/:app/slugs/:slug', (req, res) => {
    res.json(presentSlug(slugs.find(apps.find(req.params.app), req.params.slug)));
  });
  return router;
}
