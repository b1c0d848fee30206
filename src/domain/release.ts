import type { Actor } from './account';
import type { ConfigVars } from './config-vars';
import type { AppId, ReleaseId, SlugId } from './ids';

/**
 * - `pending`: its release command is to run or runs, or an earlier release is pending
 * - `succeeded`: it took effect
 * - `failed`: its release command failed; it never took effect
 * - `expired`: its slug is gone
 */
export type ReleaseStatus = 'pending' | 'succeeded' | 'failed' | 'expired';

/** Slug + config vars + add-ons, numbered; immutable once it is not `pending` any more. */
export interface Release {
  id: ReleaseId;
  appId: AppId;
  /** 1, 2, 3 … without gaps, per app. */
  version: number;
  description: string;
  status: ReleaseStatus;
  /** A pending one without a slug takes that of the release before it, once its turn comes. */
  slugId: SlugId | null;
  /** The release command that has to succeed before the release takes effect; null = none. */
  command: string | null;
  configVars: ConfigVars;
  addonPlanNames: readonly string[];
  /** Which of its config vars were of attachments. */
  attachmentVars: readonly string[];
  user: Actor;
  /** The newest succeeded release is the one that runs. */
  current: boolean;
  createdAt: Date;
  updatedAt: Date;
}

/** The process type that runs once per release, before it takes effect (Dev Center "Release Phase"). */
export const RELEASE_TYPE = 'release';

/**
 * Add-ons make releases when they change their own config vars; no release command runs for those (Dev Center
 * "Release Phase"). Their user is e.g. `heroku-redis@addons.heroku.com`.
 */
export function isMadeByAddOn({ user }: Pick<Release, 'user'>): boolean {
  return user.email.endsWith('@addons.heroku.com');
}

/** `Deploy 2c3a0b2d` */
export function describeDeploy(commit: string): string {
  return `Deploy ${commit.slice(0, 8)}`;
}
