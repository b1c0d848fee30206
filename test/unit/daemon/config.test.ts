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
