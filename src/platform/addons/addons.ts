import type { AddOnProvider, BackendCommand } from '../../addons/provider';
import type { ProviderRegistry } from '../../addons/registry';
import type { Actor } from '../../domain/account';
import {
  addonNotFound,
  assertAddOnName,
  generateAddOnName,
  NO_BACKEND,
  purgeAt,
  type AddOn,
  type AddOnConfig,
  type AddOnOptions,
} from '../../domain/addon';
import type { App } from '../../domain/app';
import { parseAttachmentName } from '../../domain/attachment';
import { invalidParams, notSupported } from '../../domain/errors';
import { isUuid, type AddOnId } from '../../domain/ids';
import type { AddOnManager, Delay } from '../../dyno-manager/addon-manager';
import type { AttachedCommand, ExecResult } from '../../engine/engine';
import { sleep } from '../../lib/clock';
import type { Logger } from '../../lib/logger';
import { record, type PlatformContext } from '../context';
import type { Releases } from '../releases/releases';
import { AttachmentVars, portsOf } from './attachment-vars';
import { AddOnAttachments, describeDetach, describeUpdate } from './attachments';
import { Catalogue } from './catalogue';
import { byApp, Provisioning, serviceActor, type Provisioner } from './provisioning';

export interface AddOnsOptions {
  releases: Releases;
  providers: ProviderRegistry;
  manager: AddOnManager;
  /** What dynos and the user's shell reach the ports of add-ons under. */
  host: () => string;
  /** What the daemon itself reaches them under, which may be another name or address. */
  publishedOn: () => string;
  /** n random characters out of a-z and 0-9, fit for a password. */
  secret: (length: number) => string;
  logger: Logger;
  /** How long a request waits for a new add-on to be usable before it is answered with `provisioning`. */
  patienceMs?: number;
  /** For kinds of providers other than those that have a container or are part of the daemon. */
  provisioners?: Partial<Record<AddOnProvider['kind'], Provisioner>>;
}

export interface NewAddOn {
  /** A service, `service:plan`, or an id of either. */
  plan: string;
  name?: string | null;
  attachment?: string | null;
  options?: AddOnOptions;
  confirm?: string | null;
}

export interface AddOnChanges {
  plan?: string;
  name?: string;
}

const PATIENCE_MS = 8_000;
/** Where it is known to take much longer; what fails, often fails at once. */
const SHORT_PATIENCE_MS = 2_000;
/** Of who wakes a sleeping one; the CLI gives up on a request after 30 s. */
const WAKE_PATIENCE_MS = 20_000;

/** Backing services of apps (Dev Center "Managing Add-ons"). */
export class AddOns {
  readonly catalogue: Catalogue;
  readonly attachments: AddOnAttachments;
  readonly provisioning: Provisioning;
  readonly #vars: AttachmentVars;
  readonly #context: PlatformContext;
  readonly #options: AddOnsOptions;
  readonly #provisioners: Partial<Record<AddOnProvider['kind'], Provisioner>>;

  constructor(context: PlatformContext, options: AddOnsOptions) {
    const { releases, logger, manager } = options;
    this.#context = context;
    this.#options = options;
    this.catalogue = new Catalogue(options.providers);
    this.#vars = new AttachmentVars(context.store, this.catalogue, options.host);
    const parts = { releases, catalogue: this.catalogue, vars: this.#vars };
    this.attachments = new AddOnAttachments(context, parts);
    this.provisioning = new Provisioning(context, { ...parts, attachments: this.attachments, logger });
    this.#provisioners = {
      container: {
        provision: ({ id }) => manager.kick(id),
        changePlan: ({ id }) => manager.settle(id),
        deprovision: ({ id }) => manager.kick(id),
      },
      builtin: {
        provision: ({ id }) => this.provisioning.complete(id),
        changePlan: () => undefined,
        deprovision: () => undefined,
      },
      ...options.provisioners,
    };
  }

