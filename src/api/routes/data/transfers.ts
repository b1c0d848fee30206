import { Router, type Request } from 'express';
import type { Transfer } from '../../../domain/transfer';
import { accountOf } from '../../auth';
import { presentSchedule, presentTransfer } from '../../presenters/transfer';
import type { ApiServices } from '../../services';
import { fieldsOf, stringOf, stringsOf } from './data-body';

const DATABASE = '/client/v11/databases/:database';
const TRANSFERS = '/client/v11/apps/:app/transfers';

/** Backups, restores, copies and schedules of databases (CLI contract, section 2.6). */
export function transferRoutes({ apps, postgres }: Pick<ApiServices, 'apps' | 'postgres'>): Router {
  const router = Router();
  const { databases, transfers, schedules } = postgres;
  const present = (req: Request, transfer: Transfer, verbose = false): Record<string, unknown> => {
    const path = transfers.filePath(transfer);
    return presentTransfer(transfer, {
      fileUrl: path === undefined ? undefined : fileUrl(req, path),
      ...(verbose ? { logs: transfers.logs(transfer) } : {}),
    });
  };
  const find = (req: Request<{ app: string; transfer: string }>): Transfer =>
    transfers.find(apps.find(req.params.app), req.params.transfer);

  router.get(TRANSFERS, (req, res) => {
    res.json(transfers.list(apps.find(req.params.app)).map((transfer) => present(req, transfer)));
  });

  router.get(`${TRANSFERS}/:transfer`, (req, res) => {
    res.json(present(req, find(req), req.query['verbose'] === 'true'));
  });

  router.delete(`${TRANSFERS}/:transfer`, async (req, res) => {
    const transfer = find(req);
    const presented = present(req, transfer);
    await transfers.delete(accountOf(res), transfer);
    res.json(presented);
  });

  router.post(`${TRANSFERS}/:transfer/actions/cancel`, async (req, res) => {
    res.json(present(req, await transfers.cancel(accountOf(res), find(req))));
  });

  router.post(`${TRANSFERS}/:transfer/actions/public-url`, (req, res) => {
    const { path, expiresAt } = transfers.publicUrl(accountOf(res), find(req));
    res.json({ url: fileUrl(req, path), expires_at: expiresAt });
  });

  router.post(`${DATABASE}/backups`, (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    res.status(201).json(present(req, transfers.capture(accountOf(res), addon)));
  });

  router.post(`${DATABASE}/restores`, (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    const url = stringOf(req.body, 'backup_url');
    const extensions = stringsOf(req.body, 'extensions');
    res.status(201).json(present(req, transfers.restore(accountOf(res), addon, { url, extensions })));
  });

  router.post(`${DATABASE}/transfers`, (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    const copy = {
      fromUrl: stringOf(req.body, 'from_url'),
      toUrl: stringOf(req.body, 'to_url'),
      fromName: stringOf(req.body, 'from_name'),
      toName: stringOf(req.body, 'to_name'),
    };
    res.status(201).json(present(req, transfers.copy(accountOf(res), addon, copy)));
  });

  router.get(`${DATABASE}/transfer-schedules`, (req, res) => {
    res.json(schedules.list(databases.find(req.params.database)).map(presentSchedule));
  });

  router.post(`${DATABASE}/transfer-schedules`, (req, res) => {
    const addon = databases.findProvisioned(req.params.database);
    const { hour } = fieldsOf(req.body);
    const schedule = schedules.create(accountOf(res), addon, {
      hour,
      name: stringOf(req.body, 'schedule_name'),
      timezone: stringOf(req.body, 'timezone'),
    });
    res.status(201).json(presentSchedule(schedule));
  });

  router.delete(`${DATABASE}/transfer-schedules/:schedule`, (req, res) => {
    const addon = databases.find(req.params.database);
    res.json(presentSchedule(schedules.delete(accountOf(res), addon, req.params.schedule)));
  });

  return router;
}

/** The port speaks http too, but the CLI downloads over https and nothing else. */
function fileUrl(req: Request, path: string): string {
  return `https://${req.get('Host') ?? 'localhost'}${path}`;
}
