import { Router } from 'express';
import { presentDiagnosis } from '../../presenters/diagnosis';
import type { ApiServices } from '../../services';
import { stringOf } from './data-body';

/** `pg:diagnose`, whose reports Heroku makes on a host of their own (CLI contract, section 1.3). */
export function diagnosisRoutes({ postgres }: Pick<ApiServices, 'postgres'>): Router {
  const router = Router();
  const { diagnoses } = postgres;

  router.post('/reports', async (req, res) => {
    const diagnosis = await diagnoses.create({
      app: stringOf(req.body, 'app'),
      database: stringOf(req.body, 'database'),
      url: stringOf(req.body, 'url'),
    });
    res.status(201).json(presentDiagnosis(diagnosis));
  });

  router.get('/reports/:report', (req, res) => {
    res.json(presentDiagnosis(diagnoses.find(req.params.report)));
  });

  return router;
}
