import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { accountOf } from '../auth';
import { BY_ID, sendList } from '../lists';
import type { ApiServices } from '../services';
import { requireSelf } from './account';

/**
 * Collections that are empty because nothing can be put into them (unsupported.ts answers the attempt). Listing them
 * has a true answer, and the CLI lists many of them on the way to something else.
 */
const OF_THE_ACCOUNT = [
  '/account/app-transfers',
  '/account/keys',
  '/enterprise-accounts',
  '/oauth/clients',
  '/oauth/sessions',
  '/pipeline-couplings',
  '/pipelines',
  '/spaces',
  '/teams',
];
const OF_AN_APP = ['log-drains', 'telemetry-drains', 'webhook-deliveries', 'webhook-events', 'webhooks'];
const OF_A_USER = ['pipeline-couplings'];

export function emptyCollectionRoutes({ apps }: Pick<ApiServices, 'apps'>): Router {
  const router = Router();
  const present = (item: unknown): unknown => item;

  for (const path of OF_THE_ACCOUNT) {
    router.get(path, (req, res) => {
      sendList(req, res, [], BY_ID, present);
    });
  }
  for (const name of OF_AN_APP) {
    router.get(`/apps/:app/${name}`, (req, res) => {
      apps.find(req.params.app);
      sendList(req, res, [], BY_ID, present);
    });
  }
  for (const name of OF_A_USER) {
    router.get(`/users/:user/${name}`, (req, res) => {
      requireSelf(req.params.user, accountOf(res));
      sendList(req, res, [], BY_ID, present);
    });
  }

  // One object and not a list: the app's place in a pipeline (contract, G11).
  router.get('/apps/:app/pipeline-couplings', (req) => {
    apps.find(req.params.app);
    throw notFound('pipeline coupling');
  });
  router.get('/pipelines/:pipeline', () => {
    throw notFound('pipeline');
  });
  router.get('/teams/:team', () => {
    throw notFound('team');
  });
  router.get('/spaces/:space', () => {
    throw notFound('space');
  });

  return router;
}
