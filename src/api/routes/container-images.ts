import { once } from 'node:events';
import { Router, type Response } from 'express';
import { invalidParams, PlatformError } from '../../domain/errors';
import { describeError, type Logger } from '../../lib/logger';
import type { ImageBuild } from '../../platform/container-releases/container-releases';
import type { ApiServices } from '../services';

export interface ContainerImageOptions {
  stopping: AbortSignal;
  logger: Logger;
}

const HEADER = 'dynodock-image-build';
const MAX_ARGS = 100;

/**
 * An endpoint that Heroku's API does not have (docs/api.md), in place of a registry: takes a folder as a tar, builds the
 * Dockerfile in it with the container engine, and answers lines of JSON while it does so: `output` with a piece of text,
 * at last either `image` or `error`.
 */
export function containerImageRoutes(
  { apps, containerReleases }: Pick<ApiServices, 'apps' | 'containerReleases'>,
  { stopping, logger }: ContainerImageOptions,
): Router {
  const router = Router();

  router.post('/apps/:app/container-images', async (req, res) => {
    const app = apps.find(req.params.app);
    const wanted = parseBuild(req.get(HEADER));
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, stopping]);
    const write = (text: string): Promise<void> => send(res, { output: text });
    try {
      const id = await containerReleases.build(app, { ...wanted, context: req }, write, signal);
      await send(res, { image: { id } });
    } catch (error) {
      if (gone.signal.aborted) return;
      // Nothing has been said yet: this is an error like any other.
      if (!res.headersSent && error instanceof PlatformError) throw error;
      if (!(error instanceof PlatformError)) {
        logger.error('an image could not be built', { app: app.name, error: describeError(error) });
      }
      const { id, message } =
        error instanceof PlatformError
          ? error
          : { id: 'internal_server_error', message: 'Internal error; the log of the daemon says more.' };
      await send(res, { error: { id, message } });
    } finally {
      // What the builder did not want of it.
      req.resume();
    }
    res.end();
  });

  return router;
}

async function send(res: Response, message: Record<string, unknown>): Promise<void> {
  if (res.destroyed) return;
  if (!res.headersSent) res.status(200).setHeader('Content-Type', 'application/x-ndjson');
  if (!res.write(`${JSON.stringify(message)}\n`))
    await Promise.race([once(res, 'drain'), once(res, 'close')]);
}

/** `{"process_type": "web", "dockerfile": "Dockerfile", "build_args": {}}` in base64, since it may hold any text. */
function parseBuild(header: string | undefined): Omit<ImageBuild, 'context'> {
  if (header === undefined) throw invalidParams(`The header ${HEADER} is missing.`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(header, 'base64').toString('utf8'));
  } catch {
    throw invalidParams(`The header ${HEADER} is not JSON in base64.`);
  }
  const {
    process_type: processType,
    dockerfile = 'Dockerfile',
    build_args: buildArgs = {},
  } = (value ?? {}) as {
    process_type?: unknown;
    dockerfile?: unknown;
    build_args?: unknown;
  };
  if (typeof processType !== 'string') throw invalidParams('process_type must be a text.');
  if (typeof dockerfile !== 'string' || dockerfile === '') throw invalidParams('dockerfile must be a text.');
  if (!isTextMap(buildArgs)) throw invalidParams('build_args must be a map of texts.');
  return { processType, dockerfile, buildArgs };
}

function isTextMap(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.values(value);
  return entries.length <= MAX_ARGS && entries.every((entry) => typeof entry === 'string');
}
