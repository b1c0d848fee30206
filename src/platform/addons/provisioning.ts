import type { Actor } from '../../domain/account';
import { addonReference, type AddOn } from '../../domain/addon';
import type { App } from '../../domain/app';
import { PlatformError } from '../../domain/errors';
import type { AccountId, AddOnId, AppId } from '../../domain/ids';
import { deferred, type Deferred } from '../../lib/deferred';
import type { Logger } from '../../lib/logger';
import { Signal } from '../../lib/signal';
import { stableUuid } from '../../lib/stable-uuid';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';
import type { AttachmentVars } from './attachment-vars';
import { describeAttach, describeDetach, type AddOnAttachments } from './attachments';
import type { Catalogue } from './catalogue';

/**
 * Makes and unmakes what is behind the add-ons of one kind of provider. Each call is made after the commit of what it
 * follows from, and again for all that are under way when the daemon starts: it must be safe to repeat. Its outcome is
 * told to `Provisioning`, then or later.
 */
export interface Provisioner {
  /** The row is `provisioning`: `complete` or `fail` is to be called some time. */
  provision(addon: AddOn): Promise<void> | void;
  /** The row has its new plan already. Rejects with a PlatformError if that is not possible; the old plan comes back. */
  changePlan(addon: AddOn, before: AddOn): Promise<void> | void;
  /**
   * In place of `changePlan`, where somebody else has to agree first: the row has its old plan, and gets the new one by
   * `AddOns.setPlan`. Rejects with a PlatformError if it is not to be had.
   */
  agreePlan?(actor: Actor, addon: AddOn, plan: string): Promise<void>;
  /** The row is `deprovisioned`; of a partner's `deprovisioning`, until `Provisioning.released`. */
  deprovision(addon: AddOn): Promise<void> | void;
}

export interface ProvisioningOptions {
  releases: Releases;
  catalogue: Catalogue;
  vars: AttachmentVars;
  attachments: AddOnAttachments;
  logger: Logger;
}

/**
 * From `provisioning` to `provisioned`, or to `deprovisioned` if it fails. One whose creation was not answered yet is
 * told of by the release "Attach …" of who asked for it; afterwards by "… completed provisioning" of its service.
 */
export class Provisioning {
  readonly #context: PlatformContext;
  readonly #options: ProvisioningOptions;
  readonly #waiting = new Map<AddOnId, { actor: Actor; outcome: Deferred<void> }>();

  readonly #ended = new Signal<AddOnId>();

  constructor(context: PlatformContext, options: ProvisioningOptions) {
    this.#context = context;
    this.#options = options;
  }

  /**
   * Begins it, and waits until `patience` resolves: answers the add-on as it is then. Throws service_unavailable if it
   * fails meanwhile.
   */
  async run(
    actor: Actor,
    addon: AddOn,
    provision: (addon: AddOn) => Promise<void> | void,
    patience: (signal: AbortSignal) => Promise<void>,
  ): Promise<AddOn> {
    const { store } = this.#context;
    const outcome: Deferred<void> = deferred();
    this.#waiting.set(addon.id, { actor, outcome });
    const over = new AbortController();
    try {
      await Promise.race([
        (async () => {
          await provision(addon);
          await outcome.promise;
        })(),
        patience(over.signal),
      ]);
    } finally {
      over.abort();
      this.#waiting.delete(addon.id);
    }
    const after = store.addons.get(addon.id);
    if (after === undefined || after.state === 'deprovisioned') throw couldNotProvision(after ?? addon);
    if (after.state === 'provisioning' && !after.announced) return this.#announce(actor, after);
    return after;
  }

