import type { App } from '../../domain/app';
import { notFound } from '../../domain/errors';
import { isUuid, type SlugId } from '../../domain/ids';
import type { Slug } from '../../domain/slug';
import type { PlatformContext } from '../context';

export class Slugs {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(app: App): Slug[] {
    return this.#context.store.slugs.of(app.id).filter(({ images }) => images === undefined);
  }

  find(app: App, id: string): Slug {
    const slug = isUuid(id) ? this.#context.store.slugs.get(id as SlugId) : undefined;
    // What releases of images consist of is no slug to the API.
    if (slug?.appId !== app.id || slug.images !== undefined) throw notFound('slug');
    return slug;
  }
}
