import type { AddOnId } from '../../../domain/ids';
import type { AddOn } from '../../../domain/addon';
import type { Logger } from '../../../lib/logger';
import type { AddOns } from '../../addons/addons';
import { serviceActor } from '../../addons/provisioning';
import type { PlatformContext } from '../../context';
import { TransferError } from './transfer-error';
import type { Transfers } from './transfers';

export interface ForksOptions {
  addons: AddOns;
  transfers: Transfers;
  service: string;
  logger: Logger;
}

/**
 * `addons:create … -- --fork`: a new add-on is provisioned once all of another one has been copied into it. Should the
 * daemon end meanwhile, the copy begins anew at its next start.
 */
export class Forks {
  readonly #context: PlatformContext;
  readonly #options: ForksOptions;
  readonly #filling = new Map<AddOnId, Promise<void>>();
  #isStopping = false;

  constructor(context: PlatformContext, options: ForksOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** The server of an add-on of any service serves, before it is provisioned. */
  ready(id: AddOnId): void {
    const { store } = this.#context;
    const addon = store.addons.get(id);
    const source = addon === undefined ? undefined : this.#sourceOf(addon);
    if (addon === undefined || source === undefined) {
      this.#options.addons.provisioning.complete(id);
      return;
    }
    if (this.#isStopping || this.#filling.has(id)) return;
    const filling = this.#fill(addon, source)
      .catch((error: unknown) =>
        this.#options.logger.error('a fork could not be brought to its end', { addon: addon.name, error }),
      )
      .finally(() => this.#filling.delete(id));
    this.#filling.set(id, filling);
  }

  /** To be called before transfers are stopped: what they leave undone is no failure then. */
  stopping(): void {
    this.#isStopping = true;
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#filling.values());
  }

  /** undefined for one that is no fork, or was provisioned before (and was destroyed and brought back since). */
  #sourceOf(addon: AddOn): AddOnId | undefined {
    if (addon.service !== this.#options.service || addon.provisionedAt !== null) return undefined;
    return addon.options['fork'] as AddOnId | undefined;
  }

  async #fill(addon: AddOn, sourceId: AddOnId): Promise<void> {
    const { addons, transfers } = this.#options;
    const source = this.#context.store.addons.get(sourceId);
    try {
      if (source?.state !== 'provisioned') throw new TransferError('the database to be forked is gone');
      await transfers.fork(serviceActor(addon), addon, source);
      addons.provisioning.complete(addon.id);
    } catch (error) {
      if (this.#isStopping) return;
      const isKnown = error instanceof TransferError;
      if (!isKnown) this.#options.logger.error('a fork failed', { addon: addon.name, error });
      addons.provisioning.fail(addon.id, isKnown ? error.message : 'it could not be filled');
    }
  }
}
