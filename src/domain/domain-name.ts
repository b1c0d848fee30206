import type { AppId, DomainId } from './ids';

export interface DomainName {
  id: DomainId;
  appId: AppId;
  /** Lower case; custom ones may begin with `*.` */
  hostname: string;
  kind: 'heroku' | 'custom';
  createdAt: Date;
  updatedAt: Date;
}
