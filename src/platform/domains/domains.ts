import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import { isHostname, type DomainName } from '../../domain/domain-name';
import { forbidden, invalidParams, notFound } from '../../domain/errors';
import type { DomainId } from '../../domain/ids';
import { coversDomain, type SniEndpoint } from '../../domain/sni-endpoint';
import { record, type PlatformContext } from '../context';
import type { SniEndpoints } from '../sni-endpoints/sni-endpoints';

/** Dev Center "Limits". */
const MAX_CUSTOM_DOMAINS = 1000;

export class Domains {
  readonly #context: PlatformContext;
  readonly #sniEndpoints: SniEndpoints;

  constructor(context: PlatformContext, sniEndpoints: SniEndpoints) {
    this.#context = context;
    this.#sniEndpoints = sniEndpoints;
  }

  list(app: App): DomainName[] {
    return this.#context.store.domainNames.of(app.id);
  }

  find(app: App, idOrHostname: string): DomainName {
    const wanted = idOrHostname.toLowerCase();
    const found = this.list(app).find((domain) => domain.id === wanted || domain.hostname === wanted);
    if (found === undefined) throw notFound('domain');
    return found;
  }

  /** Whose certificate the domain has; undefined = one of the local CA. */
  sniEndpointOf(app: App, domain: DomainName): SniEndpoint | undefined {
    return domain.sniEndpointId === null ? undefined : this.#sniEndpoints.find(app, domain.sniEndpointId);
  }

  add(actor: Actor, app: App, name: string, sniEndpoint: string | null = null): DomainName {
    const { store, clock, newId, settings, logplex, changed } = this.#context;
    const hostname = name.trim().toLowerCase().replace(/\.$/, '');
    if (!isHostname(hostname)) throw invalidParams(`${name} is not a valid domain name.`);
    if (hostname.endsWith(`.${settings.appDomain}`) || hostname === settings.appDomain) {
      throw invalidParams(`${hostname} belongs to the platform: apps get <name>.${settings.appDomain}.`);
    }
    const endpoint = this.#endpointFor(app, hostname, sniEndpoint);
    const domain = store.transaction(() => {
      const taken = store.domainNames.findByHostname(hostname);
      if (taken !== undefined) {
        throw invalidParams(
          taken.appId === app.id
            ? `${hostname} is already added to this app.`
            : `${hostname} is currently in use by another app.`,
        );
      }
      if (this.list(app).length > MAX_CUSTOM_DOMAINS) {
        throw invalidParams(`An app can have at most ${MAX_CUSTOM_DOMAINS} custom domains.`);
      }
      const now = clock.now();
      const added: DomainName = {
        id: newId() as DomainId,
        appId: app.id,
        hostname,
        kind: 'custom',
        sniEndpointId: endpoint?.id ?? null,
        createdAt: now,
        updatedAt: now,
      };
      store.domainNames.insert(added);
      record(this.#context, app.id, actor, 'domain.create', {
        hostname,
        sniEndpoint: endpoint?.name ?? null,
      });
      return added;
    });
    logplex.api(app.id, `Add domain ${hostname} by user ${actor.email}`);
    changed(app.id);
    return domain;
  }

  /** `sniEndpoint`: id or name, null for none. */
  update(actor: Actor, app: App, idOrHostname: string, sniEndpoint: string | null): DomainName {
    const { store, clock, logplex, changed } = this.#context;
    const domain = this.find(app, idOrHostname);
    const { hostname } = domain;
    if (domain.kind === 'heroku') {
      throw invalidParams(`${hostname} always has a certificate of dynodock's own CA.`);
    }
    const endpoint = this.#endpointFor(app, hostname, sniEndpoint);
    store.transaction(() => {
      store.domainNames.associate(domain.id, endpoint?.id ?? null, clock.now());
      const payload = { hostname, sniEndpoint: endpoint?.name ?? null };
      record(this.#context, app.id, actor, 'domain.update', payload);
    });
    logplex.api(
      app.id,
      `Update domain ${hostname} to ${endpoint === undefined ? 'no SSL certificate' : `SSL certificate ${endpoint.name}`} by user ${actor.email}`,
    );
    changed(app.id);
    return this.find(app, domain.id);
  }

  remove(actor: Actor, app: App, idOrHostname: string): DomainName {
    const { store, logplex, changed } = this.#context;
    const domain = this.find(app, idOrHostname);
    if (domain.kind === 'heroku') throw forbidden(`The domain ${domain.hostname} cannot be removed.`);
    store.transaction(() => {
      store.domainNames.delete(domain.id);
      record(this.#context, app.id, actor, 'domain.destroy', { hostname: domain.hostname });
    });
    logplex.api(app.id, `Remove domain ${domain.hostname} by user ${actor.email}`);
    changed(app.id);
    return domain;
  }

  #endpointFor(app: App, hostname: string, idOrName: string | null): SniEndpoint | undefined {
    if (idOrName === null) return undefined;
    const endpoint = this.#sniEndpoints.find(app, idOrName);
    if (!coversDomain(endpoint.certificate, hostname)) {
      throw invalidParams(
        `The certificate ${endpoint.name} is not for ${hostname}, but for ${endpoint.certificate.domains.join(', ')}.`,
      );
    }
    return endpoint;
  }
}
