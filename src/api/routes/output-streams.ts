import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router, type Request } from 'express';
import { notFound } from '../../domain/errors';
import type { BuildId, ReleaseId } from '../../domain/ids';
import type { Logger } from '../../lib/logger';
import type { Clock } from '../../lib/clock';
import { withKeepAlive } from '../keep-alive';
import { requestOrigin } from '../request-origin';
import type { ApiServices } from '../services';
import type { StreamKeys } from '../stream-keys';

/** Without output for so long, a build's stream gets a NUL. */
const KEEP_ALIVE_MS = 15_000;

/** What has an `output_stream_url`. */
type Resource = 'builds' | 'releases';

export function outputStreamUrl(
  req: Request,
  streamKeys: StreamKeys,
  resource: Resource,
  id: BuildId | ReleaseId,
): string {
  return `${requestOrigin(req)}/streams/${resource}/${id}/${streamKeys.keyOf(id)}`;
}

/** The output itself: plain text that ends with the build or release command. Opened without a token, hence the key. */
export function outputStreamRoutes(
  { builds, releases }: Pick<ApiServices, 'builds' | 'releases'>,
  options: { streamKeys: StreamKeys; stopping: AbortSignal; logger: Logger; clock: Clock },
): Router {
  const router = Router();
  const serve = (
    resource: Resource,
    read: (id: string) => AsyncIterable<Buffer> | undefined,
    keepAlive?: (output: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
  ): void => {
    router.get(`/streams/${resource}/:id/:key`, async (req, res) => {
      const { id, key } = req.params;
      const output = options.streamKeys.matches(id, key) ? read(id) : undefined;
      if (output === undefined) throw notFound('output');
      res.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' });
      res.flushHeaders();
      try {
        await pipeline(Readable.from(keepAlive?.(output) ?? output), res, { signal: options.stopping });
      } catch (error) {
        // Half of the text is out, so the cut connection is the answer. A reader that left is no fault of ours.
        if (!res.destroyed) res.destroy();
        options.logger.debug('output ended early', { resource, id, error });
      }
    });
  };
  serve(
    'builds',
    (id) => builds.outputStream(id as BuildId),
    (output) => withKeepAlive(output, options.clock, KEEP_ALIVE_MS),
  );
  serve('releases', (id) => releases.outputStream(id as ReleaseId));
  return router;
}