  /** Resolves with it once it is usable. Throws service_unavailable if it is not to be had, or when `signal` aborts. */
  async usable(id: AddOnId, signal: AbortSignal): Promise<AddOn> {
    const { store } = this.#context;
    const isPending = (): boolean => store.addons.get(id)?.state === 'provisioning';
    if (isPending() && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const finish = (): void => {
          unsubscribe();
          signal.removeEventListener('abort', finish);
          resolve();
        };
        const unsubscribe = this.#ended.subscribe((ended) => {
          if (ended === id && !isPending()) finish();
        });
        signal.addEventListener('abort', finish, { once: true });
      });
    }
    const addon = store.addons.get(id);
    if (addon?.state === 'provisioned') return addon;
    throw addon === undefined || addon.state === 'deprovisioned'
      ? couldNotProvision(addon ?? { name: 'The add-on', failure: null })
      : new PlatformError('service_unavailable', `${addon.name} is not provisioned yet.`, 'add_on');
  }

  /** For those who wait for it: it was destroyed. */
  destroyed(id: AddOnId): void {
    this.#ended.emit(id);
  }

  /** It is usable: sets the config vars of its attachments. Does nothing for one that is not `provisioning`. */
  complete(id: AddOnId, provisionMessage?: string): void {
    const { store, clock } = this.#context;
    const waiting = this.#waiting.get(id);
    const done = store.transaction(() => {
      const before = store.addons.get(id);
      if (before?.state !== 'provisioning') return false;
      const now = clock.now();
      const offer = this.#options.catalogue.find(before);
      const addon: AddOn = {
        ...before,
        state: 'provisioned',
        provisionMessage:
          provisionMessage ?? offer?.provider.provisionMessage?.(before) ?? before.provisionMessage,
        attachAs: null,
        updatedAt: now,
        provisionedAt: before.provisionedAt ?? now,
      };
      store.addons.update(addon);
      const actor = waiting?.actor ?? serviceActor(addon);
      record(this.#context, addon.appId, actor, 'addon.provisioned', { addon: addon.name });
      if (before.attachAs !== null) this.#takeOver(actor, addon, before.attachAs);
      for (const [appId, attachments] of byApp(this.#options.attachments.ofAddOn(addon))) {
        const app = store.apps.get(appId);
        if (app === undefined) continue;
        for (const attachment of attachments) this.#options.vars.apply(addon, attachment);
        const names = attachments
          .flatMap(({ id: of }) => Object.keys(store.configVars.ofAttachment(of)))
          .sort();
        const main = this.#options.attachments.mainName(addon, attachments);
        if (before.announced) {
          const setting = names.length === 0 ? '' : `, setting ${names.join(', ')}`;
          const description = `${addonReference(addon)} completed provisioning${setting}.`;
          this.#options.releases.create(serviceActor(addon), app, { description });
        } else this.#options.releases.create(actor, app, { description: describeAttach(main, addon) });
      }
      return true;
    });
    if (!done) return;
    waiting?.outcome.resolve();
    this.#ended.emit(id);
  }

  /** What it is waiting for, for those who read the logs of its app. */
  progress(id: AddOnId, line: string): void {
    const addon = this.#context.store.addons.get(id);
    if (addon === undefined) return;
    this.#context.logplex.api(addon.appId, `${addonReference(addon)}: ${line}`);
  }

  /** It takes its time: whoever asked for it is answered with `provisioning` at once. */
  answer(id: AddOnId): void {
    this.#waiting.get(id)?.outcome.resolve();
  }

  /** A partner has let go of it. Does nothing for one that is not `deprovisioning`. */
  released(id: AddOnId): void {
    const { store, clock } = this.#context;
    store.transaction(() => {
      const addon = store.addons.get(id);
      if (addon?.state !== 'deprovisioning') return;
      const now = clock.now();
      store.addons.update({ ...addon, state: 'deprovisioned', updatedAt: now, deprovisionedAt: now });
      record(this.#context, addon.appId, serviceActor(addon), 'addon.released', { addon: addon.name });
    });
  }

  /**
   * It can't be had: nothing of it is left but the row, which says why. Whoever waits for its creation gets `error`;
   * default: service_unavailable with the reason.
   */
  fail(id: AddOnId, reason: string, error?: PlatformError): void {
    const { store, clock } = this.#context;
    const failed = store.transaction(() => {
      const addon = store.addons.get(id);
      if (addon?.state !== 'provisioning') return undefined;
      const now = clock.now();
      const actor = serviceActor(addon);
      store.addons.update({
        ...addon,
        state: 'deprovisioned',
        failure: reason,
        appName: store.apps.get(addon.appId)?.name ?? addon.appName,
        updatedAt: now,
        deprovisionedAt: now,
      });
      record(this.#context, addon.appId, actor, 'addon.failed', { addon: addon.name, reason });
      for (const [appId, attachments] of byApp(this.#options.attachments.ofAddOn(addon))) {
        const app = store.apps.get(appId);
        for (const { id: of } of attachments) store.attachments.delete(of);
        if (app === undefined) continue;
        const main = this.#options.attachments.mainName(addon, attachments);
        store.afterCommit(() =>
          this.#context.logplex.api(app.id, `${addonReference(addon)} failed to provision: ${reason}`),
        );
        // Undoes the release that spoke of it.
        if (addon.announced) {
          this.#options.releases.create(actor, app, { description: describeDetach(main, addon) });
        }
      }
      return addon;
    });
    if (failed === undefined) return;
    this.#options.logger.warn('an add-on could not be provisioned', { addon: failed.name, reason });
    const outcome = this.#waiting.get(id)?.outcome;
    if (error === undefined) outcome?.resolve();
    else outcome?.reject(error);
    this.#ended.emit(id);
  }

  #announce(actor: Actor, addon: AddOn): AddOn {
    const { store } = this.#context;
    return store.transaction(() => {
      const announced: AddOn = { ...addon, announced: true };
      store.addons.update(announced);
      const app = store.apps.get(addon.appId);
      const main = this.#options.attachments.mainName(addon, this.#options.attachments.ofAddOn(addon));
      if (app !== undefined) {
        this.#options.releases.create(actor, app, { description: describeAttach(main, addon) });
      }
      return announced;
    });
  }

  /** The name that it was to have gives way only now, when there is something to take its place. */
  #takeOver(actor: Actor, addon: AddOn, name: string): void {
    const { store } = this.#context;
    const { attachments } = this.#options;
    const app = store.apps.get(addon.appId);
    if (app === undefined) return;
    const provisional = attachments.ofAddOn(addon);
    try {
      store.transaction(() => attachments.makeRoom(actor, app, addon, { name, namespace: null }, app.name));
    } catch (error) {
      // It has become the last one of its add-on meanwhile: then the new one keeps the name that it has.
      if (!(error instanceof PlatformError)) throw error;
      this.#options.logger.warn('an add-on could not take over a name', { addon: addon.name, name, error });
      return;
    }
    for (const { id } of provisional) store.attachments.delete(id);
    attachments.insert(app, addon, name, null);
  }
}

/** Whom releases and log lines name when a service changes something: `heroku-redis@addons.heroku.com`. */
export function serviceActor({ service }: Pick<AddOn, 'service'>): Actor {
  const email = `${service}@addons.heroku.com`;
  return { id: stableUuid(`account ${email}`) as AccountId, email };
}

export function byApp<T extends { appId: AppId }>(items: readonly T[]): Map<App['id'], T[]> {
  const result = new Map<AppId, T[]>();
  for (const item of items) result.set(item.appId, [...(result.get(item.appId) ?? []), item]);
  return result;
}

function couldNotProvision({ name, failure }: Pick<AddOn, 'name' | 'failure'>): PlatformError {
  return new PlatformError(
    'service_unavailable',
    `${name} could not be provisioned: ${failure ?? 'it was destroyed meanwhile'}.`,
    'add_on',
  );
}
