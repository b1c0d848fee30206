import type { App } from '../../domain/app';
import type { DomainName } from '../../domain/domain-name';
import type { SniEndpoint } from '../../domain/sni-endpoint';
import { presentAppReference } from './app';

/** The private key is in no answer. */
export function presentSniEndpoint(
  endpoint: SniEndpoint,
  app: App,
  domains: readonly DomainName[],
): Record<string, unknown> {
  const { certificate } = endpoint;
  return {
    app: presentAppReference(app),
    certificate_chain: endpoint.certificateChain,
    created_at: endpoint.createdAt,
    display_name: null,
    domains: domains.map(({ id }) => id),
    id: endpoint.id,
    name: endpoint.name,
    ssl_cert: {
      // Not in the schema; the CLI reads it.
      acm: false,
      'ca_signed?': certificate.caSigned,
      cert_domains: certificate.domains,
      expires_at: certificate.expiresAt,
      id: endpoint.certificateId,
      issuer: certificate.issuer,
      'self_signed?': certificate.selfSigned,
      starts_at: certificate.startsAt,
      subject: certificate.subject,
    },
    updated_at: endpoint.updatedAt,
  };
}
