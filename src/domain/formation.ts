import type { DynoSizeName } from './dyno-size';
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

/** `2`, `"2"`, `"+1"`, `"-1"`: the CLI sends strings, relative ones too (`heroku ps:scale web+1`). */
export function parseQuantity(value: number | string, current: number): number {
  const text = String(value).trim();
  const match = /^([+-]?)(\d{1,6})$/.exec(text);
  if (match === null) throw invalidParams(`Quantity ${text} is not a number of dynos.`);
  const amount = Number(match[2]);
  const quantity = match[1] === '+' ? current + amount : match[1] === '-' ? current - amount : amount;
  return Math.max(0, quantity);
}
