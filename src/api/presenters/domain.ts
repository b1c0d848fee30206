import type { App } from '../../domain/app';
import type { DomainName } from '../../domain/domain-name';
import type { SniEndpoint } from '../../domain/sni-endpoint';
import { presentAppReference } from './app';

/** `webUrl` of the app: its host is where a custom domain's DNS record should point. */
export function presentDomain(
  domain: DomainName,
  { app, webUrl, sniEndpoint }: { app: App; webUrl: string; sniEndpoint: SniEndpoint | undefined },
): Record<string, unknown> {
  return {
    acm_status: null,
    acm_status_reason: null,
    app: presentAppReference(app),
    cname: domain.kind === 'custom' ? new URL(webUrl).hostname : null,
    created_at: domain.createdAt,
    hostname: domain.hostname,
    id: domain.id,
    kind: domain.kind,
    sni_endpoint: sniEndpoint === undefined ? null : { id: sniEndpoint.id, name: sniEndpoint.name },
    // "none" = nothing is under way; the CLI would wait for anything else (contract, section 2.4).
    status: 'none',
    updated_at: domain.updatedAt,
  };
}
