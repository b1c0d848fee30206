import { applyConfigVarChanges } from './config-vars';
import { parseDynoSize, type DynoSizeName } from './dyno-size';
import { PlatformError } from './errors';
import { isStackName, STACK_NAMES, type StackName } from './stack';

export interface EnvEntry {
  value: string | null;
  required: boolean;
  /** Its value is made up: `"generator": "secret"`. */
  generated: boolean;
}

export interface Formation {
  type: string;
  quantity: number;
  size: DynoSizeName | null;
}

export interface ManifestAddOn {
  plan: string;
  as: string | null;
  options: Readonly<Record<string, string>>;
}

export interface Postdeploy {
  command: string;
  size: DynoSizeName | null;
}

/** What of an app.json counts when an app is set up (Dev Center "app.json Schema"). */
export interface AppJson {
  stack: StackName | null;
  env: Readonly<Record<string, EnvEntry>>;
  formation: readonly Formation[];
  addons: readonly ManifestAddOn[];
  buildpacks: readonly string[];
  postdeploy: Postdeploy | null;
  successUrl: string | null;
}

export interface ParsedAppJson {
  manifest: AppJson;
  /** In words, each with the key that it is about; none = it may be used. */
  errors: string[];
}

/** Longer ones belong to nobody's app. */
export const MAX_APP_JSON_BYTES = 1024 * 1024;
const MAX_QUANTITY = 1000;
const PROCESS_TYPE = /^[-\w]{1,128}$/;
const TEXTS = ['name', 'description', 'website', 'repository', 'logo', 'image'] as const;
const SCRIPTS = ['postdeploy', 'test-setup', 'test', 'pr-predestroy'] as const;

type JsonObject = Readonly<Record<string, unknown>>;

/** Reads all of it, so that every error is told at once. Keys that the schema does not have are ignored. */
export function parseAppJson(text: string): ParsedAppJson {
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return { manifest: EMPTY, errors: [`app.json is not valid JSON: ${(error as Error).message}`] };
  }
  if (!isObject(json)) return { manifest: EMPTY, errors: ['app.json must be an object'] };
  const reader = new Reader();
  const manifest = reader.manifest(json);
  // Those of `environments` count in tests and review apps only, but are to be right as well.
  for (const [name, environment] of reader.entries(json, 'environments')) {
    if (isObject(environment)) {
      const inside = new Reader();
      inside.manifest(environment);
      reader.errors.push(...inside.errors.map((error) => `environments.${name}: ${error}`));
    } else reader.errors.push(`environments.${name} must be an object`);
  }
  return { manifest, errors: reader.errors };
}

/**
 * The config vars of a new app: those of the manifest, with `overrides` over them. `secret` makes a value. Names the
 * required ones that have none, in Heroku's words (Platform API schema, `app-setup.manifest_errors`).
 */
export function resolveEnv(
  env: AppJson['env'],
  overrides: Readonly<Record<string, string>>,
  secret: () => string,
): { vars: Record<string, string>; errors: string[] } {
  const vars = new Map<string, string>();
  const errors: string[] = [];
  for (const [key, { value, required, generated }] of Object.entries(env)) {
    const given = Object.hasOwn(overrides, key) ? overrides[key] : undefined;
    const resolved = given ?? (value === null && generated ? secret() : value);
    // A form that was left empty gives nothing that is required.
    if (required && (resolved === null || resolved === '')) errors.push(`config var ${key} is required`);
    else if (resolved !== null) vars.set(key, resolved);
  }
  for (const [key, value] of Object.entries(overrides)) {
    if (!vars.has(key) && !Object.hasOwn(env, key)) vars.set(key, value);
  }
  for (const [key, value] of vars) {
    const problem = keyProblem(key, value);
    if (problem !== null) errors.push(problem);
  }
  return { vars: Object.fromEntries(vars), errors: [...new Set(errors)] };
}

const EMPTY: AppJson = {
  stack: null,
  env: {},
  formation: [],
  addons: [],
  buildpacks: [],
  postdeploy: null,
  successUrl: null,
};

class Reader {
  readonly errors: string[] = [];

  manifest(json: JsonObject): AppJson {
    for (const key of TEXTS) this.#text(json, key, key);
    for (const [index, keyword] of this.#list(json, 'keywords').entries()) {
      if (typeof keyword !== 'string') this.errors.push(`keywords[${index}] must be a string`);
    }
    return {
      stack: this.#stack(json),
      env: this.#env(json),
      formation: this.#formation(json),
      addons: this.#addons(json),
      buildpacks: this.#buildpacks(json),
      postdeploy: this.#postdeploy(json),
      successUrl: this.#successUrl(json),
    };
  }

  /** Of the object under `key`; none where there is none. */
  entries(json: JsonObject, key: string): [string, unknown][] {
    const value = json[key] ?? {};
    if (isObject(value)) return Object.entries(value);
    this.errors.push(`${key} must be an object`);
    return [];
  }

