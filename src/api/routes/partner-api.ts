import express, { Router, type Response } from 'express';
import type { AddOn } from '../../domain/addon';
import { forbidden, invalidParams, notFound } from '../../domain/errors';
import { parseConfig } from '../../platform/addons/partners/partner-config';
import { tokenOf } from '../auth';
import { requireVersion3 } from '../headers';
import { presentAddOn } from '../presenters/addon';
import { presentAttachment } from '../presenters/addon-attachment';
import type { ApiServices } from '../services';
import { appPresenter } from './apps';

const MAX_BODY = '1mb';

/**
 * What a partner may do with the token of an add-on (Dev Center "Platform API for Partners"): see it, its config, its
 * attachments and its app, set its config, and say that it is provisioned or gone. Requests with other tokens pass by.
 */
export function partnerApiRoutes(
  services: Pick<ApiServices, 'account' | 'addons' | 'apps' | 'dynoHours' | 'partners'>,
): Router {
  const { addons, apps, partners } = services;
  const presentOwner = appPresenter(services);
  const router = Router();

  router.use((req, res, next) => {
    const token = tokenOf(req.headers.authorization);
    const addon = token === undefined ? undefined : partners.access.authenticate(token);
    if (addon === undefined) {
      next('router');
      return;
    }
    res.locals['partnersAddOn'] = addon;
    next();
  });
  router.use(requireVersion3);
  router.use(express.json({ limit: MAX_BODY, type: () => true }));

  const own = (idOrName: string, res: Response): AddOn => {
    const addon = res.locals['partnersAddOn'] as AddOn;
    if (idOrName !== addon.id && idOrName !== addon.name) throw notFound('add_on');
    return addon;
  };
  const present = ({ id }: AddOn): Record<string, unknown> => {
    const addon = addons.find(id);
    return presentAddOn(addon, {
      app: addons.ownerOf(addon),
      offer: addons.catalogue.find(addon),
      // Opens it as the user.
      webUrl: null,
      configVars: addons.configVarNames(addon),
      providerId: partners.resources.providerId(addon),
      expand: new Set(),
    });
  };

  router.get('/addons/:addon', (req, res) => {
    res.json(present(own(req.params.addon, res)));
  });

  router.get('/addons/:addon/config', (req, res) => {
    res.json(partners.config(own(req.params.addon, res)));
  });

  router.patch('/addons/:addon/config', (req, res) => {
    const changes = parseConfig((req.body as { config?: unknown } | undefined)?.config);
    if (changes === undefined) {
      throw invalidParams('Parameter config must be an array of objects with a name and a value.');
    }
    res.json(partners.config(partners.setConfig(own(req.params.addon, res), changes)));
  });

  router.post('/addons/:addon/actions/provision', (req, res) => {
    const addon = own(req.params.addon, res);
    partners.resources.provisioned(addon);
    res.json(present(addon));
  });

  router.post('/addons/:addon/actions/deprovision', (req, res) => {
    const addon = own(req.params.addon, res);
    const before = present(addon);
    partners.resources.deprovisioned(addon);
    res.json({ ...before, state: 'deprovisioned' });
  });

  router.get('/addons/:addon/addon-attachments', (req, res) => {
    const addon = own(req.params.addon, res);
    const { attachments } = addons;
    res.json(
      attachments.ofAddOn(addon).map((attachment) =>
        presentAttachment(attachment, {
          app: apps.find(attachment.appId),
          addon,
          owner: addons.ownerOf(addon),
          webUrl: null,
          configVars: attachments.configVarNames(attachment),
          include: new Set(),
        }),
      ),
    );
  });

  router.get('/apps/:app', (req, res) => {
    const { appId } = res.locals['partnersAddOn'] as AddOn;
    const app = apps.find(req.params.app);
    if (app.id !== appId) throw notFound('app');
    res.json(presentOwner(app));
  });

  router.use((req) => {
    throw forbidden(`The token of an add-on does not give access to ${req.method} ${req.path}.`);
  });
  return router;
}
