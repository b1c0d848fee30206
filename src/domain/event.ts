import type { AppId } from './ids';

/** The audit trail: one row for each change of state, written in the same transaction as the change. */
export interface Event {
  id: number;
  appId: AppId | null;
  /** `app.create`, `release.create`, `dyno.state` … */
  kind: string;
  /** Facts for readers; never a secret. */
  payload: Readonly<Record<string, unknown>>;
  actor: string;
  at: Date;
}
