import { availableParallelism } from 'node:os';
import { ConfigError, loadConfig } from '../../../src/daemon/config';

describe('DYNODOCK_ROUTER_WORKERS', () => {
  const load = (text?: string) =>
    loadConfig(text === undefined ? {} : { DYNODOCK_ROUTER_WORKERS: text }).routerWorkers;

  test('is one per core, 4 at most, unless set', () => {
    expect(load()).toBe(Math.min(availableParallelism(), 4));
    expect(load('0')).toBe(load());
    expect([load('1'), load('8')]).toEqual([1, 8]);
  });

  test.each(['many', '-1', '1.5', '65'])('refuses %j', (text) => {
    expect(() => load(text)).toThrow(ConfigError);
  });
});

describe('what is kept', () => {
  const load = (env: Record<string, string>) => {
    const { keptReleases, keptSlugs, cacheBudgetBytes } = loadConfig(env);
    return { keptReleases, keptSlugs, cacheBudgetBytes };
  };

  test('ten releases, fifty slugs and 5 GiB of caches, unless set', () => {
    expect(load({})).toEqual({ keptReleases: 10, keptSlugs: 50, cacheBudgetBytes: 5 * 1024 ** 3 });
    expect(
      load({ DYNODOCK_KEPT_RELEASES: '0', DYNODOCK_KEPT_SLUGS: '3', DYNODOCK_CACHE_BUDGET_MB: '1' }),
    ).toEqual({ keptReleases: 0, keptSlugs: 3, cacheBudgetBytes: 1024 ** 2 });
  });

  test.each(['DYNODOCK_KEPT_RELEASES', 'DYNODOCK_KEPT_SLUGS', 'DYNODOCK_CACHE_BUDGET_MB'])(
    '%s is a whole number',
    (name) => {
      for (const text of ['-1', 'all', '1.5']) expect(() => load({ [name]: text })).toThrow(ConfigError);
    },
  );
});

describe('how add-ons sleep', () => {
  test('not at all, unless set', () => {
    expect(loadConfig({}).addonSleep).toEqual({ depth: 'off', lingerMs: 900_000 });
    expect(
      loadConfig({ DYNODOCK_ADDON_SLEEP: 'freeze', DYNODOCK_ADDON_LINGER_SECONDS: '2' }).addonSleep,
    ).toEqual({ depth: 'freeze', lingerMs: 2000 });
  });

  test.each([{ DYNODOCK_ADDON_SLEEP: 'on' }, { DYNODOCK_ADDON_LINGER_SECONDS: '-1' }])(
    'refuses %j',
    (env) => {
      expect(() => loadConfig(env)).toThrow(ConfigError);
    },
  );
});
