import { Router } from 'express';
import type { App } from '../../domain/app';
import { STACK_IDS, STACK_NAMES } from '../../domain/stack';
import type { AppChanges } from '../../platform/apps/apps';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentApp } from '../presenters/app';
import { REGION_ID, presentRegionReference } from '../presenters/region';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';
import { requireSelf } from './account';

const NULLABLE_TEXT = { type: ['string', 'null'] };

const createBody = new RequestBody<{ name?: string | null; region?: string | null; stack?: string | null }>(
  'app',
  'Create',
  // Clients send null for "choose one for me".
  { properties: { name: NULLABLE_TEXT, region: NULLABLE_TEXT, stack: NULLABLE_TEXT } },
);
const updateBody = new RequestBody<{ name?: string; maintenance?: boolean; build_stack?: string }>(
  'app',
  'Update',
);

const SORT_KEYS: SortKeys<App> = {
  name: (app) => app.name,
  id: (app) => app.id,
  updated_at: (app) => app.updatedAt.toISOString(),
};

/** As clients see an app. */
export function appPresenter({
  apps,
  account,
  dynoHours,
}: Pick<ApiServices, 'apps' | 'account' | 'dynoHours'>): (app: App) => Record<string, unknown> {
  return (app) =>
    presentApp(app, {
      owner: account.current(),
      webUrl: apps.webUrl(app),
      gitUrl: apps.gitUrl(app),
      takesDynoHours: dynoHours.takesFrom(app),
    });
}

export function appRoutes({
  apps,
  account,
  dynoHours,
}: Pick<ApiServices, 'apps' | 'account' | 'dynoHours'>): Router {
  const router = Router();
  const present = appPresenter({ apps, account, dynoHours });

  router.get('/apps', (req, res) => {
    sendList(req, res, apps.list(), SORT_KEYS, present);
  });

  router.get('/users/:user/apps', (req, res) => {
    requireSelf(req.params.user, accountOf(res));
    sendList(req, res, apps.list(), SORT_KEYS, present);
  });

  router.post('/apps', (req, res) => {
    const { name, region, stack } = createBody.parse(req.body);
    const app = apps.create(accountOf(res), {
      name: name ?? null,
      region: region === REGION_ID ? presentRegionReference().name : (region ?? null),
      stack: stack == null ? null : stackName(stack),
    });
    res.status(201).json(present(app));
  });

  router.get('/apps/:app', (req, res) => {
    res.json(present(apps.find(req.params.app)));
  });

  router.patch('/apps/:app', (req, res) => {
    const body = updateBody.parse(req.body);
    const changes: AppChanges = {};
    if (body.name !== undefined) changes.name = body.name;
    if (body.maintenance !== undefined) changes.maintenance = body.maintenance;
    if (body.build_stack !== undefined) changes.buildStack = stackName(body.build_stack);
    res.json(present(apps.update(accountOf(res), req.params.app, changes)));
  });

  router.delete('/apps/:app', async (req, res) => {
    res.json(present(await apps.destroy(accountOf(res), req.params.app)));
  });

  return router;
}

/** A stack may be named by its id. */
function stackName(identity: string): string {
  return STACK_NAMES.find((name) => STACK_IDS[name] === identity) ?? identity;
}
