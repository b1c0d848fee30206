import type { Actor } from './account';
import type { ConfigVars } from './config-vars';
import type { AppId, ReleaseId, SlugId } from './ids';

export type ReleaseStatus = 'pending' | 'succeeded' | 'failed' | 'expired';

/** Slug + config vars + add-ons, immutable and numbered. Only its status changes. */
export interface Release {
  id: ReleaseId;
  appId: AppId;
  /** 1, 2, 3 … without gaps, per app. */
  version: number;
  description: string;
  status: ReleaseStatus;
  slugId: SlugId | null;
  configVars: ConfigVars;
  addonPlanNames: readonly string[];
  user: Actor;
  /** The newest succeeded release is the one that runs. */
  current: boolean;
  createdAt: Date;
  updatedAt: Date;
}

/** `Deploy 2c3a0b2d` */
export function describeDeploy(commit: string): string {
  return `Deploy ${commit.slice(0, 8)}`;
}
