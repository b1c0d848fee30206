'use strict';
// What the engine itself takes for the same container, command, limits and bridge as a dyno's, through its API.
const Docker = require('dockerode');
const { runFile } = require('./installation');
const { accepts, until } = require('./measure');

const PATIENCE_MS = 90_000;

class PlainContainers {
  docker = new Docker();

  /** `installationId`: with a running dyno, which is what the plain containers are made like. */
  async describeDyno(installationId) {
    const [found] = await this.docker.listContainers({
      filters: { label: [`dynodock.installation=${installationId}`, 'dynodock.role=dyno'] },
    });
    const { Config, HostConfig } = await this.docker.getContainer(found.Id).inspect();
    this.spec = {
      Image: Config.Image,
      Entrypoint: Config.Entrypoint,
      Env: Config.Env,
      // Found when everything is removed, and of no concern to the daemon.
      Labels: { 'dynodock.installation': installationId, 'dynodock.role': 'bench' },
      HostConfig: {
        ...HostConfig,
        NetworkMode: `dynodock-${installationId.slice(0, 8)}`,
        LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '2' } },
      },
    };
  }

  /** One like a dyno, but of the image of `other`, in which clients can be run. */
  async idle(other) {
    const { Config } = await this.docker.getContainer(other).inspect();
    const container = await this.docker.createContainer({
      ...this.spec,
      Image: Config.Image,
      Entrypoint: ['sleep', 'infinity'],
    });
    await container.start();
    return {
      /** Resolves with what it prints. */
      exec: async (argv, env = {}) => {
        const names = Object.keys(env).flatMap((name) => ['--env', name]);
        const options = { env: { ...process.env, ...env } };
        const { stdout } = await runFile('docker', ['exec', ...names, container.id, ...argv], options);
        return stdout;
      },
    };
  }

  /** Resolves once it accepts connections. */
  async start(port) {
    const env = [...this.spec.Env.filter((entry) => !entry.startsWith('PORT=')), `PORT=${port}`];
    const container = await this.docker.createContainer({ ...this.spec, Env: env });
    await container.start();
    const { NetworkSettings } = await container.inspect();
    const [{ IPAddress: host }] = Object.values(NetworkSettings.Networks);
    await until('a plain container', PATIENCE_MS, () => accepts(host, port));
    return { container, host, port };
  }
}

module.exports = { PlainContainers };
