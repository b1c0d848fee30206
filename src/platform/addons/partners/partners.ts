import { PartnerClient } from '../../../addons/partner-client';
import type { PartnerProvider } from '../../../addons/provider';
import type { ProviderRegistry } from '../../../addons/registry';
import type { AddOn } from '../../../domain/addon';
import type { ConfigVarChanges } from '../../../domain/config-vars';
import { forbidden, invalidParams, PlatformError } from '../../../domain/errors';
import type { SyslogLine } from '../../../domain/syslog';
import type { Logger } from '../../../lib/logger';
import type { PlatformContext } from '../../context';
import type { AddOns } from '../addons';
import { isSameSecret, PartnerAccess } from './partner-access';
import { changedConfig } from './partner-config';
import { PartnerResources } from './partner-resources';
import { PartnerServices } from './partner-services';
import { PartnerSignOn } from './partner-sign-on';

export interface PartnersOptions {
  providers: ProviderRegistry;
  /** Built after this. */
  addons: () => AddOns;
  /** Of the user's services. */
  folder: string;
  client?: Pick<PartnerClient, 'ask'>;
  /** After so many attempts in a row until the next one; default: 1, 2, 4 … s. */
  delayMs?: (attempts: number) => number;
  logger: Logger;
}

/** Add-ons of partners: both directions of the Add-on Partner API (ADR 35). */
export class Partners {
  readonly access: PartnerAccess;
  readonly resources: PartnerResources;
  readonly services: PartnerServices;
  readonly signOn: PartnerSignOn;
  readonly #context: PlatformContext;
  readonly #options: PartnersOptions;

  constructor(context: PlatformContext, options: PartnersOptions) {
    const { providers, addons, logger, folder, client = new PartnerClient() } = options;
    this.#context = context;
    this.#options = options;
    this.access = new PartnerAccess(context);
    this.resources = new PartnerResources(context, {
      providers,
      addons,
      access: this.access,
      client,
      logger,
      ...(options.delayMs === undefined ? {} : { delayMs: options.delayMs }),
    });
    this.services = new PartnerServices(context, { providers, resources: this.resources, folder, logger });
    this.signOn = new PartnerSignOn(context, providers);
  }

  /** By the manifest's names; null where it is none of a partner. */
  config(addon: AddOn): { name: string; value: string }[] | null {
    if (this.#provider(addon) === undefined) return null;
    return Object.entries(addon.config.values).map(([name, value]) => ({ name, value }));
  }

  /**
   * Callback: other config vars, by the manifest's names; those that are not mentioned stay, null removes. Apps get a
   * release, once the add-on is provisioned. Throws invalid_params.
   */
  setConfig(addon: AddOn, changes: ConfigVarChanges): AddOn {
    const { store } = this.#context;
    const provider = this.#provider(addon);
    if (provider === undefined) throw forbidden('Only the add-on’s partner can change its config vars.');
    const addons = this.#options.addons();
    return store.transaction(() => {
      const current = store.addons.get(addon.id) ?? addon;
      const config = changedConfig(this.#context, addons.attachments, provider.endpoint, current, changes);
      switch (current.state) {
        case 'provisioned':
          return addons.changeConfig(current, config);
        case 'provisioning': {
          // Apps see it when all is there.
          const changed = { ...current, config };
          store.addons.update(changed);
          return changed;
        }
        case 'deprovisioning':
        case 'deprovisioned':
          throw invalidParams(`${current.name} is ${current.state}.`);
      }
    });
  }

  /** Who has the token of a `log_input_url` writes to the logs of all apps that have the add-on. Throws unauthorized. */
  logInput(token: string): (line: SyslogLine) => void {
    const { store, logplex } = this.#context;
    const resource = store.partners.resourceByLogToken(token);
    const addon = resource === undefined ? undefined : store.addons.get(resource.addonId);
    if (addon === undefined || addon.state === 'deprovisioned') {
      throw new PlatformError('unauthorized', 'Invalid credentials provided.');
    }
    const apps = new Set(store.attachments.ofAddOn(addon.id).map(({ appId }) => appId));
    return ({ process, text }) => {
      for (const appId of apps) logplex.app(appId, process ?? addon.service, text);
    };
  }

  /** The service whose manifest has this password. Throws unauthorized. */
  serviceOf(name: string, password: string): PartnerProvider {
    const provider = this.#options.providers.find(name);
    if (provider?.kind !== 'partner' || !isSameSecret(password, provider.endpoint.password)) {
      throw new PlatformError('unauthorized', 'Invalid credentials provided.');
    }
    return provider;
  }

  #provider({ service }: AddOn): PartnerProvider | undefined {
    const provider = this.#options.providers.find(service);
    return provider?.kind === 'partner' ? provider : undefined;
  }
}
