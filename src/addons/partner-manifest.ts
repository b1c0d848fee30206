import Ajv from 'ajv-draft-04';
import type { PartnerEnvironment } from '../domain/partner';
import { describeSchemaError } from './provider-file';
import { aPlan, type AddOnPlan, type PartnerEndpoint, type PartnerProvider } from './provider';

/** A manifest that can't be used, and why. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

type ManifestUrls = string | { base_url: string; sso_url?: string };

/**
 * `addon-manifest.json` (Dev Center "Add-on Manifest"), as kensa and `addons:admin:manifest:generate` write it. `plans`
 * is kensa's; Heroku keeps them in its partner portal.
 */
interface ManifestJson {
  id: string;
  name?: string;
  cli_plugin_name?: string;
  api: {
    config_vars?: string[];
    config_vars_prefix?: string;
    regions?: string[];
    password: string;
    sso_salt?: string;
    /** Version 1 only: how the browser gets there. */
    sso?: string;
    requires?: string[];
    version?: string | number;
    production?: ManifestUrls;
    test?: ManifestUrls;
  };
  plans?: (string | PlanJson)[];
}
interface PlanJson {
  id?: string;
  name?: string;
  human_name?: string;
  description?: string;
  price_cents?: number;
  /** Kensa's, in dollars. */
  price?: string | number;
  default?: boolean;
  retired?: boolean;
}

const TEXT = { type: 'string', minLength: 1 };
const URLS = {
  anyOf: [
    TEXT,
    { type: 'object', properties: { base_url: TEXT, sso_url: { type: 'string' } }, required: ['base_url'] },
  ],
};
const PLAN_NAME = { type: 'string', pattern: '^[a-z0-9][a-z0-9._-]*$' };
// Open to more fields: manifests have some for Heroku's own portal.
const SCHEMA = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: '^[a-z][a-z0-9-]{1,59}$' },
    name: TEXT,
    cli_plugin_name: TEXT,
    api: {
      type: 'object',
      properties: {
        config_vars: { type: 'array', items: { type: 'string', pattern: '^[A-Z][A-Z0-9_]*$' } },
        config_vars_prefix: { type: 'string', pattern: '^[A-Z][A-Z0-9_]*$' },
        regions: { type: 'array', items: TEXT, minItems: 1 },
        password: TEXT,
        sso_salt: TEXT,
        sso: TEXT,
        requires: { type: 'array', items: TEXT },
        version: { enum: ['1', '3', 1, 3] },
        production: URLS,
        test: URLS,
      },
      required: ['password'],
    },
    plans: {
      type: 'array',
      minItems: 1,
      items: {
        anyOf: [
          PLAN_NAME,
          {
            type: 'object',
            properties: {
              id: PLAN_NAME,
              name: TEXT,
              human_name: TEXT,
              description: TEXT,
              price_cents: { type: 'integer', minimum: 0 },
              price: { type: ['string', 'number'] },
              default: { type: 'boolean' },
              retired: { type: 'boolean' },
            },
          },
        ],
      },
    },
  },
  required: ['id', 'api'],
};

const validate = new Ajv({ strict: false }).compile<ManifestJson>(SCHEMA);

/** What Heroku gives every new add-on, and kensa provisions. */
const FIRST_PLAN = 'test';
const REGION = 'us';
/** Where the provisioning endpoint and the SSO of a manifest are that only says a host. */
const LEGACY_PATH = '/heroku/resources';
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Throws ManifestError. Never repeats a value, which may be a secret. */
export function parseManifest(text: string, environment?: PartnerEnvironment): PartnerProvider {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    // What the parser says repeats what stands there.
    throw new ManifestError('it is no JSON', { cause });
  }
  if (!validate(content)) throw new ManifestError(describeSchemaError(validate.errors?.[0]));
  const { id, api } = content;
  const chosen = environment ?? defaultEnvironment(content);
  const prefix = api.config_vars_prefix ?? id.toUpperCase().replaceAll('-', '_');
  const foreign = api.config_vars?.find((name) => !isPrefixed(name, prefix));
  if (foreign !== undefined) {
    throw new ManifestError(`api.config_vars: ${foreign} does not begin with ${prefix}_`);
  }
  if (prefix.startsWith('HEROKU_')) throw new ManifestError('api.config_vars_prefix: HEROKU_ is reserved');
  if (api.regions !== undefined && !api.regions.includes(REGION)) {
    throw new ManifestError(`api.regions: ${REGION} is missing, which is the only region here`);
  }
  const plans = (content.plans ?? [FIRST_PLAN]).map(toPlan);
  const names = plans.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new ManifestError(`plans: ${twice} is there twice`);
  const requires = new Set(api.requires ?? []);
  const endpoint = endpointOf(content, chosen, prefix);
  return {
    kind: 'partner',
    service: id,
    humanName: content.name ?? id,
    namePrefix: id.slice(0, 30),
    attachmentName: prefix,
    colourPrefix: prefix,
    firstHasColour: false,
    plans,
    defaultPlan: defaultPlanOf(content, plans),
    multiple: requires.has('many_per_app'),
    sharable: requires.has('attachable'),
    cliPluginName: content.cli_plugin_name ?? null,
    options: {},
    anyOption: true,
    ...(endpoint.sso === null ? {} : { page: { kind: 'sign-on' as const } }),
    newConfig: () => ({ credentials: {}, values: {} }),
    // Values are kept by the names that the partner gives.
    configVars: ({ addon }) =>
      Object.fromEntries(
        Object.entries(addon.config.values).map(([name, value]) => [suffixOf(name, prefix), value]),
      ),
    configVarSuffixes: (addon) => [
      ...new Set(
        [...endpoint.configVars, ...Object.keys(addon.config.values)].map((name) => suffixOf(name, prefix)),
      ),
    ],
    endpoint,
  };
}

