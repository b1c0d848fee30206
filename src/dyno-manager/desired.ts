import type { DynoSizeName } from '../domain/dyno-size';
import type { Formation } from '../domain/formation';
import type { ReleaseId } from '../domain/ids';
import type { Release } from '../domain/release';
import type { Slug } from '../domain/slug';

/** A dyno that the formation wants to run. */
export interface DesiredDyno {
  type: string;
  number: number;
  releaseId: ReleaseId;
  releaseVersion: number;
  size: DynoSizeName;
  command: string;
}

/** What the current release and the formation ask for. Without code there is nothing to run. */
export function desiredDynos(
  release: Release | undefined,
  slug: Slug | undefined,
  formations: readonly Formation[],
): DesiredDyno[] {
  if (release === undefined || slug === undefined) return [];
  return formations.flatMap((formation) => {
    const command = slug.processTypes[formation.type];
    if (command === undefined) return [];
    return Array.from({ length: formation.quantity }, (_, index) => ({
      type: formation.type,
      number: index + 1,
      releaseId: release.id,
      releaseVersion: release.version,
      size: formation.size,
      command,
    }));
  });
}
