import type { Request } from 'express';

/**
 * Scheme, host and port by which the client reached us, for the URLs that it is to open next: it can reach those,
 * and trusts the certificate if there is one. The Host header was checked against our own names before.
 */
export function requestOrigin(req: Request): string {
  return `${req.protocol}://${req.get('Host') ?? 'localhost'}`;
}
