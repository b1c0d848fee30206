import { Router, type Response } from 'express';
import type { App } from '../../domain/app';
import { notSupported } from '../../domain/errors';
import type { KeyPair, SniEndpoint } from '../../domain/sni-endpoint';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentSniEndpoint } from '../presenters/sni-endpoint';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

interface Body {
  certificate_chain: string;
  private_key: string;
}

const createBody = new RequestBody<Body>('sni-endpoint', 'Create');
const updateBody = new RequestBody<Body>('sni-endpoint', 'Update');

const SORT_KEYS: SortKeys<SniEndpoint> = { id: (endpoint) => endpoint.id, name: (endpoint) => endpoint.name };

export function sniEndpointRoutes({
  apps,
  sniEndpoints,
}: Pick<ApiServices, 'apps' | 'sniEndpoints'>): Router {
  const router = Router();
  const present = (endpoint: SniEndpoint, app: App): unknown =>
    presentSniEndpoint(endpoint, app, sniEndpoints.domainsOf(endpoint));
  /** The CLI prints this header's text. */
  const warn = (res: Response, endpoint: SniEndpoint): void => {
    const warning = sniEndpoints.warning(endpoint);
    if (warning !== null) res.setHeader('Warning-Message', warning);
  };

  router.get('/apps/:app/sni-endpoints', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, sniEndpoints.list(app), SORT_KEYS, (endpoint) => present(endpoint, app));
  });

  router.post('/apps/:app/sni-endpoints', (req, res) => {
    const app = apps.find(req.params.app);
    const endpoint = sniEndpoints.create(accountOf(res), app, keyPairOf(createBody.parse(req.body)));
    warn(res, endpoint);
    res.status(201).json(present(endpoint, app));
  });

  router.get('/apps/:app/sni-endpoints/:endpoint', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(sniEndpoints.find(app, req.params.endpoint), app));
  });

  router.patch('/apps/:app/sni-endpoints/:endpoint', (req, res) => {
    const app = apps.find(req.params.app);
    const keyPair = keyPairOf(updateBody.parse(req.body));
    const endpoint = sniEndpoints.update(accountOf(res), app, req.params.endpoint, keyPair);
    warn(res, endpoint);
    res.json(present(endpoint, app));
  });

  router.delete('/apps/:app/sni-endpoints/:endpoint', (req, res) => {
    const app = apps.find(req.params.app);
    const { endpoint, domains } = sniEndpoints.remove(accountOf(res), app, req.params.endpoint);
    res.json(presentSniEndpoint(endpoint, app, domains));
  });

  // Automated Certificate Management asks a public CA, which vouches for no name of this machine.
  for (const method of ['post', 'patch', 'delete'] as const) {
    router[method]('/apps/:app/acm', (req) => {
      apps.find(req.params.app);
      throw notSupported(
        'dynodock has no Automated Certificate Management, and needs none: every domain has a certificate of the local CA until another one is added with `heroku certs:add`.',
      );
    });
  }

  return router;
}

function keyPairOf(body: Body): KeyPair {
  return { certificateChain: body.certificate_chain, privateKey: body.private_key };
}
