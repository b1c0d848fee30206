import { arch } from 'node:os';
import type { DynoSize } from '../../domain/dyno-size';
import { presentGeneration } from './generation';

/** The schema's example is Docker's name, not Node's. */
const ARCHITECTURE = arch() === 'x64' ? 'amd64' : arch();

export function presentDynoSize(size: DynoSize): Record<string, unknown> {
  return {
    architecture: ARCHITECTURE,
    compute: size.compute,
    cost: { cents: size.costCents, unit: 'month' },
    dedicated: size.dedicated,
    generation: presentGeneration(),
    id: size.id,
    // GB
    memory: size.memoryMb / 1024,
    name: size.title,
    // A unit is what a performance-l costs (schema: "unit of consumption", 1 for 50,000 cents a month).
    precise_dyno_units: size.costCents / 50_000,
    private_space_only: false,
  };
}
