import { Router } from 'express';
import { DYNO_SIZES, findDynoSize, type DynoSize } from '../../domain/dyno-size';
import { notFound } from '../../domain/errors';
import { sendList, type SortKeys } from '../lists';
import { presentDynoSize } from '../presenters/dyno-size';
import type { ApiServices } from '../services';

/** Ids are numbered from small to large. */
const SORT_KEYS: SortKeys<DynoSize> = { id: (size) => size.id, name: (size) => size.title };

export function dynoSizeRoutes({ apps }: Pick<ApiServices, 'apps'>): Router {
  const router = Router();

  router.get('/dyno-sizes', (req, res) => {
    sendList(req, res, DYNO_SIZES, SORT_KEYS, presentDynoSize);
  });

  router.get('/dyno-sizes/:size', (req, res) => {
    const size = findDynoSize(req.params.size);
    if (size === undefined) throw notFound('dyno size');
    res.json(presentDynoSize(size));
  });

  router.get('/apps/:app/available-dyno-sizes', (req, res) => {
    apps.find(req.params.app);
    sendList(req, res, DYNO_SIZES, SORT_KEYS, presentDynoSize);
  });

  return router;
}
