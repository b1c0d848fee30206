import type { Actor } from '../domain/account';
import type { App } from '../domain/app';
import type { Build } from '../domain/build';
import type { BuildId } from '../domain/ids';
import type { AccountService } from '../platform/account/account';
import type { AppFeatures } from '../platform/app-features/app-features';
import type { Apps } from '../platform/apps/apps';
import type { Authorizations } from '../platform/authorizations/authorizations';
import type { BuildpackInstallations } from '../platform/buildpack-installations/buildpack-installations';
import type { ConfigVarsService } from '../platform/config-vars/config-vars';
import type { Domains } from '../platform/domains/domains';
import type { DynoHours } from '../platform/dyno-hours/dyno-hours';
import type { Dynos } from '../platform/dynos/dynos';
import type { OneOffService } from '../platform/dynos/one-offs';
import type { FormationService } from '../platform/formation/formation';
import type { LogSessions } from '../platform/log-sessions/log-sessions';
import type { Reclaim } from '../platform/reclaim/reclaim';
import type { Releases } from '../platform/releases/releases';
import type { Sleep } from '../platform/sleep/sleep';
import type { Slugs } from '../platform/slugs/slugs';
import type { SniEndpoints } from '../platform/sni-endpoints/sni-endpoints';

/** The use cases behind the endpoints. */
export interface ApiServices {
  account: AccountService;
  apps: Apps;
  appFeatures: AppFeatures;
  authorizations: Authorizations;
  builds: BuildReader;
  buildpackInstallations: BuildpackInstallations;
  configVars: ConfigVarsService;
  domains: Domains;
  dynoHours: DynoHours;
  dynos: Dynos;
  formation: FormationService;
  logSessions: LogSessions;
  oneOffs: OneOffService;
  reclaim: Pick<Reclaim, 'plan' | 'run'>;
  releases: Releases;
  sleep: Sleep;
  slugs: Slugs;
  sniEndpoints: SniEndpoints;
}

/** What the API needs of builds. */
export interface BuildReader {
  list(app: App): Build[];
  /** Throws not_found. */
  find(app: App, id: string): Build;
  /** What the build has printed so far and then, until it ends, prints; undefined when that is no longer known. */
  outputStream(id: BuildId): AsyncIterable<Buffer> | undefined;
  /** Throws conflict while a build uses it. */
  purgeCache(actor: Actor, app: App): Promise<void>;
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
