import { randomUUID } from 'node:crypto';
import type { AppId, DomainId, DynoId, FormationId, ReleaseId, SlugId } from '../../src/domain/ids';
import type { Store } from '../../src/store/store';

/** Apps with the code of the one named `model`, each asleep (stopped) as that one is. Answers their names. */
export function seedSleepingApps(store: Store, model: string, count: number): string[] {
  const app = store.apps.findByName(model);
  const release = app && store.releases.current(app.id);
  const slug = release?.slugId == null ? undefined : store.slugs.get(release.slugId);
  if (app === undefined || release === undefined || slug === undefined)
    throw new Error(`${model} has no code`);
  const dynos = store.dynos.of(app.id);
  if (dynos.length === 0 || dynos.some((dyno) => dyno.state !== 'idle' || dyno.startedAt !== null)) {
    throw new Error(`${model} does not sleep stopped`);
  }
  return Array.from({ length: count }, (_, index) => {
    const name = `${model}-${index + 1}`;
    const appId = randomUUID() as AppId;
    const slugId = randomUUID() as SlugId;
    const releaseId = randomUUID() as ReleaseId;
    store.transaction(() => {
      store.apps.insert({ ...app, id: appId, name });
      for (const domain of store.domainNames.of(app.id)) {
        store.domainNames.insert({
          ...domain,
          id: randomUUID() as DomainId,
          appId,
          hostname: `${name}.localhost`,
        });
      }
      store.slugs.insert({ ...slug, id: slugId, appId });
      store.releases.insert({ ...release, id: releaseId, appId, slugId });
      for (const formation of store.formations.of(app.id)) {
        store.formations.save({ ...formation, id: randomUUID() as FormationId, appId });
      }
      for (const dyno of dynos) {
        const port = dyno.port === null ? null : 20_000 + index;
        store.dynos.save({ ...dyno, id: randomUUID() as DynoId, appId, releaseId, port });
      }
    });
    return name;
  });
}
