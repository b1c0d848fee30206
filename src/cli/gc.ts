import type { ApiClient } from './api-client';
import { CommandError } from './terminal';

interface ItemJson {
  kind: string;
  name: string;
  app: { name: string } | null;
  bytes: number | null;
  outcome: 'kept' | 'planned' | 'removed' | 'failed';
  reason: string;
}
interface DiskJson {
  images_bytes: number | null;
  caches_bytes: number | null;
  files_bytes: number;
}
interface ReportJson {
  items: ItemJson[];
  disk: { before: DiskJson; after: DiskJson | null };
}

export interface GcReport {
  rows: { cells: string[] }[];
  summary: string[];
}

/** Engines take seconds to measure, and each removal is a call of its own. */
const TIMEOUT_MS = 10 * 60_000;
const OUTCOMES = { kept: 'keep', planned: 'would remove', removed: 'removed', failed: 'FAILED' };
/** What goes first, because that is what one looks for. */
const ORDER = ['failed', 'removed', 'planned', 'kept'];
const FIGURES = [
  ['images_bytes', 'images of the engine'],
  ['caches_bytes', 'build caches'],
  ['files_bytes', 'slugs and build output'],
] as const;

/** The rows and lines of `dynodock gc`: each thing that builds have left, and why it stays or goes. */
export async function collectGarbage(api: ApiClient, options: { dryRun: boolean }): Promise<GcReport> {
  const answer = await api.post('/dynodock/reclaim', { dry_run: options.dryRun }, { timeoutMs: TIMEOUT_MS });
  const { items, disk } = answer as ReportJson;
  const sorted = [...items].sort((a, b) => keyOf(a).localeCompare(keyOf(b)));
  const failed = items.filter(({ outcome }) => outcome === 'failed').length;
  if (failed > 0) {
    const list = sorted
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ name, reason }) => `${name}: ${reason}`);
    throw new CommandError(`${failed} of ${items.length} could not be removed.`, list.join('\n'));
  }
  return {
    rows: sorted.map((item) => ({
      cells: [
        OUTCOMES[item.outcome],
        item.kind.replace('-', ' '),
        item.app?.name ?? '-',
        formatBytes(item.bytes),
        shortName(item.name),
        item.reason,
      ],
    })),
    summary: summarize(items, disk, options.dryRun),
  };
}

function summarize(items: readonly ItemJson[], disk: ReportJson['disk'], dryRun: boolean): string[] {
  const gone = items.filter(({ outcome }) => outcome === 'removed' || outcome === 'planned');
  const bytes = gone.reduce((sum, item) => sum + (item.bytes ?? 0), 0);
  const count = `${gone.length} of ${items.length} ${dryRun ? 'would be removed' : 'removed'}`;
  return [
    gone.length === 0 ? `${count}.` : `${count}, some ${formatBytes(bytes)}.`,
    ...FIGURES.map(([key, label]) => {
      const after = disk.after === null ? '' : ` -> ${formatBytes(disk.after[key])}`;
      return `  ${label}: ${formatBytes(disk.before[key])}${after}`;
    }),
  ];
}

function keyOf(item: ItemJson): string {
  return [ORDER.indexOf(item.outcome), item.app?.name ?? '', item.kind, item.name].join('\t');
}

/** Of a file its name alone, of an image's id as much as Docker shows. */
function shortName(name: string): string {
  if (name.startsWith('sha256:')) return name.slice(7, 19);
  return name.startsWith('/') ? (name.split('/').at(-1) ?? name) : name;
}

function formatBytes(bytes: number | null): string {
  if (bytes === null) return '?';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  const value = bytes / 1000 ** unit;
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}
