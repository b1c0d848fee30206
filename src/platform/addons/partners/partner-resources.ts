import type { PartnerAnswer, PartnerClient } from '../../../addons/partner-client';
import type { PartnerEndpoint, PartnerProvider } from '../../../addons/provider';
import type { ProviderRegistry } from '../../../addons/registry';
import type { Actor } from '../../../domain/account';
import { addonNotFound, addonReference, type AddOn, type AddOnConfig } from '../../../domain/addon';
import { conflict, invalidParams, PlatformError } from '../../../domain/errors';
import type { AddOnId } from '../../../domain/ids';
import type { PartnerResource } from '../../../domain/partner';
import { sleep } from '../../../lib/clock';
import { deferred, type Deferred } from '../../../lib/deferred';
import type { Logger } from '../../../lib/logger';
import { SingleFlight } from '../../../lib/single-flight';
import type { PlatformContext } from '../../context';
import type { AddOns } from '../addons';
import { serviceActor, type Provisioner } from '../provisioning';
import type { PartnerAccess } from './partner-access';
import { changedConfig, parseConfig } from './partner-config';
import { ASYNC_DEADLINE_MS, MAX_ASKS, MAX_PLAN_CHANGES, partnerDelayMs, planPartner } from './partner-plan';
import { provisionBody, resourcePath, planBody } from './partner-requests';

export interface PartnerResourcesOptions {
  providers: Pick<ProviderRegistry, 'find'>;
  client: Pick<PartnerClient, 'ask'>;
  access: PartnerAccess;
  /** Built after this. */
  addons: () => AddOns;
  logger: Logger;
  /** How long a request waits for a partner to let go of an add-on. */
  patienceMs?: number;
  /** After so many attempts in a row until the next one. */
  delayMs?: (attempts: number) => number;
}

const PATIENCE_MS = 8_000;
/** Slow partners are not to keep others waiting. */
const CONCURRENCY = 32;
const MAX_ROUNDS = 10;
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps partners in line with the store, as the dyno manager does with containers: kicks carry no facts, each pass reads
 * what is wanted of one add-on and what its partner is known to have, decides by `planPartner`, acts, and looks again.
 * Each request is counted before it is sent, and its answer is stored in one transaction with what follows from it, so
 * that after a kill anywhere it is sent again: partners know it by the add-on's id, which is sent along as `uuid`.
 */
export class PartnerResources implements Provisioner {
  readonly #context: PlatformContext;
  readonly #options: PartnerResourcesOptions;
  readonly #flights: SingleFlight<AddOnId>;
  readonly #timers = new Map<AddOnId, () => void>();
  /** Who waits for another plan. */
  readonly #planWaiters = new Map<AddOnId, { actor: Actor; outcome: Deferred<void> }>();
  readonly #stopped = new AbortController();
  #isStarted = false;

  constructor(context: PlatformContext, options: PartnerResourcesOptions) {
    this.#context = context;
    this.#options = options;
    this.#flights = new SingleFlight((id) => this.#pass(id), CONCURRENCY);
  }

