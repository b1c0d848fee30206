import type { Actor } from '../../domain/account';
import { assertAppName, generateAppName, type App } from '../../domain/app';
import { invalidParams, notFound } from '../../domain/errors';
import { isUuid, type AppId, type DomainId } from '../../domain/ids';
import { DEFAULT_STACK, isStackName, STACK_NAMES, type StackName } from '../../domain/stack';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';

export interface NewApp {
  /** Absent or null: a generated one. */
  name?: string | null;
  region?: string | null;
  stack?: string | null;
}

export interface AppChanges {
  name?: string;
  maintenance?: boolean;
  buildStack?: string;
}

/** What else an app has outside the store, removed with it: its git repository, build cache, slugs … */
export interface AppResources {
  /** In the transaction that destroys the app, while it is still there. */
  appDestroyed?(actor: Actor, app: App): void;
  /** After it. */
  remove?(app: App): Promise<void>;
}

/** The one region that there is; Heroku's name for it, since clients compare it. */
export const REGION = 'us';

export class Apps {
  readonly #context: PlatformContext;
  readonly #releases: Releases;
  readonly #resources: readonly AppResources[];

  constructor(context: PlatformContext, releases: Releases, resources: readonly AppResources[]) {
    this.#context = context;
    this.#releases = releases;
    this.#resources = resources;
  }

  list(): App[] {
    return this.#context.store.apps.all();
  }

  find(idOrName: string): App {
    const { apps } = this.#context.store;
    const app = isUuid(idOrName) ? apps.get(idOrName as AppId) : apps.findByName(idOrName);
    if (app === undefined) throw notFound('app');
    return app;
  }

  create(actor: Actor, input: NewApp): App {
    const { store, clock, newId, changed } = this.#context;
    if (input.region != null && input.region !== REGION) {
      throw invalidParams(`Region ${input.region} is not available. The only region here is ${REGION}.`);
    }
    const stack = input.stack == null ? DEFAULT_STACK : parseStack(input.stack);
    const app = store.transaction(() => {
      const name = input.name ?? this.#freeName();
      assertAppName(name);
      if (store.apps.findByName(name) !== undefined) throw invalidParams(`Name ${name} is already taken`);
      const now = clock.now();
      const created: App = {
        id: newId() as AppId,
        name,
        ownerId: actor.id,
        stack,
        buildStack: stack,
        maintenance: false,
        buildpackProvidedDescription: null,
        slugSize: 0,
        repoSize: 0,
        createdAt: now,
        updatedAt: now,
        releasedAt: null,
      };
      store.apps.insert(created);
      store.domainNames.insert({
        id: newId() as DomainId,
        appId: created.id,
        hostname: this.#hostname(name),
        kind: 'heroku',
        sniEndpointId: null,
        createdAt: now,
        updatedAt: now,
      });
      record(this.#context, created.id, actor, 'app.create', { name, stack });
      // Heroku's first two releases (Dev Center "Releases"), so that the first deploy is v3.
      this.#releases.create(actor, created, { description: 'Initial release' });
      this.#releases.create(actor, created, { description: 'Enable Logplex' });
      return created;
    });
    changed(app.id);
    return this.find(app.id);
  }

  update(actor: Actor, idOrName: string, changes: AppChanges): App {
    const { store, clock, changed, logplex } = this.#context;
    const before = this.find(idOrName);
    const after = store.transaction(() => {
      const now = clock.now();
      const next: App = { ...before, updatedAt: now };
      if (changes.maintenance !== undefined) next.maintenance = changes.maintenance;
      if (changes.buildStack !== undefined) next.buildStack = parseStack(changes.buildStack);
      if (changes.name !== undefined && changes.name !== before.name) {
        assertAppName(changes.name);
        if (store.apps.findByName(changes.name) !== undefined) {
          throw invalidParams(`Name ${changes.name} is already taken`);
        }
        next.name = changes.name;
        for (const domain of store.domainNames.of(before.id)) {
          if (domain.kind === 'heroku') store.domainNames.rename(domain.id, this.#hostname(next.name), now);
        }
      }
      store.apps.update(next);
      record(this.#context, before.id, actor, 'app.update', { ...changes });
      return next;
    });
    if (after.maintenance !== before.maintenance) {
      logplex.api(
        after.id,
        `Maintenance mode turned ${after.maintenance ? 'on' : 'off'} by user ${actor.email}`,
      );
    }
    changed(after.id);
    return after;
  }

  /** Its dynos, repository and slugs go too; the audit trail stays. */
  async destroy(actor: Actor, idOrName: string): Promise<App> {
    const { store, dynoManager, logplex, changed } = this.#context;
    const app = this.find(idOrName);
    store.transaction(() => {
      record(this.#context, app.id, actor, 'app.destroy', { name: app.name });
      for (const resource of this.#resources) resource.appDestroyed?.(actor, app);
      store.apps.delete(app.id);
    });
    changed(app.id);
    logplex.forget(app.id);
    await dynoManager.discard(app.id);
    for (const resource of this.#resources) await resource.remove?.(app);
    return app;
  }

  /** Bytes of its git repository, as it is after a push. */
  setRepoSize(app: App, repoSize: number): void {
    const { store, clock } = this.#context;
    const current = store.apps.get(app.id);
    if (current !== undefined) store.apps.update({ ...current, repoSize, updatedAt: clock.now() });
  }

  webUrl(app: App): string {
    const { routerHttpPort } = this.#context.settings;
    const port = routerHttpPort === 80 ? '' : `:${routerHttpPort}`;
    return `http://${this.#hostname(app.name)}${port}/`;
  }

  gitUrl(app: App): string {
    return `https://localhost:${this.#context.settings.apiPort}/${app.name}.git`;
  }

  #hostname(name: string): string {
    return `${name}.${this.#context.settings.appDomain}`;
  }

  #freeName(): string {
    for (;;) {
      const name = generateAppName(this.#context.random);
      if (this.#context.store.apps.findByName(name) === undefined) return name;
    }
  }
}

function parseStack(text: string): StackName {
  if (!isStackName(text)) {
    throw invalidParams(`Stack ${text} is not available. Available stacks: ${STACK_NAMES.join(', ')}.`);
  }
  return text;
}
