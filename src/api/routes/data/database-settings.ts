import { Router } from 'express';
import { accountOf } from '../../auth';
import { presentDatabaseSettings } from '../../presenters/database-settings';
import type { ApiServices } from '../../services';
import { fieldsOf } from './data-body';

const CONFIG = '/postgres/v0/databases/:database/config';

/** `pg:settings*` (CLI contract, section 2.6). */
export function databaseSettingRoutes({ postgres }: Pick<ApiServices, 'postgres'>): Router {
  const router = Router();
  const { databases, settings } = postgres;

  router.get(CONFIG, async (req, res) => {
    res.json(presentDatabaseSettings(await settings.get(databases.findProvisioned(req.params.database))));
  });

  router.patch(CONFIG, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    res.json(presentDatabaseSettings(await settings.change(accountOf(res), addon, fieldsOf(req.body))));
  });

  return router;
}
