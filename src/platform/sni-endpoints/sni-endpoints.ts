import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import type { DomainName } from '../../domain/domain-name';
import { invalidParams, PlatformError } from '../../domain/errors';
import type { SniEndpointId } from '../../domain/ids';
import {
  coversDomain,
  generateSniEndpointName,
  type KeyPair,
  type SniEndpoint,
} from '../../domain/sni-endpoint';
import { record, type PlatformContext } from '../context';
import { readKeyPair } from './key-pair-reader';

/** Users' certificates. Which domain has which is said in platform/domains. */
export class SniEndpoints {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
  }

  list(app: App): SniEndpoint[] {
    return this.#context.store.sniEndpoints.of(app.id);
  }

  find(app: App, idOrName: string): SniEndpoint {
    const found = this.list(app).find(({ id, name }) => id === idOrName || name === idOrName);
    if (found === undefined) {
      throw new PlatformError('not_found', "Couldn't find that SNI endpoint.", 'sni_endpoint');
    }
    return found;
  }

  domainsOf(endpoint: SniEndpoint): DomainName[] {
    return this.#context.store.domainNames
      .of(endpoint.appId)
      .filter((domain) => domain.sniEndpointId === endpoint.id);
  }

  /** Serves nobody until a domain is associated with it. */
  create(actor: Actor, app: App, input: KeyPair): SniEndpoint {
    const { store, clock, newId, logplex } = this.#context;
    const { keyPair, certificate } = readKeyPair(input.certificateChain, input.privateKey);
    const endpoint = store.transaction(() => {
      const now = clock.now();
      const created: SniEndpoint = {
        id: newId() as SniEndpointId,
        appId: app.id,
        name: this.#freeName(),
        certificateId: newId(),
        certificateChain: keyPair.certificateChain,
        certificate,
        createdAt: now,
        updatedAt: now,
      };
      store.sniEndpoints.insert(created, keyPair.privateKey);
      record(this.#context, app.id, actor, 'sni-endpoint.create', factsOf(created));
      return created;
    });
    logplex.api(app.id, `Add SSL certificate ${endpoint.name} by user ${actor.email}`);
    return endpoint;
  }

  /** Another certificate, also good for the domains that are associated already. */
  update(actor: Actor, app: App, idOrName: string, input: KeyPair): SniEndpoint {
    const { store, clock, newId, logplex, changed } = this.#context;
    const before = this.find(app, idOrName);
    const { keyPair, certificate } = readKeyPair(input.certificateChain, input.privateKey);
    const uncovered = this.domainsOf(before).filter(({ hostname }) => !coversDomain(certificate, hostname));
    if (uncovered.length > 0) {
      const names = uncovered.map(({ hostname }) => hostname).join(', ');
      throw invalidParams(
        `The certificate is not for ${names}, which ${before.name} serves, but for ${certificate.domains.join(', ')}.`,
      );
    }
    const after: SniEndpoint = {
      ...before,
      certificateId: newId(),
      certificateChain: keyPair.certificateChain,
      certificate,
      updatedAt: clock.now(),
    };
    store.transaction(() => {
      store.sniEndpoints.update(after, keyPair.privateKey);
      record(this.#context, app.id, actor, 'sni-endpoint.update', factsOf(after));
    });
    logplex.api(app.id, `Update SSL certificate ${after.name} by user ${actor.email}`);
    changed(app.id);
    return after;
  }

  remove(actor: Actor, app: App, idOrName: string): { endpoint: SniEndpoint; domains: DomainName[] } {
    const { store, logplex, changed } = this.#context;
    const endpoint = this.find(app, idOrName);
    const domains = this.domainsOf(endpoint);
    store.transaction(() => {
      store.sniEndpoints.delete(endpoint.id);
      record(this.#context, app.id, actor, 'sni-endpoint.destroy', factsOf(endpoint));
    });
    logplex.api(app.id, `Remove SSL certificate ${endpoint.name} by user ${actor.email}`);
    changed(app.id);
    return { endpoint, domains };
  }

  /** What a user should hear about a certificate that is served all the same; null = nothing. */
  warning({ certificate }: SniEndpoint): string | null {
    const now = this.#context.clock.now();
    if (certificate.expiresAt <= now) return 'This certificate has expired: clients will refuse it.';
    if (certificate.startsAt > now) return 'This certificate is not valid yet: clients will refuse it.';
    return null;
  }

  #freeName(): string {
    const { store, random } = this.#context;
    for (;;) {
      const name = generateSniEndpointName(random);
      if (store.sniEndpoints.findByName(name) === undefined) return name;
    }
  }
}

/** For the audit trail. */
function factsOf({ name, certificate }: SniEndpoint): Record<string, unknown> {
  return { name, domains: certificate.domains, expiresAt: certificate.expiresAt.toISOString() };
}
