import type { PartnerEndpoint } from '../../../addons/provider';
import type { AddOn } from '../../../domain/addon';
import type { PartnerResource } from '../../../domain/partner';
import type { Grant } from './partner-access';

/** As Heroku names the region `us` to partners. */
const REGION = 'amazon-web-services::us-east-1';

/** Dev Center "Add-on Partner API Reference", "Add-on Provision"; version 1: "[Legacy] Add-on Partner API Reference". */
export function provisionBody({
  addon,
  endpoint,
  grant,
  origin,
  logToken,
}: {
  addon: AddOn;
  endpoint: PartnerEndpoint;
  /** null in version 1. */
  grant: Grant | null;
  /** Of the API. */
  origin: string;
  logToken: string;
}): Record<string, unknown> {
  const common = {
    options: addon.options,
    plan: addon.plan,
    region: REGION,
    uuid: addon.id,
    ...(endpoint.requires.has('log_input') ? { log_input_url: logInputUrl(origin, logToken) } : {}),
  };
  if (grant === null) {
    return {
      ...common,
      heroku_id: herokuId(addon),
      callback_url: `${origin}/vendor/apps/${encodeURIComponent(herokuId(addon))}`,
      logplex_token: endpoint.requires.has('log_input') ? logToken : null,
    };
  }
  return {
    ...common,
    callback_url: `${origin}/addons/${addon.id}`,
    name: addon.name,
    oauth_grant: {
      code: grant.code,
      expires_at: grant.expiresAt.toISOString(),
      type: 'authorization_code',
    },
  };
}

export function planBody(
  { addonId }: PartnerResource,
  plan: string,
  { version }: PartnerEndpoint,
): Record<string, unknown> {
  return version === 3 ? { plan } : { plan, heroku_id: herokuId({ id: addonId }) };
}

/** Version 3 names resources by our id, version 1 by the partner's. */
export function resourcePath({ addonId, providerId }: PartnerResource, { version }: PartnerEndpoint): string {
  return `/${encodeURIComponent(version === 3 ? addonId : (providerId ?? addonId))}`;
}

/** What version 1 calls the app; here one per add-on, so that it is never ambiguous. */
export function herokuId({ id }: Pick<AddOn, 'id'>): string {
  return `${id}@heroku.com`;
}

export function logInputUrl(origin: string, logToken: string): string {
  const url = new URL('/logs', origin);
  url.username = 'token';
  url.password = logToken;
  return url.href;
}
