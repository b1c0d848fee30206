import express, { Router, type Request } from 'express';
import type { Clock } from '../../lib/clock';
import { invalidParams } from '../../domain/errors';
import type { IssuedTokens } from '../../platform/addons/partners/partner-access';
import { tokenOf } from '../auth';
import { presentOAuthToken } from '../presenters/oauth-token';
import type { ApiServices } from '../services';

const LIMIT = '16kb';

interface TokenRequest {
  grantType: string;
  code: string;
  refreshToken: string;
  clientSecret: string;
}

/**
 * Where partners exchange grants for tokens. `/oauth/token` is id.heroku.com's, in the words of OAuth (RFC 6749, section
 * 4.1.3); `/oauth/tokens` the Platform API's.
 */
export function oauthTokenRoutes(
  { partners, account }: Pick<ApiServices, 'partners' | 'account'>,
  clock: Clock,
): Router {
  const router = Router();
  const parsers = [express.urlencoded({ extended: false, limit: LIMIT }), express.json({ limit: LIMIT })];
  const issue = (req: Request): { asked: TokenRequest; tokens: IssuedTokens } => {
    const asked = requestOf(req);
    switch (asked.grantType) {
      case 'authorization_code':
        return { asked, tokens: partners.access.exchange(asked.code, asked.clientSecret) };
      case 'refresh_token':
        return { asked, tokens: partners.access.refresh(asked.refreshToken, asked.clientSecret) };
      default:
        throw invalidParams('grant_type must be authorization_code or refresh_token.');
    }
  };

  router.post('/oauth/token', ...parsers, (req, res) => {
    const { tokens } = issue(req);
    res.setHeader('Cache-Control', 'no-store');
    res.json({
      access_token: tokens.accessToken,
      refresh_token: tokens.refreshToken,
      token_type: 'Bearer',
      expires_in: tokens.expiresInSeconds,
      user_id: account.current().id,
      session_nonce: null,
    });
  });

  router.post('/oauth/tokens', ...parsers, (req, res) => {
    const { asked, tokens } = issue(req);
    res.setHeader('Cache-Control', 'no-store');
    const grant = { code: asked.code, type: asked.grantType };
    res.status(201).json(presentOAuthToken(tokens, grant, account.current(), clock.now()));
  });

  return router;
}

/** Both forms: flat, and with objects as in the Platform API's schema. */
function requestOf(req: Request): TokenRequest {
  const body = (typeof req.body === 'object' && req.body !== null ? req.body : {}) as Record<string, unknown>;
  const inside = (name: string, key: string): string => {
    const value = body[name];
    return typeof value === 'object' && value !== null ? textOf((value as Record<string, unknown>)[key]) : '';
  };
  return {
    grantType: textOf(body['grant_type']) || inside('grant', 'type'),
    code: textOf(body['code']) || inside('grant', 'code'),
    refreshToken: textOf(body['refresh_token']) || inside('refresh_token', 'token'),
    // OAuth libraries send it as the password of Basic, or in the body.
    clientSecret:
      textOf(body['client_secret']) ||
      inside('client', 'secret') ||
      (tokenOf(req.headers.authorization) ?? ''),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
