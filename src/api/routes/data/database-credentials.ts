import { Router } from 'express';
import type { AddOn } from '../../../domain/addon';
import type { DatabaseCredential } from '../../../platform/postgres/database-credentials';
import { accountOf } from '../../auth';
import { presentDatabaseCredential } from '../../presenters/database-credential';
import type { ApiServices } from '../../services';
import { stringOf } from './data-body';

const DATABASE = '/postgres/v0/databases/:database';
const CREDENTIALS = `${DATABASE}/credentials`;

/** `pg:credentials*` (CLI contract, section 2.6). */
export function databaseCredentialRoutes({ postgres }: Pick<ApiServices, 'postgres'>): Router {
  const router = Router();
  const { databases, credentials } = postgres;
  const present = (addon: AddOn, credential: DatabaseCredential): Record<string, unknown> =>
    presentDatabaseCredential(credential, databases.url(addon, credential.name));

  router.get(CREDENTIALS, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    res.json((await credentials.list(addon)).map((each) => present(addon, each)));
  });

  router.post(CREDENTIALS, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    const created = await credentials.create(accountOf(res), addon, stringOf(req.body, 'name'));
    res.status(201).json(present(databases.find(addon.id), created));
  });

  router.get(`${CREDENTIALS}/:credential`, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    res.json(present(addon, await credentials.find(addon, req.params.credential)));
  });

  router.delete(`${CREDENTIALS}/:credential`, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    const destroyed = await credentials.destroy(accountOf(res), addon, req.params.credential);
    res.json(presentDatabaseCredential(destroyed, databases.url(addon)));
  });

  // `forced` skips Heroku's wait for sessions and followers. Nothing waits here, so that it changes nothing.
  router.post(`${CREDENTIALS}/:credential/credentials_rotation`, async (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    await credentials.rotate(accountOf(res), addon, [req.params.credential]);
    res.json({ message: 'Credentials rotated.' });
  });

  router.post(`${DATABASE}/credentials_rotation`, async (req, res) => {
    await credentials.rotate(accountOf(res), databases.findProvisioned(req.params.database));
    res.json({ message: 'Credentials rotated.' });
  });

  router.post(`${DATABASE}/repair-default`, async (req, res) => {
    await credentials.repairDefault(accountOf(res), databases.findProvisioned(req.params.database));
    res.json({ message: 'Default credential repaired.' });
  });

  return router;
}
