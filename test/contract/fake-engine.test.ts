import { systemClock } from '../../src/lib/clock';
import { FakeEngine } from '../support/fake-engine';
import { describeContainerEngine, PROGRAMS } from './container-engine.contract';

describeContainerEngine('FakeEngine', async () => {
  const engine = new FakeEngine(systemClock);
  for (const { argv, script } of Object.values(PROGRAMS)) {
    engine.behave((spec) => spec.command?.join('\0') === argv.join('\0'), script);
  }
  return {
    engine,
    meaningless: [
      // There is no network, no kernel and no host file system behind it …
      'this process reaches a container at its endpoint',
      'this process reaches a container at a published port',
      'a published port is reached from here and from containers that reach no other',
      'containers on a network without traffic between them do not reach each other',
      'limits, capabilities and users are applied',
      'bind mounts and temporary file systems are mounted',
      // … no command to print that much, and one way only to add a layer.
      'only the first MiB of a command’s output is kept',
      'a layer on a base makes an image for an engine that only builds',
    ],
  };
});
