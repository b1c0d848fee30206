import { Router, type Request } from 'express';
import { parseChecksum, parseSourceUrl } from '../../domain/build';
import { invalidParams, notSupported } from '../../domain/errors';
import type { AppSetupView } from '../../platform/app-setups/app-setups';
import { accountOf } from '../auth';
import { presentAppSetup } from '../presenters/app-setup';
import { RequestBody } from '../schema/request-body';
import { sourceBlobSchema, type SourceBlobBody } from '../schema/source-blob';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';
import { outputStreamUrl } from './output-streams';

const createBody = new RequestBody<{
  source_blob: SourceBlobBody;
  app?: {
    name?: string;
    region?: string;
    stack?: string;
    organization?: string | null;
    space?: string | null;
  };
  overrides?: { env?: Record<string, string>; buildpacks?: { url?: string }[] };
}>('app-setup', 'Create', {
  properties: {
    source_blob: sourceBlobSchema(),
    // The schema forgets to say that values of env are strings whatever the key.
    overrides: {
      type: 'object',
      properties: {
        env: { type: 'object', additionalProperties: { type: 'string' } },
        buildpacks: {
          type: 'array',
          items: { type: 'object', properties: { url: { type: 'string' } } },
        },
      },
    },
  },
});

export function appSetupRoutes(
  { appSetups }: Pick<ApiServices, 'appSetups'>,
  streamKeys: StreamKeys,
): Router {
  const router = Router();
  const present = (req: Request, view: AppSetupView): Record<string, unknown> =>
    presentAppSetup(
      view,
      view.build === undefined ? '' : outputStreamUrl(req, streamKeys, 'builds', view.build.id),
    );

  router.post('/app-setups', (req, res) => {
    const { source_blob: blob, app = {}, overrides = {} } = createBody.parse(req.body);
    if (app.organization != null || app.space != null) {
      throw notSupported('dynodock does not support apps of teams or in private spaces.');
    }
    const view = appSetups.create(accountOf(res), {
      source: { url: parseSourceUrl(blob.url), checksum: parseChecksum(blob.checksum) },
      version: blob.version ?? null,
      app: { name: app.name ?? null, region: app.region ?? null, stack: app.stack ?? null },
      overrides: {
        env: overrides.env ?? {},
        buildpacks: overrides.buildpacks?.map(toBuildpack) ?? null,
      },
    });
    res.status(201).json(present(req, view));
  });

  router.get('/app-setups/:setup', (req, res) => {
    res.json(present(req, appSetups.find(req.params.setup)));
  });

  return router;
}

function toBuildpack({ url = '' }: { url?: string }): string {
  if (url.trim() === '') throw invalidParams('Each of overrides.buildpacks needs a url.');
  return url;
}
