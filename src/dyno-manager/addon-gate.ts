import type { AppId } from '../domain/ids';

/** What the dynos' reconciler has to know of the add-ons of an app: those attached to it, whoever owns them. */
export interface AddOnGate {
  /** Names of those that are provisioned and do not serve just now; only ones with a container. */
  missing(appId: AppId): readonly string[];
  /** Dynos wait for them: bring them up soon. Whoever is waited for tells when it serves. */
  need(appId: AppId): void;
}
