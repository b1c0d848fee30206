import type { Slug } from './slug';

/**
 * A slug that is made elsewhere: announced first, then uploaded (Dev Center "Deploying Slugs using the Platform API").
 * Its first release makes it a Slug with the same id.
 */
export interface SlugUpload extends Pick<
  Slug,
  | 'id'
  | 'appId'
  | 'stack'
  | 'commit'
  | 'commitDescription'
  | 'processTypes'
  | 'buildpackProvidedDescription'
  | 'createdAt'
  | 'updatedAt'
> {
  /** `SHA256:<hex>` that the client expects; null = it did not say. */
  checksum: string | null;
  /** Bytes of the uploaded archive; null as long as there is none. */
  size: number | null;
}
