import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { notFound } from '../../domain/errors';
import { record, type PlatformContext } from '../context';

export interface AppFeature {
  id: string;
  name: string;
  displayName: string;
  description: string;
  docUrl: string;
  state: 'general' | 'beta';
  enabled: boolean;
  createdAt: Date;
  updatedAt: Date;
}

/** Features are added here when something reads them: a switch without effect would be a lie. */
const CATALOGUE: readonly Omit<AppFeature, 'enabled' | 'updatedAt'>[] = [
  {
    id: '0f4b1d0e-6a1f-4d7c-9c0a-7e1b00000001',
    name: 'preboot',
    displayName: 'Preboot',
    description: 'New web dynos are up for a while before the old ones stop',
    docUrl: 'https://devcenter.heroku.com/articles/preboot',
    state: 'general',
    createdAt: new Date('2011-12-01T00:00:00Z'),
  },
  {
    id: '0f4b1d0e-6a1f-4d7c-9c0a-7e1b00000002',
    name: 'http-session-affinity',
    displayName: 'Session affinity',
    description: 'Requests of one client go to the same dyno',
    docUrl: 'https://devcenter.heroku.com/articles/session-affinity',
    state: 'general',
    createdAt: new Date('2014-05-01T00:00:00Z'),
  },
];

export class AppFeatures {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(app: App): AppFeature[] {
    const switched = new Map(
      this.#context.store.appFeatures.get(app.id).map((feature) => [feature.name, feature]),
    );
    return CATALOGUE.map((feature) => ({
      ...feature,
      enabled: switched.get(feature.name)?.enabled ?? false,
      updatedAt: switched.get(feature.name)?.updatedAt ?? feature.createdAt,
    }));
  }

  find(app: App, idOrName: string): AppFeature {
    const feature = this.list(app).find((entry) => entry.name === idOrName || entry.id === idOrName);
    if (feature === undefined) throw notFound('app feature');
    return feature;
  }

  set(actor: Actor, app: App, idOrName: string, enabled: boolean): AppFeature {
    const { store, clock, changed, dynoManager } = this.#context;
    const feature = this.find(app, idOrName);
    store.transaction(() => {
      store.appFeatures.set(app.id, { name: feature.name, enabled, updatedAt: clock.now() });
      record(this.#context, app.id, actor, 'app-feature.update', { name: feature.name, enabled });
    });
    dynoManager.kick(app.id);
    changed(app.id);
    return this.find(app, feature.name);
  }
}
