import { invalidParams, PlatformError } from './errors';
import type { AddOnId, AppId } from './ids';

/**
 * - `provisioning`: asked for; its backend is being made
 * - `provisioned`: usable, its config vars are set
 * - `deprovisioning`: a partner is asked to give it up
 * - `deprovisioned`: destroyed, or it could not be provisioned; not shown any more, but its data is kept for a while
 */
export type AddOnState = 'provisioning' | 'provisioned' | 'deprovisioning' | 'deprovisioned';

export interface AddOn {
  id: AddOnId;
  /** The app that it is billed to, which owns it; it may be gone if the add-on is deprovisioned. */
  appId: AppId;
  /** What that was called last, for when it is gone. */
  appName: string;
  /** `postgresql-slippery-34466`: globally unique among those that are not deprovisioned. */
  name: string;
  /** `heroku-postgresql` */
  service: string;
  /** Without the service: `standard-0`. */
  plan: string;
  state: AddOnState;
  /** Secrets and whatever else its provider has to remember. */
  config: AddOnConfig;
  /** What it was created with: `heroku addons:create SERVICE -- --key value`. */
  options: AddOnOptions;
  provisionMessage: string | null;
  /** Why it could not be provisioned. */
  failure: string | null;
  /** Was its creation answered, with `provisioning`, before it was usable? What follows is told by releases of its own. */
  announced: boolean;
  /** The name of an attachment, or of config vars, that it takes over once it is usable; until then it has another. */
  attachAs: string | null;
  backend: AddOnBackend;
  createdAt: Date;
  updatedAt: Date;
  /** null: it never was usable. */
  provisionedAt: Date | null;
  deprovisionedAt: Date | null;
}

export type AddOnOptions = Readonly<Record<string, string>>;

export interface AddOnConfig {
  /** By name; `default` is what attachments without a namespace get. */
  credentials: Readonly<Record<string, AddOnCredential>>;
  /** Facts of the provider's own, e.g. a database's name. */
  values: Readonly<Record<string, string>>;
}

export interface AddOnCredential {
  user: string;
  password: string;
}

export const DEFAULT_CREDENTIAL = 'default';

/** What its config vars say unless they are of another credential. Throws for a service that has none. */
export function defaultCredential({ service, config }: Pick<AddOn, 'service' | 'config'>): AddOnCredential {
  const credential = config.credentials[DEFAULT_CREDENTIAL];
  if (credential === undefined) throw new Error(`an add-on of ${service} without a credential`);
  return credential;
}

/** What the dyno manager keeps of an add-on's container. */
export interface AddOnBackend {
  /** The first of its ports on the host; null before one was chosen, and for add-ons without a container. */
  port: number | null;
  /** Ends in a row that were too early to be bad luck, or starts that the engine refused. */
  failures: number;
  /** When the next start may be tried; null = at once. */
  nextStartAt: Date | null;
  /** The end that was counted last. */
  endedAt: Date | null;
  /** Why it does not run just now, for users: never a secret. */
  problem: string | null;
}

export const NO_BACKEND: AddOnBackend = {
  port: null,
  failures: 0,
  nextStartAt: null,
  endedAt: null,
  problem: null,
};

/** How long what a destroyed add-on held can be had back. */
export const UNDELETE_MS = 7 * 24 * 60 * 60 * 1000;

/** How long one that could not be provisioned can be asked why. */
export const FAILURE_KEPT_MS = 10 * 60 * 1000;

/** From when on nothing of a deprovisioned add-on is kept. */
export function purgeAt(addon: Pick<AddOn, 'deprovisionedAt' | 'provisionedAt'>): Date | null {
  if (addon.deprovisionedAt === null) return null;
  const keptMs = addon.provisionedAt === null ? FAILURE_KEPT_MS : UNDELETE_MS;
  return new Date(addon.deprovisionedAt.getTime() + keptMs);
}

/** `heroku-postgresql:standard-0`, as releases list it. */
export function planName({ service, plan }: Pick<AddOn, 'service' | 'plan'>): string {
  return `${service}:${plan}`;
}

/** In Heroku's words. */
export function addonNotFound(): PlatformError {
  return new PlatformError('not_found', "Couldn't find that add-on.", 'add_on');
}

/** As log lines and descriptions of releases name an add-on. */
export function addonReference({ name }: Pick<AddOn, 'name'>): string {
  return `@ref:${name}`;
}

/** Platform API schema, `add-on.name`; the length is ours: container names are made of it. */
const NAME = /^[a-zA-Z][A-Za-z0-9_-]+$/;
const MAX_NAME = 60;

export function assertAddOnName(name: string): void {
  if (!NAME.test(name) || name.length > MAX_NAME) {
    throw invalidParams(
      `Name must start with a letter and can only contain letters, digits, underscores and dashes (2 to ${MAX_NAME} characters).`,
    );
  }
}

const ADJECTIVES = [
  'acute', 'animated', 'aerodynamic', 'amorphous', 'angular', 'asymmetrical', 'clean', 'closed', 'colorful', 'concave',
  'concentric', 'contoured', 'convex', 'corrugated', 'crystalline', 'cubed', 'curved', 'cylindrical', 'deep', 'defined',
  'dimensional', 'elliptical', 'encircled', 'fitted', 'flat', 'flexible', 'fluffy', 'globular', 'graceful', 'horizontal',
  'infinite', 'lively', 'metric', 'objective', 'octagonal', 'opaque', 'parallel', 'perpendicular', 'pointy', 'polished',
  'rectangular', 'reticulated', 'rigid', 'rugged', 'shallow', 'shaped', 'sinuous', 'slippery', 'solid', 'spherical',
  'sturdy', 'symmetrical', 'tapered', 'tetrahedral', 'transparent', 'triangular', 'trapezoidal', 'vertical', 'wavy',
] as const; // prettier-ignore

/** `postgresql-slippery-34466`; `random` answers numbers in [0, 1). */
export function generateAddOnName(prefix: string, random: () => number): string {
  const adjective = ADJECTIVES[Math.floor(random() * ADJECTIVES.length)] ?? 'solid';
  const digits = String(Math.floor(random() * 100_000)).padStart(5, '0');
  return `${prefix}-${adjective}-${digits}`;
}
