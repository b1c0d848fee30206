import { Router, type Request } from 'express';
import { notFound, notSupported } from '../../domain/errors';
import type { Clock } from '../../lib/clock';
import type { AuthorizationView } from '../../platform/authorizations/authorizations';
import { accountOf, tokenOf } from '../auth';
import { BY_ID, sendList } from '../lists';
import { presentAuthorization } from '../presenters/authorization';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const NULLABLE_TEXT = { type: ['string', 'null'] };

const createBody = new RequestBody<{
  description?: string | null;
  expires_in?: number | string | null;
  scope?: string[] | null;
}>('oauth-authorization', 'Create', {
  // The CLI sends the flag's text, and no scope unless asked to (contract, section 2.1).
  properties: {
    description: NULLABLE_TEXT,
    expires_in: { type: ['integer', 'string', 'null'] },
    scope: { type: ['array', 'null'], items: { type: 'string' } },
  },
  required: [],
});
const updateBody = new RequestBody<{ description?: string | null; client?: unknown }>(
  'oauth-authorization',
  'Update',
  { properties: { description: NULLABLE_TEXT, client: {} }, required: [] },
);

export function authorizationRoutes(
  { authorizations }: Pick<ApiServices, 'authorizations'>,
  clock: Clock,
): Router {
  const router = Router();

  router.get('/oauth/authorizations', (req, res) => {
    const account = accountOf(res);
    sendList(req, res, authorizations.list(account, tokenInUse(req)), BY_ID, (entry) =>
      presentAuthorization(entry, account, clock.now()),
    );
  });

  router.post('/oauth/authorizations', (req, res) => {
    const { description, expires_in: expiresIn, scope } = createBody.parse(req.body);
    const account = accountOf(res);
    const created = authorizations.create(account, {
      description: description ?? null,
      expiresIn: expiresIn == null ? null : Number(expiresIn),
      scope: scope ?? null,
    });
    res.status(201).json(presentAuthorization(created, account, clock.now()));
  });

  router.get('/oauth/authorizations/:id', (req, res) => {
    const account = accountOf(res);
    const found = authorizations.find(account, req.params.id, tokenInUse(req));
    res.json(presentAuthorization(found, account, clock.now()));
  });

  router.patch('/oauth/authorizations/:id', (req, res) => {
    const { description, client } = updateBody.parse(req.body);
    if (client != null) throw notSupported('dynodock does not support OAuth clients yet.');
    const account = accountOf(res);
    const found = authorizations.find(account, req.params.id, tokenInUse(req));
    const changed: AuthorizationView =
      description == null ? found : authorizations.describe(account, found.id, description, tokenInUse(req));
    res.json(presentAuthorization(changed, account, clock.now()));
  });

  router.post('/oauth/authorizations/:id/actions/regenerate-tokens', (req, res) => {
    const account = accountOf(res);
    const changed = authorizations.regenerate(account, req.params.id, tokenInUse(req));
    res.json(presentAuthorization(changed, account, clock.now()));
  });

  router.delete('/oauth/authorizations/:id', (req, res) => {
    const account = accountOf(res);
    const revoked = authorizations.revoke(account, req.params.id, tokenInUse(req));
    res.json(presentAuthorization(revoked, account, clock.now()));
  });

  // There are tokens but no browser sessions. `heroku logout` ends one first, and goes on at this very answer
  // (contract, section 1.6).
  router.delete('/oauth/sessions/:session', () => {
    throw notFound('session');
  });

  return router;
}

/** Of a request that came through `requireAccount`. */
function tokenInUse(req: Request): string {
  return tokenOf(req.headers.authorization) ?? '';
}
