import type { Labels } from './engine';

/** Every container, volume, image and network that dynodock makes bears this installation's id under this key. */
export const INSTALLATION_LABEL = 'dynodock.installation';
/** What it is for: `dyno`, `build`, `network`, `cache`, `slug`, `layers` (of Dockerfiles), `stack`, `add-on`. */
export const ROLE_LABEL = 'dynodock.role';
export const APP_LABEL = 'dynodock.app';
export const APP_NAME_LABEL = 'dynodock.app-name';
export const DYNO_LABEL = 'dynodock.dyno';
export const DYNO_NAME_LABEL = 'dynodock.dyno-name';
export const RELEASE_LABEL = 'dynodock.release';
export const ADDON_LABEL = 'dynodock.add-on';
export const ADDON_NAME_LABEL = 'dynodock.add-on-name';
/** Hash of what a container of an add-on was made of; another one asks for a new container. */
export const ADDON_SPEC_LABEL = 'dynodock.add-on-spec';
export const BUILD_LABEL = 'dynodock.build';
/** On images of ours: the stack's name, or `base` and `daemon`. */
export const STACK_LABEL = 'dynodock.stack';

/** On the images that Dockerfiles may start from: the stack image that they are made of. */
export const STACK_IMAGE_LABEL = 'dynodock.stack-image';

/** On a sandbox: the $PORT of the dyno that is to live in it. */
export const SANDBOX_PORT_LABEL = 'dynodock.sandbox-port';

export type Role =
  'dyno' | 'sandbox' | 'build' | 'network' | 'cache' | 'slug' | 'layers' | 'stack' | 'add-on';

/** Labels of one thing of one installation; also the filter that finds them again. */
export function ownedLabels(installationId: string, role: Role, more: Labels = {}): Labels {
  return { [INSTALLATION_LABEL]: installationId, [ROLE_LABEL]: role, ...more };
}

/** Containers of other installations, and those without our labels, are never touched. */
export function isOwned(labels: Labels, installationId: string): boolean {
  return labels[INSTALLATION_LABEL] === installationId;
}
