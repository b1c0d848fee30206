import { Router } from 'express';
import type { Account } from '../../domain/account';
import { notFound } from '../../domain/errors';
import { accountOf } from '../auth';
import { presentAccount } from '../presenters/account';
import type { RateLimit } from '../rate-limit';
import type { ApiServices } from '../services';

export function accountRoutes({ dynoHours }: Pick<ApiServices, 'dynoHours'>, limit: RateLimit): Router {
  const router = Router();

  router.get('/account', (_req, res) => {
    res.json(presentAccount(accountOf(res)));
  });

  router.get('/users/:user', (req, res) => {
    const account = accountOf(res);
    requireSelf(req.params.user, account);
    res.json(presentAccount(account));
  });

  router.get('/account/features', (_req, res) => {
    res.json([]);
  });

  // `heroku labs:*` asks here first and goes on to the app's features on a 404 (contract, G18).
  router.all('/account/features/:feature', () => {
    throw notFound('account feature');
  });

  router.get('/account/rate-limits', (_req, res) => {
    res.json({ remaining: limit.remaining(accountOf(res).id) });
  });

  // Not in the schema (contract, appendix B); `heroku ps` shows nothing of a quota on a 404.
  router.get('/accounts/:account/actions/get-quota', (req, res) => {
    requireSelf(req.params.account, accountOf(res));
    const { quota } = dynoHours;
    if (quota === undefined) throw notFound('quota');
    res.json({
      account_quota: quota.quotaSeconds,
      quota_used: quota.usedSeconds,
      apps: [...quota.byApp].map(([appId, seconds]) => ({ app_uuid: appId, quota_used: seconds })),
    });
  });

  return router;
}

/** Throws not_found unless `user` (`~`, an email or an id) is the account itself: there are no others. */
export function requireSelf(user: string, account: Account): void {
  if (user !== '~' && user !== account.id && user !== account.email) throw notFound('user');
}
