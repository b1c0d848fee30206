import type { AppId, DynoId } from '../domain/ids';
import { APP_LABEL, DYNO_LABEL, ownedLabels } from '../engine/labels';
import type { ContainerEngine, ContainerId, ContainerInfo } from '../engine/engine';

/** A dyno's container as the engine shows it. */
export interface ObservedContainer {
  id: ContainerId;
  dynoId: DynoId;
  state: ContainerInfo['state'];
  exitCode: number | null;
  /** The kernel ended it at its memory limit. */
  oomKilled: boolean;
  createdAt: Date;
  finishedAt: Date | null;
  endpoint: { host: string; port: number } | null;
}

/** The app's dyno containers of this installation, in any state. */
export async function observeApp(
  engine: ContainerEngine,
  installationId: string,
  appId: AppId,
): Promise<ObservedContainer[]> {
  const containers = await engine.list(ownedLabels(installationId, 'dyno', { [APP_LABEL]: appId }));
  return containers.map(toObserved);
}

/** The same of all apps that have any, known to the store or not. */
export async function observeAll(
  engine: ContainerEngine,
  installationId: string,
): Promise<Map<AppId, ObservedContainer[]>> {
  const byApp = new Map<AppId, ObservedContainer[]>();
  for (const container of await engine.list(ownedLabels(installationId, 'dyno'))) {
    const appId = container.labels[APP_LABEL] as AppId | undefined;
    if (appId === undefined) continue;
    const ofApp = byApp.get(appId) ?? [];
    byApp.set(appId, [...ofApp, toObserved(container)]);
  }
  return byApp;
}

function toObserved(container: ContainerInfo): ObservedContainer {
  return {
    id: container.id,
    dynoId: (container.labels[DYNO_LABEL] ?? '') as DynoId,
    state: container.state,
    exitCode: container.exitCode ?? null,
    oomKilled: container.oomKilled ?? false,
    createdAt: container.createdAt,
    finishedAt: container.finishedAt ?? null,
    endpoint: container.endpoint ?? null,
  };
}
