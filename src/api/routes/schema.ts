import { Router } from 'express';
import { schemaText } from '../schema/heroku-schema';

/** Libraries generate their methods from this document (Platform API Reference, "Schema"). */
export function schemaRoutes(): Router {
  const router = Router();
  router.get('/schema', (_req, res) => {
    res.type('application/schema+json').send(schemaText());
  });
  return router;
}
