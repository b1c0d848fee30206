import { EngineError, type ContainerEngine, type ContainerId } from '../engine/engine';
import type { Clock } from '../lib/clock';
import { BuildFailure, engineWentAway } from './build-failure';

const BEAT_MS = 15_000;
/** So many looks in a row without an answer, and the engine is gone; a single one may fall into a restart. */
const MISSES = 3;
/** The rest of the output has to come within this after the container's end. */
const REST_MS = 2 * 60_000;

/**
 * Looks at a build's container every now and then. A connection to the engine that hangs says nothing, which looks
 * just like a buildpack that prints nothing; this tells the two apart long before the build's deadline. Calls `lost`
 * once at most; the answer ends it.
 */
export function watchContainer(
  engine: Pick<ContainerEngine, 'inspect'>,
  id: ContainerId,
  clock: Clock,
  lost: (failure: BuildFailure) => void,
): () => void {
  let stopped = false;
  let misses = 0;
  let endedAt: number | undefined;
  let cancel = (): void => undefined;

  const look = async (): Promise<BuildFailure | undefined> => {
    try {
      const { state } = await engine.inspect(id);
      misses = 0;
      const now = clock.now().getTime();
      endedAt = state === 'exited' ? (endedAt ?? now) : undefined;
      if (endedAt === undefined || now - endedAt < REST_MS) return undefined;
      return new BuildFailure('engine', 'The build container has ended, but not its output.');
    } catch (error) {
      if (error instanceof EngineError && error.kind === 'not_found') {
        return new BuildFailure('container', 'The build container is gone.', undefined, { cause: error });
      }
      misses += 1;
      return misses < MISSES ? undefined : engineWentAway(error);
    }
  };
  const next = (): void => {
    cancel = clock.after(BEAT_MS, () => {
      void look().then((failure) => {
        if (stopped) return;
        if (failure === undefined) next();
        else lost(failure);
      });
    });
  };
  next();
  return () => {
    stopped = true;
    cancel();
  };
}
