import { Router } from 'express';
import { dynoName, type Dyno } from '../../domain/dyno';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentDyno } from '../presenters/dyno';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const SORT_KEYS: SortKeys<Dyno> = { name: dynoName, id: (dyno) => dyno.id };

interface NewProcess {
  command: string;
  env?: Record<string, string | number | boolean | null> | null;
  force_no_tty?: boolean | null;
}
interface NewDyno extends NewProcess {
  attach?: boolean | null;
  size?: string | null;
  type?: string | null;
  time_to_live?: number | null;
}

/** Where the CLI leaves the schema: it sends the size of the terminal as numbers (contract, section 3.2). */
const ENVIRONMENT = {
  env: {
    type: ['object', 'null'],
    additionalProperties: { type: ['string', 'number', 'boolean', 'null'] },
  },
};
const createBody = new RequestBody<NewDyno>('dyno', 'Create', {
  properties: {
    ...ENVIRONMENT,
    attach: { type: ['boolean', 'null'] },
    size: { type: ['string', 'null'] },
    type: { type: ['string', 'null'] },
    time_to_live: { type: ['integer', 'null'] },
  },
});
/** The schema lacks this endpoint (contract, appendix B); it takes a part of what a new dyno takes. */
const runInsideBody = new RequestBody<NewProcess>('dyno', 'Create', { properties: ENVIRONMENT });

export function dynoRoutes({
  apps,
  dynos,
  oneOffs,
}: Pick<ApiServices, 'apps' | 'dynos' | 'oneOffs'>): Router {
  const router = Router();

  router.get('/apps/:app/dynos', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, dynos.list(app), SORT_KEYS, (dyno) => presentDyno(dyno, app));
  });

  router.post('/apps/:app/dynos', (req, res) => {
    const body = createBody.parse(req.body);
    const app = apps.find(req.params.app);
    const { dyno, attachUrl } = oneOffs.create(accountOf(res), app, {
      command: body.command,
      attach: body.attach ?? null,
      env: body.env ?? null,
      size: body.size ?? null,
      type: body.type ?? null,
      timeToLiveSeconds: body.time_to_live ?? null,
      forceNoTty: body.force_no_tty ?? null,
    });
    res.status(201).json(presentDyno(dyno, app, attachUrl));
  });

  router.delete('/apps/:app/dynos', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { all: true });
    res.status(202).json({});
  });

  router.get('/apps/:app/dynos/:dyno', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentDyno(dynos.find(app, req.params.dyno), app));
  });

  router.post('/apps/:app/dynos/:dyno', (req, res) => {
    const body = runInsideBody.parse(req.body);
    const app = apps.find(req.params.app);
    const { dyno, attachUrl } = oneOffs.runInside(accountOf(res), app, dynos.find(app, req.params.dyno), {
      command: body.command,
      env: body.env ?? null,
      forceNoTty: body.force_no_tty ?? null,
    });
    res.status(201).json(presentDyno(dyno, app, attachUrl));
  });

  router.delete('/apps/:app/dynos/:dyno', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { name: req.params.dyno });
    res.status(202).json({});
  });

  router.post('/apps/:app/dynos/:dyno/actions/stop', (req, res) => {
    dynos.stop(accountOf(res), apps.find(req.params.app), { name: req.params.dyno });
    res.status(202).json({});
  });

  router.delete('/apps/:app/formations/:type', (req, res) => {
    dynos.restart(accountOf(res), apps.find(req.params.app), { type: req.params.type });
    res.status(202).json({});
  });

  router.post('/apps/:app/formations/:type/actions/stop', (req, res) => {
    dynos.stop(accountOf(res), apps.find(req.params.app), { type: req.params.type });
    res.status(202).json({});
  });

  return router;
}
