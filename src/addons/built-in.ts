import { bucketeer } from './bucketeer';
import { cloudmailin, mailgun } from './mail';
import { mariadb } from './mariadb';
import { memcached } from './memcached';
import { postgres } from './postgres';
import type { AddOnProvider } from './provider';
import { rabbitmq } from './rabbitmq';
import { redis } from './redis';
import { scheduler } from './scheduler';

/** The services that come with dynodock: one file each. */
export const BUILT_IN_PROVIDERS: readonly AddOnProvider[] = [
  postgres,
  redis,
  mariadb,
  memcached,
  rabbitmq,
  bucketeer,
  cloudmailin,
  mailgun,
  scheduler,
];
