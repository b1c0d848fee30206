import { Router } from 'express';
import { notSupported } from '../../../domain/errors';
import { accountOf } from '../../auth';
import { presentDatabase } from '../../presenters/database';
import type { ApiServices } from '../../services';
import { stringsOf } from './data-body';

const DATABASE = '/client/v11/databases/:database';

/** The data API of Heroku Postgres (CLI contract, section 2.6), which the CLI expects under the name of another host. */
export function databaseRoutes({ postgres }: Pick<ApiServices, 'postgres'>): Router {
  const router = Router();
  const { databases } = postgres;

  router.get(DATABASE, async (req, res) => {
    const addon = databases.find(req.params.database);
    if (addon.state !== 'provisioned') {
      // Without a message: only then the CLI says that it is not yet provisioned (contract, G5).
      res.status(404).json({ id: 'not_found' });
      return;
    }
    const facts = await databases.facts(addon);
    res.json(
      presentDatabase(addon, { url: databases.url(addon), facts, info: databases.infoRows(addon, facts) }),
    );
  });

  router.get(`${DATABASE}/wait_status`, (req, res) => {
    const { waiting, message, failed } = databases.waitStatus(databases.find(req.params.database));
    res.json({ 'waiting?': waiting, message, 'error?': failed });
  });

  router.put(`${DATABASE}/reset`, async (req, res) => {
    const addon = databases.find(req.params.database);
    await databases.reset(accountOf(res), addon, stringsOf(req.body, 'extensions'));
    res.json({ message: 'Reset successful.' });
  });

  router.post(`${DATABASE}/connection_reset`, async (req, res) => {
    await databases.resetConnections(accountOf(res), databases.find(req.params.database));
    res.json({ message: 'Connections terminated.' });
  });

  router.put(`${DATABASE}/stats_reset`, async (req, res) => {
    await databases.resetStatistics(databases.find(req.params.database));
    res.json({ message: 'Statistics have been reset.' });
  });

  // What pg:diagnose passes on to its reports.
  router.get(`${DATABASE}/metrics`, async (req, res) => {
    const facts = await databases.facts(databases.find(req.params.database));
    const metrics: [string, unknown][] = Object.entries(facts ?? {});
    res.json(metrics.map(([name, value]) => ({ name, value })));
  });

  // Only servers in a cloud have a budget of bursts.
  router.get(`${DATABASE}/burst_status`, (req, res) => {
    databases.find(req.params.database);
    res.json({});
  });

  // Nothing can be linked, so that none is.
  router.get(`${DATABASE}/links`, (req, res) => {
    databases.find(req.params.database);
    res.json([]);
  });
  const refuse = (what: string): never => {
    throw notSupported(`dynodock does not support ${what}.`);
  };
  router.post(`${DATABASE}/links`, () => refuse('links between databases'));
  router.delete(`${DATABASE}/links/:link`, () => refuse('links between databases'));
  router.post(`${DATABASE}/connection-pooling`, () => refuse('connection pooling of databases'));

  return router;
}
