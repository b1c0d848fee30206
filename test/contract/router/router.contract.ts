import { describeBackPressure } from './back-pressure.rules';
import { describeConnections } from './connection.rules';
import { describeHCodesInTime } from './h-codes-in-time.rules';
import { describeHCodes } from './h-codes.rules';
import { describeMalformedRequests } from './malformed.rules';
import { describeRequestBodies } from './request-body.rules';
import { describeRequestHeaders } from './request-headers.rules';
import { describeRequestLines } from './request-line.rules';
import { describeResponseBodies } from './response-body.rules';
import { describeResponseHeads } from './response-head.rules';
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
    describeRequestLines,
    describeRequestHeaders,
    describeRequestBodies,
    describeMalformedRequests,
    describeResponseHeads,
    describeResponseBodies,
    describeConnections,
    describeBackPressure,
    describeUpgrades,
    describeHCodes,
    describeHCodesInTime,
  ];
  describeRules(name, capabilities, makeSubject, parts, setUpMs);
}
