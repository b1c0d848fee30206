import { Router, type Request } from 'express';
import type { AddOn, AddOnOptions } from '../../domain/addon';
import { planName } from '../../domain/addon';
import { forbidden } from '../../domain/errors';
import { accountOf } from '../auth';
import { IDENTITY, nameOf, wordsOf, type Identity } from '../identity';
import { sendList, type SortKeys } from '../lists';
import { webUrl } from '../pages/page-host';
import { presentAddOn } from '../presenters/addon';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';
import { requireSelf } from './account';

const createBody = new RequestBody<{
  plan: Identity;
  name?: string | null;
  attachment?: { name?: string | null } | null;
  config?: Record<string, string | number | boolean> | null;
  confirm?: string | null;
}>('add-on', 'Create', {
  properties: {
    plan: IDENTITY,
    name: { type: ['string', 'null'] },
    attachment: { type: ['object', 'null'], properties: { name: { type: ['string', 'null'] } } },
    // An option without a value is sent as true.
    config: { type: ['object', 'null'], additionalProperties: { type: ['string', 'number', 'boolean'] } },
    confirm: { type: ['string', 'null'] },
  },
});
const updateBody = new RequestBody<{ plan?: Identity; name?: string }>('add-on', 'Update', {
  properties: { plan: IDENTITY },
  // `addons:rename` sends a name alone.
  required: [],
});
const resolveBody = new RequestBody<{ addon: string; app?: string | null; addon_service?: string | null }>(
  'add-on',
  'Resolution',
  { properties: { app: { type: ['string', 'null'] }, addon_service: { type: ['string', 'null'] } } },
);

const SORT_KEYS: SortKeys<AddOn> = { id: (addon) => addon.id, name: (addon) => addon.name };
const EVERYTHING: ReadonlySet<string> = new Set(['addon_service', 'plan']);

export function addonRoutes(
  services: Pick<ApiServices, 'apps' | 'addons' | 'pageSessions' | 'partners'>,
): Router {
  const { apps, addons, partners } = services;
  const router = Router();
  const present = (req: Request, addon: AddOn, expand = expansionOf(req)): Record<string, unknown> =>
    presentAddOn(addon, {
      app: addons.ownerOf(addon),
      offer: addons.catalogue.find(addon),
      webUrl: webUrl(req, addon, services),
      configVars: addons.configVarNames(addon),
      providerId: partners.resources.providerId(addon),
      expand,
    });

  router.get('/addons', (req, res) => {
    sendList(req, res, addons.all(), SORT_KEYS, (addon) => present(req, addon));
  });

  router.get('/users/:user/addons', (req, res) => {
    requireSelf(req.params.user, accountOf(res));
    sendList(req, res, addons.all(), SORT_KEYS, (addon) => present(req, addon));
  });

  router.get('/addons/:addon', (req, res) => {
    res.json(present(req, addons.find(req.params.addon)));
  });

  router.get('/apps/:app/addons', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, addons.of(app), SORT_KEYS, (addon) => present(req, addon));
  });

  router.post('/apps/:app/addons', async (req, res) => {
    const { plan, name, attachment, config, confirm } = createBody.parse(req.body);
    const app = apps.find(req.params.app);
    const addon = await addons.create(accountOf(res), app, {
      plan: nameOf(plan),
      name: name ?? null,
      attachment: attachment?.name ?? null,
      options: optionsOf(config),
      confirm: confirm ?? null,
    });
    res.status(201).json(present(req, addon));
  });

  router.get('/apps/:app/addons/:addon', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, addons.find(req.params.addon, app)));
  });

  router.patch('/apps/:app/addons/:addon', async (req, res) => {
    const { plan, name } = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    const addon = await addons.update(accountOf(res), app, addons.find(req.params.addon, app), {
      ...(plan === undefined ? {} : { plan: nameOf(plan) }),
      ...(name === undefined ? {} : { name }),
    });
    res.json(present(req, addon));
  });

  router.delete('/apps/:app/addons/:addon', async (req, res) => {
    const app = apps.find(req.params.app);
    const addon = addons.find(req.params.addon, app);
    const destroyed = await addons.destroy(accountOf(res), app, addon, { force: isForced(req.body) });
    res.json(present(req, destroyed));
  });

  // The credentials that there are, by the namespace under which they can be attached; `addons:attach --credential`
  // wants it not to be empty (contract, section 2.3).
  router.get('/addons/:addon/config', (req, res) => {
    const addon = addons.find(req.params.addon);
    res.json(partners.config(addon) ?? addons.attachments.namespaceConfig(addon, null));
  });
  router.get('/addons/:addon/config/:namespace', (req, res) => {
    const addon = addons.find(req.params.addon);
    res.json(addons.attachments.namespaceConfig(addon, req.params.namespace));
  });

  // Partners come with tokens of their own (`partner-api.ts`).
  const onlyForPartners = (): never => {
    throw forbidden('Only the partner that provides this add-on may do that.');
  };
  router.patch('/addons/:addon/config', onlyForPartners);
  router.post('/addons/:addon/actions/provision', onlyForPartners);
  router.post('/addons/:addon/actions/deprovision', onlyForPartners);

  router.post('/actions/addons/resolve', (req, res) => {
    const { addon, app, addon_service: service } = resolveBody.parse(req.body);
    const found = addons.resolve(addon, {
      app: app == null ? undefined : apps.find(app),
      service: service ?? undefined,
    });
    res.json(found.map((each) => present(req, each, EVERYTHING)));
  });

  // dynodock's own: destroyed add-ons whose data is still there.
  router.get('/dynodock/addons/deleted', (_req, res) => {
    res.json(
      addons.deleted().map((addon) => ({
        id: addon.id,
        name: addon.name,
        plan: planName(addon),
        app: addons.ownerOf(addon).name,
        deprovisioned_at: addon.deprovisionedAt,
        purged_at: addons.purgeAt(addon),
      })),
    );
  });

  router.post('/dynodock/addons/deleted/:addon/undelete', async (req, res) => {
    const app = appOf(req.body);
    const addon = await addons.undelete(
      accountOf(res),
      req.params.addon,
      app === undefined ? undefined : apps.find(app),
    );
    res.status(201).json(present(req, addon, EVERYTHING));
  });

  // What `dynodock status` shows beside the Platform API's view.
  router.get('/dynodock/addons', (_req, res) => {
    res.json(
      addons.all().map((addon) => ({
        id: addon.id,
        name: addon.name,
        plan: planName(addon),
        app: addons.ownerOf(addon).name,
        state: addon.state,
        serving: addons.hasBackend(addon) ? addons.isServing(addon) : null,
        asleep: addons.isAsleep(addon),
        problem: addons.problem(addon),
        attachments: addons.attachments.ofAddOn(addon).map(({ name }) => name),
      })),
    );
  });

  return router;
}

/** Names of what is wanted whole: `Accept-Expansion: addon_service,plan`. */
function expansionOf(req: Request): ReadonlySet<string> {
  return wordsOf(req.get('Accept-Expansion'));
}

function optionsOf(config: Record<string, string | number | boolean> | null | undefined): AddOnOptions {
  return Object.fromEntries(Object.entries(config ?? {}).map(([key, value]) => [key, String(value)]));
}

function isForced(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'force' in body && body.force === true;
}

function appOf(body: unknown): string | undefined {
  const app = typeof body === 'object' && body !== null && 'app' in body ? body.app : undefined;
  return typeof app === 'string' ? app : undefined;
}
