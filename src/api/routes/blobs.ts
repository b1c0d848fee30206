import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Router, type Request, type Response } from 'express';
import { forbidden } from '../../domain/errors';
import type { Clock } from '../../lib/clock';
import type { Logger } from '../../lib/logger';
import type { Blob, BlobMethod } from '../../platform/blobs/blob-urls';
import type { ApiServices } from '../services';

export interface BlobRoutesOptions {
  clock: Clock;
  logger: Logger;
  stopping: AbortSignal;
}

/** Many clients read the answer only after they have sent all; so long what they still send is taken and dropped. */
const DRAIN_MS = 15_000;

/** What `put_url`, `get_url` and `blob.url` point to: archives and backups, opened without a token. The signature in the URL counts. */
export function blobRoutes(
  { blobUrls, sources, slugs, postgres }: Pick<ApiServices, 'blobUrls' | 'sources' | 'slugs' | 'postgres'>,
  { clock, logger, stopping }: BlobRoutesOptions,
): Router {
  const router = Router();
  const blobOf = (method: BlobMethod, req: Request): Blob => {
    const blob = blobUrls.verify(method, new URL(req.originalUrl, 'http://localhost'));
    if (blob === undefined) throw forbidden(`This URL is not good for ${method} requests.`);
    if (blob.expired) throw forbidden('This URL has expired. Ask for a new one.');
    return blob;
  };

  router.put('/blobs/:kind/:file', async (req, res) => {
    try {
      const { kind, id } = blobOf('PUT', req);
      if (kind === 'backups') throw forbidden('Backups are not uploaded.');
      const service = kind === 'sources' ? sources : slugs;
      await service.upload(id, { content: bodyOf(req), length: lengthOf(req) });
    } catch (error) {
      if (await isGone(req, clock)) {
        logger.debug('upload broken off', { path: req.path, error });
        return;
      }
      res.setHeader('Connection', 'close');
      throw error;
    }
    res.status(200).end();
  });

  router.get('/blobs/:kind/:file', async (req, res) => {
    const { kind, id } = blobOf('GET', req);
    const service = kind === 'backups' ? postgres.transfers.files : kind === 'sources' ? sources : slugs;
    const { size, content } = await service.open(id);
    res.writeHead(200, {
      'Content-Type': kind === 'backups' ? 'application/octet-stream' : 'application/gzip',
      'Content-Length': size,
      'Cache-Control': 'no-store',
    });
    await send(content, res);
  });

  async function send(content: Readable, res: Response): Promise<void> {
    if (res.req.method === 'HEAD') {
      content.destroy();
      res.end();
      return;
    }
    try {
      await pipeline(content, res, { signal: stopping });
    } catch (error) {
      // Half of it is out, so the cut connection is the answer. A reader that left is no fault of ours.
      if (!res.destroyed) res.destroy();
      logger.debug('download ended early', { path: res.req.path, error });
    }
  }

  return router;
}

/** The body, without that a failure to store it cuts the connection before it was said why. */
function bodyOf(req: Request): Readable {
  return Readable.from(req.iterator({ destroyOnReturn: false }), { objectMode: false });
}

function lengthOf(req: Request): number | undefined {
  const header = req.get('Content-Length');
  return header === undefined ? undefined : Number(header);
}

/** Has the client gone? If not, resolves once it has sent all, or enough. */
async function isGone(req: Request, clock: Clock): Promise<boolean> {
  if (!req.readableEnded && !req.destroyed) {
    await new Promise<void>((resolve) => {
      const cancel = clock.after(DRAIN_MS, resolve);
      req.once('close', () => {
        cancel();
        resolve();
      });
      req.once('end', () => {
        cancel();
        resolve();
      });
      req.resume();
    });
  }
  return req.destroyed && !req.complete;
}
