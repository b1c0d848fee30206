import { addonNotFound, type AddOn, type AddOnConfig } from '../../domain/addon';
import { PlatformError } from '../../domain/errors';
import type { PlatformContext } from '../context';
import type { AddOns } from './addons';

export interface WaitStatus {
  waiting: boolean;
  message: string;
  failed: boolean;
}

/** One line of `heroku pg:info` and `heroku redis:info`. */
export interface InfoRow {
  name: string;
  values: readonly string[];
}

/** Add-ons of one service of Heroku's data API. */
export class DataAddOns {
  readonly #context: PlatformContext;
  readonly #addons: AddOns;
  readonly #service: string;

  constructor(context: PlatformContext, options: { addons: AddOns; service: string }) {
    this.#context = context;
    this.#addons = options.addons;
    this.#service = options.service;
  }

  /** By id or name. Throws not_found, also for add-ons of other services. */
  find(idOrName: string): AddOn {
    const addon = this.#addons.find(idOrName);
    if (addon.service !== this.#service) throw addonNotFound();
    return addon;
  }

  /** The same, and it has to be usable. Throws service_unavailable before it is provisioned. */
  findProvisioned(idOrName: string): AddOn {
    const addon = this.find(idOrName);
    if (addon.state === 'provisioned') return addon;
    throw new PlatformError('service_unavailable', `${addon.name} is not yet provisioned.`, 'add_on');
  }

  /** The connection URL of one credential; of the default one without a name. */
  url(addon: AddOn, credential?: string): URL {
    const namespace = credential === undefined ? null : `credential:${credential}`;
    const found = this.#addons.attachments
      .namespaceConfig(addon, namespace)
      .find(({ name }) => name === 'URL');
    if (found === undefined) throw new Error('a database without a URL');
    return new URL(found.value);
  }

  waitStatus(addon: AddOn): WaitStatus {
    if (addon.failure !== null) return { waiting: false, message: addon.failure, failed: true };
    if (addon.state === 'provisioning') return { waiting: true, message: 'preparing', failed: false };
    return this.#addons.isServing(addon)
      ? { waiting: false, message: 'available', failed: false }
      : { waiting: true, message: this.problem(addon), failed: false };
  }

  problem(addon: AddOn): string {
    return this.#addons.problem(addon) ?? 'it is starting';
  }

  /** Before anything is changed that the server could not follow just now. */
  assertServing(addon: AddOn): void {
    if (this.#addons.isServing(addon)) return;
    throw new PlatformError('service_unavailable', `${addon.name} is not running just now.`, 'add_on');
  }

  /** In one transaction: reads the config of now, changes it, and gives apps what follows from it. */
  change(addon: AddOn, change: (config: AddOnConfig) => AddOnConfig): AddOn {
    return this.#context.store.transaction(() => {
      const current = this.current(addon);
      return this.#addons.changeConfig(current, change(current.config));
    });
  }

  current(addon: AddOn): AddOn {
    const current = this.#context.store.addons.get(addon.id);
    if (current?.state !== 'provisioned') throw addonNotFound();
    return current;
  }
}

/** `2026-01-31 12:00` */
export function infoTime(at: Date): string {
  return at.toISOString().slice(0, 16).replace('T', ' ');
}
