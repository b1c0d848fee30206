import type { AppId, SlugId } from './ids';
import type { ProcessTypes } from './procfile';
import type { StackName } from './stack';

/** What the dynos of one process type run on a release of the container stack. */
export interface ProcessImage {
  /** The name under which the engine keeps it for this app. */
  reference: string;
  /** `sha256:<hex>`, as whoever released it knows it. */
  id: string;
  /** Program and arguments in place of the image's own; null = what the image says. */
  argv: readonly string[] | null;
  /** Its own user is root, which no dyno is. */
  runsAsRoot: boolean;
}

/** By process type. */
export type ProcessImages = Readonly<Record<string, ProcessImage>>;

/** A built app: what an image is made of; or, on the container stack, the images that somebody else has made. */
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
  /** Of the container stack alone: its images. There is no archive then; `checksum`, `size` and `image` speak of these. */
  images?: ProcessImages;
  /** Was its archive made elsewhere? Such a one is put in order whenever an image is made of it. Absent = no. */
  uploaded?: boolean;
  /** The slug of another app that it is a copy of; that one may be gone. */
  copiedFrom?: SlugId | null;
  createdAt: Date;
  updatedAt: Date;
}

/** All references of engine images that its dynos may need. */
export function imagesOf(slug: Pick<Slug, 'image' | 'images'>): string[] {
  if (slug.images === undefined) return [slug.image];
  return [...new Set(Object.values(slug.images).map(({ reference }) => reference))];
}