  /** After a start: goes on with what was under way, and gives apps the addresses of today. */
  async start(): Promise<void> {
    this.refreshConfigVars();
    for (const addon of this.#context.store.addons.all()) {
      const provider = this.catalogue.find(addon)?.provider;
      // The dyno manager looks at its own by itself.
      if (provider === undefined || provider.kind === 'container') continue;
      if (addon.state === 'provisioning') await this.#provisioner(provider).provision(addon);
      // Without waiting for the partner.
      if (addon.state === 'deprovisioning') this.#deprovisionLater(addon);
    }
  }

  /** Of all apps. */
  all(): AddOn[] {
    return this.#context.store.addons.live();
  }

  /** Those that the app owns, and those of other apps that it has attached, as Heroku lists them. */
  of(app: App): AddOn[] {
    const { store } = this.#context;
    const ids = new Set([
      ...store.addons.of(app.id).map(({ id }) => id),
      ...store.attachments.of(app.id).map(({ addonId }) => addonId),
    ]);
    return store.addons.live().filter(({ id }) => ids.has(id));
  }

  /** By id or name; with `app` only one that it owns or has attached. One that could not be had is found for a while. */
  find(idOrName: string, app?: App): AddOn {
    const { store } = this.#context;
    const found = isUuid(idOrName)
      ? store.addons.get(idOrName as AddOnId)
      : (store.addons.findByName(idOrName) ?? store.addons.findFailed(idOrName));
    if (found === undefined || (found.state === 'deprovisioned' && found.failure === null)) {
      throw addonNotFound();
    }
    if (app !== undefined && found.appId !== app.id) {
      const attached = store.attachments.of(app.id).some(({ addonId }) => addonId === found.id);
      if (!attached) throw addonNotFound();
    }
    return found;
  }

  /** The app that it is billed to, also when that is gone. */
  ownerOf(addon: AddOn): { id: App['id']; name: string } {
    const app = this.#context.store.apps.get(addon.appId);
    return { id: addon.appId, name: app?.name ?? addon.appName };
  }

  /** Names of its config vars on the app that owns it. */
  configVarNames(addon: AddOn): string[] {
    return this.attachments
      .ofAddOn(addon)
      .filter(({ appId }) => appId === addon.appId)
      .flatMap((attachment) => this.attachments.configVarNames(attachment));
  }

  /**
   * What `text` may mean: an add-on's id or name, a service (or service:plan), or an attachment of the app, in this
   * order. Throws not_found where it means nothing.
   */
  resolve(text: string, filter: { app?: App | undefined; service?: string | undefined }): AddOn[] {
    const { app, service } = filter;
    const candidates = (app === undefined ? this.all() : this.of(app)).filter(
      (addon) => service === undefined || addon.service === service,
    );
    const attached = (wanted: string): Set<AddOnId> =>
      new Set(
        (app === undefined ? [] : this.attachments.of(app))
          .filter(
            (attachment) =>
              attachment.name === wanted.toUpperCase() ||
              this.attachments.configVarNames(attachment).includes(wanted),
          )
          .map(({ addonId }) => addonId),
      );
    const byAttachment = attached(text);
    const meanings: ((addon: AddOn) => boolean)[] = [
      ({ id, name }) => id === text || name === text,
      ({ service: of, plan }) => of === text || `${of}:${plan}` === text,
      ({ id }) => byAttachment.has(id),
    ];
    for (const means of meanings) {
      const found = candidates.filter(means);
      if (found.length > 0) return found;
    }
    throw addonNotFound();
  }

