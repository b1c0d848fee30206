import type { Actor } from '../../domain/account';
import type { App } from '../../domain/app';
import type { DomainName } from '../../domain/domain-name';
import { forbidden, invalidParams, notFound } from '../../domain/errors';
import type { DomainId } from '../../domain/ids';
import { record, type PlatformContext } from '../context';

/** RFC 1123 labels, optionally with a wildcard as the first. */
const HOSTNAME =
  /^(?=.{1,253}$)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Dev Center "Limits". */
const MAX_CUSTOM_DOMAINS = 1000;

export class Domains {
  readonly #context: PlatformContext;

  constructor(context: PlatformContext) {
    this.#context = context;
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

  add(actor: Actor, app: App, name: string): DomainName {
    const { store, clock, newId, settings, logplex, changed } = this.#context;
    const hostname = name.trim().toLowerCase().replace(/\.$/, '');
    if (!HOSTNAME.test(hostname)) throw invalidParams(`${name} is not a valid domain name.`);
    if (hostname.endsWith(`.${settings.appDomain}`) || hostname === settings.appDomain) {
      throw invalidParams(`${hostname} belongs to the platform: apps get <name>.${settings.appDomain}.`);
    }
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
        createdAt: now,
        updatedAt: now,
      };
      store.domainNames.insert(added);
      record(this.#context, app.id, actor, 'domain.create', { hostname });
      return added;
    });
    logplex.api(app.id, `Add domain ${hostname} by user ${actor.email}`);
    changed(app.id);
    return domain;
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
}
