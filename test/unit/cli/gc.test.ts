import type { ApiClient } from '../../../src/cli/api-client';
import { collectGarbage } from '../../../src/cli/gc';
import { CommandError } from '../../../src/cli/terminal';

const DISK = { images_bytes: 1_630_000_000, caches_bytes: null, files_bytes: 950 };

function answering(items: unknown[], after: unknown = null): { api: ApiClient; asked: unknown[] } {
  const asked: unknown[] = [];
  const unused = (): Promise<never> => Promise.reject(new Error('not to be called'));
  const post = async (path: string, body?: unknown): Promise<unknown> => {
    asked.push([path, body]);
    return { items, disk: { before: DISK, after } };
  };
  return { api: { get: unused, list: unused, patch: unused, delete: unused, post }, asked };
}

const item = (more: object): object => ({
  kind: 'slug-image',
  name: 'dynodock/slug:1',
  app: { id: 'x', name: 'demo' },
  bytes: 12_345,
  outcome: 'kept',
  reason: 'v3 is the current release',
  ...more,
});

describe('dynodock gc', () => {
  test('tells of each thing why it stays or goes, what goes first', async () => {
    const { api, asked } = answering([
      item({}),
      item({ outcome: 'planned', kind: 'slug-archive', name: '/data/slugs/a/b.tgz', reason: 'too old' }),
      item({ kind: 'stack-image', app: null, bytes: null, name: 'sha256:0123456789abcdef' }),
    ]);
    const { rows, summary } = await collectGarbage(api, { dryRun: true });
    expect(asked).toEqual([['/dynodock/reclaim', { dry_run: true }]]);
    expect(rows.map(({ cells }) => cells)).toEqual([
      ['would remove', 'slug archive', 'demo', '12 kB', 'b.tgz', 'too old'],
      ['keep', 'stack image', '-', '?', '0123456789ab', 'v3 is the current release'],
      ['keep', 'slug image', 'demo', '12 kB', 'dynodock/slug:1', 'v3 is the current release'],
    ]);
    expect(summary).toEqual([
      '1 of 3 would be removed, some 12 kB.',
      '  images of the engine: 1.6 GB',
      '  build caches: ?',
      '  slugs and build output: 950 B',
    ]);
  });

  test('shows the disk before and after', async () => {
    const { api } = answering([item({ outcome: 'removed' })], {
      ...DISK,
      images_bytes: 0,
      files_bytes: 10_000_000,
    });
    const { summary } = await collectGarbage(api, { dryRun: false });
    expect(summary).toEqual([
      '1 of 1 removed, some 12 kB.',
      '  images of the engine: 1.6 GB -> 0 B',
      '  build caches: ? -> ?',
      '  slugs and build output: 950 B -> 10 MB',
    ]);
  });

  test('fails where something could not be removed, and says what and why', async () => {
    const { api } = answering([item({}), item({ outcome: 'failed', reason: 'the engine broke' })]);
    const failure = await collectGarbage(api, { dryRun: false }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CommandError);
    expect(failure).toMatchObject({
      message: '1 of 2 could not be removed.',
      advice: 'dynodock/slug:1: the engine broke',
    });
  });
});
