import { dynoSize, type DynoSizeName } from './dyno-size';
import { invalidParams } from './errors';
import type { AppId, FormationId } from './ids';

/** How many dynos of which size a process type is to have. Its command comes from the current slug. */
export interface Formation {
  id: FormationId;
  appId: AppId;
  type: string;
  quantity: number;
  size: DynoSizeName;
  createdAt: Date;
  updatedAt: Date;
}

/** Dev Center "Dyno Scaling and Process Limits". */
export const MAX_DYNOS_PER_APP = 100;

/** Dev Center "Dyno Scaling and Process Limits": dynos of a size that one process type may have. */
function maxPerType(size: DynoSizeName): number {
  const { name, dedicated } = dynoSize(size);
  if (name === 'free' || name === 'eco' || name === 'basic') return 1;
  return dedicated ? 10 : MAX_DYNOS_PER_APP;
}

/** Eco dynos that an app may run at a time. */
const MAX_ECO_PER_APP = 2;
/** Sizes that an app may only have for all of its process types. */
const UNMIXABLE = ['free', 'eco', 'basic'];

/**
 * Heroku's own limits; on one's own machine they only get in the way, so that they are off unless a setting turns them
 * on. Throws invalid_params.
 */
export function assertHerokuLimits(
  formation: readonly Pick<Formation, 'type' | 'quantity' | 'size'>[],
): void {
  const used = formation.filter(({ quantity }) => quantity > 0);
  for (const { quantity, size } of used) {
    const { title } = dynoSize(size);
    if (quantity > maxPerType(size)) {
      throw invalidParams(
        `Cannot update to more than ${maxPerType(size)} ${title} size dynos per process type.`,
      );
    }
  }
  const eco = used
    .filter(({ size }) => dynoSize(size).sleeps)
    .reduce((sum, { quantity }) => sum + quantity, 0);
  if (eco > MAX_ECO_PER_APP) {
    throw invalidParams(`Cannot run more than ${MAX_ECO_PER_APP} Eco size dynos.`);
  }
  const unmixable = used.find(({ size }) => UNMIXABLE.includes(size));
  const other = used.find(({ size }) => size !== unmixable?.size);
  if (unmixable !== undefined && other !== undefined) {
    const titles = [unmixable, other].map(({ size }) => dynoSize(size).title);
    throw invalidParams(
      `Cannot mix ${titles.join(' and ')} dynos: all process types of an app must have the one size.`,
    );
  }
}

/** `2`, `"2"`, `"+1"`, `"-1"`: the CLI sends strings, relative ones too (`heroku ps:scale web+1`). */
export function parseQuantity(value: number | string, current: number): number {
  const text = String(value).trim();
  const match = /^([+-]?)(\d{1,6})$/.exec(text);
  if (match === null) throw invalidParams(`Quantity ${text} is not a number of dynos.`);
  const amount = Number(match[2]);
  const quantity = match[1] === '+' ? current + amount : match[1] === '-' ? current - amount : amount;
  return Math.max(0, quantity);
}
