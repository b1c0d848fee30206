import { MAXMEMORY_POLICIES, type RedisSettings } from '../../domain/redis-settings';
import type { AddOn } from '../../domain/addon';
import type { InfoRow } from '../../platform/addons/data-addons';

/** What `redis:info`, `redis:credentials` and `redis:cli` read. */
export function presentRedis(
  addon: AddOn,
  { url, info, prefersNativeTls }: { url: URL; info: readonly InfoRow[]; prefersNativeTls: boolean },
): Record<string, unknown> {
  return {
    addon_id: addon.id,
    created_at: addon.createdAt,
    info: info.map(({ name, values }) => ({ name, values })),
    name: addon.name,
    // Without the service, unlike on the Platform API: the CLI looks at how it begins.
    plan: addon.plan,
    prefer_native_tls: prefersNativeTls,
    resource_url: url.href,
  };
}

export function presentRedisSettings(settings: RedisSettings): Record<string, unknown> {
  return {
    timeout: { value: settings.timeout },
    maxmemory_policy: { value: settings.maxmemory_policy, values: MAXMEMORY_POLICIES },
    notify_keyspace_events: { value: settings.notify_keyspace_events },
  };
}
