import type { AddOn } from '../../domain/addon';
import { planName } from '../../domain/addon';
import { planId, type Offer } from '../../platform/addons/catalogue';
import {
  presentAddOnService,
  presentAddOnServiceReference,
  presentPlan,
  presentPrice,
} from './addon-service';

export interface AddOnSurroundings {
  /** The app that owns it. */
  app: { id: string; name: string };
  /** undefined: its service is not known any more. */
  offer: Offer | undefined;
  /** What `addons:open` opens; null: not for who asks. */
  webUrl: string | null;
  /** What its partner calls it; default: as we do. */
  providerId?: string;
  configVars: readonly string[];
  /** Which references are wanted as whole objects (header Accept-Expansion). */
  expand: ReadonlySet<string>;
}

export function presentAddOn(addon: AddOn, surroundings: AddOnSurroundings): Record<string, unknown> {
  const { app, offer, webUrl, configVars, expand } = surroundings;
  return {
    actions: [],
    addon_service:
      offer !== undefined && expand.has('addon_service')
        ? presentAddOnService(offer.provider)
        : presentAddOnServiceReference(addon.service),
    app,
    billed_price: presentPrice(offer?.plan.priceCents ?? 0),
    billing_entity: { id: app.id, name: app.name, type: 'app' },
    config_vars: configVars,
    created_at: addon.createdAt,
    id: addon.id,
    name: addon.name,
    plan:
      offer !== undefined && expand.has('plan')
        ? presentPlan(offer)
        : { id: planId(addon.service, { name: addon.plan }), name: planName(addon) },
    provider_id: surroundings.providerId ?? addon.id,
    ...(addon.provisionMessage === null ? {} : { provision_message: addon.provisionMessage }),
    state: addon.state,
    updated_at: addon.updatedAt,
    web_url: webUrl,
  };
}
