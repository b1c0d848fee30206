import type { App } from '../../domain/app';
import { nameOf, type DiskFigures, type ReclaimReport } from '../../platform/reclaim/reclaim';
import { presentAppReference } from './app';

export function presentReclaimReport(
  { items, before, after }: ReclaimReport,
  dryRun: boolean,
  apps: readonly App[],
): Record<string, unknown> {
  const byId = new Map(apps.map((app) => [app.id, app]));
  return {
    dry_run: dryRun,
    items: items.map(({ thing, action, outcome, reason }) => {
      const app = 'appId' in thing ? byId.get(thing.appId) : undefined;
      return {
        kind: thing.kind,
        name: nameOf(thing),
        app: app === undefined ? null : presentAppReference(app),
        bytes: thing.bytes,
        action,
        outcome,
        reason,
      };
    }),
    disk: { before: presentFigures(before), after: after === null ? null : presentFigures(after) },
  };
}

function presentFigures({ images, caches, files }: DiskFigures): Record<string, number | null> {
  return { images_bytes: images, caches_bytes: caches, files_bytes: files };
}
