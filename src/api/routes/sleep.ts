import { Router } from 'express';
import { invalidParams } from '../../domain/errors';
import type { SleepUpdate } from '../../platform/sleep/sleep';
import { accountOf } from '../auth';
import { sendList } from '../lists';
import { presentSleep, presentWake } from '../presenters/sleep';
import type { ApiServices } from '../services';

/** Endpoints that Heroku's API does not have (docs/api.md): there, nobody can ask for sleep. */
export function sleepRoutes({ apps, sleep }: Pick<ApiServices, 'apps' | 'sleep'>): Router {
  const router = Router();

  router.get('/apps/:app/sleep', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentSleep(sleep.get(app), app));
  });

  router.patch('/apps/:app/sleep', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(presentSleep(sleep.update(accountOf(res), app, parseUpdate(req.body)), app));
  });

  router.post('/apps/:app/actions/idle', async (req, res) => {
    const app = apps.find(req.params.app);
    await sleep.idle(accountOf(res), app);
    res.status(202).json(presentSleep(sleep.get(app), app));
  });

  router.post('/apps/:app/actions/wake', (req, res) => {
    const app = apps.find(req.params.app);
    sleep.wake(accountOf(res), app);
    res.status(202).json(presentSleep(sleep.get(app), app));
  });

  router.get('/apps/:app/wakes', (req, res) => {
    const app = apps.find(req.params.app);
    const keys = {
      created_at: (wake: { askedAt: Date }) => wake.askedAt.toISOString(),
      id: (wake: { id: string }) => wake.id,
    };
    sendList(req, res, sleep.wakes(app), keys, (wake) => presentWake(wake, app));
  });

  return router;
}

/** What is absent stays, null goes back to the installation's setting. */
function parseUpdate(body: unknown): SleepUpdate {
  const values = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const update: SleepUpdate = {};
  if (values.idle_after_seconds !== undefined) {
    update.idleAfterSeconds = numberOrNull('idle_after_seconds', values.idle_after_seconds);
  }
  if (values.frozen_seconds !== undefined) {
    update.frozenSeconds = numberOrNull('frozen_seconds', values.frozen_seconds);
  }
  if (values.depth !== undefined) {
    if (values.depth !== null && typeof values.depth !== 'string')
      throw invalidParams('depth must be a string or null.');
    update.depth = values.depth;
  }
  if (Object.keys(update).length === 0) {
    throw invalidParams('Nothing to change: give idle_after_seconds, depth or frozen_seconds.');
  }
  return update;
}

function numberOrNull(name: string, value: unknown): number | null {
  if (value === null || typeof value === 'number') return value;
  throw invalidParams(`${name} must be a number of seconds or null.`);
}