  /** Answers when it is usable, or after a while with `provisioning`: then it goes on by itself. */
  async create(actor: Actor, app: App, input: NewAddOn): Promise<AddOn> {
    const { store, clock, newId } = this.#context;
    const { provider, plan } = this.catalogue.offer(input.plan);
    const asked = input.options ?? {};
    this.catalogue.checkOptions(provider, plan, asked);
    const options = this.#resolveOptions(app, provider, asked);
    if (input.name != null) assertAddOnName(input.name);
    const attachAs = input.attachment == null ? null : parseAttachmentName(input.attachment);
    const addon = store.transaction(() => {
      if (!provider.multiple && store.addons.of(app.id).some(({ service }) => service === provider.service)) {
        throw invalidParams(
          `${provider.humanName} is already installed on ${app.name}, and only once per app.`,
        );
      }
      if (input.name != null && store.addons.findByName(input.name) !== undefined) {
        throw invalidParams(`Name ${input.name} is already taken`);
      }
      const now = clock.now();
      const created: AddOn = {
        id: newId() as AddOnId,
        appId: app.id,
        appName: app.name,
        name: input.name ?? this.#freeName(provider),
        service: provider.service,
        plan: plan.name,
        state: 'provisioning',
        config: provider.newConfig({ plan, options, secret: this.#options.secret }),
        options,
        provisionMessage: null,
        failure: null,
        announced: false,
        attachAs: null,
        backend: NO_BACKEND,
        createdAt: now,
        updatedAt: now,
        provisionedAt: null,
        deprovisionedAt: null,
      };
      store.addons.insert(created);
      const named = this.#attachFirst(app, created, provider, attachAs, input.confirm);
      record(this.#context, app.id, actor, 'addon.create', {
        addon: named.name,
        plan: `${named.service}:${plan.name}`,
      });
      return named;
    });
    return this.#provision(actor, addon, provider);
  }

  /** The same, but answers when it is usable. Throws service_unavailable if it is not to be had, or when `signal` aborts. */
  async createUsable(actor: Actor, app: App, input: NewAddOn, signal: AbortSignal): Promise<AddOn> {
    const { id } = await this.create(actor, app, input);
    return this.provisioning.usable(id, signal);
  }

  /** Another plan of the same service keeps all data. Another name changes nothing else. */
  async update(actor: Actor, app: App, addon: AddOn, changes: AddOnChanges): Promise<AddOn> {
    const { store, clock } = this.#context;
    if (addon.appId !== app.id) throw addonNotFound();
    let current = addon;
    if (changes.name !== undefined && changes.name !== addon.name) {
      const { name } = changes;
      assertAddOnName(name);
      current = store.transaction(() => {
        if (store.addons.findByName(name) !== undefined) throw invalidParams(`Name ${name} is already taken`);
        const renamed = { ...addon, name, updatedAt: clock.now() };
        store.addons.update(renamed);
        record(this.#context, app.id, actor, 'addon.rename', { addon: addon.name, name });
        return renamed;
      });
    }
    return changes.plan === undefined ? current : this.#changePlan(actor, app, current, changes.plan);
  }

  /** What it holds can be had back for a while (`undelete`). Refused while other apps use it, unless `force`. */
  async destroy(actor: Actor, app: App, addon: AddOn, options: { force: boolean }): Promise<AddOn> {
    const { store } = this.#context;
    if (addon.appId !== app.id) throw addonNotFound();
    const others = [...byApp(this.attachments.ofAddOn(addon)).keys()]
      .filter((id) => id !== app.id)
      .flatMap((id) => store.apps.get(id)?.name ?? []);
    if (others.length > 0 && !options.force) {
      throw invalidParams(
        `${addon.name} is attached to other apps (${others.join(', ')}). Detach it there first, or destroy it with --force.`,
      );
    }
    const destroyed =
      addon.state === 'deprovisioning'
        ? addon
        : store.transaction(() => this.#deprovision(actor, addon, app.name, new Set()));
    await this.#deprovisioned(destroyed);
    return store.addons.get(addon.id) ?? destroyed;
  }

  /** Inside the transaction that destroys an app: its add-ons go with it, and other apps lose them. */
  appDestroyed(actor: Actor, app: App): void {
    const { store } = this.#context;
    for (const addon of store.addons.of(app.id)) {
      // A partner is at it already.
      if (addon.state === 'deprovisioning') continue;
      const destroyed = this.#deprovision(actor, addon, app.name, new Set([app.id]));
      store.afterCommit(() => this.#deprovisionLater(destroyed));
    }
  }

  /** Those that can be had back, the one destroyed last first. */
  deleted(): AddOn[] {
    const { addons, partners } = this.#context.store;
    // What a partner had is not ours to give back.
    return addons.deleted().filter(({ id }) => partners.resource(id) === undefined);
  }

  /** A destroyed add-on with all its data, for the app that had it or another one. */
  async undelete(actor: Actor, idOrName: string, into?: App): Promise<AddOn> {
    const { store, clock } = this.#context;
    const found = this.deleted().find(({ id, name }) => id === idOrName || name === idOrName);
    if (found === undefined) throw addonNotFound();
    const app = into ?? store.apps.get(found.appId);
    if (app === undefined) {
      throw invalidParams(`The app ${found.appName} of ${found.name} is gone. Say which app is to have it.`);
    }
    const { provider } = this.catalogue.of(found);
    const addon = store.transaction(() => {
      const isTaken = store.addons.findByName(found.name) !== undefined;
      const revived: AddOn = {
        ...found,
        appId: app.id,
        appName: app.name,
        name: isTaken ? this.#freeName(provider) : found.name,
        state: 'provisioning',
        announced: false,
        failure: null,
        updatedAt: clock.now(),
        deprovisionedAt: null,
      };
      store.addons.update(revived);
      store.addons.setBackend(found.id, { ...NO_BACKEND, port: found.backend.port });
      store.transfers.move(found.id, app.id);
      record(this.#context, app.id, actor, 'addon.undelete', { addon: revived.name });
      return this.#attachFirst(app, revived, provider, null, null);
    });
    return this.#provision(actor, addon, provider);
  }

  /**
   * New secrets or facts, e.g. another password: all attachments get the config vars that follow, and each app concerned
   * a release of the service's. Does not reach into the backend, see `AddOnManager.setUp`.
   */
  changeConfig(addon: AddOn, config: AddOnConfig): AddOn {
    const { store, clock } = this.#context;
    return store.transaction(() => {
      const current = store.addons.get(addon.id);
      if (current === undefined) throw addonNotFound();
      const changed = { ...current, config, updatedAt: clock.now() };
      store.addons.update(changed);
      record(this.#context, addon.appId, serviceActor(addon), 'addon.config', { addon: addon.name });
      this.#refresh(serviceActor(addon), changed);
      return changed;
    });
  }

  /** The row has another plan, and what follows from it: config vars and releases. */
  setPlan(actor: Actor, addon: AddOn, plan: string, config: AddOnConfig = addon.config): AddOn {
    const { store, clock } = this.#context;
    return store.transaction(() => {
      const next: AddOn = { ...addon, plan, config, updatedAt: clock.now() };
      store.addons.update(next);
      record(this.#context, addon.appId, actor, 'addon.plan', {
        addon: addon.name,
        from: `${addon.service}:${addon.plan}`,
        to: `${addon.service}:${plan}`,
      });
      for (const [appId, attachments] of byApp(this.attachments.ofAddOn(next))) {
        const of = store.apps.get(appId);
        const isOther = attachments.map((each) => this.#vars.apply(next, each)).includes(true);
        // Its owner's releases list the plans.
        if (of === undefined || (!isOther && appId !== addon.appId)) continue;
        const description = describeUpdate(this.attachments.mainName(next, attachments), next);
        this.#options.releases.create(actor, of, { description });
      }
      return next;
    });
  }

  /** Where addresses have changed, e.g. since the bridge was made anew. */
  refreshConfigVars(): void {
    const { store } = this.#context;
    for (const addon of store.addons.live()) {
      if (addon.state === 'provisioned') store.transaction(() => this.#refresh(serviceActor(addon), addon));
    }
  }

  /** Until when a destroyed one can be had back. */
  purgeAt(addon: AddOn): Date | null {
    return purgeAt(addon);
  }

  hasBackend(addon: AddOn): boolean {
    return this.catalogue.find(addon)?.provider.kind === 'container';
  }

  /** Where the daemon reaches a port of its backend, by its index; undefined for what has none. */
  address(addon: AddOn, index: number): { host: string; port: number } | undefined {
    const provider = this.catalogue.find(addon)?.provider;
    const port = provider && portsOf(addon, provider)[index];
    return port === undefined ? undefined : { host: this.#options.publishedOn(), port };
  }

  isServing(addon: AddOn): boolean {
    return this.#options.manager.isServing(addon.id);
  }

  /** Why it does not run just now, where that is known. */
  problem(addon: AddOn): string | null {
    const { addons, partners } = this.#context.store;
    return partners.resource(addon.id)?.problem ?? addons.get(addon.id)?.backend.problem ?? null;
  }

  /** It sleeps since all its apps do. */
  isAsleep(addon: AddOn): boolean {
    return this.#options.manager.isAsleep(addon.id);
  }

  /**
   * Somebody is about to use it: where add-ons sleep, it wakes and stays awake for a while. Resolves when it serves, or
   * after some time all the same: whoever uses it finds out.
   */
  async awaken(addon: AddOn): Promise<void> {
    if (addon.state !== 'provisioned' || !this.hasBackend(addon)) return;
    await this.#options.manager.awaken(addon.id, { timeoutMs: WAKE_PATIENCE_MS });
  }

  /** The same with all that are attached to an app; undefined if it has none. */
  awakenOf(app: App): Promise<void> | undefined {
    const { store } = this.#context;
    const ids = new Set(store.attachments.of(app.id).map(({ addonId }) => addonId));
    const found = [...ids].flatMap((id) => store.addons.get(id) ?? []);
    if (found.length === 0) return undefined;
    return Promise.all(found.map((addon) => this.awaken(addon))).then(() => undefined);
  }

  async exec(addon: AddOn, command: BackendCommand, options?: { timeoutMs?: number }): Promise<ExecResult> {
    if (!this.isServing(addon)) await this.awaken(addon);
    return this.#options.manager.exec(addon.id, command, options);
  }

  async execAttached(addon: AddOn, command: BackendCommand): Promise<AttachedCommand> {
    if (!this.isServing(addon)) await this.awaken(addon);
    return this.#options.manager.execAttached(addon.id, command);
  }

  /** Puts credentials that `changeConfig` has changed into the running backend. */
  setUp(addon: AddOn): Promise<void> {
    return this.#options.manager.setUp(addon.id);
  }

  /** Makes its container anew where what it is made of has changed. */
  settle(addon: AddOn): Promise<void> {
    return this.#options.manager.settle(addon.id);
  }

  restart(addon: AddOn): Promise<void> {
    return this.#options.manager.restart(addon.id);
  }

  /** Options that name an add-on get its id, and what the new one has from it. */
  #resolveOptions(app: App, provider: AddOnProvider, asked: AddOnOptions): AddOnOptions {
    let options = asked;
    for (const [name, value] of Object.entries(asked)) {
      const refersTo = provider.options[name]?.refersTo;
      if (refersTo === undefined) continue;
      const other = this.#referred(app, provider, value);
      const inherited = refersTo.inherits.flatMap((each) => {
        const of = other.options[each];
        return of === undefined ? [] : [[each, of] as const];
      });
      options = { ...Object.fromEntries(inherited), ...options, [name]: other.id };
    }
    return options;
  }

  /** `DATABASE`, `HEROKU_POSTGRESQL_PINK_URL`, `other-app::DATABASE`, the name or id of an add-on, or its connection URL. */
  #referred(app: App, { service }: AddOnProvider, value: string): AddOn {
    const { store } = this.#context;
    const [, appName, name = value] = /^([^:]+)::(.+)$/.exec(value) ?? [];
    const owner = appName === undefined ? app : (store.apps.findByName(appName) ?? app);
    const wanted = name.toUpperCase().replace(/_URL$/, '');
    const candidates = this.all().filter(
      (addon) => addon.service === service && addon.state === 'provisioned',
    );
    const attached = store.attachments.of(owner.id).find((each) => each.name === wanted)?.addonId;
    const found = candidates.find(
      (addon) =>
        addon.id === attached ||
        addon.id === value ||
        addon.name === value ||
        this.attachments.namespaceConfig(addon, null).some((each) => each.value === value),
    );
    if (found === undefined) throw addonNotFound();
    return found;
  }

  async #changePlan(actor: Actor, app: App, addon: AddOn, asked: string): Promise<AddOn> {
    const { store, clock } = this.#context;
    const { provider, plan } = this.catalogue.offer(
      asked.includes(':') ? asked : `${addon.service}:${asked}`,
    );
    if (provider.service !== addon.service) {
      throw invalidParams(
        `${addon.name} is of ${addon.service}. It can't be changed to ${provider.service}.`,
      );
    }
    if (addon.state !== 'provisioned') {
      throw invalidParams(`${addon.name} is ${addon.state}: its plan can't be changed now.`);
    }
    const provisioner = this.#provisioner(provider);
    if (provisioner.agreePlan !== undefined) {
      await provisioner.agreePlan(actor, addon, plan.name);
      return store.addons.get(addon.id) ?? addon;
    }
    const changed = this.setPlan(actor, addon, plan.name);
    const work = Promise.resolve(provisioner.changePlan(changed, addon));
    if (provider.kind === 'container') {
      await this.#forAWhile(work, addon);
      return changed;
    }
    try {
      await work;
    } catch (error) {
      store.transaction(() => {
        const back = { ...changed, plan: addon.plan, updatedAt: clock.now() };
        store.addons.update(back);
        this.#refresh(actor, back);
        this.#options.releases.create(actor, app, {
          description: describeUpdate(this.attachments.mainName(back, this.attachments.ofAddOn(back)), back),
        });
      });
      throw error;
    }
    return store.addons.get(addon.id) ?? changed;
  }

  /** What takes longer goes on by itself. */
  async #forAWhile(work: Promise<void>, addon: AddOn): Promise<void> {
    const patience = new AbortController();
    const logged = work.catch((error: unknown) =>
      this.#options.logger.error('an add-on could not be changed', { addon: addon.name, error }),
    );
    await Promise.race([logged, sleep(this.#context.clock, PATIENCE_MS, patience.signal)]);
    patience.abort();
  }

  /** The row, its attachments and what the apps are told of it; `silent` apps are told nothing. */
  #deprovision(actor: Actor, addon: AddOn, appName: string, silent: ReadonlySet<App['id']>): AddOn {
    const { store, clock } = this.#context;
    const now = clock.now();
    // Its partner has to agree.
    const isHeld = !['gone', undefined].includes(store.partners.resource(addon.id)?.phase);
    const destroyed: AddOn = {
      ...addon,
      appName,
      state: isHeld ? 'deprovisioning' : 'deprovisioned',
      updatedAt: now,
      deprovisionedAt: isHeld ? null : now,
    };
    const attachments = byApp(this.attachments.ofAddOn(addon));
    store.addons.update(destroyed);
    store.afterCommit(() => this.provisioning.destroyed(addon.id));
    record(this.#context, addon.appId, actor, 'addon.destroy', { addon: addon.name });
    for (const [appId, ofApp] of attachments) {
      const main = this.attachments.mainName(addon, ofApp);
      for (const { id } of ofApp) store.attachments.delete(id);
      const app = store.apps.get(appId);
      if (app === undefined || silent.has(appId)) continue;
      this.#options.releases.create(actor, app, { description: describeDetach(main, addon) });
    }
    return destroyed;
  }

  #deprovisionLater(addon: AddOn): void {
    this.#deprovisioned(addon).catch((error: unknown) =>
      this.#options.logger.error('an add-on could not be given up', { addon: addon.name, error }),
    );
  }

  async #deprovisioned(addon: AddOn): Promise<void> {
    if (addon.state === 'deprovisioning') {
      await this.#provisioners.partner?.deprovision(addon);
      return;
    }
    const provider = this.catalogue.find(addon)?.provider;
    // One whose service is not known any more may still have a container.
    if (provider === undefined) this.#options.manager.kick(addon.id);
    else await this.#provisioner(provider).deprovision(addon);
  }

  #refresh(actor: Actor, addon: AddOn): void {
    const { store } = this.#context;
    for (const [appId, attachments] of byApp(this.attachments.ofAddOn(addon))) {
      const app = store.apps.get(appId);
      const changed = attachments.map((attachment) => this.#vars.apply(addon, attachment)).includes(true);
      if (app === undefined || !changed) continue;
      const description = describeUpdate(this.attachments.mainName(addon, attachments), addon);
      this.#options.releases.create(actor, app, { description });
    }
  }

  /**
   * Its first name on its app. One that would take the place of something (which is confirmed, or refused here) gets it
   * only when it is usable, and a colour until then.
   */
  #attachFirst(
    app: App,
    addon: AddOn,
    provider: AddOnProvider,
    attachAs: string | null,
    confirm: string | null | undefined,
  ): AddOn {
    const { attachments } = this;
    if (attachAs !== null) {
      const { vars, inTheWay } = attachments.assertConfirmed(
        app,
        addon,
        { name: attachAs, namespace: null },
        confirm,
      );
      if (vars.length === 0 && inTheWay.length === 0) {
        attachments.insert(app, addon, attachAs, null);
        return addon;
      }
      attachments.insert(app, addon, attachments.colourName(app, addon, null), null);
      const pending = { ...addon, attachAs };
      this.#context.store.addons.update(pending);
      return pending;
    }
    const name = attachments.freeName(app, addon, null);
    attachments.insert(app, addon, name, null);
    if (provider.firstHasColour && name === provider.attachmentName) {
      attachments.insert(app, addon, attachments.colourName(app, addon, null), null);
    }
    return addon;
  }

  /** If it is going to take longer, the answer says why, and does not wait for it. */
  async #provision(actor: Actor, addon: AddOn, provider: AddOnProvider): Promise<AddOn> {
    const { patienceMs = PATIENCE_MS, manager } = this.#options;
    const { clock } = this.#context;
    const known: { delay: Delay | null } = { delay: null };
    const patience = async (signal: AbortSignal): Promise<void> => {
      const enough = sleep(clock, patienceMs, signal);
      if (provider.kind === 'container') {
        known.delay = await Promise.race([manager.delayOf(addon), enough.then(() => null)]);
      }
      await (known.delay === null ? enough : sleep(clock, Math.min(patienceMs, SHORT_PATIENCE_MS), signal));
    };
    const provision = (row: AddOn): Promise<void> | void => this.#provisioner(provider).provision(row);
    const answer = await this.provisioning.run(actor, addon, provision, patience);
    if (known.delay === null || answer.state !== 'provisioning') return answer;
    return { ...answer, provisionMessage: describeDelay(known.delay, provider, answer) };
  }

  #provisioner({ kind, humanName }: AddOnProvider): Provisioner {
    const provisioner = this.#provisioners[kind];
    if (provisioner === undefined)
      throw notSupported(`dynodock does not support add-ons like ${humanName} yet.`);
    return provisioner;
  }

  #freeName({ namePrefix }: AddOnProvider): string {
    for (;;) {
      const name = generateAddOnName(namePrefix, this.#context.random);
      if (this.#context.store.addons.findByName(name) === undefined) return name;
    }
  }
}

function describeDelay(delay: Delay, { humanName }: AddOnProvider, { appName }: AddOn): string {
  switch (delay) {
    case 'no-image':
      return `The image of ${humanName} is being made, which takes about a minute. Follow it: heroku logs --tail --app ${appName}`;
    case 'no-engine':
      return 'The container engine does not answer just now. The add-on is made once it does.';
  }
}
