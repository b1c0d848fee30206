import type { AppId, DomainId, SniEndpointId } from './ids';

export interface DomainName {
  id: DomainId;
  appId: AppId;
  /** Lower case; custom ones may begin with `*.` */
  hostname: string;
  kind: 'heroku' | 'custom';
  /** Whose certificate it has; null = one of the local CA. */
  sniEndpointId: SniEndpointId | null;
  createdAt: Date;
  updatedAt: Date;
}

/** RFC 1123 labels, optionally with a wildcard as the first. */
const HOSTNAME =
  /^(?=.{1,253}$)(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Lower case only. */
export function isHostname(text: string): boolean {
  return HOSTNAME.test(text);
}
