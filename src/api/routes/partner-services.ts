import { Router } from 'express';
import { invalidParams } from '../../domain/errors';
import type { PartnerEnvironment } from '../../domain/partner';
import type { Registered } from '../../platform/addons/partners/partner-services';
import { accountOf } from '../auth';
import type { ApiServices } from '../services';

/** dynodock's own: services of the Add-on Partner API, and the sign-on that the CLI asks for with HEROKU_SUDO. */
export function partnerServiceRoutes({
  addons,
  apps,
  partners,
}: Pick<ApiServices, 'addons' | 'apps' | 'partners'>): Router {
  const router = Router();

  router.get('/dynodock/partner-services', (_req, res) => {
    res.json(partners.services.list().map(present));
  });

  router.post('/dynodock/partner-services', (req, res) => {
    const { manifest, environment } = bodyOf(req.body);
    if (typeof manifest !== 'string') throw invalidParams('Parameter manifest must be string.');
    const registered = partners.services.register(accountOf(res), manifest, parseEnvironment(environment));
    // The one time that it is told, besides `GET …/client-secret`.
    res.status(201).json({ ...present(registered), client_secret: registered.service.clientSecret });
  });

  router.get('/dynodock/partner-services/:service/client-secret', (req, res) => {
    res.json({ client_secret: partners.services.find(req.params.service).service.clientSecret });
  });

  router.post('/dynodock/partner-services/:service/unregister', (req, res) => {
    const force = bodyOf(req.body)['force'] === true;
    res.json(present(partners.services.unregister(accountOf(res), req.params.service, { force })));
  });

  router.get('/apps/:app/addons/:addon/sso', (req, res) => {
    const addon = addons.find(req.params.addon, apps.find(req.params.app));
    res.json(partners.signOn.request(addon, accountOf(res)));
  });

  return router;
}

function present({ service, provider }: Registered): Record<string, unknown> {
  return {
    service: service.service,
    human_name: provider.humanName,
    environment: service.environment,
    version: provider.endpoint.version,
    base_url: provider.endpoint.baseUrl,
    config_vars: provider.endpoint.configVars,
    plans: provider.plans.map(({ name }) => name),
    file: service.file,
    created_at: service.createdAt,
    updated_at: service.updatedAt,
  };
}

function bodyOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
}

function parseEnvironment(value: unknown): PartnerEnvironment | undefined {
  if (value === undefined || value === null) return undefined;
  if (value === 'production' || value === 'test') return value;
  throw invalidParams('Parameter environment must be one of: production, test.');
}
