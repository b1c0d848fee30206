import { Router } from 'express';
import { invalidParams } from '../../domain/errors';
import { presentReclaimReport } from '../presenters/reclaim';
import type { ApiServices } from '../services';

/** An endpoint that Heroku's API does not have (docs/api.md): there, the disk is Heroku's affair. */
export function reclaimRoutes({ apps, reclaim }: Pick<ApiServices, 'apps' | 'reclaim'>): Router {
  const router = Router();

  router.post('/dynodock/reclaim', async (req, res) => {
    const dryRun = parseDryRun(req.body);
    const report = dryRun ? await reclaim.plan() : await reclaim.run();
    res.json(presentReclaimReport(report, dryRun, apps.list()));
  });

  return router;
}

function parseDryRun(body: unknown): boolean {
  if (Array.isArray(body)) throw invalidParams('The body must be an object.');
  const { dry_run: dryRun = false } = (body ?? {}) as { dry_run?: unknown };
  if (typeof dryRun !== 'boolean') throw invalidParams('dry_run must be true or false.');
  return dryRun;
}