/** Names that the partner may not set: neither in its manifest, nor, where that names none, under its prefix. */
export function foreignConfigVars(
  { prefix, configVars }: PartnerEndpoint,
  names: readonly string[],
): string[] {
  return names.filter((name) =>
    configVars.length > 0 ? !configVars.includes(name) : !isPrefixed(name, prefix),
  );
}

function isPrefixed(name: string, prefix: string): boolean {
  return name === prefix || (name.startsWith(`${prefix}_`) && /^[A-Z][A-Z0-9_]*$/.test(name));
}

/** `URL` of `MYADDON_URL`; empty for the prefix itself. */
function suffixOf(name: string, prefix: string): string {
  return name === prefix ? '' : name.slice(prefix.length + 1);
}

function defaultEnvironment({ api }: ManifestJson): PartnerEnvironment {
  return api.test === undefined ? 'production' : 'test';
}

/** Which URLs are called where nothing is said. */
export function environmentOf(text: string): PartnerEnvironment {
  const content: unknown = JSON.parse(text);
  if (!validate(content)) throw new ManifestError(describeSchemaError(validate.errors?.[0]));
  return defaultEnvironment(content);
}

function endpointOf({ api }: ManifestJson, environment: PartnerEnvironment, prefix: string): PartnerEndpoint {
  const urls = api[environment];
  if (urls === undefined) throw new ManifestError(`api.${environment} is missing`);
  // Manifests of before version 3 do not name their version.
  const version = Number(api.version ?? 1) === 3 ? 3 : 1;
  const where = `api.${environment}`;
  const whole = typeof urls === 'string' ? `${urls.replace(/\/+$/, '')}${LEGACY_PATH}` : undefined;
  const baseUrl = whole ?? (urls as { base_url: string }).base_url;
  const ssoUrl = whole ?? (urls as { sso_url?: string }).sso_url ?? '';
  assertUrl(baseUrl, whole === undefined ? `${where}.base_url` : where, environment);
  if (ssoUrl !== '') assertUrl(ssoUrl, whole === undefined ? `${where}.sso_url` : where, environment);
  const posts = version === 3 || /post/i.test(api.sso ?? (whole === undefined ? 'post' : 'get'));
  return {
    version,
    baseUrl: baseUrl.replace(/\/+$/, ''),
    sso:
      api.sso_salt === undefined || ssoUrl === ''
        ? null
        : { url: ssoUrl, salt: api.sso_salt, method: posts ? 'post' : 'get' },
    password: api.password,
    prefix,
    configVars: api.config_vars ?? [],
    requires: new Set(api.requires ?? []),
  };
}

function assertUrl(text: string, where: string, environment: PartnerEnvironment): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new ManifestError(`${where} is not an http or https URL`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new ManifestError(`${where} may not hold a user or password: api.password is what is sent`);
  }
  // Heroku wants TLS there; what is on this machine can do without.
  if (environment === 'production' && url.protocol === 'http:' && !LOOPBACK.has(url.hostname)) {
    throw new ManifestError(`${where} has to be an https URL`);
  }
}

function toPlan(plan: string | PlanJson): AddOnPlan {
  const given: PlanJson = typeof plan === 'string' ? { name: plan } : plan;
  const name = given.id ?? given.name ?? '';
  if (!/^[a-z0-9][a-z0-9._-]*$/.test(name)) {
    throw new ManifestError('plans: each needs an id (or name) of a-z, 0-9, dots, dashes and underscores');
  }
  const humanName = given.human_name ?? given.name ?? name;
  return aPlan({
    name,
    humanName,
    description: given.description ?? humanName,
    priceCents: given.price_cents ?? centsOf(given.price ?? 0),
    retired: given.retired ?? false,
    memoryBytes: 0,
  });
}

function centsOf(price: string | number): number {
  const cents = Math.round(Number(price) * 100);
  if (!Number.isFinite(cents) || cents < 0) throw new ManifestError('plans: a price is no number of dollars');
  return cents;
}

function defaultPlanOf({ plans = [] }: ManifestJson, all: readonly AddOnPlan[]): string {
  const index = plans.findIndex((plan) => typeof plan !== 'string' && plan.default === true);
  return (all[index] ?? all.find(({ name }) => name === FIRST_PLAN) ?? all[0])?.name ?? '';
}
