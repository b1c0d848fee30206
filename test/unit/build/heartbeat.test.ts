import type { BuildFailure } from '../../../src/build/build-failure';
import { watchContainer } from '../../../src/build/heartbeat';
import { EngineError, type ContainerInfo } from '../../../src/engine/engine';
import { FakeClock } from '../../support/fake-clock';

describe('the heartbeat of a build', () => {
  const clock = new FakeClock();
  let look: () => ContainerInfo['state'];
  let lost: BuildFailure[];
  let stop: () => void;

  beforeEach(() => {
    lost = [];
    look = () => 'running';
    const inspect = async (): Promise<ContainerInfo> => ({ state: look() }) as ContainerInfo;
    stop = watchContainer({ inspect }, 'id' as never, clock, (failure) => lost.push(failure));
  });
  afterEach(() => {
    stop();
    expect(clock.pending).toBe(0);
  });

  test('goes on as long as the container runs, whatever it prints', async () => {
    await clock.advance(14 * 60_000);
    expect(lost).toEqual([]);
  });

  test('survives a restart of the engine, but not its absence', async () => {
    let answers = 0;
    look = () => {
      answers += 1;
      if (answers % 3 !== 0) throw new EngineError('unreachable', 'no answer');
      return 'running';
    };
    await clock.advance(5 * 60_000);
    expect(lost).toEqual([]);
    look = () => {
      throw new EngineError('unreachable', 'no answer');
    };
    await clock.advance(60_000);
    expect(lost).toMatchObject([{ kind: 'engine' }]);
  });

  test('notices that the container is gone', async () => {
    look = () => {
      throw new EngineError('not_found', 'no such container');
    };
    await clock.advance(15_000);
    expect(lost).toMatchObject([{ kind: 'container', message: 'The build container is gone.' }]);
  });

  test('gives the output some time after the container’s end', async () => {
    look = () => 'exited';
    await clock.advance(120_000);
    expect(lost).toEqual([]);
    await clock.advance(15_000);
    expect(lost).toMatchObject([{ kind: 'engine' }]);
  });

  test('says nothing once it was stopped, not even of a look under way', async () => {
    look = () => {
      stop();
      throw new EngineError('not_found', 'no such container');
    };
    await clock.advance(60_000);
    expect(lost).toEqual([]);
  });
});