  #stack(json: JsonObject): StackName | null {
    const stack = this.#text(json, 'stack', 'stack');
    if (stack === null) return null;
    if (isStackName(stack)) return stack;
    this.errors.push(`stack ${stack} is not available (available stacks: ${STACK_NAMES.join(', ')})`);
    return null;
  }

  #env(json: JsonObject): Record<string, EnvEntry> {
    const env = new Map<string, EnvEntry>();
    for (const [key, entry] of this.entries(json, 'env')) {
      const where = `env.${key}`;
      const problem = keyProblem(key, '');
      if (problem !== null) this.errors.push(problem);
      if (typeof entry === 'string') {
        env.set(key, { value: entry, required: false, generated: false });
        continue;
      }
      if (!isObject(entry)) {
        this.errors.push(`${where} must be a string or an object`);
        continue;
      }
      this.#text(entry, 'description', `${where}.description`);
      const value = this.#text(entry, 'value', `${where}.value`);
      const generator = this.#text(entry, 'generator', `${where}.generator`);
      if (generator !== null && generator !== 'secret')
        this.errors.push(`${where}.generator must be "secret"`);
      const { required } = entry;
      if (required != null && typeof required !== 'boolean') {
        this.errors.push(`${where}.required must be true or false`);
      }
      env.set(key, { value, required: required !== false, generated: generator === 'secret' });
    }
    return Object.fromEntries(env);
  }

  #formation(json: JsonObject): Formation[] {
    return this.entries(json, 'formation').flatMap(([type, entry]) => {
      const where = `formation.${type}`;
      if (!PROCESS_TYPE.test(type)) this.errors.push(`${where} is not a process type`);
      if (!isObject(entry)) {
        this.errors.push(`${where} must be an object`);
        return [];
      }
      const quantity = entry['quantity'] ?? 1;
      const isQuantity =
        typeof quantity === 'number' &&
        Number.isInteger(quantity) &&
        quantity >= 0 &&
        quantity <= MAX_QUANTITY;
      if (!isQuantity) {
        this.errors.push(`${where}.quantity must be a whole number from 0 to ${MAX_QUANTITY}`);
        return [];
      }
      return [{ type, quantity, size: this.#size(entry, where) }];
    });
  }

  #addons(json: JsonObject): ManifestAddOn[] {
    return this.#list(json, 'addons').flatMap((entry, index) => {
      const where = `addons[${index}]`;
      if (typeof entry === 'string') {
        if (entry.trim() !== '') return [{ plan: entry.trim(), as: null, options: {} }];
        this.errors.push(`${where} must not be empty`);
        return [];
      }
      if (!isObject(entry)) {
        this.errors.push(`${where} must be a string or an object`);
        return [];
      }
      const plan = this.#text(entry, 'plan', `${where}.plan`);
      const as = this.#text(entry, 'as', `${where}.as`);
      const options = this.entries(entry, 'options').flatMap(([name, value]): [string, string][] => {
        if (['string', 'number', 'boolean'].includes(typeof value)) return [[name, String(value)]];
        this.errors.push(`${where}.options.${name} must be a string`);
        return [];
      });
      if (plan !== null && plan.trim() !== '') {
        return [{ plan: plan.trim(), as, options: Object.fromEntries(options) }];
      }
      this.errors.push(`${where}.plan is required`);
      return [];
    });
  }

  #buildpacks(json: JsonObject): string[] {
    return this.#list(json, 'buildpacks').flatMap((entry, index) => {
      const url = isObject(entry) ? entry['url'] : undefined;
      if (typeof url === 'string' && url.trim() !== '') return [url.trim()];
      this.errors.push(`buildpacks[${index}] must be an object with a url`);
      return [];
    });
  }

  #postdeploy(json: JsonObject): Postdeploy | null {
    const scripts = new Map(this.entries(json, 'scripts'));
    const [postdeploy = null] = SCRIPTS.map((name) =>
      this.#script(scripts.get(name) ?? null, `scripts.${name}`),
    );
    return postdeploy;
  }

  #script(script: unknown, where: string): Postdeploy | null {
    if (script === null) return null;
    const command = isObject(script) ? script['command'] : script;
    if (typeof command !== 'string' || command.trim() === '') {
      this.errors.push(`${where} must be a command, or an object with a command`);
      return null;
    }
    return { command, size: isObject(script) ? this.#size(script, where) : null };
  }

  #successUrl(json: JsonObject): string | null {
    const url = this.#text(json, 'success_url', 'success_url');
    if (url === null) return null;
    const base = 'http://app.invalid/';
    if (URL.canParse(url, base) && /^https?:$/.test(new URL(url, base).protocol)) return url;
    this.errors.push('success_url must be a path or an http:// or https:// URL');
    return null;
  }

  #size(json: JsonObject, where: string): DynoSizeName | null {
    const size = this.#text(json, 'size', `${where}.size`);
    if (size === null) return null;
    try {
      return parseDynoSize(size);
    } catch (error) {
      if (!(error instanceof PlatformError)) throw error;
      this.errors.push(`${where}.size: ${error.message}`);
      return null;
    }
  }

  #text(json: JsonObject, key: string, where: string): string | null {
    const value = json[key] ?? null;
    if (value === null || typeof value === 'string') return value;
    this.errors.push(`${where} must be a string`);
    return null;
  }

  #list(json: JsonObject, key: string): unknown[] {
    const value = json[key] ?? [];
    if (Array.isArray(value)) return value;
    this.errors.push(`${key} must be an array`);
    return [];
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value takes no part in what is said. */
function keyProblem(key: string, value: string): string | null {
  try {
    applyConfigVarChanges({}, { [key]: value });
    return null;
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    return error.message;
  }
}
