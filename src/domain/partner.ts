import type { AddOnId } from './ids';

export type PartnerEnvironment = 'production' | 'test';

/** A service of the Add-on Partner API, as the user has registered it. */
export interface PartnerService {
  service: string;
  /** JSON, with its secrets. */
  manifest: string;
  /** Whose URLs of the manifest are called. */
  environment: PartnerEnvironment;
  /** By which the partner exchanges grants for tokens. */
  clientSecret: string;
  /** Its name in the folder of services; null: it was registered by a command. */
  file: string | null;
  createdAt: Date;
  updatedAt: Date;
}

/**
 * What an add-on is to its partner:
 *
 * - `asking`: it is to be provisioned there; whether the partner has heard of it is not known once `attempts` > 0
 * - `accepted`: the partner is at work (202), and will say when it is done, until `deadline`
 * - `held`: provisioned there; with a `wantedPlan` a change of plan is owed
 * - `leaving`: to be given up; repeated until the partner acknowledges it
 * - `parting`: the partner is at work on that (202); after `deadline` it is asked again
 * - `gone`: nothing is left there, or never was; stays as long as the add-on's row
 *
 * asking → accepted → held → leaving → parting → gone, where each of the first three may go straight to `leaving`
 * (destroyed, or given up), `asking` to `held` (it answered at once) or `gone` (it refused, or never was asked), and
 * `leaving` to `gone`. There is no way back but from `parting` to `leaving`.
 */
export type PartnerPhase = 'asking' | 'accepted' | 'held' | 'leaving' | 'parting' | 'gone';

export interface PartnerResource {
  addonId: AddOnId;
  service: string;
  phase: PartnerPhase;
  /** The partner's own id of it; only version 1 of the API uses it in URLs. */
  providerId: string | null;
  /** A plan that the partner is to be told. */
  wantedPlan: string | null;
  /** Requests of what is owed in this phase that were sent, or may have been: counted before they are. */
  attempts: number;
  /** null: at once. */
  nextAttemptAt: Date | null;
  deadline: Date | null;
  /** Why the last request came to nothing; never a secret. */
  problem: string | null;
  /** By which the partner writes to the app's log. */
  logToken: string;
  createdAt: Date;
}

/** Tokens of one add-on, by which its partner uses the Platform API. Kept are only their SHA-256. */
export interface PartnerToken {
  id: string;
  addonId: AddOnId;
  expiresAt: Date;
}
