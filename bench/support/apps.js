'use strict';
// An app to measure with, and many like it.
const { randomUUID } = require('node:crypto');
const { cpSync } = require('node:fs');
const path = require('node:path');
const { ROOT } = require('./installation');

/** Pushes one of the examples; resolves when the push ends. */
async function deployExample(installation, name, example) {
  const repository = path.join(installation.directory, `repository-${name}`);
  await installation.api('POST', '/apps', { name });
  cpSync(path.join(ROOT, 'examples', example), repository, { recursive: true });
  await installation.git(repository, 'init', '--quiet', '--initial-branch=main');
  await installation.git(repository, 'add', '--all');
  await installation.git(repository, 'commit', '--quiet', '--message', 'First');
  const remote = `https://localhost:${installation.apiPort}/${name}.git`;
  await installation.git(repository, 'push', remote, 'HEAD:refs/heads/main');
}

/**
 * Apps with the code of the one named `model`, straight into the database of a stopped daemon, each with a dyno that
 * sleeps stopped, as that one's does. Answers their names.
 */
function seedApps(installation, { model, count }) {
  const { Store } = require('../../dist/store/store');
  const store = Store.open(path.join(installation.data, 'dynodock.sqlite'));
  try {
    const app = store.apps.findByName(model);
    const release = store.releases.current(app.id);
    const slug = store.slugs.get(release.slugId);
    const [formation] = store.formations.of(app.id);
    const [domain] = store.domainNames.of(app.id);
    const dyno = store.dynos.of(app.id).find(({ state }) => state === 'idle');
    if (dyno?.startedAt !== null) throw new Error(`${model} does not sleep stopped`);
    const names = Array.from({ length: count }, (_, index) => `${model}-${index + 1}`);
    names.forEach((name, index) => {
      const [appId, slugId, releaseId] = [randomUUID(), randomUUID(), randomUUID()];
      store.transaction(() => {
        store.apps.insert({ ...app, id: appId, name });
        store.domainNames.insert({ ...domain, id: randomUUID(), appId, hostname: `${name}.localhost` });
        store.slugs.insert({ ...slug, id: slugId, appId });
        store.releases.insert({ ...release, id: releaseId, appId, slugId });
        store.formations.save({ ...formation, id: randomUUID(), appId, quantity: 1 });
        store.dynos.save({ ...dyno, id: randomUUID(), appId, releaseId, port: 20_000 + index });
      });
    });
    return names;
  } finally {
    store.close();
  }
}

module.exports = { deployExample, seedApps };
