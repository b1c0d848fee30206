import { Router, type Request } from 'express';
import type { AddOnAttachment } from '../../domain/attachment';
import { accountOf } from '../auth';
import { IDENTITY, nameOf, wordsOf, type Identity } from '../identity';
import { sendList, type SortKeys } from '../lists';
import { webUrl } from '../pages/page-host';
import { presentAttachment } from '../presenters/addon-attachment';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const NULLABLE = { type: ['string', 'null'] };
const createBody = new RequestBody<{
  addon: Identity;
  app: Identity;
  name?: string | null;
  namespace?: string | null;
  confirm?: string | null;
}>('add-on-attachment', 'Create', {
  properties: { addon: IDENTITY, app: IDENTITY, name: NULLABLE, namespace: NULLABLE, confirm: NULLABLE },
});
const resolveBody = new RequestBody<{
  addon_attachment: string;
  app?: string | null;
  addon_service?: string | null;
}>('add-on-attachment', 'Resolution', { properties: { app: NULLABLE, addon_service: NULLABLE } });

/** Listed in the order in which they were made, by which the CLI shows them. */
const SORT_KEYS: SortKeys<AddOnAttachment> = { id: ({ id }) => id, name: ({ name }) => name };
const EVERYTHING: ReadonlySet<string> = new Set(['addon:plan', 'config_vars']);

export function addonAttachmentRoutes(
  services: Pick<ApiServices, 'apps' | 'addons' | 'pageSessions'>,
): Router {
  const { apps, addons } = services;
  const router = Router();
  const { attachments } = addons;
  const present = (
    req: Request,
    attachment: AddOnAttachment,
    include = inclusionOf(req),
  ): Record<string, unknown> => {
    const addon = attachments.addonOf(attachment);
    return presentAttachment(attachment, {
      app: apps.find(attachment.appId),
      addon,
      owner: addons.ownerOf(addon),
      webUrl: webUrl(req, addon, services),
      configVars: attachments.configVarNames(attachment),
      include,
    });
  };

  router.get('/addon-attachments', (req, res) => {
    sendList(req, res, attachments.all(), SORT_KEYS, (each) => present(req, each));
  });

  router.post('/addon-attachments', (req, res) => {
    const body = createBody.parse(req.body);
    const app = apps.find(nameOf(body.app));
    const attachment = attachments.create(accountOf(res), app, addons.find(nameOf(body.addon)), body);
    res.status(201).json(present(req, attachment));
  });

  router.get('/addon-attachments/:attachment', (req, res) => {
    res.json(present(req, attachments.find(req.params.attachment)));
  });

  router.delete('/addon-attachments/:attachment', (req, res) => {
    const attachment = attachments.find(req.params.attachment);
    const answer = present(req, attachment);
    attachments.remove(accountOf(res), attachment);
    res.json(answer);
  });

  router.get('/addons/:addon/addon-attachments', (req, res) => {
    const addon = addons.find(req.params.addon);
    sendList(req, res, attachments.ofAddOn(addon), SORT_KEYS, (each) => present(req, each));
  });

  router.get('/apps/:app/addon-attachments', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, attachments.of(app), SORT_KEYS, (each) => present(req, each));
  });

  router.get('/apps/:app/addon-attachments/:attachment', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, attachments.find(req.params.attachment, app)));
  });

  router.post('/actions/addon-attachments/resolve', (req, res) => {
    const { addon_attachment: text, app, addon_service: service } = resolveBody.parse(req.body);
    const found = attachments.resolve(text, {
      app: app == null ? undefined : apps.find(app),
      service: service ?? undefined,
    });
    res.json(found.map((each) => present(req, each, EVERYTHING)));
  });

  return router;
}

/** `Accept-Inclusion: addon:plan,config_vars` */
function inclusionOf(req: Request): ReadonlySet<string> {
  return wordsOf(req.get('Accept-Inclusion'));
}
