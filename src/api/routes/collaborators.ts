import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { BY_ID, sendList } from '../lists';
import { presentOwner } from '../presenters/collaborator';
import type { ApiServices } from '../services';

/** There is one account, so an app's collaborators are its owner. */
export function collaboratorRoutes({ apps, account }: Pick<ApiServices, 'apps' | 'account'>): Router {
  const router = Router();

  router.get('/apps/:app/collaborators', (req, res) => {
    const owner = presentOwner(apps.find(req.params.app), account.current());
    sendList(req, res, [owner], BY_ID, (item) => item);
  });

  router.get('/apps/:app/collaborators/:collaborator', (req, res) => {
    const owner = account.current();
    const presented = presentOwner(apps.find(req.params.app), owner);
    if (![owner.email, owner.id, presented.id].includes(req.params.collaborator))
      throw notFound('collaborator');
    res.json(presented);
  });

  return router;
}
