import { Router } from 'express';
import { notSupported } from '../../domain/errors';
import { schemaLinks } from '../schema/heroku-schema';

/** Endpoints that the CLI uses and the schema lacks (contract, appendix B). */
const BEYOND_THE_SCHEMA: readonly (readonly [method: string, path: string, resource: string])[] = [
  ['POST', '/account/keys', 'key'],
  ['DELETE', '/account/keys/:key', 'key'],
  ['PUT', '/apps/:app/pre-authorizations', 'pre-authorization'],
  ['GET', '/apps/:app/addons/:addon/sso', 'add-on sign-on'],
  ['GET', '/apps/:app/usage', 'usage'],
  ['GET', '/teams/:team/usage', 'usage'],
  ['GET', '/teams/:team/apps/:app/usage', 'usage'],
  ['GET', '/pipelines/:pipeline/repo', 'pipeline repository'],
  ['GET', '/pipelines/:pipeline/repo/branches/:branch', 'pipeline repository'],
  ['GET', '/pipelines/:pipeline/webhooks', 'pipeline webhook'],
  ['POST', '/pipelines/:pipeline/webhooks', 'pipeline webhook'],
  ['GET', '/spaces/:space/dynos', 'space'],
  ['GET', '/spaces/:space/hosts', 'space'],
  ['GET', '/spaces/:space/log-drain', 'space'],
  ['PUT', '/spaces/:space/log-drain', 'space'],
  ['POST', '/spaces/:space/peerings', 'peering'],
];

/**
 * Comes after all others: what Heroku has and dynodock does not gets an answer that says so, instead of looking
 * like a mistyped path. The CLI prints its message.
 */
export function unsupportedRoutes(): Router {
  const router = Router();
  const refuse = (method: string, path: string, what: string): void => {
    router[verb(method)](path, (req) => {
      throw notSupported(`dynodock does not support this yet: ${what} (${req.method} ${req.path}).`);
    });
  };
  for (const link of schemaLinks()) refuse(link.method, link.path, link.resource);
  for (const [method, path, resource] of BEYOND_THE_SCHEMA) refuse(method, path, resource);
  return router;
}

function verb(method: string): 'get' | 'post' | 'put' | 'patch' | 'delete' {
  switch (method) {
    case 'GET':
      return 'get';
    case 'POST':
      return 'post';
    case 'PUT':
      return 'put';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default:
      throw new Error(`the schema has a link with method ${method}`);
  }
}
