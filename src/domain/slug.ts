import type { AppId, SlugId } from './ids';
import type { ProcessTypes } from './procfile';
import type { StackName } from './stack';

/** A built app: what an image is made of. */
export interface Slug {
  id: SlugId;
  appId: AppId;
  stack: StackName;
  commit: string | null;
  commitDescription: string | null;
  processTypes: ProcessTypes;
  buildpackProvidedDescription: string | null;
  /** `SHA256:<hex>` of the archive. */
  checksum: string;
  /** Bytes of the gzipped archive. */
  size: number;
  /** Engine image reference: stack plus this slug as one layer. */
  image: string;
  createdAt: Date;
  updatedAt: Date;
}
