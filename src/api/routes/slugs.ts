import { Router, type Request } from 'express';
import type { Slug } from '../../domain/slug';
import type { SlugUpload } from '../../domain/slug-upload';
import { accountOf } from '../auth';
import { presentSlug } from '../presenters/slug';
import { requestOrigin } from '../request-origin';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const NULLABLE_TEXT = { type: ['string', 'null'] };

const createBody = new RequestBody<{
  process_types: Record<string, string>;
  stack?: string | null;
  commit?: string | null;
  commit_description?: string | null;
  buildpack_provided_description?: string | null;
  checksum?: string | null;
}>('slug', 'Create', {
  properties: {
    stack: NULLABLE_TEXT,
    process_types: { type: 'object', additionalProperties: { type: 'string' } },
  },
});

export function slugRoutes({ apps, slugs }: Pick<ApiServices, 'apps' | 'slugs'>): Router {
  const router = Router();
  const present = (req: Request, slug: Slug | SlugUpload, method: 'GET' | 'PUT'): Record<string, unknown> =>
    presentSlug(slug, { method, url: `${requestOrigin(req)}${slugs.blobPath(method, slug)}` });

  router.post('/apps/:app/slugs', (req, res) => {
    const app = apps.find(req.params.app);
    const body = createBody.parse(req.body);
    const slug = slugs.create(accountOf(res), app, {
      processTypes: body.process_types,
      stack: body.stack ?? null,
      commit: body.commit ?? null,
      commitDescription: body.commit_description ?? null,
      buildpackProvidedDescription: body.buildpack_provided_description ?? null,
      checksum: body.checksum ?? null,
    });
    res.status(201).json(present(req, slug, 'PUT'));
  });

  router.get('/apps/:app/slugs/:slug', (req, res) => {
    res.json(present(req, slugs.find(apps.find(req.params.app), req.params.slug), 'GET'));
  });

  return router;
}
