import { planName, type AddOn } from '../../domain/addon';
import type { App } from '../../domain/app';
import type { AddOnAttachment } from '../../domain/attachment';
import { presentAppReference } from './app';
import { planId } from '../../platform/addons/catalogue';

export interface AttachmentSurroundings {
  app: App;
  addon: AddOn;
  /** The app that owns the add-on. */
  owner: { id: string; name: string };
  /** null: not for who asks. */
  webUrl: string | null;
  configVars: readonly string[];
  /** What else is wanted (header Accept-Inclusion): `addon:plan`, `config_vars`. */
  include: ReadonlySet<string>;
}

export function presentAttachment(
  attachment: AddOnAttachment,
  { app, addon, owner, webUrl, configVars, include }: AttachmentSurroundings,
): Record<string, unknown> {
  return {
    addon: {
      id: addon.id,
      name: addon.name,
      app: owner,
      ...(include.has('addon:plan')
        ? { plan: { id: planId(addon.service, { name: addon.plan }), name: planName(addon) } }
        : {}),
    },
    app: presentAppReference(app),
    ...(include.has('config_vars') ? { config_vars: configVars } : {}),
    created_at: attachment.createdAt,
    id: attachment.id,
    log_input_url: null,
    name: attachment.name,
    namespace: attachment.namespace,
    updated_at: attachment.updatedAt,
    web_url: webUrl,
  };
}
