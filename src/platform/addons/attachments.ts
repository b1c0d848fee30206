import type { Actor } from '../../domain/account';
import { addonReference, type AddOn } from '../../domain/addon';
import type { App } from '../../domain/app';
import {
  attachmentNotFound,
  credentialOf,
  overwritesVars,
  parseAttachmentName,
  pickColourName,
  type AddOnAttachment,
} from '../../domain/attachment';
import { withoutKeys } from '../../domain/config-vars';
import { invalidParams } from '../../domain/errors';
import { isUuid, type AttachmentId } from '../../domain/ids';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';
import type { AttachmentVars } from './attachment-vars';
import type { Catalogue } from './catalogue';

export interface NewAttachment {
  /** Absent: the service's own name, or a colour where the app has that already. */
  name?: string | null;
  /** `credential:x` */
  namespace?: string | null;
  /** The app's name, to agree that what has the name now gives way. */
  confirm?: string | null;
}

/** Which apps see which add-ons, and under what names (Dev Center "Managing Add-ons"). */
export class AddOnAttachments {
  readonly #context: PlatformContext;
  readonly #releases: Releases;
  readonly #catalogue: Catalogue;
  readonly #vars: AttachmentVars;

  constructor(
    context: PlatformContext,
    options: { releases: Releases; catalogue: Catalogue; vars: AttachmentVars },
  ) {
    this.#context = context;
    this.#releases = options.releases;
    this.#catalogue = options.catalogue;
    this.#vars = options.vars;
  }

  /** Those of all apps. */
  all(): AddOnAttachment[] {
    return this.#context.store.attachments.all();
  }

  of(app: App): AddOnAttachment[] {
    return this.#context.store.attachments.of(app.id);
  }

  ofAddOn(addon: AddOn): AddOnAttachment[] {
    return this.#context.store.attachments.ofAddOn(addon.id);
  }

  /** By id, or by name where `app` says of which app. */
  find(idOrName: string, app?: App): AddOnAttachment {
    const { attachments } = this.#context.store;
    const found = isUuid(idOrName)
      ? attachments.get(idOrName as AttachmentId)
      : app && attachments.findByName(app.id, idOrName.toUpperCase());
    if (found === undefined || (app !== undefined && found.appId !== app.id)) throw attachmentNotFound();
    return found;
  }

