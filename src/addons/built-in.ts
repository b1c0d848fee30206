import { bucketeer } from './bucketeer';
import { cloudmailin, mailgun } from './mail';
import { postgres } from './postgres';
import type { AddOnProvider } from './provider';
import { redis } from './redis';

/** The services that come with dynodock: one file each. */
export const BUILT_IN_PROVIDERS: readonly AddOnProvider[] = [
  postgres,
  redis,
  bucketeer,
  cloudmailin,
  mailgun,
];
