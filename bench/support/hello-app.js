'use strict';
const { randomUUID } = require('node:crypto');
const { once } = require('node:events');
const { cpSync } = require('node:fs');
const { connect } = require('node:net');
const path = require('node:path');
const Docker = require('dockerode');
const { Installation, ROOT } = require('./installation');
const { until } = require('./measure');

const PATIENCE_MS = 90_000;
const APP = 'bench';

/** An installation with the smallest Node.js app deployed, and plain containers that are like its dyno. */
class HelloApp extends Installation {
  docker = new Docker();

  async deploy() {
    const repository = path.join(this.directory, 'repository');
    await this.api('POST', '/apps', { name: APP });
    cpSync(path.join(ROOT, 'examples', 'hello-node'), repository, { recursive: true });
    await this.git(repository, 'init', '--quiet', '--initial-branch=main');
    await this.git(repository, 'add', '--all');
    await this.git(repository, 'commit', '--quiet', '--message', 'First');
    await this.git(
      repository,
      'push',
      `https://localhost:${this.apiPort}/${APP}.git`,
      'HEAD:refs/heads/main',
    );
    await this.untilStates(['up']);
  }

  /** Until the dynos there are, those on their way out included, are in these states. */
  untilStates(states) {
    const rows = this.database.prepare('SELECT state FROM dynos').pluck();
    return until(`dynos ${states.join(' ')}`, PATIENCE_MS, () => rows.all().join(' ') === states.join(' '));
  }

  newestEvent() {
    return this.database.prepare('SELECT coalesce(max(id), 0) FROM events').pluck().get();
  }

  /** When dynos came up since that event, in ms since the epoch. */
  upTimes(newest) {
    return this.database
      .prepare(
        "SELECT at FROM events WHERE id > ? AND kind = 'dyno.state' AND json_extract(payload, '$.to') = 'up'",
      )
      .pluck()
      .all(newest);
  }

  dynoContainers(filters = {}) {
    return this.docker.listContainers({
      filters: {
        label: [`dynodock.installation=${this.installationId}`, 'dynodock.role=dyno'],
        ...filters,
      },
    });
  }

  /** What a plain container needs to be the same as the dyno. */
  async describeDyno() {
    const [found] = await this.dynoContainers();
    const { Config, HostConfig } = await this.docker.getContainer(found.Id).inspect();
    return {
      Image: Config.Image,
      Entrypoint: Config.Entrypoint,
      Env: Config.Env,
      // Found when everything is removed, and of no concern to the daemon.
      Labels: { 'dynodock.installation': this.installationId, 'dynodock.role': 'bench' },
      HostConfig: {
        ...HostConfig,
        NetworkMode: `dynodock-${this.installationId.slice(0, 8)}`,
        LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '2' } },
      },
    };
  }

  /** Resolves once it accepts connections. */
  async startPlain(baseline, port) {
    const env = [...baseline.Env.filter((entry) => !entry.startsWith('PORT=')), `PORT=${port}`];
    const container = await this.docker.createContainer({ ...baseline, Env: env });
    await container.start();
    const { NetworkSettings } = await container.inspect();
    const [{ IPAddress: host }] = Object.values(NetworkSettings.Networks);
    await until('a plain container', PATIENCE_MS, () => accepts(host, port));
    return { container, host, port };
  }

  /** Milliseconds until a plain container accepts connections. */
  async measurePlainStart(baseline) {
    const startedAt = performance.now();
    const { container } = await this.startPlain(baseline, 5000);
    const took = performance.now() - startedAt;
    await container.remove({ force: true });
    return took;
  }

  /** Apps with code, so many with the first one, straight into the database of the stopped daemon. */
  seedApps(count, quantity) {
    const { Store } = require('../../dist/store/store');
    const store = Store.open(path.join(this.data, 'dynodock.sqlite'));
    const names = [APP];
    try {
      const app = store.apps.findByName(APP);
      const release = store.releases.current(app.id);
      const slug = store.slugs.get(release.slugId);
      const [formation] = store.formations.of(app.id);
      const [domain] = store.domainNames.of(app.id);
      for (let number = 1; number < count; number += 1) {
        const name = `${APP}-${number}`;
        const [appId, slugId] = [randomUUID(), randomUUID()];
        store.transaction(() => {
          store.apps.insert({ ...app, id: appId, name });
          store.domainNames.insert({ ...domain, id: randomUUID(), appId, hostname: `${name}.localhost` });
          store.slugs.insert({ ...slug, id: slugId, appId });
          store.releases.insert({ ...release, id: randomUUID(), appId, slugId });
          store.formations.save({ ...formation, id: randomUUID(), appId, quantity });
        });
        names.push(name);
      }
    } finally {
      store.close();
    }
    return names;
  }
}

async function accepts(host, port) {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false; // Not yet.
  } finally {
    socket.destroy();
  }
}

module.exports = { APP, HelloApp, PATIENCE_MS };