  /** Names of the config vars that it has or, while its add-on is provisioned, will have. */
  configVarNames(attachment: AddOnAttachment): string[] {
    const present = Object.keys(this.#context.store.configVars.ofAttachment(attachment.id));
    return present.length > 0 ? present : this.#vars.names(this.addonOf(attachment), attachment);
  }

  /** Names of config vars that add-ons being provisioned will set on the app, and that nobody else may have until then. */
  namesToCome(app: App): ReadonlySet<string> {
    const names = this.of(app).flatMap((attachment) => {
      const addon = this.addonOf(attachment);
      return addon.state === 'provisioning' ? this.#vars.names(addon, attachment) : [];
    });
    return new Set(names);
  }

  /** What attachments of a namespace set, without the attachment's name; empty for one that there is not. */
  namespaceConfig(addon: AddOn, namespace: string | null): { name: string; value: string }[] {
    const credential = namespace === null ? null : credentialOf(namespace);
    if (credential === undefined) return [];
    if (credential !== null && !Object.hasOwn(addon.config.credentials, credential)) return [];
    const vars = this.#vars.wanted(addon, { name: 'X', namespace }) ?? {};
    return Object.entries(vars).map(([key, value]) => ({ name: key.replace(/^X_?/, ''), value }));
  }

  addonOf({ addonId }: Pick<AddOnAttachment, 'addonId'>): AddOn {
    const addon = this.#context.store.addons.get(addonId);
    if (addon === undefined) throw new Error('an attachment without its add-on');
    return addon;
  }

  /**
   * What `text` may mean: an attachment's id or name, the name of one of its config vars, or that of its add-on, in
   * this order; `app::NAME` says the app along. Throws not_found where it means nothing.
   */
  resolve(text: string, filter: { app?: App | undefined; service?: string | undefined }): AddOnAttachment[] {
    const [, appName, rest] = /^([^:]+)::(.+)$/.exec(text) ?? [];
    const named = appName === undefined ? undefined : this.#context.store.apps.findByName(appName);
    if (appName !== undefined && named === undefined) throw attachmentNotFound();
    const app = named ?? filter.app;
    const wanted = rest ?? text;
    const candidates = (app === undefined ? this.all() : this.of(app)).filter(
      (attachment) => filter.service === undefined || this.addonOf(attachment).service === filter.service,
    );
    const meanings: ((attachment: AddOnAttachment) => boolean)[] = [
      ({ id }) => id === wanted,
      ({ name }) => name === wanted.toUpperCase(),
      (attachment) => this.configVarNames(attachment).includes(wanted),
      (attachment) => this.addonOf(attachment).name === wanted || attachment.addonId === wanted,
    ];
    for (const means of meanings) {
      const found = candidates.filter(means);
      if (found.length > 0) return found;
    }
    throw attachmentNotFound();
  }

  /** Throws confirmation_required where it would take the place of something. */
  create(actor: Actor, app: App, addon: AddOn, input: NewAttachment): AddOnAttachment {
    const { store } = this.#context;
    const { provider } = this.#catalogue.of(addon);
    if (addon.appId !== app.id && !provider.sharable) {
      throw invalidParams(`${provider.humanName} cannot be attached to other apps.`);
    }
    if (addon.state !== 'provisioned' && addon.state !== 'provisioning') {
      throw invalidParams(`${addon.name} is ${addon.state} and cannot be attached.`);
    }
    const namespace = parseNamespace(addon, input.namespace);
    return store.transaction(() => {
      const name =
        input.name == null ? this.freeName(app, addon, namespace) : parseAttachmentName(input.name);
      this.makeRoom(actor, app, addon, { name, namespace }, input.confirm);
      const attachment = this.insert(app, addon, name, namespace);
      if (addon.state === 'provisioned') this.#vars.apply(addon, attachment);
      record(this.#context, app.id, actor, 'addon.attach', { addon: addon.name, name, namespace });
      this.#releases.create(actor, app, { description: describeAttach(name, addon) });
      return attachment;
    });
  }

  /** Refused for the last one on the app that owns the add-on: that is what destroying it is for. */
  remove(actor: Actor, attachment: AddOnAttachment): AddOnAttachment {
    const { store } = this.#context;
    const addon = this.addonOf(attachment);
    const app = store.apps.get(attachment.appId);
    if (app === undefined) throw attachmentNotFound();
    if (this.#isLast(attachment)) {
      throw invalidParams(`Cannot destroy last attachment to billing app for resource ${addon.name}`);
    }
    store.transaction(() => {
      this.#delete(actor, attachment, addon);
      this.#releases.create(actor, app, { description: describeDetach(attachment.name, addon) });
    });
    return attachment;
  }

  /** The service's own name while nothing has it, and a colour afterwards. */
  freeName(app: App, addon: AddOn, namespace: string | null): string {
    const { provider } = this.#catalogue.of(addon);
    const own = { name: provider.attachmentName, namespace };
    return this.#vars.conflicts(app, addon, own).length === 0
      ? provider.attachmentName
      : this.colourName(app, addon, namespace);
  }

  colourName(app: App, addon: AddOn, namespace: string | null): string {
    const { provider } = this.#catalogue.of(addon);
    const isTaken = (name: string): boolean =>
      this.#vars.conflicts(app, addon, { name, namespace }).length > 0;
    return pickColourName(provider.colourPrefix, isTaken, this.#context.random);
  }

  /**
   * Throws confirmation_required unless the name and its config vars are free, or `confirm` says the app's name.
   */
  assertConfirmed(
    app: App,
    addon: AddOn,
    wanted: Pick<AddOnAttachment, 'name' | 'namespace'>,
    confirm: string | null | undefined,
  ): { vars: string[]; inTheWay: AddOnAttachment[] } {
    const { attachments, configVars } = this.#context.store;
    const vars = this.#vars.conflicts(app, addon, wanted);
    if (vars.length > 0 && confirm !== app.name) throw overwritesVars(wanted.name, app.name, vars);
    const owners = configVars.owners(app.id);
    const ids = new Set(vars.flatMap((key) => owners.get(key) ?? []));
    const named = attachments.findByName(app.id, wanted.name);
    if (named !== undefined) ids.add(named.id);
    return { vars, inTheWay: [...ids].flatMap((id) => attachments.get(id) ?? []) };
  }

  /**
   * Inside a transaction: what has the name, or sets vars of these names, gives way if that is confirmed. An add-on that
   * would be left without one on the app that owns it is attached under a colour instead: `redis:promote` counts on it.
   */
  makeRoom(
    actor: Actor,
    app: App,
    addon: AddOn,
    wanted: Pick<AddOnAttachment, 'name' | 'namespace'>,
    confirm: string | null | undefined,
  ): void {
    const { attachments, configVars } = this.#context.store;
    const existing = attachments.findByName(app.id, wanted.name);
    if (existing?.addonId === addon.id && existing.namespace === wanted.namespace) {
      throw invalidParams(`${addon.name} is already attached to ${app.name} as ${wanted.name}.`);
    }
    const { vars, inTheWay } = this.assertConfirmed(app, addon, wanted, confirm);
    for (const attachment of inTheWay) {
      const other = this.addonOf(attachment);
      if (other.id !== addon.id && this.#isLast(attachment)) this.#attachUnderColour(actor, app, attachment);
      this.#delete(actor, attachment, other);
      this.#releases.create(actor, app, { description: describeDetach(attachment.name, other) });
    }
    // Those that were set by hand.
    if (vars.length > 0) configVars.replace(app.id, withoutKeys(configVars.get(app.id), vars));
  }

  /** The row alone. */
  insert(app: App, addon: AddOn, name: string, namespace: string | null): AddOnAttachment {
    const { store, newId, clock } = this.#context;
    const now = clock.now();
    const attachment: AddOnAttachment = {
      id: newId() as AttachmentId,
      addonId: addon.id,
      appId: app.id,
      name,
      namespace,
      createdAt: now,
      updatedAt: now,
    };
    store.attachments.insert(attachment);
    return attachment;
  }

  /** Of several names of one add-on on one app, the one by which it is told of: no colour, if there is another. */
  mainName(addon: AddOn, attachments: readonly AddOnAttachment[]): string {
    const prefix = this.#catalogue.find(addon)?.provider.colourPrefix ?? '';
    const main =
      attachments.find(({ name }) => prefix === '' || !name.startsWith(`${prefix}_`)) ?? attachments[0];
    return main?.name ?? addon.name;
  }

  #delete(actor: Actor, attachment: AddOnAttachment, addon: AddOn): void {
    this.#context.store.attachments.delete(attachment.id);
    record(this.#context, attachment.appId, actor, 'addon.detach', {
      addon: addon.name,
      name: attachment.name,
    });
  }

  #attachUnderColour(actor: Actor, app: App, { addonId, namespace }: AddOnAttachment): void {
    const addon = this.addonOf({ addonId });
    const name = this.colourName(app, addon, namespace);
    const attachment = this.insert(app, addon, name, namespace);
    if (addon.state === 'provisioned') this.#vars.apply(addon, attachment);
    record(this.#context, app.id, actor, 'addon.attach', { addon: addon.name, name, namespace });
    this.#releases.create(actor, app, { description: describeAttach(name, addon) });
  }

  /** The only one on the app that owns the add-on? */
  #isLast(attachment: AddOnAttachment): boolean {
    const addon = this.addonOf(attachment);
    return (
      addon.appId === attachment.appId &&
      this.ofAddOn(addon).every(({ id, appId }) => appId !== addon.appId || id === attachment.id)
    );
  }
}

export function describeAttach(name: string, addon: AddOn): string {
  return `Attach ${name} (${addonReference(addon)})`;
}
export function describeDetach(name: string, addon: AddOn): string {
  return `Detach ${name} (${addonReference(addon)})`;
}
export function describeUpdate(name: string, addon: AddOn): string {
  return `Update ${name} (${addonReference(addon)})`;
}

function parseNamespace(addon: AddOn, namespace: string | null | undefined): string | null {
  if (namespace == null) return null;
  const credential = credentialOf(namespace);
  if (credential === undefined || !Object.hasOwn(addon.config.credentials, credential)) {
    throw invalidParams(`${addon.name} has no ${JSON.stringify(namespace)} to be attached with.`);
  }
  return namespace;
}
