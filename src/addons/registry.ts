import type { AddOn } from '../domain/addon';
import type { AddOnPlan, AddOnProvider, PartnerProvider } from './provider';

/** The services that there are. */
export class ProviderRegistry {
  readonly #fixed: readonly AddOnProvider[];
  #providers: readonly AddOnProvider[];

  /** Of two of the same service the later one counts: users may replace what comes with dynodock. */
  constructor(providers: readonly AddOnProvider[]) {
    this.#fixed = providers;
    this.#providers = distinct(providers);
  }

  /** Those that partners have registered, in place of the ones of before. */
  setPartners(partners: readonly PartnerProvider[]): void {
    this.#providers = distinct([...this.#fixed, ...partners]);
  }

  /** Is it one that is there without any partner? */
  isFixed(service: string): boolean {
    return this.#fixed.some((provider) => provider.service === service);
  }

  all(): readonly AddOnProvider[] {
    return this.#providers;
  }

  find(service: string): AddOnProvider | undefined {
    return this.#providers.find((provider) => provider.service === service);
  }

  /** Of an existing add-on; undefined if the user has removed its service since. */
  of(addon: Pick<AddOn, 'service' | 'plan'>): { provider: AddOnProvider; plan: AddOnPlan } | undefined {
    const provider = this.find(addon.service);
    const plan = provider?.plans.find(({ name }) => name === addon.plan);
    return provider === undefined || plan === undefined ? undefined : { provider, plan };
  }
}

function distinct(providers: readonly AddOnProvider[]): AddOnProvider[] {
  return [...new Map(providers.map((provider) => [provider.service, provider])).values()].sort((a, b) =>
    a.service < b.service ? -1 : 1,
  );
}
