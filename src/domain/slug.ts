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
  /** Was its archive made elsewhere? Such a one is put in order whenever an image is made of it. Absent = no. */
  uploaded?: boolean;
  /** The slug of another app that it is a copy of; that one may be gone. */
  copiedFrom?: SlugId | null;
  createdAt: Date;
  updatedAt: Date;
}
