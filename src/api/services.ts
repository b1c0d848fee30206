import type { AccountService } from '../platform/account/account';
import type { AddOns } from '../platform/addons/addons';
import type { PageSessions } from '../platform/addons/page-sessions';
import type { AppFeatures } from '../platform/app-features/app-features';
import type { AppSetups } from '../platform/app-setups/app-setups';
import type { Apps } from '../platform/apps/apps';
import type { Authorizations } from '../platform/authorizations/authorizations';
import type { BlobUrls } from '../platform/blobs/blob-urls';
import type { BuildpackInstallations } from '../platform/buildpack-installations/buildpack-installations';
import type { Builds } from '../platform/builds/builds';
import type { ConfigVarsService } from '../platform/config-vars/config-vars';
import type { ContainerReleases } from '../platform/container-releases/container-releases';
import type { Domains } from '../platform/domains/domains';
import type { DynoHours } from '../platform/dyno-hours/dyno-hours';
import type { Dynos } from '../platform/dynos/dynos';
import type { OneOffService } from '../platform/dynos/one-offs';
import type { FormationService } from '../platform/formation/formation';
import type { LogSessions } from '../platform/log-sessions/log-sessions';
import type { Redis } from '../platform/redis/redis';
import type { Partners } from '../platform/addons/partners/partners';
import type { Postgres } from '../platform/postgres/postgres';
import type { Reclaim } from '../platform/reclaim/reclaim';
import type { Releases } from '../platform/releases/releases';
import type { ScheduledJobs } from '../platform/scheduler/scheduled-jobs';
import type { Sleep } from '../platform/sleep/sleep';
import type { Slugs } from '../platform/slugs/slugs';
import type { Sources } from '../platform/sources/sources';
import type { SniEndpoints } from '../platform/sni-endpoints/sni-endpoints';

/** The use cases behind the endpoints. */
export interface ApiServices {
  account: AccountService;
  addons: AddOns;
  apps: Apps;
  appFeatures: AppFeatures;
  appSetups: Pick<AppSetups, 'create' | 'find'>;
  authorizations: Authorizations;
  blobUrls: Pick<BlobUrls, 'verify'>;
  builds: Pick<Builds, 'list' | 'find' | 'outputStream' | 'create' | 'cancel' | 'purgeCache'>;
  buildpackInstallations: BuildpackInstallations;
  configVars: ConfigVarsService;
  containerReleases: Pick<ContainerReleases, 'update' | 'build'>;
  domains: Domains;
  dynoHours: DynoHours;
  dynos: Dynos;
  formation: FormationService;
  logSessions: LogSessions;
  oneOffs: OneOffService;
  pageSessions: PageSessions;
  partners: Partners;
  postgres: Postgres;
  redis: Redis;
  reclaim: Pick<Reclaim, 'plan' | 'run'>;
  releases: Releases;
  scheduledJobs: ScheduledJobs;
  sleep: Sleep;
  slugs: Slugs;
  sources: Sources;
  sniEndpoints: SniEndpoints;
}

/** A buildpack that comes with dynodock, by its registry name. */
export interface BundledBuildpack {
  /** `heroku/nodejs` */
  name: string;
  description: string;
  /** Markdown. */
  readme: string;
  /** `sha256:<hex>` of its files. */
  revision: string;
  /** Of the newest of its files. */
  updatedAt: Date;
}
