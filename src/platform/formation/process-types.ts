import type { App } from '../../domain/app';
import { dynoSize } from '../../domain/dyno-size';
import type { AppId, FormationId } from '../../domain/ids';
import type { ProcessTypes } from '../../domain/procfile';
import type { PlatformContext } from '../context';

/**
 * Process types that the formation does not have come at 0, with the first deploy web at 1 (Dev Center "Scaling").
 * Answers `type@quantity:Size` of each when something was scaled.
 */
export function addProcessTypes(
  { store, clock, newId, settings }: PlatformContext,
  app: App,
  processTypes: ProcessTypes,
  firstDeploy: boolean,
): string[] {
  const existing = new Map(store.formations.of(app.id).map((formation) => [formation.type, formation]));
  const now = clock.now();
  const scaled: string[] = [];
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

/** Those that the code does not have any more leave the formation. */
export function dropOtherProcessTypes(
  { store }: PlatformContext,
  appId: AppId,
  processTypes: ProcessTypes,
): void {
  for (const { type } of store.formations.of(appId)) {
    if (!Object.hasOwn(processTypes, type)) store.formations.delete(appId, type);
  }
}
