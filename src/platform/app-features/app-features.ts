import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { notFound, notSupported } from '../../domain/errors';
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
const CATALOGUE: readonly Omit<AppFeature, 'enabled' | 'updatedAt'>[] = [];

/** Looked up by `heroku ps:exec` and its relatives, which then go to a host of Heroku's and never to this daemon. */
const EXEC_FEATURE = 'runtime-heroku-exec';

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
    if (idOrName === EXEC_FEATURE) {
      throw notSupported(
        `dynodock does not support heroku ps:exec. Run a command in a dyno with: heroku run:inside web.1 bash -a ${app.name}`,
      );
    }
    const feature = this.list(app).find((entry) => entry.name === idOrName || entry.id === idOrName);
    if (feature === undefined) throw notFound('app feature');
    return feature;
  }

  isEnabled(app: App, name: string): boolean {
    return this.list(app).some((feature) => feature.name === name && feature.enabled);
  }

  set(actor: Actor, app: App, idOrName: string, enabled: boolean): AppFeature {
    const { store, clock, changed } = this.#context;
    const feature = this.find(app, idOrName);
    store.transaction(() => {
      store.appFeatures.set(app.id, { name: feature.name, enabled, updatedAt: clock.now() });
      record(this.#context, app.id, actor, 'app-feature.update', { name: feature.name, enabled });
    });
    changed(app.id);
    return this.find(app, feature.name);
  }
}