  /** Goes on with whatever was under way, and begins with what came up before: once callbacks can be answered. */
  start(): void {
    this.#isStarted = true;
    for (const { addonId } of this.#context.store.partners.resources()) this.kick(addonId);
  }

  /** Requests under way are broken off, and sent again at the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    for (const { outcome } of this.#planWaiters.values()) outcome.reject(stopping());
    this.#planWaiters.clear();
    await this.#flights.stop();
  }

  kick(id: AddOnId): void {
    if (this.#isStarted) void this.#flights.kick(id);
  }

  /** Resolves when nothing is under way but waiting; for tests. */
  idle(): Promise<void> {
    return this.#flights.idle();
  }

  provision({ id, service }: AddOn): void {
    const { store, clock, newId } = this.#context;
    if (store.partners.resource(id) === undefined) {
      store.partners.saveResource({
        addonId: id,
        service,
        phase: 'asking',
        providerId: null,
        wantedPlan: null,
        attempts: 0,
        nextAttemptAt: null,
        deadline: null,
        problem: null,
        logToken: `t.${newId()}`,
        createdAt: clock.now(),
      });
    }
    this.kick(id);
  }

  /** Never called: partners are asked first. */
  changePlan(): void {
    throw new Error('the partner was not asked');
  }

  async agreePlan(actor: Actor, { id, name }: AddOn, plan: string): Promise<void> {
    const { store } = this.#context;
    if (this.#planWaiters.has(id)) throw conflict(`The plan of ${name} is being changed already.`);
    const resource = store.partners.resource(id);
    if (resource?.phase !== 'held') throw invalidParams(`${name} is not provisioned yet.`);
    store.partners.saveResource({ ...fresh(resource), wantedPlan: plan });
    const outcome: Deferred<void> = deferred();
    this.#planWaiters.set(id, { actor, outcome });
    this.kick(id);
    await outcome.promise;
  }

  /** Waits for a while, in which most partners let go of it. */
  async deprovision({ id }: AddOn): Promise<void> {
    if (!this.#isStarted) return;
    const patience = new AbortController();
    await Promise.race([
      this.#flights.kick(id),
      sleep(this.#context.clock, this.#options.patienceMs ?? PATIENCE_MS, patience.signal),
    ]);
    patience.abort();
  }

  /** What the partner calls it; ours where it has no name for it. */
  providerId({ id }: Pick<AddOn, 'id'>): string {
    return this.#context.store.partners.resource(id)?.providerId ?? id;
  }

  /** Callback: it is provisioned. Throws invalid_params where that was not asked for. */
  provisioned(addon: AddOn): void {
    const { store } = this.#context;
    store.transaction(() => {
      const resource = store.partners.resource(addon.id);
      if (addon.state === 'provisioned') return;
      if (addon.state !== 'provisioning' || resource === undefined) {
        throw invalidParams(`${addon.name} is ${addon.state}.`);
      }
      store.partners.saveResource({ ...fresh(resource), phase: 'held' });
      this.#options.addons().provisioning.complete(addon.id);
    });
  }

  /** Callback: it is gone, or can't be had. Throws invalid_params while it is in use. */
  deprovisioned(addon: AddOn): void {
    const { store } = this.#context;
    store.transaction(() => {
      const resource = store.partners.resource(addon.id);
      if (addon.state === 'provisioned' || resource === undefined) {
        throw invalidParams(`${addon.name} is in use: only its owner can destroy it.`);
      }
      this.#gone(resource);
      const { provisioning } = this.#options.addons();
      if (addon.state === 'provisioning') provisioning.fail(addon.id, 'its provider could not provision it');
    });
  }

  /** Nobody is to be asked about it any more: its service is given up by force. */
  abandon(id: AddOnId): void {
    const { store } = this.#context;
    store.transaction(() => {
      const resource = store.partners.resource(id);
      if (resource !== undefined && resource.phase !== 'gone') this.#gone(resource);
      this.#options.addons().provisioning.fail(id, 'its service was unregistered');
    });
    this.kick(id);
  }

  async #pass(id: AddOnId): Promise<void> {
    this.#timers.get(id)?.();
    this.#timers.delete(id);
    try {
      for (let round = 0; round < MAX_ROUNDS && !this.#stopped.signal.aborted; round += 1) {
        if (!(await this.#step(id))) return;
      }
      this.#kickAfter(id, this.#delayMs(1));
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      this.#options.logger.error('asking a partner failed', { addon: id, error });
      this.#kickAfter(id, this.#delayMs(6));
    }
  }

  /** Answers whether there may be more to do. */
  async #step(id: AddOnId): Promise<boolean> {
    const { store, clock } = this.#context;
    const resource = store.partners.resource(id);
    if (resource === undefined) return false;
    const addon = store.addons.get(id);
    const provider = this.#provider(resource.service);
    const now = clock.now();
    const step = planPartner({ resource, addon, known: provider !== undefined, now });
    switch (step.kind) {
      case 'wait':
        if (step.until !== null) this.#kickAfter(id, step.until.getTime() - now.getTime());
        return false;
      case 'ask':
        if (addon !== undefined && provider !== undefined)
          await this.#ask(resource, addon, provider.endpoint);
        return true;
      case 'fail':
        store.transaction(() => this.#fail(resource, step.reason));
        return true;
      case 'change-plan':
        if (provider !== undefined) await this.#changePlan(resource, step.plan, provider.endpoint);
        return true;
      case 'give-up':
        this.#giveUp(resource);
        return true;
      case 'leave':
        if (provider !== undefined) await this.#leave(resource, provider.endpoint);
        return true;
      case 'finish':
        this.#gone(resource);
        return true;
      case 'forget':
        store.partners.deleteResource(id);
        return false;
    }
  }

  async #ask(resource: PartnerResource, addon: AddOn, endpoint: PartnerEndpoint): Promise<void> {
    const { store, settings } = this.#context;
    const { access } = this.#options;
    const grant = store.transaction(() => {
      this.#count(resource);
      return endpoint.version === 3 ? access.grant(addon.id) : null;
    });
    const origin = `http://localhost:${settings.apiPort}`;
    const body = provisionBody({ addon, endpoint, grant, origin, logToken: resource.logToken });
    const answer = await this.#send(resource.service, endpoint, { method: 'POST', path: '', body });
    store.transaction(() => this.#asked(addon.id, endpoint, answer));
  }

  #asked(id: AddOnId, endpoint: PartnerEndpoint, answer: PartnerAnswer): void {
    const { store } = this.#context;
    const resource = store.partners.resource(id);
    if (resource === undefined) return;
    const providerId =
      answer.kind === 'done' || answer.kind === 'accepted' ? idOf(answer.body) : resource.providerId;
    if (resource.phase !== 'asking') {
      // It has told by a callback already how it ended.
      store.partners.saveResource({ ...resource, providerId: providerId ?? resource.providerId });
      return;
    }
    switch (answer.kind) {
      case 'done':
      case 'accepted': {
        const problem = this.#take(resource, endpoint, { ...answer, providerId });
        if (problem !== null) this.#fail(resource, problem);
        return;
      }
      case 'refused': {
        const reason = answer.message ?? `The provider refused with status ${answer.status}.`;
        // An earlier request may have come to something all the same.
        if (resource.attempts > 1) store.partners.saveResource({ ...fresh(resource), phase: 'leaving' });
        else this.#gone(resource);
        this.#options.addons().provisioning.fail(id, reason.replace(/\.$/, ''), invalidParams(reason));
        return;
      }
      case 'failed': {
        const reason = `its provider ${answer.reason}`;
        if (resource.attempts >= MAX_ASKS) this.#fail(resource, reason);
        else store.partners.saveResource({ ...resource, problem: reason });
        return;
      }
    }
  }

  /** What comes of a good answer to a POST; answers what is wrong with it, if anything is. */
  #take(
    resource: PartnerResource,
    endpoint: PartnerEndpoint,
    {
      kind,
      body,
      providerId,
    }: { kind: 'done' | 'accepted'; body: Record<string, unknown>; providerId: string | null },
  ): string | null {
    const { store } = this.#context;
    const addons = this.#options.addons();
    const addon = store.addons.get(resource.addonId);
    if (providerId === null) return 'its provider gave an answer without an id';
    if (addon !== undefined) {
      const problem = this.#configure(addon, endpoint, body);
      if (problem !== null) return problem;
    }
    const message = typeof body['message'] === 'string' ? body['message'] : undefined;
    if (kind === 'accepted') {
      const deadline = new Date(resource.createdAt.getTime() + ASYNC_DEADLINE_MS);
      store.partners.saveResource({ ...fresh(resource), phase: 'accepted', providerId, deadline });
      const current = store.addons.get(resource.addonId);
      if (current !== undefined && message !== undefined) {
        store.addons.update({ ...current, provisionMessage: message });
      }
      addons.provisioning.answer(resource.addonId);
    } else {
      store.partners.saveResource({ ...fresh(resource), phase: 'held', providerId });
      addons.provisioning.complete(resource.addonId, message);
    }
    if (typeof body['log_drain_url'] === 'string' && addon !== undefined) {
      const text = `${addonReference(addon)} asks for a log drain: dynodock does not support log drains yet`;
      store.afterCommit(() => this.#context.logplex.api(addon.appId, text));
    }
    return null;
  }

  /** Stores the config of an answer; answers what is wrong with it, if anything is. */
  #configure(
    addon: AddOn,
    endpoint: PartnerEndpoint,
    body: Readonly<Record<string, unknown>>,
  ): string | null {
    const { store } = this.#context;
    const changes = parseConfig(body['config']);
    if (changes === undefined) return 'its provider gave a config that is not an object of strings';
    try {
      const { attachments } = this.#options.addons();
      const config = changedConfig(this.#context, attachments, endpoint, addon, changes);
      store.addons.update({ ...addon, config });
      return null;
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      return `its provider gave a config that cannot be used: ${error.message.replace(/\.$/, '')}`;
    }
  }

  async #changePlan(resource: PartnerResource, plan: string, endpoint: PartnerEndpoint): Promise<void> {
    const { store } = this.#context;
    this.#count(resource);
    const answer = await this.#send(resource.service, endpoint, {
      method: 'PUT',
      path: resourcePath(resource, endpoint),
      body: planBody(resource, plan, endpoint),
    });
    store.transaction(() => this.#planAnswered(resource.addonId, plan, endpoint, answer));
  }

  #planAnswered(id: AddOnId, plan: string, endpoint: PartnerEndpoint, answer: PartnerAnswer): void {
    const { store } = this.#context;
    const resource = store.partners.resource(id);
    const addon = store.addons.get(id);
    // Destroyed, or another plan is wanted meanwhile.
    if (resource?.phase !== 'held' || resource.wantedPlan !== plan || addon?.state !== 'provisioned') return;
    switch (answer.kind) {
      case 'done':
      case 'accepted':
        this.#planAgreed(resource, addon, plan, endpoint, answer.body);
        return;
      case 'refused': {
        // An earlier request may have come to something all the same: back to the old plan. A partner that refuses that
        // as well has had its say.
        const isInDoubt = resource.attempts > 1 && plan !== addon.plan;
        store.partners.saveResource({ ...fresh(resource), wantedPlan: isInDoubt ? addon.plan : null });
        const reason = answer.message ?? `The provider refused with status ${answer.status}.`;
        this.#settlePlan(id, invalidParams(reason));
        return;
      }
      case 'failed':
        this.#planFailed(resource, addon, plan, `its provider ${answer.reason}`);
        return;
    }
  }

  #planAgreed(
    resource: PartnerResource,
    addon: AddOn,
    plan: string,
    endpoint: PartnerEndpoint,
    body: Readonly<Record<string, unknown>>,
  ): void {
    const { store } = this.#context;
    const addons = this.#options.addons();
    const actor = this.#planWaiters.get(addon.id)?.actor ?? serviceActor(addon);
    let config: AddOnConfig;
    try {
      const changes = parseConfig(body['config']);
      if (changes === undefined)
        throw invalidParams('The provider gave a config that is not an object of strings.');
      config = changedConfig(this.#context, addons.attachments, endpoint, addon, changes);
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      // It has changed the plan, and with what it said nobody can work: it is told to go back.
      this.#planFailed({ ...resource, attempts: MAX_PLAN_CHANGES }, addon, plan, error.message);
      return;
    }
    store.partners.saveResource({ ...fresh(resource), wantedPlan: null });
    const message = body['message'];
    const current = typeof message === 'string' ? { ...addon, provisionMessage: message } : addon;
    // Back to the old plan: nobody has seen the other one.
    if (plan === addon.plan && !this.#planWaiters.has(addon.id)) addons.changeConfig(current, config);
    else addons.setPlan(actor, current, plan, config);
    this.#settlePlan(addon.id);
  }

  /** Whether the partner has the new plan is not known: after some attempts it is told the old one. */
  #planFailed(resource: PartnerResource, addon: AddOn, plan: string, reason: string): void {
    const { store } = this.#context;
    if (resource.attempts < MAX_PLAN_CHANGES || (plan === addon.plan && !this.#planWaiters.has(addon.id))) {
      store.partners.saveResource({ ...resource, problem: reason });
      return;
    }
    store.partners.saveResource({ ...fresh(resource), wantedPlan: addon.plan, problem: reason });
    const text = `The plan of ${addon.name} could not be changed: ${reason.replace(/\.$/, '')}.`;
    this.#settlePlan(addon.id, new PlatformError('service_unavailable', text, 'add_on'));
  }

  #settlePlan(id: AddOnId, error?: PlatformError): void {
    const waiter = this.#planWaiters.get(id);
    this.#planWaiters.delete(id);
    if (error === undefined) waiter?.outcome.resolve();
    else if (waiter !== undefined) waiter.outcome.reject(error);
    else this.#options.logger.warn('a partner did not change a plan', { addon: id, reason: error.message });
  }

  async #leave(resource: PartnerResource, endpoint: PartnerEndpoint): Promise<void> {
    const { store } = this.#context;
    this.#count({ ...resource, phase: 'leaving' });
    const answer = await this.#send(resource.service, endpoint, {
      method: 'DELETE',
      path: resourcePath(resource, endpoint),
    });
    store.transaction(() => {
      const current = store.partners.resource(resource.addonId);
      // Unless it has told so by a callback meanwhile.
      if (current?.phase === 'leaving') this.#left(current, answer);
    });
  }

  #left(resource: PartnerResource, answer: PartnerAnswer): void {
    const { store, clock } = this.#context;
    switch (answer.kind) {
      case 'done':
        this.#gone(resource);
        return;
      case 'accepted': {
        const deadline = new Date(clock.now().getTime() + ASYNC_DEADLINE_MS);
        store.partners.saveResource({ ...fresh(resource), phase: 'parting', deadline });
        return;
      }
      case 'refused':
        // Gone, or it never heard of it.
        if (answer.status === 410 || answer.status === 404) {
          this.#gone(resource);
          return;
        }
        this.#notLeft(resource, answer.message ?? `its provider refused with status ${answer.status}`);
        return;
      case 'failed':
        this.#notLeft(resource, `its provider ${answer.reason}`);
        return;
    }
  }

  #notLeft(resource: PartnerResource, problem: string): void {
    const { store, logplex } = this.#context;
    store.partners.saveResource({ ...resource, problem });
    const addon = store.addons.get(resource.addonId);
    if (addon === undefined || resource.attempts !== 1) return;
    const text = `${addonReference(addon)} is not deprovisioned yet, it will be tried again: ${problem}`;
    store.afterCommit(() => {
      if (store.apps.get(addon.appId) !== undefined) logplex.api(addon.appId, text);
    });
  }

  #giveUp(resource: PartnerResource): void {
    const { store } = this.#context;
    store.transaction(() => {
      const isUnheard = resource.phase === 'asking' && resource.attempts === 0;
      if (isUnheard) this.#gone(resource);
      else store.partners.saveResource({ ...fresh(resource), phase: 'leaving', wantedPlan: null });
      if (this.#planWaiters.has(resource.addonId)) this.#settlePlan(resource.addonId, addonNotFound());
    });
  }

  /** Nobody knows whether the partner has it: it is asked to let go of it. */
  #fail(resource: PartnerResource, reason: string): void {
    this.#context.store.partners.saveResource({ ...fresh(resource), phase: 'leaving' });
    this.#options.addons().provisioning.fail(resource.addonId, reason);
  }

  #gone(resource: PartnerResource): void {
    const { store } = this.#context;
    store.transaction(() => {
      store.partners.saveResource({ ...fresh(resource), phase: 'gone', wantedPlan: null });
      store.partnerTokens.revoke(resource.addonId);
      this.#options.addons().provisioning.released(resource.addonId);
    });
  }

  /** Before it is sent. */
  #count(resource: PartnerResource): void {
    const { store, clock } = this.#context;
    const attempts = resource.attempts + 1;
    const nextAttemptAt = new Date(clock.now().getTime() + this.#delayMs(attempts));
    store.partners.saveResource({ ...resource, attempts, nextAttemptAt });
  }

  #send(
    service: string,
    endpoint: PartnerEndpoint,
    request: Parameters<PartnerClient['ask']>[2],
  ): Promise<PartnerAnswer> {
    return this.#options.client.ask(service, endpoint, request, this.#stopped.signal);
  }

  #provider(service: string): PartnerProvider | undefined {
    const provider = this.#options.providers.find(service);
    return provider?.kind === 'partner' ? provider : undefined;
  }

  #delayMs(attempts: number): number {
    return (this.#options.delayMs ?? partnerDelayMs)(attempts);
  }

  #kickAfter(id: AddOnId, delayMs: number): void {
    if (this.#stopped.signal.aborted) return;
    this.#timers.get(id)?.();
    const cancel = this.#context.clock.after(Math.min(Math.max(delayMs, 0), LONGEST_TIMER_MS), () => {
      this.#timers.delete(id);
      this.kick(id);
    });
    this.#timers.set(id, cancel);
  }
}

/** At the begin of a phase nothing was tried yet. */
function fresh(resource: PartnerResource): PartnerResource {
  return { ...resource, attempts: 0, nextAttemptAt: null, deadline: null, problem: null };
}

/** Kensa takes numbers as well. */
function idOf({ id }: Readonly<Record<string, unknown>>): string | null {
  return (typeof id === 'string' && id !== '') || typeof id === 'number' ? String(id) : null;
}

function stopping(): PlatformError {
  return new PlatformError(
    'service_unavailable',
    'dynodock is stopping. The change goes on at its next start.',
  );
}
