import express, { Router } from 'express';
import { invalidParams } from '../../domain/errors';
import { parseSyslog, type SyslogLine } from '../../domain/syslog';
import type { ApiServices } from '../services';
import { basicOf } from './vendor-apps';

const MAX_BODY = '1mb';

/** `log_input_url`: partners' lines for the logs of the apps that have their add-on (logplex, `POST /logs`). */
export function logInputRoutes({ partners }: Pick<ApiServices, 'partners'>): Router {
  const router = Router();
  router.post('/logs', express.raw({ limit: MAX_BODY, type: () => true }), (req, res) => {
    const [, token] = basicOf(req);
    const write = partners.logInput(token);
    let lines: SyslogLine[];
    try {
      lines = Buffer.isBuffer(req.body) ? parseSyslog(req.body) : [];
    } catch (error) {
      throw invalidParams(`The body is not application/logplex-1: ${(error as Error).message}.`);
    }
    for (const line of lines) write(line);
    res.status(204).end();
  });
  return router;
}
