import express, { type Express } from 'express';
import type { Clock } from '../lib/clock';
import type { Logger } from '../lib/logger';
import { requireAccount } from './auth';
import { renderErrors, unknownEndpoint } from './errors';
import { commonHeaders, requireVersion3 } from './headers';
import { limitRate, RateLimit } from './rate-limit';
import { accountRoutes } from './routes/account';
import { addonAttachmentRoutes } from './routes/addon-attachments';
import { addonServiceRoutes } from './routes/addon-services';
import { addonRoutes } from './routes/addons';
import { appFeatureRoutes } from './routes/app-features';
import { appSetupRoutes } from './routes/app-setups';
import { appRoutes } from './routes/apps';
import { authorizationRoutes } from './routes/authorizations';
import { blobRoutes } from './routes/blobs';
import { buildRoutes } from './routes/builds';
import { buildpackInstallationRoutes } from './routes/buildpack-installations';
import { buildpackRegistryRoutes } from './routes/buildpack-registry';
import { collaboratorRoutes } from './routes/collaborators';
import { configVarRoutes } from './routes/config-vars';
import { containerImageRoutes } from './routes/container-images';
import { databaseCredentialRoutes } from './routes/data/database-credentials';
import { databaseSettingRoutes } from './routes/data/database-settings';
import { redisRoutes } from './routes/data/redis';
import { databaseRoutes } from './routes/data/databases';
import { diagnosisRoutes } from './routes/data/diagnoses';
import { transferRoutes } from './routes/data/transfers';
import { unsupportedDataRoutes } from './routes/data/unsupported-data';
import { wakingRoutes } from './routes/data/waking';
import { domainRoutes } from './routes/domains';
import { dynoSizeRoutes } from './routes/dyno-sizes';
import { dynoRoutes } from './routes/dynos';
import { emptyCollectionRoutes } from './routes/empty-collections';
import { formationRoutes } from './routes/formation';
import { logInputRoutes } from './routes/log-input';
import { logSessionRoutes, logStreamRoutes } from './routes/log-sessions';
import { oauthTokenRoutes } from './routes/oauth-tokens';
import { outputStreamRoutes } from './routes/output-streams';
import { partnerApiRoutes } from './routes/partner-api';
import { partnerServiceRoutes } from './routes/partner-services';
import { reclaimRoutes } from './routes/reclaim';
import { regionRoutes } from './routes/regions';
import { releaseRoutes } from './routes/releases';
import { scheduledJobRoutes } from './routes/scheduled-jobs';
import { schemaRoutes } from './routes/schema';
import { sleepRoutes } from './routes/sleep';
import { slugRoutes } from './routes/slugs';
import { sniEndpointRoutes } from './routes/sni-endpoints';
import { sourceRoutes } from './routes/sources';
import { stackRoutes } from './routes/stacks';
import { unsupportedRoutes } from './routes/unsupported';
import { vendorAppRoutes } from './routes/vendor-apps';
import type { ApiServices, BundledBuildpack } from './services';
import { StreamKeys } from './stream-keys';

export interface ApplicationOptions {
  services: ApiServices;
  bundledBuildpacks: readonly BundledBuildpack[];
  requestsPerHour: number | null;
  logger: Logger;
  clock: Clock;
  /** Aborted when the server stops: long-lived answers end then. */
  stopping: AbortSignal;
}

const MAX_BODY = '1mb';

/** All endpoints; what is above `requireAccount` works without a token. */
export function createApplication(options: ApplicationOptions): Express {
  const { services, bundledBuildpacks, clock, logger, stopping } = options;
  const limit = new RateLimit(clock, options.requestsPerHour);
  const streamKeys = new StreamKeys();

  const app = express();
  app.disable('x-powered-by');
  app.set('etag', 'strong');
  app.use(commonHeaders);

  app.use(logStreamRoutes(services, { clock, stopping }));
  app.use(outputStreamRoutes(services, { streamKeys, stopping, logger, clock }));
  app.use(blobRoutes(services, { clock, logger, stopping }));
  app.use(schemaRoutes());
  app.use(buildpackRegistryRoutes(bundledBuildpacks));

  app.use(oauthTokenRoutes(services, clock));
  app.use(logInputRoutes(services));
  app.use(vendorAppRoutes(services));
  app.use(partnerApiRoutes(services));

  app.use(requireAccount(services.account));
  app.use(limitRate(limit));
  app.use(requireVersion3);
  // Before the parser: its body is a stream.
  app.use(containerImageRoutes(services, { stopping, logger }));
  // Any content type: nothing but JSON is understood, so there is nothing to choose between.
  app.use(express.json({ limit: MAX_BODY, type: () => true }));

  app.use(accountRoutes(services, limit));
  app.use(appRoutes(services));
  app.use(appSetupRoutes(services, streamKeys));
  app.use(appFeatureRoutes(services));
  app.use(addonServiceRoutes(services));
  app.use(addonRoutes(services));
  app.use(addonAttachmentRoutes(services));
  app.use(authorizationRoutes(services, clock));
  app.use(buildRoutes(services, streamKeys));
  app.use(buildpackInstallationRoutes(services, bundledBuildpacks));
  app.use(collaboratorRoutes(services));
  app.use(configVarRoutes(services));
  app.use(wakingRoutes(services));
  app.use(databaseCredentialRoutes(services));
  app.use(databaseSettingRoutes(services));
  app.use(databaseRoutes(services));
  app.use(diagnosisRoutes(services));
  app.use(domainRoutes(services));
  app.use(dynoRoutes(services));
  app.use(dynoSizeRoutes(services));
  app.use(formationRoutes(services));
  app.use(logSessionRoutes(services));
  app.use(partnerServiceRoutes(services));
  app.use(reclaimRoutes(services));
  app.use(redisRoutes(services));
  app.use(regionRoutes());
  app.use(releaseRoutes(services, streamKeys));
  app.use(scheduledJobRoutes(services));
  app.use(sleepRoutes(services));
  app.use(slugRoutes(services));
  app.use(sniEndpointRoutes(services));
  app.use(sourceRoutes(services));
  app.use(stackRoutes());
  app.use(transferRoutes(services));
  app.use(emptyCollectionRoutes(services));
  app.use(unsupportedDataRoutes(services));
  app.use(unsupportedRoutes());
  app.use(unknownEndpoint);
  app.use(renderErrors(logger));
  return app;
}
