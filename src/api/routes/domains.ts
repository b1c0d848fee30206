import { Router } from 'express';
import type { App } from '../../domain/app';
import type { DomainName } from '../../domain/domain-name';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentDomain } from '../presenters/domain';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const createBody = new RequestBody<{ hostname: string; sni_endpoint?: string | null }>('domain', 'Create', {
  // Clients of the time before SNI endpoints do not send one.
  required: ['hostname'],
});
const updateBody = new RequestBody<{ sni_endpoint: string | null }>('domain', 'Update');

const SORT_KEYS: SortKeys<DomainName> = { id: (domain) => domain.id, hostname: (domain) => domain.hostname };

export function domainRoutes({ apps, domains }: Pick<ApiServices, 'apps' | 'domains'>): Router {
  const router = Router();
  const present = (domain: DomainName, app: App): Record<string, unknown> =>
    presentDomain(domain, {
      app,
      webUrl: apps.webUrl(app),
      sniEndpoint: domains.sniEndpointOf(app, domain),
    });

  router.get('/apps/:app/domains', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, domains.list(app), SORT_KEYS, (domain) => present(domain, app));
  });

  router.post('/apps/:app/domains', (req, res) => {
    const { hostname, sni_endpoint: sniEndpoint } = createBody.parse(req.body);
    const app = apps.find(req.params.app);
    const domain = domains.add(accountOf(res), app, hostname, sniEndpoint ?? null);
    res.status(201).json(present(domain, app));
  });

  router.get('/apps/:app/domains/:domain', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(domains.find(app, req.params.domain), app));
  });

  router.patch('/apps/:app/domains/:domain', (req, res) => {
    const { sni_endpoint: sniEndpoint } = updateBody.parse(req.body);
    const app = apps.find(req.params.app);
    res.json(present(domains.update(accountOf(res), app, req.params.domain, sniEndpoint), app));
  });

  router.delete('/apps/:app/domains/:domain', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(domains.remove(accountOf(res), app, req.params.domain), app));
  });

  return router;
}
