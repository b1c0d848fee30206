import { Router } from 'express';
import type { DomainName } from '../../domain/domain-name';
import { notSupported } from '../../domain/errors';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentDomain } from '../presenters/domain';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const createBody = new RequestBody<{ hostname: string; sni_endpoint?: string | null }>('domain', 'Create', {
  // Clients of the time before SNI endpoints do not send one.
  required: ['hostname'],
});

const SORT_KEYS: SortKeys<DomainName> = { id: (domain) => domain.id, hostname: (domain) => domain.hostname };

export function domainRoutes({ apps, domains }: Pick<ApiServices, 'apps' | 'domains'>): Router {
  const router = Router();

  router.get('/apps/:app/domains', (req, res) => {
    const app = apps.find(req.params.app);
    const webUrl = apps.webUrl(app);
    sendList(req, res, domains.list(app), SORT_KEYS, (domain) => presentDomain(domain, app, webUrl));
  });

  router.post('/apps/:app/domains', (req, res) => {
    const { hostname, sni_endpoint: sniEndpoint } = createBody.parse(req.body);
    if (sniEndpoint != null) {
      throw notSupported(
        'dynodock does not support SNI endpoints yet: add the domain without a certificate.',
      );
    }
    const app = apps.find(req.params.app);
    const domain = domains.add(accountOf(res), app, hostname);
    res.status(201).json(presentDomain(domain, app, apps.webUrl(app)));
  });

  router.get('/apps/:app/domains/:domain', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentDomain(domains.find(app, req.params.domain), app, apps.webUrl(app)));
  });

  router.delete('/apps/:app/domains/:domain', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentDomain(domains.remove(accountOf(res), app, req.params.domain), app, apps.webUrl(app)));
  });

  return router;
}
