import { homedir } from 'node:os';
import { DockerEngine } from '../../src/engine/docker-engine';
import { locateEngine } from '../../src/engine/engine-location';
import { describeContainerEngine } from '../contract/container-engine.contract';

describeContainerEngine('DockerEngine', async () => {
  const { address } = await locateEngine({ environment: process.env, homeDir: homedir() });
  return {
    engine: new DockerEngine(address),
    variants: {
      publishing: new DockerEngine(address, { reachability: 'published-port' }),
      building: new DockerEngine(address, { layerStrategy: 'build' }),
    },
    meaningless: [],
  };
});
