import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { environmentOf, ManifestError, parseManifest } from '../../../addons/partner-manifest';
import type { PartnerProvider } from '../../../addons/provider';
import type { ProviderRegistry } from '../../../addons/registry';
import type { Actor } from '../../../domain/account';
import type { AddOn } from '../../../domain/addon';
import { conflict, invalidParams, notFound } from '../../../domain/errors';
import type { PartnerEnvironment, PartnerService } from '../../../domain/partner';
import type { Logger } from '../../../lib/logger';
import type { PlatformContext } from '../../context';
import type { PartnerResources } from './partner-resources';

export interface PartnerServicesOptions {
  providers: ProviderRegistry;
  resources: Pick<PartnerResources, 'kick' | 'abandon'>;
  /** Its `*.json` files are manifests, too. */
  folder: string;
  logger: Logger;
}

export interface Registered {
  service: PartnerService;
  provider: PartnerProvider;
}

const MAX_MANIFEST_BYTES = 256 * 1024;

/** Services of the Add-on Partner API that the user has registered, by a command or by a file. */
export class PartnerServices {
  readonly #context: PlatformContext;
  readonly #options: PartnerServicesOptions;
  /** What was read of each file last; a change is what counts. */
  #files = new Map<string, string>();

  constructor(context: PlatformContext, options: PartnerServicesOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Before anything asks for a service. */
  async start(): Promise<void> {
    this.#publish();
    await this.readFiles();
  }

  list(): Registered[] {
    const { store } = this.#context;
    return store.partners.services().map((service) => ({ service, provider: read(service) }));
  }

  /** Throws not_found. */
  find(name: string): Registered {
    const service = this.#context.store.partners.service(name);
    if (service === undefined) throw notFound('add_on service');
    return { service, provider: read(service) };
  }

  /** A new service, or a new manifest of one; its client secret stays. Throws invalid_params with what is wrong. */
  register(actor: Actor, manifest: string, environment?: PartnerEnvironment): Registered {
    let provider: PartnerProvider;
    try {
      provider = parseManifest(manifest, environment);
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      throw invalidParams(`The manifest cannot be used: ${error.message}.`);
    }
    const service = this.#save(actor, provider, manifest, environment ?? environmentOf(manifest), null);
    return { service, provider };
  }

  /** Refused while the partner has something of it, unless `force`: then nobody asks it about that any more. */
  unregister(actor: Actor, name: string, { force }: { force: boolean }): Registered {
    const found = this.find(name);
    if (found.service.file !== null) {
      throw invalidParams(`${name} comes from the file ${found.service.file}: remove that.`);
    }
    this.#remove(actor, found.service, force);
    return found;
  }

  /**
   * Files that have changed since they were read last. What can't be used is logged, once, and changes nothing; so is a
   * file that is gone while add-ons of its service are there.
   */
  async readFiles(): Promise<void> {
    const { logger, folder } = this.#options;
    const read = new Map<string, string>();
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.json')).sort()) {
      try {
        read.set(file, await readFile(path.join(folder, file), 'utf8'));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
        logger.error('a file of an add-on service cannot be read', { file, error });
        // As it was: it may be back.
        const before = this.#files.get(file);
        if (before !== undefined) read.set(file, before);
      }
    }
    const changed = [...read].filter(([file, text]) => this.#files.get(file) !== text);
    const isSame = changed.length === 0 && read.size === this.#files.size && this.#files.size > 0;
    this.#files = read;
    if (isSame) return;
    for (const [file, text] of changed) this.#readFile(file, text);
    for (const service of this.#context.store.partners.services()) {
      if (service.file !== null && !read.has(service.file)) this.#fileGone(service);
    }
  }

  #readFile(file: string, text: string): void {
    const { logger } = this.#options;
    try {
      const provider = parseManifest(text);
      this.#save(FILES, provider, text, environmentOf(text), file);
      logger.info('an add-on service was read', { file, service: provider.service });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.error('a file of an add-on service cannot be used', { file, reason });
    }
  }

  #fileGone(service: PartnerService): void {
    try {
      this.#remove(FILES, service, false);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.logger.warn('an add-on service stays, though its file is gone', {
        service: service.service,
        reason,
      });
    }
  }

  #save(
    actor: Actor,
    provider: PartnerProvider,
    manifest: string,
    environment: PartnerEnvironment,
    file: string | null,
  ): PartnerService {
    const { store, clock, newId } = this.#context;
    const { providers, resources } = this.#options;
    const name = provider.service;
    if (Buffer.byteLength(manifest) > MAX_MANIFEST_BYTES) throw invalidParams('The manifest is too large.');
    if (providers.isFixed(name)) {
      throw conflict(`There is a service ${name} already, which is none of a partner.`);
    }
    const saved = store.transaction(() => {
      const before = store.partners.service(name);
      if (before !== undefined && before.file !== file && before.file !== null) {
        throw conflict(`${name} comes from the file ${before.file}: change that.`);
      }
      const plan = this.#addonsOf(name)
        .map((addon) => addon.plan)
        .find((used) => !provider.plans.some((each) => each.name === used));
      if (plan !== undefined) {
        throw conflict(`Add-ons have the plan ${name}:${plan}, which the new manifest does not have.`);
      }
      const now = clock.now();
      const service: PartnerService = {
        service: name,
        manifest,
        environment,
        clientSecret: before?.clientSecret ?? newId(),
        file,
        createdAt: before?.createdAt ?? now,
        updatedAt: now,
      };
      store.partners.saveService(service);
      this.#record(actor, 'addon-service.register', name);
      return service;
    });
    this.#publish();
    // What could not be asked before may be now.
    for (const resource of store.partners.resources()) {
      if (resource.service === name) resources.kick(resource.addonId);
    }
    return saved;
  }

  #remove(actor: Actor, { service }: PartnerService, force: boolean): void {
    const { store } = this.#context;
    const held = store.partners
      .resources()
      .filter((resource) => resource.service === service && resource.phase !== 'gone');
    if (held.length > 0 && !force) {
      const names = held.map(({ addonId }) => store.addons.get(addonId)?.name ?? addonId);
      throw conflict(
        `${service} still has ${names.join(', ')}. Destroy them first, or give up on them with --force.`,
      );
    }
    store.transaction(() => {
      store.partners.deleteService(service);
      this.#record(actor, 'addon-service.unregister', service);
    });
    for (const { addonId } of held) this.#options.resources.abandon(addonId);
    this.#publish();
  }

  #addonsOf(service: string): AddOn[] {
    return this.#context.store.addons.live().filter((addon) => addon.service === service);
  }

  #publish(): void {
    this.#options.providers.setPartners(this.list().map(({ provider }) => provider));
  }

  #record(actor: Actor, kind: string, service: string): void {
    const { store, clock } = this.#context;
    store.events.append({ appId: null, kind, payload: { service }, actor: actor.email, at: clock.now() });
  }
}

const FILES: Actor = { id: '' as Actor['id'], email: 'dynodock' };

/** It was checked when it was saved. */
function read(service: PartnerService): PartnerProvider {
  return parseManifest(service.manifest, service.environment);
}
