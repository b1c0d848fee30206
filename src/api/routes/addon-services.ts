import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { sendList } from '../lists';
import { presentAddOnService, presentPlan, presentRegionCapability } from '../presenters/addon-service';
import { presentRegion } from '../presenters/region';
import type { ApiServices } from '../services';

/** Services and plans that add-ons can be created of. */
export function addonServiceRoutes({ addons: { catalogue } }: Pick<ApiServices, 'addons'>): Router {
  const router = Router();

  router.get('/addon-services', (req, res) => {
    sendList(
      req,
      res,
      catalogue.services(),
      { name: ({ service }) => service, id: ({ service }) => service },
      presentAddOnService,
    );
  });

  router.get('/addon-services/:service', (req, res) => {
    res.json(presentAddOnService(catalogue.service(req.params.service)));
  });

  router.get('/addon-services/:service/plans', (req, res) => {
    const provider = catalogue.service(req.params.service);
    // In the provider's order, which is that of size and price.
    res.json(catalogue.plans(provider).map((plan) => presentPlan({ provider, plan })));
  });

  router.get('/addon-services/:service/plans/:plan', (req, res) => {
    res.json(presentPlan(catalogue.plan(req.params.plan, catalogue.service(req.params.service))));
  });

  router.get('/plans/:plan', (req, res) => {
    res.json(presentPlan(catalogue.plan(req.params.plan)));
  });

  router.get('/addon-region-capabilities', (_req, res) => {
    res.json(catalogue.services().map(presentRegionCapability));
  });

  router.get('/addon-services/:service/region-capabilities', (req, res) => {
    res.json([presentRegionCapability(catalogue.service(req.params.service))]);
  });

  router.get('/regions/:region/addon-region-capabilities', (req, res) => {
    const region = presentRegion();
    if (req.params.region !== region['name'] && req.params.region !== region['id']) throw notFound('region');
    res.json(catalogue.services().map(presentRegionCapability));
  });

  return router;
}
