import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { planName } from '../../domain/addon';
import { withoutKeys } from '../../domain/config-vars';
import { invalidParams, notFound, PlatformError } from '../../domain/errors';
import type { ReleaseId, SlugId } from '../../domain/ids';
import { isUuid } from '../../domain/ids';
import { describeDeploy, type Release } from '../../domain/release';
import type { Slug } from '../../domain/slug';
import { record, type PlatformContext } from '../context';
import { addProcessTypes } from '../formation/process-types';
import type { ReleasePhase } from './release-phase';

export interface NewReleaseInput {
  description: string;
  /** Absent: that of the release before it. */
  slugId?: SlugId;
}

/** Slug + config vars + add-ons, numbered (Dev Center "Releases"). */
export class Releases {
  readonly #context: PlatformContext;
  readonly #phase: ReleasePhase;

  constructor(context: PlatformContext, phase: ReleasePhase) {
    this.#context = context;
    this.#phase = phase;
  }

  /** What its release command prints; undefined for one that has none. */
  outputStream(id: ReleaseId): AsyncIterable<Buffer> | undefined {
    return this.#phase.outputStream(id);
  }

  /** Is it made of images (stack `container`), and not of a slug? */
  isOfImages(release: Release): boolean {
    return this.#context.store.slugs.ofRelease(release)?.images !== undefined;
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
   * Makes the next release, which takes effect at once, or when its turn comes and its release command has succeeded
   * (`ReleasePhase`). To be called inside the transaction of what it is made for, or alone. The log lines and the
   * restart follow from it.
   */
  create(actor: Actor, app: App, input: NewReleaseInput): Release {
    const { store, clock, newId, logplex } = this.#context;
    return store.transaction(() => {
      const now = clock.now();
      const user = { id: actor.id, email: actor.email };
      const slug = input.slugId === undefined ? undefined : store.slugs.get(input.slugId);
      const created = store.releases.insert({
        id: newId() as ReleaseId,
        appId: app.id,
        description: input.description,
        status: 'pending',
        slugId: input.slugId ?? null,
        command: this.#phase.commandOf({ user }, slug),
        configVars: store.configVars.get(app.id),
        addonPlanNames: store.addons.of(app.id).map(planName),
        attachmentVars: [...store.configVars.owners(app.id).keys()],
        user,
        createdAt: now,
        updatedAt: now,
      });
      record(this.#context, app.id, actor, 'release.create', {
        version: created.version,
        description: created.description,
      });
      store.afterCommit(() => logplex.api(app.id, `${created.description} by user ${actor.email}`));
      this.#phase.expect(created);
      this.#phase.advance(app.id);
      return store.releases.get(created.id) ?? created;
    });
  }

  /**
   * Releases a freshly built slug: the slug's row, the process types that are new to the formation (the first deploy
   * with a web type scales web=1, Dev Center "Scaling") and the release, all or nothing. `alongside` runs in the same
   * transaction, e.g. to close the build's row.
   */
  deploy(
    actor: Actor,
    app: App,
    slug: Slug,
    alongside?: (release: Release) => void,
    description = slug.commit === null ? 'Deploy' : describeDeploy(slug.commit),
  ): Release {
    const { store } = this.#context;
    const scaled: string[] = [];
    const release = store.transaction(() => {
      const first = !this.#everDeployed(app);
      store.slugs.insert(slug);
      scaled.push(...addProcessTypes(this.#context, app, slug.processTypes, first));
      const created = this.create(actor, app, { description, slugId: slug.id });
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
    const isNewest = store.releases.pending(app.id).length === 0;
    if (target.id === current?.id && isNewest) {
      throw invalidParams(`v${target.version} is the current release; nothing to roll back.`);
    }
    return store.transaction(() => {
      const slug = store.slugs.get(target.slugId as SlugId);
      if (slug === undefined) throw slugExpired(target);
      // What attachments give stays as it is: neither their values of that time nor those of add-ons that are gone.
      store.configVars.replace(app.id, withoutKeys(target.configVars, target.attachmentVars));
      addProcessTypes(this.#context, app, slug.processTypes, false);
      return this.create(actor, app, {
        description: `Rollback to v${target.version}`,
        slugId: slug.id,
      });
    });
  }

  /** Releases a slug of this app again, e.g. one made through the API. */
  createFromSlug(actor: Actor, app: App, slugId: string, description?: string): Release {
    const { store } = this.#context;
    const slug = isUuid(slugId) ? store.slugs.get(slugId as SlugId) : undefined;
    if (slug?.appId !== app.id || slug.images !== undefined) throw notFound('slug');
    const expired = this.list(app).find(
      (release) => release.slugId === slug.id && release.status === 'expired',
    );
    if (expired !== undefined) throw slugExpired(expired);
    return store.transaction(() => {
      const scaled = addProcessTypes(this.#context, app, slug.processTypes, !this.#everDeployed(app));
      if (scaled.length > 0) {
        store.afterCommit(() => {
          this.#context.logplex.api(app.id, `Scaled to ${scaled.join(' ')} by user ${actor.email}`);
        });
      }
      return this.create(actor, app, {
        description: description ?? (slug.commit === null ? 'Deploy' : describeDeploy(slug.commit)),
        slugId: slug.id,
      });
    });
  }

  /** Releases the images of the newest deploy again. Throws invalid_params where there is none, or it is a slug. */
  repeatImages(actor: Actor, app: App, description: string | undefined): Release {
    const newest = this.list(app).findLast(({ slugId }) => slugId !== null);
    const code = this.#context.store.slugs.ofRelease(newest);
    if (code?.images === undefined || description === undefined) {
      throw invalidParams('Parameter slug is required.');
    }
    if (newest?.status === 'expired') throw slugExpired(newest);
    return this.create(actor, app, { description, slugId: code.id });
  }

  #everDeployed(app: App): boolean {
    return this.list(app).some((release) => release.slugId !== null);
  }
}

/** Its archive and image were reclaimed (platform/reclaim). */
function slugExpired({ version }: Release): PlatformError {
  return new PlatformError('gone', `The slug of v${version} has expired.`, 'slug');
}
