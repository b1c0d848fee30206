import { Router } from 'express';
import { invalidParams, notSupported } from '../../domain/errors';
import type { FormationUpdate, FormationView } from '../../platform/formation/formation';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentFormation } from '../presenters/formation';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

interface Change {
  quantity?: number | string;
  size?: string;
  dyno_size?: string | { id?: string; name?: string };
  docker_image?: unknown;
}

/**
 * Where the CLI and older clients leave the schema: quantities are texts and may be relative (`"+1"`), sizes are
 * given as `size` (contract, section 2.2, G8).
 */
const CHANGE = {
  quantity: { type: ['integer', 'string'] },
  size: { type: 'string' },
  dyno_size: {
    anyOf: [
      { type: 'string' },
      { type: 'object', properties: { id: { type: 'string' }, name: { type: 'string' } } },
    ],
  },
};
const batchBody = new RequestBody<{ updates: (Change & { type: string })[] }>('formation', 'Batch Update', {
  properties: {
    updates: {
      type: 'array',
      items: { type: 'object', properties: { ...CHANGE, type: { type: 'string' } }, required: ['type'] },
    },
  },
});
const updateBody = new RequestBody<Change>('formation', 'Update', { properties: CHANGE });

const SORT_KEYS: SortKeys<FormationView> = {
  type: (formation) => formation.type,
  id: (formation) => formation.id,
};

export function formationRoutes({ apps, formation }: Pick<ApiServices, 'apps' | 'formation'>): Router {
  const router = Router();

  router.get('/apps/:app/formation', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, formation.list(app), SORT_KEYS, (entry) => presentFormation(entry, app));
  });

  router.patch('/apps/:app/formation', (req, res) => {
    const { updates } = batchBody.parse(req.body);
    const app = apps.find(req.params.app);
    const wanted = updates.map((update) => toUpdate(update.type, update));
    res.json(formation.batchUpdate(accountOf(res), app, wanted).map((entry) => presentFormation(entry, app)));
  });

  router.get('/apps/:app/formation/:type', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentFormation(formation.find(app, req.params.type), app));
  });

  router.patch('/apps/:app/formation/:type', (req, res) => {
    const change = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    const { type } = formation.find(app, req.params.type);
    formation.batchUpdate(accountOf(res), app, [toUpdate(type, change)]);
    res.json(presentFormation(formation.find(app, type), app));
  });

  return router;
}

function toUpdate(type: string, change: Change): FormationUpdate {
  if (change.docker_image !== undefined) {
    throw notSupported(
      'dynodock does not support releasing container images (heroku container:release) yet.',
    );
  }
  const size = sizeOf(change);
  return {
    type,
    ...(change.quantity === undefined ? {} : { quantity: change.quantity }),
    ...(size === undefined ? {} : { size }),
  };
}

function sizeOf({ size, dyno_size: dynoSize }: Change): string | undefined {
  if (dynoSize === undefined) return size;
  const identity = typeof dynoSize === 'string' ? dynoSize : (dynoSize.name ?? dynoSize.id);
  if (identity === undefined) throw invalidParams('Parameter dyno_size must have a name or an id.');
  return identity;
}
