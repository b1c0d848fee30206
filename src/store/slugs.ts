import type { AppId, SlugId } from '../domain/ids';
import type { ProcessTypes } from '../domain/procfile';
import type { Release } from '../domain/release';
import type { ProcessImages, Slug } from '../domain/slug';
import type { StackName } from '../domain/stack';
import { date, flag, integer, json, text, textOrNull } from './columns';
import type { Database, Row, Statement } from './database';

export class SlugStore {
  readonly #insert: Statement;
  readonly #setImage: Statement;
  readonly #byId: Statement;
  readonly #ofApp: Statement;
  readonly #copy: Statement;

  constructor(database: Database) {
    this.#insert =
      database.prepare(`INSERT INTO slugs (id, app_id, stack, commit_sha, commit_description, process_types,
        buildpack_provided_description, checksum, size, image, images, uploaded, copied_from, created_at,
        updated_at)
      VALUES (@id, @appId, @stack, @commit, @commitDescription, @processTypes, @buildpackProvidedDescription,
        @checksum, @size, @image, @images, @uploaded, @copiedFrom, @createdAt, @updatedAt)`);
    this.#setImage = database.prepare(
      'UPDATE slugs SET image = @image, updated_at = @updatedAt WHERE id = @id',
    );
    this.#byId = database.prepare('SELECT * FROM slugs WHERE id = @id');
    this.#ofApp = database.prepare('SELECT * FROM slugs WHERE app_id = @appId ORDER BY created_at, id');
    this.#copy = database.prepare(
      'SELECT * FROM slugs WHERE app_id = @appId AND copied_from = @id ORDER BY created_at DESC LIMIT 1',
    );
  }

  insert(slug: Slug): void {
    this.#insert.run({
      ...slug,
      processTypes: JSON.stringify(slug.processTypes),
      images: slug.images === undefined ? null : JSON.stringify(slug.images),
      uploaded: slug.uploaded === true ? 1 : 0,
      copiedFrom: slug.copiedFrom ?? null,
      createdAt: slug.createdAt.getTime(),
      updatedAt: slug.updatedAt.getTime(),
    });
  }

  /** Made again on another version of its stack, a slug's image has another reference. */
  setImage(id: SlugId, image: string, at: Date): void {
    this.#setImage.run({ id, image, updatedAt: at.getTime() });
  }

  get(id: SlugId): Slug | undefined {
    const row = this.#byId.get({ id });
    return row === undefined ? undefined : toSlug(row);
  }

  /** Its code; undefined where there is no release, or none with code. */
  ofRelease(release: Pick<Release, 'slugId'> | undefined): Slug | undefined {
    return release?.slugId == null ? undefined : this.get(release.slugId);
  }

  /** What the app has of another app's slug. */
  copyOf(id: SlugId, appId: AppId): Slug | undefined {
    const row = this.#copy.get({ id, appId });
    return row === undefined ? undefined : toSlug(row);
  }

  of(appId: AppId): Slug[] {
    return this.#ofApp.all({ appId }).map(toSlug);
  }
}

function toSlug(row: Row): Slug {
  return {
    id: text(row, 'id') as SlugId,
    appId: text(row, 'app_id') as AppId,
    stack: text(row, 'stack') as StackName,
    commit: textOrNull(row, 'commit_sha'),
    commitDescription: textOrNull(row, 'commit_description'),
    processTypes: json(row, 'process_types') as ProcessTypes,
    buildpackProvidedDescription: textOrNull(row, 'buildpack_provided_description'),
    checksum: text(row, 'checksum'),
    size: integer(row, 'size'),
    image: text(row, 'image'),
    ...(row['images'] === null ? {} : { images: json(row, 'images') as ProcessImages }),
    uploaded: flag(row, 'uploaded'),
    copiedFrom: textOrNull(row, 'copied_from') as SlugId | null,
    createdAt: date(row, 'created_at'),
    updatedAt: date(row, 'updated_at'),
  };
}
