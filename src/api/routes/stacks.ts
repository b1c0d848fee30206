import { Router } from 'express';
import { notFound } from '../../domain/errors';
import { STACK_IDS, STACK_NAMES, type StackName } from '../../domain/stack';
import { sendList, type SortKeys } from '../lists';
import { presentStack } from '../presenters/stack';

const SORT_KEYS: SortKeys<StackName> = { name: (name) => name, id: (name) => STACK_IDS[name] };

export function stackRoutes(): Router {
  const router = Router();

  router.get('/stacks', (req, res) => {
    sendList(req, res, STACK_NAMES, SORT_KEYS, presentStack);
  });

  router.get('/stacks/:stack', (req, res) => {
    const { stack } = req.params;
    const name = STACK_NAMES.find((entry) => entry === stack || STACK_IDS[entry] === stack);
    if (name === undefined) throw notFound('stack');
    res.json(presentStack(name));
  });

  return router;
}
