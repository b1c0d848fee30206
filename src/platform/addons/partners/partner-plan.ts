import type { AddOn } from '../../../domain/addon';
import type { PartnerResource } from '../../../domain/partner';

/**
 * What to do next about one add-on of a partner, decided without doing anything. The add-on's row says what is wanted:
 * there while it is `provisioning` or `provisioned`, gone otherwise.
 *
 * - **ask**: POST, until there is an answer; **fail** gives up on it.
 * - **change-plan**: PUT, while a plan is owed.
 * - **give-up**: what is not wanted any more is to leave; what the partner never heard of is gone at once.
 * - **leave**: DELETE, until it is acknowledged. There is no last attempt.
 * - **finish**: nothing is left at the partner: the add-on is deprovisioned.
 * - **forget**: nor is the add-on's row there any more.
 * - **wait**: until then, or for a callback (null).
 *
 * Invariants: while an add-on is wanted, no DELETE is sent for it. Once the partner may have heard of it, its row of
 * resource goes only after the partner has acknowledged a DELETE, refused the very first POST, or said itself that it is gone. An
 * add-on becomes `provisioned` only together with `held`, and stays `deprovisioning` until `gone`.
 */
export type PartnerStep =
  | { kind: 'ask' }
  | { kind: 'fail'; reason: string }
  | { kind: 'change-plan'; plan: string }
  | { kind: 'give-up' }
  | { kind: 'leave' }
  | { kind: 'finish' }
  | { kind: 'forget' }
  | { kind: 'wait'; until: Date | null };

export interface PartnerPlanInput {
  resource: PartnerResource;
  /** undefined: its row is purged. */
  addon: Pick<AddOn, 'state'> | undefined;
  /** Is the service registered? Without it nobody can be asked. */
  known: boolean;
  now: Date;
}

/** POSTs that came to nothing before it is given up: 15 s, for partners that fail at once. */
export const MAX_ASKS = 5;
/** Heroku's: Dev Center "Asynchronous Provisioning of Add-ons", "Unprovisioned Add-ons". */
export const ASYNC_DEADLINE_MS = 12 * 60 * 60 * 1000;
/** PUTs that came to nothing before whoever asked for another plan is told so. */
export const MAX_PLAN_CHANGES = 3;
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 10 * 60 * 1000;

export function planPartner({ resource, addon, known, now }: PartnerPlanInput): PartnerStep {
  const { phase, attempts, nextAttemptAt, deadline, wantedPlan, problem } = resource;
  const isWanted = addon?.state === 'provisioning' || addon?.state === 'provisioned';
  const whenDue = (step: PartnerStep): PartnerStep =>
    nextAttemptAt === null || nextAttemptAt <= now ? step : { kind: 'wait', until: nextAttemptAt };
  switch (phase) {
    case 'asking':
      if (!isWanted) return { kind: 'give-up' };
      if (!known) return { kind: 'fail', reason: 'its service is not registered any more' };
      if (attempts >= MAX_ASKS) return { kind: 'fail', reason: problem ?? 'it did not answer' };
      return whenDue({ kind: 'ask' });
    case 'accepted':
      if (!isWanted) return { kind: 'give-up' };
      if (deadline !== null && deadline <= now) {
        return { kind: 'fail', reason: 'it did not finish provisioning within 12 hours' };
      }
      return { kind: 'wait', until: deadline };
    case 'held':
      if (!isWanted) return { kind: 'give-up' };
      if (wantedPlan === null || !known) return { kind: 'wait', until: null };
      return whenDue({ kind: 'change-plan', plan: wantedPlan });
    case 'leaving':
      return known ? whenDue({ kind: 'leave' }) : { kind: 'wait', until: null };
    case 'parting':
      if (deadline !== null && deadline > now) return { kind: 'wait', until: deadline };
      return known ? { kind: 'leave' } : { kind: 'wait', until: null };
    case 'gone':
      if (addon === undefined) return { kind: 'forget' };
      return addon.state === 'deprovisioning' ? { kind: 'finish' } : { kind: 'wait', until: null };
  }
}

/** After so many attempts in a row: 1, 2, 4 … s, 10 minutes at most. */
export function partnerDelayMs(attempts: number): number {
  return Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempts - 1, 20), LONGEST_DELAY_MS);
}
