import { createHash } from 'node:crypto';
import type { ProviderRegistry } from '../../../addons/registry';
import type { Actor } from '../../../domain/account';
import type { AddOn } from '../../../domain/addon';
import { notSupported, PlatformError } from '../../../domain/errors';
import type { PlatformContext } from '../../context';

/** What the user's browser is to send to the partner. */
export interface SignOn {
  method: 'get' | 'post';
  /** With the parameters in it, where the method is `get`. */
  action: string;
  params: Readonly<Record<string, string>>;
}

/** Signed requests that let users into a partner's pages (Dev Center "Add-on Single Sign-on"). */
export class PartnerSignOn {
  readonly #context: PlatformContext;
  readonly #providers: Pick<ProviderRegistry, 'find'>;

  constructor(context: PlatformContext, providers: Pick<ProviderRegistry, 'find'>) {
    this.#context = context;
    this.#providers = providers;
  }

  /** Good for some minutes, as the partner sees fit. Throws not_supported where there is nowhere to go. */
  request(addon: AddOn, user: Actor): SignOn {
    const { store, clock } = this.#context;
    const provider = this.#providers.find(addon.service);
    if (provider?.kind !== 'partner' || provider.endpoint.sso === null) {
      throw notSupported(
        `${addon.service} has no pages of its own: its manifest has no sso_url or sso_salt.`,
      );
    }
    if (addon.state !== 'provisioned') {
      throw new PlatformError('service_unavailable', `${addon.name} is not yet provisioned.`, 'add_on');
    }
    const { endpoint } = provider;
    const { url, salt, method } = provider.endpoint.sso;
    const id = store.partners.resource(addon.id)?.providerId ?? addon.id;
    const timestamp = String(Math.floor(clock.now().getTime() / 1000));
    const app = store.apps.get(addon.appId)?.name ?? addon.appName;
    const common = {
      id,
      timestamp,
      token: hash('sha1', id, salt, timestamp),
      'nav-data': navData(provider.humanName, addon, app),
      email: user.email,
      user_id: user.id,
      app,
      context_app: app,
    };
    const params: Record<string, string> =
      endpoint.version === 1
        ? common
        : {
            ...common,
            resource_id: addon.id,
            resource_token: hash('sha1', addon.id, salt, timestamp),
            user_scoped_resource_token: hash('sha256', addon.id, salt, timestamp, user.id, user.email),
          };
    if (method === 'post') return { method, action: url, params };
    // Kensa's: the resource is part of the path.
    const action = new URL(url);
    action.pathname = `${action.pathname.replace(/\/+$/, '')}/${encodeURIComponent(id)}`;
    for (const [name, value] of Object.entries(params)) action.searchParams.set(name, value);
    return { method, action: action.href, params };
  }
}

function hash(algorithm: 'sha1' | 'sha256', ...parts: readonly string[]): string {
  return createHash(algorithm).update(parts.join(':')).digest('hex');
}

/** What Heroku's own header is drawn of on partners' pages. */
function navData(humanName: string, { service }: AddOn, app: string): string {
  const data = {
    addon: humanName,
    appname: app,
    addons: [{ slug: service, name: humanName, current: true }],
  };
  return Buffer.from(JSON.stringify(data)).toString('base64url');
}
