import type { AddOnProvider, ConfigVarInput } from '../../addons/provider';
import { DEFAULT_CREDENTIAL, type AddOn } from '../../domain/addon';
import type { App } from '../../domain/app';
import { credentialOf, type AddOnAttachment } from '../../domain/attachment';
import type { ConfigVars } from '../../domain/config-vars';
import { notFound } from '../../domain/errors';
import type { Store } from '../../store/store';
import type { Catalogue } from './catalogue';

/** Config vars of attachments: what they are to be, and bringing the store in line. */
export class AttachmentVars {
  readonly #store: Store;
  readonly #catalogue: Catalogue;
  /** What dynos and the user's shell reach add-ons under. */
  readonly #host: () => string;

  constructor(store: Store, catalogue: Catalogue, host: () => string) {
    this.#store = store;
    this.#catalogue = catalogue;
    this.#host = host;
  }

  /** As they are to be. An add-on whose service is not known any more keeps what it has. */
  wanted(addon: AddOn, attachment: Pick<AddOnAttachment, 'name' | 'namespace'>): ConfigVars | undefined {
    const found = this.#input(addon, attachment.namespace);
    if (found === undefined) return undefined;
    return Object.fromEntries(
      Object.entries(found.provider.configVars(found.input)).map(([suffix, value]) => [
        varName(attachment.name, suffix),
        value,
      ]),
    );
  }

  /** Their names, known before the add-on is usable. */
  names(addon: AddOn, attachment: Pick<AddOnAttachment, 'name' | 'namespace'>): string[] {
    const suffixes = this.#catalogue.find(addon)?.provider.configVarSuffixes?.(addon);
    const names =
      suffixes?.map((suffix) => varName(attachment.name, suffix)) ??
      Object.keys(this.wanted(addon, attachment) ?? {});
    return names.sort();
  }

  /** Inside a transaction. Answers whether anything is other than before. */
  apply(addon: AddOn, attachment: AddOnAttachment): boolean {
    const { configVars } = this.#store;
    const own = this.wanted(addon, attachment);
    if (own === undefined) return false;
    const wanted = { ...this.#shared(addon, attachment), ...own };
    if (isSame(wanted, configVars.ofAttachment(attachment.id))) return false;
    configVars.replaceOwned(attachment.appId, attachment.id, wanted);
    return true;
  }

  /** Those under whole names: only of the attachment that has the service's own, and never in place of another's. */
  #shared(addon: AddOn, attachment: AddOnAttachment): ConfigVars {
    const found = this.#input(addon, attachment.namespace);
    if (found?.provider.sharedVars === undefined) return {};
    if (attachment.name !== found.provider.attachmentName) return {};
    const { configVars } = this.#store;
    const owners = configVars.owners(attachment.appId);
    const present = configVars.get(attachment.appId);
    return Object.fromEntries(
      Object.entries(found.provider.sharedVars(found.input)).filter(
        ([name]) => !Object.hasOwn(present, name) || owners.get(name) === attachment.id,
      ),
    );
  }

  #input(
    addon: AddOn,
    namespace: string | null,
  ): { provider: AddOnProvider; input: ConfigVarInput } | undefined {
    const offer = this.#catalogue.find(addon);
    if (offer === undefined) return undefined;
    const { provider, plan } = offer;
    const input = {
      addon,
      plan,
      credential: this.#credential(addon, namespace),
      host: provider.kind === 'container' ? this.#host() : '',
      ports: portsOf(addon, provider),
    };
    return { provider, input };
  }

  /** Names of vars that the app has already, and which an attachment of this name would set. */
  conflicts(app: App, addon: AddOn, attachment: Pick<AddOnAttachment, 'name' | 'namespace'>): string[] {
    const { attachments, configVars } = this.#store;
    const names = this.names(addon, attachment);
    // One that has not been provisioned yet has no vars, but will have.
    if (attachments.findByName(app.id, attachment.name) !== undefined) return names;
    const present = configVars.get(app.id);
    return names.filter((name) => Object.hasOwn(present, name));
  }

  #credential(addon: AddOn, namespace: string | null): { user: string; password: string } {
    const name = namespace === null ? DEFAULT_CREDENTIAL : credentialOf(namespace);
    const { credentials } = addon.config;
    const found = name !== undefined && Object.hasOwn(credentials, name) ? credentials[name] : undefined;
    if (found !== undefined) return found;
    // Services without any credentials have none to give.
    if (namespace === null) return { user: '', password: '' };
    throw notFound('credential');
  }
}

function varName(attachmentName: string, suffix: string): string {
  return suffix === '' ? attachmentName : `${attachmentName}_${suffix}`;
}

/** One port of the host after another, from the add-on's first. */
export function portsOf(addon: AddOn, provider: AddOnProvider): number[] {
  const first = addon.backend.port;
  if (first === null || provider.kind !== 'container') return [];
  const plan = provider.plans.find(({ name }) => name === addon.plan);
  if (plan === undefined) return [];
  return provider.backend({ addon, plan }).ports.map((_port, index) => first + index);
}

function isSame(a: ConfigVars, b: ConfigVars): boolean {
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && a[key] === b[key])
  );
}
