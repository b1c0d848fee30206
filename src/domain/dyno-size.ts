import { invalidParams } from './errors';

export interface DynoSize {
  /** Fixed UUID. */
  id: string;
  /** Name in API and CLI arguments, e.g. `standard-1x`. */
  name: string;
  /** As shown in log lines and CLI output, e.g. `Standard-1X`. */
  title: string;
  memoryMb: number;
  /** Relative CPU share, standard-1x = 1. */
  compute: number;
  dedicated: boolean;
  sleeps: boolean;
  /** Processes and threads. */
  maxProcesses: number;
  costCents: number;
}

/** Semantics: Dev Center "Dyno Types" and "Dyno Scaling and Process Limits". */
export const DYNO_SIZES: readonly DynoSize[] = [
  size(1, 'free', 'Free', 512, 1, { sleeps: true, costCents: 0 }),
  size(2, 'eco', 'Eco', 512, 1, { sleeps: true, costCents: 500 }),
  size(3, 'basic', 'Basic', 512, 1, { costCents: 700 }),
  size(4, 'standard-1x', 'Standard-1X', 512, 1, { costCents: 2500 }),
  size(5, 'standard-2x', 'Standard-2X', 1024, 2, { costCents: 5000, maxProcesses: 512 }),
  size(6, 'performance-m', 'Performance-M', 2560, 12, { dedicated: true, costCents: 25_000, maxProcesses: 16_384 }),
  size(7, 'performance-l', 'Performance-L', 14_336, 50, { dedicated: true, costCents: 50_000, maxProcesses: 32_768 }),
  size(8, 'performance-l-ram', 'Performance-L-RAM', 30_720, 24, { dedicated: true, costCents: 50_000, maxProcesses: 24_576 }),
  size(9, 'performance-xl', 'Performance-XL', 63_488, 50, { dedicated: true, costCents: 75_000, maxProcesses: 32_768 }),
  size(10, 'performance-2xl', 'Performance-2XL', 129_024, 100, { dedicated: true, costCents: 150_000, maxProcesses: 65_536 }),
]; // prettier-ignore

export type DynoSizeName = string & { readonly __dynoSize: true };

const ALIASES: Readonly<Record<string, string>> = {
  hobby: 'basic',
  '1x': 'standard-1x',
  '2x': 'standard-2x',
  px: 'performance-l',
};

/** By name in any case, by alias or by id. */
export function findDynoSize(text: string): DynoSize | undefined {
  const name = text.toLowerCase();
  return DYNO_SIZES.find((size) => size.name === (ALIASES[name] ?? name) || size.id === name);
}

export function parseDynoSize(text: string): DynoSizeName {
  const found = findDynoSize(text);
  if (found === undefined) {
    throw invalidParams(
      `No such size as ${text}. Available sizes: ${DYNO_SIZES.map((size) => size.name).join(', ')}.`,
    );
  }
  return found.name as DynoSizeName;
}

export function dynoSize(name: DynoSizeName): DynoSize {
  const found = findDynoSize(name);
  if (found === undefined) throw new Error(`unknown dyno size ${name}`);
  return found;
}

function size(
  number: number,
  name: string,
  title: string,
  memoryMb: number,
  compute: number,
  more: Partial<Pick<DynoSize, 'dedicated' | 'sleeps' | 'maxProcesses'>> & { costCents: number },
): DynoSize {
  const id = `4d1b0a6e-71c5-4a7e-8d52-${String(number).padStart(12, '0')}`;
  return { id, name, title, memoryMb, compute, dedicated: false, sleeps: false, maxProcesses: 256, ...more };
}
