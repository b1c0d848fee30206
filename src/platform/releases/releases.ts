import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import type { ConfigVars } from '../../domain/config-vars';
import { invalidParams, notFound, PlatformError } from '../../domain/errors';
import type { FormationId, ReleaseId, SlugId } from '../../domain/ids';
import { isUuid } from '../../domain/ids';
import type { ProcessTypes } from '../../domain/procfile';
import { describeDeploy, type Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import { dynoSize } from '../../domain/dyno-size';
import { record, type PlatformContext } from '../context';

export interface NewReleaseInput {
  description: string;
  /** Absent: the current release's. */
  slugId?: SlugId | null;
  /** Absent: the app's config vars as they are now. */
  configVars?: ConfigVars;
}

/** Slug + config vars + add-ons, numbered (Dev Center "Releases"). */
export class Releases {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  /** Oldest first. */
  list(app: App): Release[] {
    return this.#context.store.releases.of(app.id);
  }

  /** By id or version, with or without a leading `v`. */
  find(app: App, idOrVersion: string): Release {
    const { releases } = this.#context.store;
    const release = isUuid(idOrVersion)
      ? releases.get(idOrVersion as ReleaseId)
      : /^v?\d{1,9}$/.test(idOrVersion)
        ? releases.findByVersion(app.id, Number(idOrVersion.replace('v', '')))
        : undefined;
    if (release?.appId !== app.id) throw notFound('release');
    return release;
  }

  /**
   * Makes the next release and has it run. To be called inside the transaction of what it is made for, or alone.
   * The log lines and the restart follow from it.
   */
  create(actor: Actor, app: App, input: NewReleaseInput): Release {
    const { store, clock, newId, logplex, dynoManager, changed } = this.#context;
    const release = store.transaction(() => {
      const now = clock.now();
      const created = store.releases.insert({
        id: newId() as ReleaseId,
        appId: app.id,
        description: input.description,
        status: 'succeeded',
        slugId: input.slugId === undefined ? (store.releases.current(app.id)?.slugId ?? null) : input.slugId,
        configVars: input.configVars ?? store.configVars.get(app.id),
        addonPlanNames: [],
        user: { id: actor.id, email: actor.email },
        createdAt: now,
        updatedAt: now,
      });
      const latest = store.apps.get(app.id);
      if (latest !== undefined) store.apps.update({ ...latest, releasedAt: now, updatedAt: now });
      record(this.#context, app.id, actor, 'release.create', {
        version: created.version,
        description: created.description,
      });
      return created;
    });
    store.afterCommit(() => {
      logplex.api(app.id, `${release.description} by user ${actor.email}`);
      logplex.api(app.id, `Release v${release.version} created by user ${actor.email}`);
      dynoManager.kick(app.id);
      changed(app.id);
    });
    return release;
  }

  /**
   * Puts a freshly built slug into service: the slug's row, the formation of its process types (the first deploy
   * with a web type scales web=1, Dev Center "Scaling") and the release, all or nothing. `alongside` runs in the
   * same transaction, e.g. to close the build's row.
   */
  deploy(actor: Actor, app: App, slug: Slug, alongside?: (release: Release) => void): Release {
    const { store } = this.#context;
    const scaled: string[] = [];
    const release = store.transaction(() => {
      const first = !store.releases.of(app.id).some((earlier) => earlier.slugId !== null);
      store.slugs.insert(slug);
      scaled.push(...this.#updateFormation(app, slug.processTypes, first));
      const now = this.#context.clock.now();
      const latest = store.apps.get(app.id) ?? app;
      store.apps.update({
        ...latest,
        stack: slug.stack,
        slugSize: slug.size,
        buildpackProvidedDescription: slug.buildpackProvidedDescription,
        updatedAt: now,
      });
      const created = this.create(actor, app, {
        description: slug.commit === null ? 'Deploy' : describeDeploy(slug.commit),
        slugId: slug.id,
      });
      alongside?.(created);
      return created;
    });
    if (scaled.length > 0) {
      this.#context.logplex.api(app.id, `Scaled to ${scaled.join(' ')} by user ${actor.email}`);
    }
    return release;
  }

  /** A new release with the slug and config vars of an earlier one. */
  rollback(actor: Actor, app: App, idOrVersion: string): Release {
    const { store } = this.#context;
    const target = this.find(app, idOrVersion);
    const current = store.releases.current(app.id);
    if (target.status === 'expired') throw slugExpired(target);
    if (target.status !== 'succeeded') {
      throw invalidParams(`Cannot roll back to v${target.version}, since it did not succeed.`);
    }
    if (target.slugId === null) {
      throw invalidParams(`Cannot roll back to v${target.version}, since it had no app code deployed.`);
    }
    if (target.id === current?.id) {
      throw invalidParams(`v${target.version} is the current release; nothing to roll back.`);
    }
    return store.transaction(() => {
      const slug = store.slugs.get(target.slugId as SlugId);
      if (slug === undefined) throw slugExpired(target);
      store.configVars.replace(app.id, target.configVars);
      this.#updateFormation(app, slug.processTypes, false);
      return this.create(actor, app, {
        description: `Rollback to v${target.version}`,
        slugId: target.slugId,
        configVars: target.configVars,
      });
    });
  }

  /** Releases a slug of this app again, e.g. one made through the API. */
  createFromSlug(actor: Actor, app: App, slugId: string, description?: string): Release {
    const { store } = this.#context;
    const slug = isUuid(slugId) ? store.slugs.get(slugId as SlugId) : undefined;
    if (slug?.appId !== app.id) throw notFound('slug');
    const expired = this.list(app).find(
      (release) => release.slugId === slug.id && release.status === 'expired',
    );
    if (expired !== undefined) throw slugExpired(expired);
    return store.transaction(() => {
      this.#updateFormation(app, slug.processTypes, !this.#everDeployed(app));
      return this.create(actor, app, {
        description: description ?? (slug.commit === null ? 'Deploy' : describeDeploy(slug.commit)),
        slugId: slug.id,
      });
    });
  }

  #everDeployed(app: App): boolean {
    return this.list(app).some((release) => release.slugId !== null);
  }

  /**
   * The formation follows the slug's process types: new ones come at 0 (web at 1 with the first deploy), those
   * that are gone leave. Answers `type@quantity:Size` of each when something was scaled.
   */
  #updateFormation(app: App, processTypes: ProcessTypes, firstDeploy: boolean): string[] {
    const { store, clock, newId, settings } = this.#context;
    const existing = new Map(store.formations.of(app.id).map((formation) => [formation.type, formation]));
    const now = clock.now();
    const scaled: string[] = [];
    for (const type of existing.keys()) {
      if (!Object.hasOwn(processTypes, type)) store.formations.delete(app.id, type);
    }
    for (const type of Object.keys(processTypes).sort()) {
      const known = existing.get(type);
      const quantity = known?.quantity ?? (firstDeploy && type === 'web' ? 1 : 0);
      const size = known?.size ?? settings.defaultDynoSize;
      if (known === undefined) {
        store.formations.save({
          id: newId() as FormationId,
          appId: app.id,
          type,
          quantity,
          size,
          createdAt: now,
          updatedAt: now,
        });
      }
      scaled.push(`${type}@${quantity}:${dynoSize(size).title}`);
    }
    return firstDeploy && Object.hasOwn(processTypes, 'web') ? scaled : [];
  }
}

/** Its archive and image were reclaimed (platform/reclaim). */
function slugExpired({ version }: Release): PlatformError {
  return new PlatformError('gone', `The slug of v${version} has expired.`, 'slug');
}
