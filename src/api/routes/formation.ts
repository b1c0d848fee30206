import { Router } from 'express';
import type { App } from '../../domain/app';
import { invalidParams } from '../../domain/errors';
import type { ImageUpdate } from '../../platform/container-releases/container-releases';
import type { FormationUpdate, FormationView } from '../../platform/formation/formation';
import type { Actor } from '../../domain/account';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentFormation } from '../presenters/formation';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

interface Change {
  quantity?: number | string;
  size?: string;
  dyno_size?: string | { id?: string; name?: string };
  docker_image?: string | null;
}

/**
 * Where the CLI and older clients leave the schema: quantities are texts and may be relative (`"+1"`), sizes are
 * given as `size` (contract, section 2.2, G8). `docker_image` belongs to the variant `docker-releases`.
 */
const CHANGE = {
  quantity: { type: ['integer', 'string'] },
  size: { type: 'string' },
  docker_image: { type: ['string', 'null'] },
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

export function formationRoutes({
  apps,
  containerReleases,
  formation,
}: Pick<ApiServices, 'apps' | 'containerReleases' | 'formation'>): Router {
  const router = Router();

  router.get('/apps/:app/formation', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, formation.list(app), SORT_KEYS, (entry) => presentFormation(entry, app));
  });

  router.patch('/apps/:app/formation', async (req, res) => {
    const { updates } = batchBody.parse(req.body);
    const app = apps.find(req.params.app);
    const entries = await change(accountOf(res), app, updates);
    res.json(entries.map((entry) => presentFormation(entry, app)));
  });

  router.get('/apps/:app/formation/:type', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentFormation(formation.find(app, req.params.type), app));
  });

  router.patch('/apps/:app/formation/:type', async (req, res) => {
    const body = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    // A new image may bring a process type that is not there yet.
    const type =
      typeof body.docker_image === 'string' ? req.params.type : formation.find(app, req.params.type).type;
    const [entry] = await change(accountOf(res), app, [{ ...body, type }]);
    res.json(presentFormation(entry ?? formation.find(app, type), app));
  });

  /** Images first, since they may bring process types that are then scaled. */
  async function change(
    actor: Actor,
    app: App,
    updates: readonly (Change & { type: string })[],
  ): Promise<FormationView[]> {
    const images = updates.flatMap(({ type, docker_image: image }): ImageUpdate[] =>
      image === undefined ? [] : [{ type, image }],
    );
    if (images.length === 0) return formation.batchUpdate(actor, app, updates.map(toUpdate));
    const removed = images.flatMap(({ type, image }) =>
      image === null ? [{ ...formation.find(app, type), quantity: 0 }] : [],
    );
    await containerReleases.update(actor, app, images);
    const isRemoved = ({ type }: { type: string }): boolean => removed.some((entry) => entry.type === type);
    const scaled = updates.filter((update) => !isRemoved(update) && isScaling(update));
    if (scaled.length > 0) formation.batchUpdate(actor, app, scaled.map(toUpdate));
    const left = updates.filter((update) => !isRemoved(update));
    return [...left.map(({ type }) => formation.find(app, type)), ...removed];
  }

  return router;
}

function isScaling({ quantity, size, dyno_size: dynoSize }: Change): boolean {
  return quantity !== undefined || size !== undefined || dynoSize !== undefined;
}

function toUpdate({ type, ...change }: Change & { type: string }): FormationUpdate {
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
