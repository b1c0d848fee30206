import type { AddOn } from './addon';

/** What `redis:timeout`, `redis:maxmemory` and `redis:keyspace-notifications` change, by the CLI's keys. */
export interface RedisSettings {
  timeout: number;
  maxmemory_policy: string;
  notify_keyspace_events: string;
}

/** Each with what the CLI prints after its name (Dev Center "Configuring Heroku Key-Value Store"). */
export const MAXMEMORY_POLICIES: Readonly<Record<string, string>> = {
  noeviction: 'returns errors when memory limit is reached',
  'allkeys-lfu': 'removes less frequently used keys first',
  'volatile-lfu': 'removes less frequently used keys first that have an expiry set',
  'allkeys-lru': 'removes less recently used keys first',
  'volatile-lru': 'removes less recently used keys first that have an expiry set',
  'allkeys-random': 'evicts random keys',
  'volatile-random': 'evicts random keys but only those that have an expiry set',
  'volatile-ttl': 'only evicts keys with an expiry set and a short TTL',
};

const MAX_TIMEOUT = 2 ** 31 - 1;

/** What the add-on was set to, or else Heroku's defaults. */
export function redisSettingsOf({ config: { values } }: Pick<AddOn, 'config'>): RedisSettings {
  return {
    timeout: Number(values['timeout'] ?? 300),
    maxmemory_policy: values['maxmemory_policy'] ?? 'noeviction',
    notify_keyspace_events: values['notify_keyspace_events'] ?? '',
  };
}

/** What is wrong with a value, or undefined. */
export function redisSettingProblem(name: string, value: unknown): string | undefined {
  switch (name) {
    case 'timeout':
      return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TIMEOUT
        ? undefined
        : 'timeout must be a whole number of seconds, or 0.';
    case 'maxmemory_policy':
      return typeof value === 'string' && Object.hasOwn(MAXMEMORY_POLICIES, value)
        ? undefined
        : `maxmemory_policy must be one of: ${Object.keys(MAXMEMORY_POLICIES).join(', ')}.`;
    case 'notify_keyspace_events':
      return typeof value === 'string' && /^[KEg$lshztxemA]*$/.test(value)
        ? undefined
        : 'notify_keyspace_events must consist of the letters K, E, g, $, l, s, h, z, t, x, e, m and A.';
    default:
      return `There is no setting ${JSON.stringify(name)}.`;
  }
}

/** Names and values in turn, as the server calls them. */
export function settingArguments(addon: Pick<AddOn, 'config'>): string[] {
  return Object.entries(redisSettingsOf(addon)).flatMap(([name, value]) => [
    name.replaceAll('_', '-'),
    String(value),
  ]);
}
