import { describeConnections } from './connection.rules';
import { describeHCodes } from './h-codes.rules';
import { describeRequestBodies } from './request-body.rules';
import { describeRequestHeads } from './request-head.rules';
import { describeResponses } from './response.rules';
import { describeRules, type Capability, type RouterSubject } from './rules';
import { describeUpgrades } from './upgrade.rules';

/**
 * What every router must make true: Heroku's "HTTP Routing" and "Error Codes", RFC 9110 and RFC 9112, seen from
 * outside, by raw bytes on both sides and by log lines. Each rule names where it is from.
 */
export function describeRouter(
  name: string,
  capabilities: readonly Capability[],
  makeSubject: () => Promise<RouterSubject>,
  setUpMs?: number,
): void {
  const parts = [
    describeRequestHeads,
    describeRequestBodies,
    describeResponses,
    describeConnections,
    describeUpgrades,
    describeHCodes,
  ];
  describeRules(name, capabilities, makeSubject, parts, setUpMs);
}
