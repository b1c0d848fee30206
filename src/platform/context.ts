import type { Actor } from '../domain/account';
import type { AppId } from '../domain/ids';
import type { DynoSizeName } from '../domain/dyno-size';
import type { DynoManager } from '../dyno-manager/dyno-manager';
import type { Clock } from '../lib/clock';
import type { Logplex } from '../logplex/logplex';
import type { Store } from '../store/store';

/** What every use case works with. */
export interface PlatformContext {
  store: Store;
  clock: Clock;
  logplex: Logplex;
  dynoManager: DynoManager;
  /** A fresh UUID. */
  newId: () => string;
  /** [0, 1) */
  random: () => number;
  settings: PlatformSettings;
  /** Tells whoever shows or routes the app that it has changed. */
  changed: (appId: AppId) => void;
}

export interface PlatformSettings {
  /** Of new process types. */
  defaultDynoSize: DynoSizeName;
  /** `demo` is reached as `demo.<domain>`. */
  appDomain: string;
  /** Port of the router, for URLs. */
  routerHttpPort: number;
  /** Heroku's limits of dynos per size. */
  herokuLimits: boolean;
  /** Port of the API and git. */
  apiPort: number;
}

/** Appends to the audit trail; call it inside the transaction of the change. */
export function record(
  context: PlatformContext,
  appId: AppId,
  actor: Actor,
  kind: string,
  payload: Record<string, unknown> = {},
): void {
  context.store.events.append({ appId, kind, payload, actor: actor.email, at: context.clock.now() });
}
