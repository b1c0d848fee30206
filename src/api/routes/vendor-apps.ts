import express, { Router, type Request } from 'express';
import type { AddOn } from '../../domain/addon';
import { invalidParams, notFound, PlatformError } from '../../domain/errors';
import { parseConfig } from '../../platform/addons/partners/partner-config';
import { herokuId } from '../../platform/addons/partners/partner-requests';
import type { ApiServices } from '../services';

const MAX_BODY = '1mb';

/** Version 1 of what partners ask ("[Legacy] Add-on Partner App Info API"), with the manifest's id and password. */
export function vendorAppRoutes({
  addons,
  account,
  partners,
}: Pick<ApiServices, 'addons' | 'account' | 'partners'>): Router {
  const router = Router();
  const present = (addon: AddOn, origin: string): Record<string, unknown> => ({
    id: herokuId(addon),
    heroku_id: herokuId(addon),
    name: addons.ownerOf(addon).name,
    provider_id: partners.resources.providerId(addon),
    plan: addon.plan,
    callback_url: `${origin}/vendor/apps/${encodeURIComponent(herokuId(addon))}`,
    config: addon.config.values,
    owner_email: account.current().email,
    region: 'amazon-web-services::us-east-1',
    domains: [],
  });
  const ofService = (req: Request): AddOn[] => {
    const { service } = authenticated(req);
    return addons.all().filter((addon) => addon.service === service);
  };
  const find = (req: Request<{ id: string }>): AddOn => {
    const found = ofService(req).find((addon) => herokuId(addon) === req.params.id);
    if (found === undefined) throw notFound('app');
    return found;
  };
  const authenticated = (req: Request): { service: string } => {
    const [name, password] = basicOf(req);
    return partners.serviceOf(name, password);
  };
  const originOf = (req: Request): string => `${req.protocol}://${req.get('Host') ?? 'localhost'}`;

  router.get('/vendor/apps', (req, res) => {
    res.json(
      ofService(req).map((addon) => {
        const { callback_url, heroku_id, name, plan, provider_id } = present(addon, originOf(req));
        return { callback_url, heroku_id, name, plan, provider_id };
      }),
    );
  });

  router.get('/vendor/apps/:id', (req, res) => {
    res.json(present(find(req), originOf(req)));
  });

  router.put('/vendor/apps/:id', express.json({ limit: MAX_BODY, type: () => true }), (req, res) => {
    const addon = find(req);
    const changes = parseConfig((req.body as { config?: unknown } | undefined)?.config);
    if (changes === undefined) throw invalidParams('Parameter config must be an object of strings.');
    partners.setConfig(addon, changes);
    // What answered 202 in version 1 had no other way to say that it is done.
    if (addon.state === 'provisioning') partners.resources.provisioned(addon);
    res.json(present(addons.find(addon.id), originOf(req)));
  });

  return router;
}

/** User and password; throws unauthorized without them. */
export function basicOf(req: Request): [user: string, password: string] {
  const encoded = /^Basic +(\S+) *$/i.exec(req.get('Authorization') ?? '')?.[1] ?? '';
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon === -1) throw new PlatformError('unauthorized', 'Invalid credentials provided.');
  return [decoded.slice(0, colon), decoded.slice(colon + 1)];
}
