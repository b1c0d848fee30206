import { MIB, type AddOnPlan, type AddOnProvider } from '../../addons/provider';
import type { ProviderRegistry } from '../../addons/registry';
import type { AddOn, AddOnOptions } from '../../domain/addon';
import { invalidParams, notFound, notSupported, PlatformError } from '../../domain/errors';
import { isUuid } from '../../domain/ids';
import { stableUuid } from '../../lib/stable-uuid';

export interface Offer {
  provider: AddOnProvider;
  plan: AddOnPlan;
}

/** Services and plans, by name or id. They have no rows: their ids follow from their names. */
export class Catalogue {
  readonly #registry: ProviderRegistry;

  constructor(registry: ProviderRegistry) {
    this.#registry = registry;
  }

  services(): readonly AddOnProvider[] {
    return this.#registry.all();
  }

  service(idOrName: string): AddOnProvider {
    const provider = this.services().find(
      ({ service }) => service === idOrName || serviceId(service) === idOrName,
    );
    if (provider === undefined) throw notFound('add_on service');
    return provider;
  }

  /** Without those that are sold no more. */
  plans(provider: AddOnProvider): AddOnPlan[] {
    return provider.plans.filter(({ retired }) => !retired);
  }

  /** `heroku-redis:mini`, its id, or `mini` where `provider` says of which service. */
  plan(idOrName: string, provider?: AddOnProvider): Offer {
    const offers = (provider === undefined ? this.services() : [provider]).flatMap((candidate) =>
      candidate.plans.map((plan) => ({ provider: candidate, plan })),
    );
    const found = offers.find(
      ({ provider: { service }, plan }) =>
        `${service}:${plan.name}` === idOrName ||
        planId(service, plan) === idOrName ||
        (provider !== undefined && plan.name === idOrName),
    );
    if (found === undefined) throw notFound('plan');
    return found;
  }

  /**
   * What somebody who creates an add-on asks for: `heroku-redis`, `heroku-redis:mini`, or a plan's id. Throws
   * invalid_params in Heroku's words, which the CLI looks for (contract, section 2.3).
   */
  offer(asked: string): Offer {
    const [service = '', plan] = isUuid(asked) ? [asked] : splitOnce(asked);
    if (isUuid(asked)) {
      try {
        return this.plan(asked);
      } catch (error) {
        // Not a plan's, but perhaps a service's.
        if (!(error instanceof PlatformError)) throw error;
      }
    }
    const provider = this.services().find(
      (candidate) => candidate.service === service || serviceId(candidate.service) === service,
    );
    const wanted = provider?.plans.find(({ name }) => name === (plan ?? provider.defaultPlan));
    if (provider === undefined || wanted === undefined) {
      throw invalidParams(`Couldn't find either the add-on service or the add-on plan of "${asked}".`);
    }
    return { provider, plan: wanted };
  }

  /** Of an add-on. Throws not_supported if its service is here no more, e.g. since its file was removed. */
  of(addon: AddOn): Offer {
    const found = this.#registry.of(addon);
    if (found === undefined) {
      throw new PlatformError(
        'not_supported',
        `The service ${addon.service} of ${addon.name}, or its plan ${addon.plan}, is not known here any more.`,
      );
    }
    return found;
  }

  /** The same for those who only show it. */
  find(addon: Pick<AddOn, 'service' | 'plan'>): Offer | undefined {
    return this.#registry.of(addon);
  }

  /**
   * Throws invalid_params for what the provider does not know, or a value that it does not take, not_supported for what it
   * knows from Heroku only.
   */
  checkOptions(provider: AddOnProvider, plan: AddOnPlan, options: AddOnOptions): void {
    if (provider.anyOption === true) return;
    for (const [name, value] of Object.entries(options)) {
      const facts = Object.hasOwn(provider.options, name) ? provider.options[name] : undefined;
      if (facts === undefined) {
        const known = Object.keys(provider.options).filter(
          (each) => provider.options[each]?.refused === undefined,
        );
        throw invalidParams(
          `${provider.service} does not know the option ${JSON.stringify(name)}. ` +
            (known.length === 0 ? 'It has none.' : `Its options: ${known.join(', ')}.`),
        );
      }
      if (facts.refused !== undefined) throw notSupported(`dynodock does not support ${facts.refused}.`);
      const of = `Option ${name} of ${provider.service}`;
      inWords(
        (reason) => `${of} is ${reason}.`,
        () => facts.checkPlan?.(plan),
      );
      inWords(
        (reason) => `${of}: ${JSON.stringify(value)} is ${reason}.`,
        () => facts.check?.(value),
      );
    }
  }
}

function inWords(message: (reason: string) => string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw invalidParams(message(error instanceof Error ? error.message : String(error)));
  }
}

export function serviceId(service: string): string {
  return stableUuid(`add-on service ${service}`);
}
export function planId(service: string, { name }: Pick<AddOnPlan, 'name'>): string {
  return stableUuid(`plan ${service}:${name}`);
}

/** `256 MB of memory, 20 connections` */
export function describeLimits(plan: AddOnPlan): string {
  const parts = [
    ...(plan.memoryBytes > 0 ? [`${Math.round(plan.memoryBytes / MIB)} MB of memory`] : []),
    ...(plan.connections === null ? [] : [`${plan.connections} connections`]),
  ];
  return parts.join(', ');
}

function splitOnce(text: string): [string, string | undefined] {
  const colon = text.indexOf(':');
  return colon === -1 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
}
