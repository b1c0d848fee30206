import { Router } from 'express';
import { notFound } from '../../domain/errors';
import type { Clock } from '../../lib/clock';
import { EventStream } from '../event-stream';
import { presentLogSession } from '../presenters/log-session';
import { requestOrigin } from '../request-origin';
import { RequestBody } from '../schema/request-body';
import type { ApiServices } from '../services';

const NULLABLE_TEXT = { type: ['string', 'null'] };

const createBody = new RequestBody<{
  lines?: number | null;
  tail?: boolean | null;
  source?: string | null;
  dyno?: string | null;
  dyno_name?: string | null;
  type?: string | null;
}>('log-session', 'Create', {
  properties: {
    // The CLI says `dyno` for what the schema calls `dyno_name` and `type` (contract, section 3.1).
    dyno: NULLABLE_TEXT,
    dyno_name: NULLABLE_TEXT,
    type: NULLABLE_TEXT,
    source: NULLABLE_TEXT,
    lines: { type: ['integer', 'null'], minimum: 0 },
    tail: { type: ['boolean', 'null'] },
  },
});

export function logSessionRoutes({ apps, logSessions }: Pick<ApiServices, 'apps' | 'logSessions'>): Router {
  const router = Router();

  router.post('/apps/:app/log-sessions', (req, res) => {
    const body = createBody.parse(req.body);
    const session = logSessions.create(apps.find(req.params.app), {
      lines: body.lines ?? null,
      tail: body.tail ?? null,
      source: body.source ?? null,
      dyno: body.dyno ?? body.dyno_name ?? body.type ?? null,
    });
    res.status(201).json(presentLogSession(session, `${requestOrigin(req)}/streams/logs/${session.secret}`));
  });

  return router;
}

/**
 * The stream that `logplex_url` points to, opened without a token. A client that lost it comes back with the id of
 * the last line that it got (contract, section 3.1).
 */
export function logStreamRoutes(
  { logSessions }: Pick<ApiServices, 'logSessions'>,
  { clock, stopping }: { clock: Clock; stopping: AbortSignal },
): Router {
  const router = Router();

  router.get('/streams/logs/:secret', (req, res) => {
    const session = logSessions.open(req.params.secret);
    if (session === undefined) throw notFound('log session');
    const lastId = /^\d{1,16}$/.exec(req.get('Last-Event-ID') ?? '')?.[0];

    const stream = new EventStream(res, clock);
    stream.open();
    // Nothing can be logged between these two calls, so that no line is lost or doubled.
    stream.sendHistory(session.history(lastId === undefined ? undefined : Number(lastId)));
    if (!session.tail || stopping.aborted) {
      stream.end();
      return;
    }
    const unsubscribe = session.subscribe((line) => stream.send(line));
    const onStop = (): void => stream.end();
    stopping.addEventListener('abort', onStop, { once: true });
    res.on('close', () => {
      unsubscribe();
      stopping.removeEventListener('abort', onStop);
    });
  });

  return router;
}
