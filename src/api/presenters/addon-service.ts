import { planId, serviceId } from '../../platform/addons/catalogue';
import type { Offer } from '../../platform/addons/catalogue';
import { presentGeneration } from './generation';
import { REGION_ID, presentRegion } from './region';

/** They came with dynodock, or with a file of the user's: there is no date that anybody could care for. */
const SINCE = '2026-01-01T00:00:00.000Z';

export function presentAddOnService(provider: Offer['provider']): Record<string, unknown> {
  return {
    cli_plugin_name: provider.cliPluginName,
    created_at: SINCE,
    human_name: provider.humanName,
    id: serviceId(provider.service),
    name: provider.service,
    state: 'ga',
    supported_generations: [presentGeneration()],
    supports_multiple_installations: provider.multiple,
    supports_sharing: provider.sharable,
    updated_at: SINCE,
  };
}

export function presentPlan({ provider, plan }: Offer): Record<string, unknown> {
  return {
    addon_service: presentAddOnServiceReference(provider.service),
    compliance: null,
    created_at: SINCE,
    default: plan.name === provider.defaultPlan,
    description: plan.description,
    human_name: plan.humanName,
    id: planId(provider.service, plan),
    installable_inside_private_network: false,
    installable_outside_private_network: true,
    name: `${provider.service}:${plan.name}`,
    price: presentPrice(plan.priceCents),
    space_default: false,
    state: 'ga',
    updated_at: SINCE,
    visible: !plan.retired,
  };
}

/** What it would cost on Heroku. */
export function presentPrice(cents: number): { cents: number; contract: boolean; unit: string } {
  return { cents, contract: false, unit: 'month' };
}

export function presentAddOnServiceReference(service: string): { id: string; name: string } {
  return { id: serviceId(service), name: service };
}

export function presentRegionCapability(provider: Offer['provider']): Record<string, unknown> {
  return {
    addon_service: presentAddOnService(provider),
    // One per service, as there is one region.
    id: serviceId(`${provider.service} ${REGION_ID}`),
    region: presentRegion(),
    supports_private_networking: false,
  };
}
