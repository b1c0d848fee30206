import type { RequestHandler, Response } from 'express';
import type { Account } from '../domain/account';
import { PlatformError } from '../domain/errors';

export interface Authenticator {
  authenticate(token: string): Account | undefined;
}

/** Lets only holders of a token pass; `accountOf(res)` then says who it is. */
export function requireAccount(accounts: Authenticator): RequestHandler {
  return (req, res, next) => {
    const token = tokenOf(req.headers.authorization);
    const account = token === undefined ? undefined : accounts.authenticate(token);
    if (account === undefined) throw new PlatformError('unauthorized', 'Invalid credentials provided.');
    res.locals['account'] = account;
    next();
  };
}

/** Of a request that came through `requireAccount`. */
export function accountOf(res: Response): Account {
  const account: unknown = res.locals['account'];
  if (account === undefined) throw new Error('the route is not behind requireAccount');
  return account as Account;
}

/**
 * `Bearer <token>`, or Basic with the token as password; the CLI sends an empty user name with it, git sends
 * `heroku` (contract, section 1.5).
 */
export function tokenOf(authorization: string | undefined): string | undefined {
  const match = /^(Bearer|Basic) +(\S+) *$/i.exec(authorization ?? '');
  const credentials = match?.[2];
  if (match === null || credentials === undefined) return undefined;
  if (match[1]?.toLowerCase() === 'bearer') return credentials;
  const decoded = Buffer.from(credentials, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  const password = colon === -1 ? '' : decoded.slice(colon + 1);
  return password === '' ? undefined : password;
}
