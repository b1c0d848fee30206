import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { presentRegion } from '../presenters/region';

export function regionRoutes(): Router {
  const router = Router();

  router.get('/regions', (_req, res) => {
    res.json([presentRegion()]);
  });

  router.get('/regions/:region', (req, res) => {
    const region = presentRegion();
    if (req.params.region !== region['name'] && req.params.region !== region['id']) throw notFound('region');
    res.json(region);
  });

  return router;
}
