import { invalidParams } from './errors';

export type ConfigVars = Readonly<Record<string, string>>;
/** null unsets. */
export type ConfigVarChanges = Readonly<Record<string, string | null>>;

/** Keys and values of an app together (Dev Center "Config Vars"). */
export const MAX_CONFIG_BYTES = 64 * 1024;

const KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * The vars after a change, and what it was. Throws invalid_params for a key that Heroku refuses or a set that is
 * too large.
 */
export function applyConfigVarChanges(current: ConfigVars, changes: ConfigVarChanges): ConfigVarResult {
  const next: Record<string, string> = { ...current };
  const set: string[] = [];
  const removed: string[] = [];
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) {
      if (!Object.hasOwn(next, key)) continue;
      // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a map with the user's own keys
      delete next[key];
      removed.push(key);
      continue;
    }
    assertKey(key);
    if (value.includes('\0')) throw invalidParams(`The value of ${key} may not contain a NUL byte.`);
    next[key] = value;
    set.push(key);
  }
  const bytes = Object.entries(next).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (bytes > MAX_CONFIG_BYTES) throw invalidParams('Config vars may not exceed 64 KB in total.');
  return { vars: next, set, removed };
}

export interface ConfigVarResult {
  vars: ConfigVars;
  set: string[];
  removed: string[];
}

/** `Set FOO config vars`, `Set A, B config vars`, `Remove FOO config vars`; undefined if nothing changed. */
export function describeConfigVarChange(result: ConfigVarResult): string | undefined {
  const parts: string[] = [];
  if (result.set.length > 0) parts.push(`Set ${result.set.join(', ')} config vars`);
  if (result.removed.length > 0) parts.push(`Remove ${result.removed.join(', ')} config vars`);
  return parts.length === 0 ? undefined : parts.join(' and ');
}

export function withoutKeys(vars: ConfigVars, keys: readonly string[]): ConfigVars {
  return Object.fromEntries(Object.entries(vars).filter(([key]) => !keys.includes(key)));
}

function assertKey(key: string): void {
  if (!KEY.test(key)) {
    throw invalidParams(
      `Config var key ${JSON.stringify(key)} is invalid. Keys may only contain letters, digits and underscores, and may not start with a digit.`,
    );
  }
  if (key.startsWith('__')) throw invalidParams(`Config var key ${key} may not start with two underscores.`);
  if (key.startsWith('HEROKU_')) {
    throw invalidParams(`Config var key ${key} is invalid. The HEROKU_ prefix is reserved.`);
  }
}
