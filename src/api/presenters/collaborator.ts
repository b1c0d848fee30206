import { createHash } from 'node:crypto';
import type { Account } from '../../domain/account';
import type { App } from '../../domain/app';
import { presentAppReference } from './app';

/** The owner, who is the one collaborator of an app. */
export function presentOwner(app: App, owner: Account): { id: string } & Record<string, unknown> {
  return {
    app: presentAppReference(app),
    created_at: app.createdAt,
    id: collaborationId(app, owner),
    permissions: [],
    role: 'owner',
    updated_at: app.createdAt,
    user: { email: owner.email, federated: false, id: owner.id },
  };
}

/** Ownership has no row of its own: a UUID made of both ids, in the way of version 8 (RFC 9562, section 5.8). */
function collaborationId(app: App, owner: Account): string {
  const hex = createHash('sha256').update(`${app.id} ${owner.id}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
