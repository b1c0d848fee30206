import { foreignConfigVars } from '../../../addons/partner-manifest';
import type { PartnerEndpoint } from '../../../addons/provider';
import type { AddOn, AddOnConfig } from '../../../domain/addon';
import { applyConfigVarChanges, type ConfigVarChanges } from '../../../domain/config-vars';
import { invalidParams } from '../../../domain/errors';
import type { PlatformContext } from '../../context';
import type { AddOnAttachments } from '../attachments';

/**
 * The add-on's config after a change by its partner, by the names of the manifest; null removes. Throws invalid_params
 * for what the manifest does not name, and for what an app has set by hand. To be called inside the transaction that
 * stores it.
 */
export function changedConfig(
  context: PlatformContext,
  attachments: Pick<AddOnAttachments, 'ofAddOn'>,
  endpoint: PartnerEndpoint,
  addon: AddOn,
  changes: ConfigVarChanges,
): AddOnConfig {
  const names = Object.keys(changes);
  const foreign = foreignConfigVars(endpoint, names);
  if (foreign.length > 0) {
    throw invalidParams(`The config vars ${foreign.join(', ')} are not in the manifest of ${addon.service}.`);
  }
  const { vars } = applyConfigVarChanges(addon.config.values, changes);
  for (const attachment of attachments.ofAddOn(addon)) {
    const owners = context.store.configVars.owners(attachment.appId);
    const present = context.store.configVars.get(attachment.appId);
    const taken = names
      .filter((name) => changes[name] !== null)
      .map((name) => `${attachment.name}${name.slice(endpoint.prefix.length)}`)
      .filter((name) => Object.hasOwn(present, name) && owners.get(name) !== attachment.id);
    if (taken.length > 0)
      throw invalidParams(`The app has config vars of its own named ${taken.join(', ')}.`);
  }
  return { ...addon.config, values: vars };
}

/** What a partner says, as `{ MYADDON_URL: '…' }` or `[{ name, value }]`; undefined for anything else. */
export function parseConfig(value: unknown): ConfigVarChanges | undefined {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object') return undefined;
  const entries: [unknown, unknown][] = Array.isArray(value)
    ? value.map((item: unknown) => {
        const { name, value: text } = (item ?? {}) as { name?: unknown; value?: unknown };
        return [name, text];
      })
    : Object.entries(value);
  const changes: Record<string, string | null> = {};
  for (const [name, text] of entries) {
    if (typeof name !== 'string' || (typeof text !== 'string' && text !== null)) return undefined;
    changes[name] = text;
  }
  return changes;
}
