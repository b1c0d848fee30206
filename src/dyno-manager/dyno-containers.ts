import type { Dyno } from '../domain/dyno';
import type { Slug } from '../domain/slug';
import {
  EngineError,
  ignoring,
  type ContainerEngine,
  type ContainerId,
  type ContainerSpec,
} from '../engine/engine';
import { DYNO_LABEL } from '../engine/labels';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import type { Store } from '../store/store';
import { dynoSpec, processImage, type DynoSpecInput } from './dyno-spec';
import type { Sandbox } from './sandboxes';

export interface DynoContainersOptions {
  store: Store;
  engine: ContainerEngine;
  clock: Clock;
  logger: Logger;
  installationId: string;
  network: string;
  caBundlePath?: string;
  /** Makes the image of a slug again, where the engine has it no more; answers its reference. */
  restoreImage: (slug: Slug) => Promise<string>;
  /** Aborted when the daemon stops: what waits for a container gives up. */
  stopping: AbortSignal;
}

/** After SIGKILL the kernel needs no longer than this, or the engine is stuck. */
const KILL_MS = 10_000;

/** Makes and ends the containers of dynos. */
export class DynoContainers {
  readonly #options: DynoContainersOptions;

  constructor(options: DynoContainersOptions) {
    this.#options = options;
  }

  /** Makes it anew where an earlier attempt made it and did not start it; undefined if the dyno's app or code is gone. */
  async create(dyno: Dyno, sandbox?: Sandbox): Promise<ContainerId | undefined> {
    const { store, engine, installationId, network, caBundlePath } = this.#options;
    const app = store.apps.get(dyno.appId);
    const release = store.releases.get(dyno.releaseId);
    const slug = store.slugs.ofRelease(release);
    if (app === undefined || release === undefined || slug === undefined) return undefined;
    const input: DynoSpecInput = {
      installationId,
      network,
      app,
      dyno,
      release,
      slug,
      ...(sandbox === undefined ? {} : { sandbox }),
      ...(caBundlePath === undefined ? {} : { caBundlePath }),
    };
    try {
      return await this.#createNamed(dynoSpec(input), dyno);
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind !== 'not_found') throw error;
      // What was not found may as well be the sandbox: that is its own affair.
      const image = processImage(dyno, slug)?.reference ?? slug.image;
      if ((await engine.inspectImage(image)) !== undefined) throw error;
      if (slug.images !== undefined) {
        throw new EngineError('not_found', `the image of ${dyno.type} is gone; deploy it again`, {
          cause: error,
        });
      }
      const restored = { ...slug, image: await this.#restore(slug) };
      return this.#createNamed(dynoSpec({ ...input, slug: restored }), dyno);
    }
  }

  async #createNamed(spec: ContainerSpec, dyno: Dyno): Promise<ContainerId> {
    const { engine } = this.#options;
    try {
      return await engine.create(spec);
    } catch (error) {
      if (!(error instanceof EngineError) || error.kind !== 'conflict') throw error;
      const existing = await engine.inspect(spec.name);
      if (existing.labels[DYNO_LABEL] !== dyno.id) throw error;
      if (existing.state !== 'created') return existing.id;
      // It may be in another sandbox than the dyno is in now, or listen on another port.
      await engine.remove(existing.id);
      return engine.create(spec);
    }
  }

  /** The image of an older release may have been reclaimed, or removed by hand. */
  async #restore(slug: Slug): Promise<string> {
    const { store, restoreImage, clock, logger } = this.#options;
    const startedAt = clock.now().getTime();
    const image = await restoreImage(slug);
    if (image !== slug.image) store.slugs.setImage(slug.id, image, clock.now());
    logger.info('image of a slug made again', {
      app: slug.appId,
      slug: slug.id,
      durationMs: clock.now().getTime() - startedAt,
    });
    return image;
  }

  /**
   * Heroku signals all processes of a dyno, while the engine can only signal the first. kill(2) with -1 reaches
   * all that the dyno's user may signal, but for the caller and the init.
   */
  async signalAll(containerId: ContainerId, signal: 'TERM' | 'HUP'): Promise<void> {
    const { engine, logger } = this.#options;
    try {
      const { exitCode } = await engine.exec(containerId, ['/bin/sh', '-c', `kill -${signal} -1`], {
        timeoutMs: 5000,
      });
      if (exitCode === 0) return;
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'unreachable') throw error;
      logger.debug('could not signal inside the container', { container: containerId, error });
    }
    await engine.kill(containerId, `SIG${signal}`).catch(ignoring('not_running', 'not_found'));
  }

  async killAndWait(containerId: ContainerId): Promise<void> {
    await this.#options.engine.kill(containerId, 'SIGKILL').catch(ignoring('not_running', 'not_found'));
    if (await this.hasEnded(containerId, KILL_MS)) return;
    throw new EngineError('other', `container ${containerId} goes on after SIGKILL`);
  }

  /** Waits for the container's end, for at most `timeoutMs`: has it come? Rejects when the daemon stops. */
  async hasEnded(containerId: ContainerId, timeoutMs: number, calledOff?: AbortSignal): Promise<boolean> {
    const { engine, clock, stopping } = this.#options;
    const patience = new AbortController();
    const cancel = clock.after(timeoutMs, () => patience.abort());
    const signals = [patience.signal, stopping, ...(calledOff === undefined ? [] : [calledOff])];
    try {
      await engine.wait(containerId, { signal: AbortSignal.any(signals) });
      return true;
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'not_found') return true;
      if (!patience.signal.aborted) throw error;
      return false;
    } finally {
      cancel();
    }
  }
}
