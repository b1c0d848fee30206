import type { PresentableSetting } from '../../platform/postgres/database-settings';

/** By name: the value, and where it is one of a few, what each of them means. */
export function presentDatabaseSettings(settings: readonly PresentableSetting[]): Record<string, unknown> {
  return Object.fromEntries(
    settings.map(({ name, value, values }) => [name, { value, ...(values === undefined ? {} : { values }) }]),
  );
}
