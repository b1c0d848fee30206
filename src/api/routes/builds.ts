import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router, type Request } from 'express';
import type { App } from '../../domain/app';
import type { Build } from '../../domain/build';
import { notFound } from '../../domain/errors';
import type { BuildId } from '../../domain/ids';
import type { Logger } from '../../lib/logger';
import { sendList, type SortKeys } from '../lists';
import { presentBuild } from '../presenters/build';
import { requestOrigin } from '../request-origin';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';

const SORT_KEYS: SortKeys<Build> = {
  id: (build) => build.id,
  started_at: (build) => build.createdAt.toISOString(),
};

export function buildRoutes(
  { apps, builds }: Pick<ApiServices, 'apps' | 'builds'>,
  streamKeys: StreamKeys,
): Router {
  const router = Router();
  const present = (req: Request, app: App, build: Build): Record<string, unknown> =>
    presentBuild(build, {
      outputStreamUrl: `${requestOrigin(req)}/streams/builds/${build.id}/${streamKeys.keyOf(build.id)}`,
      gitUrl: apps.gitUrl(app),
    });

  router.get('/apps/:app/builds', (req, res) => {
    const app = apps.find(req.params.app);
    sendList(req, res, builds.list(app), SORT_KEYS, (build) => present(req, app, build));
  });

  router.get('/apps/:app/builds/:build', (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, app, builds.find(app, req.params.build)));
  });

  return router;
}

/** The output itself: plain text that ends with the build. Opened without a token, hence the key. */
export function buildOutputRoutes(
  { builds }: Pick<ApiServices, 'builds'>,
  options: { streamKeys: StreamKeys; stopping: AbortSignal; logger: Logger },
): Router {
  const router = Router();

  router.get('/streams/builds/:build/:key', async (req, res) => {
    const { build, key } = req.params;
    const output = options.streamKeys.matches(build, key) ? builds.outputStream(build as BuildId) : undefined;
    if (output === undefined) throw notFound('build output');
    res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' });
    res.flushHeaders();
    try {
      await pipeline(Readable.from(output), res, { signal: options.stopping });
    } catch (error) {
      // Half of the text is out, so the cut connection is the answer. A reader that left is no fault of ours.
      if (!res.destroyed) res.destroy();
      options.logger.debug('build output ended early', { build, error });
    }
  });

  return router;
}
