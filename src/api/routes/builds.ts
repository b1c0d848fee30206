import { Router, type Request } from 'express';
import type { App } from '../../domain/app';
import { parseChecksum, parseSourceUrl, type Build } from '../../domain/build';
import { invalidParams } from '../../domain/errors';
import { accountOf } from '../auth';
import { sendList, type SortKeys } from '../lists';
import { presentBuild } from '../presenters/build';
import { RequestBody } from '../schema/request-body';
import { sourceBlobSchema, type SourceBlobBody } from '../schema/source-blob';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';
import { outputStreamUrl } from './output-streams';

const SORT_KEYS: SortKeys<Build> = {
  id: (build) => build.id,
  started_at: (build) => build.createdAt.toISOString(),
  // What `heroku builds` asks for.
  created_at: (build) => build.createdAt.toISOString(),
};

const createBody = new RequestBody<{
  source_blob: SourceBlobBody & { version_description?: string | null };
  buildpacks?: { url?: string; name?: string }[] | null;
}>('build', 'Create', {
  properties: { source_blob: sourceBlobSchema('version_description') },
});

export function buildRoutes(
  { apps, builds }: Pick<ApiServices, 'apps' | 'builds'>,
  streamKeys: StreamKeys,
): Router {
  const router = Router();
  const present = (req: Request, app: App, build: Build): Record<string, unknown> =>
    presentBuild(build, {
      outputStreamUrl: outputStreamUrl(req, streamKeys, 'builds', build.id),
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

  router.post('/apps/:app/builds', (req, res) => {
    const app = apps.find(req.params.app);
    const { source_blob: blob, buildpacks } = createBody.parse(req.body);
    const given = (buildpacks ?? []).map(toBuildpack);
    const { build } = builds.create(accountOf(res), app, {
      source: { kind: 'blob', url: parseSourceUrl(blob.url), checksum: parseChecksum(blob.checksum) },
      version: blob.version ?? null,
      versionDescription: blob.version_description ?? null,
      ...(given.length === 0 ? {} : { buildpacks: given }),
    });
    res.status(201).json(present(req, app, build));
  });

  router.delete('/apps/:app/builds/:build', async (req, res) => {
    const app = apps.find(req.params.app);
    res.json(present(req, app, await builds.cancel(accountOf(res), app, req.params.build)));
  });

  router.delete('/apps/:app/build-cache', async (req, res) => {
    await builds.purgeCache(accountOf(res), apps.find(req.params.app));
    res.status(202).json({});
  });

  return router;
}

function toBuildpack({ url, name }: { url?: string; name?: string }): string {
  const text = url ?? name ?? '';
  if (text.trim() === '') throw invalidParams('Each of buildpacks needs a url or a name.');
  return text;
}
